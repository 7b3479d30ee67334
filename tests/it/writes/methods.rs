//! Method calls and posted messages.

use odoo_sim::{FaultPoint, SALES_KEY, Snapshot};
use serde_json::{Value, json};

use super::{answered, call_count, confirm_id, normalized, refused, refused_as, stage, tool_names};
use crate::test_gateway::TestGateway;

/// All operations, and some methods with and without rules for their arguments.
const RULES: &str = concat!(
    r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"] }, "#,
    r#"{ models = ["sale.order"], methods = ["action_confirm", "action_cancel", "action_draft", "message_post", "message_subscribe", "get_portal_url"], "#,
    r#"arguments = { message_subscribe = { partner_ids = { ids_of = "res.partner", required = true } }, action_confirm = {} } }, "#,
    r#"{ models = ["crm.lead"], methods = ["action_set_lost", "message_post"], arguments = { action_set_lost = {} } }]"#,
);

fn direct() -> TestGateway {
    stage("direct", RULES, &[])
}

/// An order in this state.
fn order_in_state(company: &Snapshot, state: &str) -> u32 {
    let is_so = |id: &u32| company.record("sale.order", *id).unwrap()["state"] == json!(state);
    company.ids("sale.order").into_iter().find(is_so).unwrap()
}

fn state(stage: &TestGateway, id: u32) -> Value {
    stage.fake_odoo.snapshot().record("sale.order", id).unwrap()["state"].clone()
}

fn confirm_order(id: u32) -> Value {
    json!({"model": "sale.order", "method": "action_confirm", "ids": [id]})
}

/// A sent order, and the call with a key that confirmed it and whose response was lost.
fn lost_confirmation(at: FaultPoint) -> (TestGateway, u32, Value) {
    let stage = direct();
    let id = order_in_state(&stage.fake_odoo.snapshot(), "sent");
    let mut once = confirm_order(id);
    once["idempotency_key"] = json!("k");
    let faults = &stage.fake_odoo;
    faults.inject_disconnect("sale.order/action_confirm", at);
    stage.call_fails("call_method", &once, "outcome_unknown");
    (stage, id, once)
}

#[test]
fn allowed_method_is_previewed_and_its_effect_reported() {
    let stage = stage("confirm", RULES, &[]);
    let id = order_in_state(&stage.fake_odoo.snapshot(), "sent");
    let preview = answered(&stage, "call_method", &confirm_order(id));
    assert_eq!(state(&stage, id), json!("sent"));
    insta::assert_snapshot!(normalized(&preview));
    let mut confirmed = confirm_order(id);
    confirmed["confirm"] = json!(confirm_id(&preview));
    let done = stage.call_succeeds("call_method", &confirmed, "applied");
    insta::assert_snapshot!(normalized(&done));
    assert!(!done.contains("undo_change"), "{done}");
    assert_eq!(state(&stage, id), json!("sale"));
    // Odoo rejects the second call, and the text shows that the message is
    // Odoo's.
    let again = answered(&stage, "call_method", &confirm_order(id));
    let mut confirmed = confirm_order(id);
    confirmed["confirm"] = json!(confirm_id(&again));
    let text = refused(&stage, "call_method", &confirmed);
    insta::assert_snapshot!(text, @r"
    Odoo refused: Some orders are not in a state requiring confirmation.
    Nothing was changed. A business rule refused, so the same call will be refused again. Change what Odoo asks for, or tell the user
    ");
}

#[test]
fn method_or_arguments_outside_the_rules_are_never_sent() {
    let stage = direct();
    let id = order_in_state(&stage.fake_odoo.snapshot(), "sent");
    let call = |method: &str, arguments: Value| json!({"model": "sale.order", "method": method, "ids": [id], "arguments": arguments});
    let messages = [
        call("action_lock", json!({})),
        call("write", json!({"vals": {"state": "sale"}})),
        call("_action_confirm", json!({})),
        call("action_confirm", json!({"state": "done"})),
        call("action_cancel", json!({"ids": [1]})),
        call("action_cancel", json!({"context": {"uid": 1}})),
        call("message_subscribe", json!({})),
        call("message_subscribe", json!({"partner_ids": [[6, 0, [1]]]})),
        call("message_subscribe", json!({"partner_ids": [987_654]})),
        call("message_post", json!({"body": "x"})),
        json!({"model": "crm.lead", "method": "action_set_lost", "ids": [1], "arguments": {"name": "x"}}),
        json!({"model": "sale.order", "method": "action_confirm", "ids": [987_654]}),
        json!({"model": "sale.order", "method": "action_confirm"}),
        json!({"model": "sale.order", "method": "action_confirm", "ids": (1..=201).collect::<Vec<u32>>()}),
        json!({"model": "sale.order", "method": "action_confirm", "ids": [id], "context": {"default_state": "sale"}}),
    ]
    .map(|arguments| refused(&stage, "call_method", &arguments));
    insta::assert_snapshot!(messages.join("\n"));
    for method in [
        "action_confirm",
        "action_cancel",
        "message_subscribe",
        "message_post",
    ] {
        assert_eq!(
            call_count(&stage, &format!("sale.order/{method}")),
            0,
            "{method}"
        );
    }
}

#[test]
fn method_tools_are_listed_only_for_roles_with_methods() {
    for tool in ["call_method", "post_message"] {
        assert!(tool_names(&direct()).contains(&tool.to_owned()));
        assert!(!tool_names(&super::direct()).contains(&tool.to_owned()));
    }
}

#[test]
fn outcome_of_lost_method_call_is_found_from_the_records() {
    let (stage, _, once) = lost_confirmation(FaultPoint::AfterCommit);
    let text = stage.call_succeeds("call_method", &once, "repeated");
    assert!(text.contains("state: sale (Sales Order)"), "{text}");
    assert_eq!(call_count(&stage, "sale.order/action_confirm"), 1);
}

#[test]
fn method_that_never_ran_is_neither_reported_done_nor_repeated() {
    let (stage, id, once) = lost_confirmation(FaultPoint::BeforeCall);
    let text = refused_as(&stage, "call_method", &once, "outcome_unclear");
    assert!(text.contains("state: sent (Quotation Sent)"), "{text}");
    insta::assert_snapshot!(normalized(&text));
    assert_eq!(state(&stage, id), json!("sent"));
    assert_eq!(call_count(&stage, "sale.order/action_confirm"), 0);
}

#[test]
fn access_token_in_method_result_is_not_shown() {
    let stage = direct();
    let id = order_in_state(&stage.fake_odoo.snapshot(), "sale");
    let call = json!({"model": "sale.order", "method": "get_portal_url", "ids": [id]});
    let text = answered(&stage, "call_method", &call);
    assert!(!text.contains("access_token"), "{text}");
    insta::assert_snapshot!(normalized(&text));
}

#[test]
fn describe_model_lists_allowed_methods() {
    let of = |stage: &TestGateway, arguments: Value| {
        let text = answered(stage, "describe_model", &arguments);
        text.split_once("(call_method):\n")
            .map(|(_, methods)| methods.to_owned())
    };
    let stage = direct();
    let order = json!({"model": "sale.order"});
    insta::assert_snapshot!(of(&stage, order.clone()).unwrap());
    // Requested once, however often it is read.
    of(&stage, order.clone()).unwrap();
    let asked = stage.fake_odoo.calls();
    let asked = asked
        .iter()
        .filter(|call| call.path.starts_with("/doc-bearer/"));
    assert_eq!(asked.count(), 1);
    assert_eq!(
        of(&stage, json!({"model": "sale.order", "query": "confirm"})).unwrap(),
        "action_confirm with no arguments: action_confirm.\n"
    );
    for without in [
        json!({"model": "sale.order", "fields": ["state"]}),
        json!({"model": "res.partner"}),
    ] {
        assert_eq!(of(&stage, without), None);
    }
    assert_eq!(of(&super::direct(), order.clone()), None);
    // An Odoo user who may not read the documentation sees only the names.
    let settings = [
        ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
        ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
        ("GATEPOST_INSTANCES__DEMO__WRITES", "direct"),
        ("GATEPOST_ROLES__READER__RULES", RULES),
    ];
    let sales = TestGateway::with_key(SALES_KEY, &settings);
    let names = of(&sales, order).unwrap();
    insta::assert_snapshot!("without_documentation", names);
}

fn message_to(id: u32, more: &Value) -> Value {
    let mut all = json!({"model": "sale.order", "id": id, "body": "Dear <b>all</b>\nBye"});
    let more = more.as_object().unwrap().clone();
    all.as_object_mut().unwrap().extend(more);
    all
}

#[test]
fn message_is_previewed_with_recipients_and_posted_once() {
    let stage = stage("confirm", RULES, &[]);
    let before = stage.fake_odoo.snapshot();
    let id = order_in_state(&before, "sale");
    for kind in ["note", "comment"] {
        let mut call = message_to(id, &json!({"as": kind, "idempotency_key": kind}));
        let preview = answered(&stage, "post_message", &call);
        call["confirm"] = json!(confirm_id(&preview));
        stage
            .fake_odoo
            .inject_disconnect("sale.order/message_post", FaultPoint::AfterCommit);
        stage.call_fails("post_message", &call, "outcome_unknown");
        stage.call_succeeds("post_message", &call, "repeated");
        insta::assert_snapshot!(kind, normalized(&preview));
    }
    let posted = super::created_ids(&stage, &before, "mail.message");
    assert_eq!(posted.len(), 2);
    let now = stage.fake_odoo.snapshot();
    let note = now.record("mail.message", posted[0]).unwrap();
    assert_eq!(
        note["body"],
        json!("<p>Dear &lt;b&gt;all&lt;/b&gt;<br>Bye</p>")
    );
}

#[test]
fn preview_names_every_record_argument_and_recipient() {
    let stage = stage("confirm", RULES, &[]);
    let company = stage.fake_odoo.snapshot();
    let ids: Vec<u32> = company.ids("sale.order").into_iter().take(30).collect();
    let name = |model: &str, id: u32| {
        let name = &company.record(model, id).unwrap()["name"];
        name.as_str().unwrap().to_owned()
    };
    assert!(ids.len() > 20);
    let cancel = json!({"model": "sale.order", "method": "action_cancel", "ids": ids,
        "arguments": {"note": format!("{}; last: words", "x".repeat(500)), "other": 1}, "context": {"lang": "en_US"}});
    let preview = answered(&stage, "call_method", &cancel);
    for id in &ids {
        assert!(
            preview.contains(&format!("[{id}] {}: ", name("sale.order", *id))),
            "{preview}"
        );
    }
    assert!(preview.contains("last: words\"\n- other: 1\n"), "{preview}");
    assert!(preview.contains("en_US"), "{preview}");
    let partners: Vec<u32> = company.ids("res.partner").into_iter().take(50).collect();
    let post = message_to(ids[0], &json!({"partner_ids": partners}));
    let preview = answered(&stage, "post_message", &post);
    for id in partners {
        assert!(preview.contains(&format!("[{id}]")), "{id}: {preview}");
    }
}

#[test]
fn invisible_message_and_unknown_recipients_are_rejected() {
    let stage = direct();
    let id = order_in_state(&stage.fake_odoo.snapshot(), "sale");
    refused_as(
        &stage,
        "post_message",
        &message_to(id, &json!({"body": "\u{200b} \n\u{2060}"})),
        "arguments",
    );
    let unknown = message_to(id, &json!({"partner_ids": [1, 987_654]}));
    insta::assert_snapshot!(refused_as(&stage, "post_message", &unknown, "unfit"));
    assert_eq!(call_count(&stage, "sale.order/message_post"), 0);
}

#[test]
fn lost_message_that_was_never_posted_is_not_found() {
    let stage = direct();
    let id = order_in_state(&stage.fake_odoo.snapshot(), "sale");
    stage
        .fake_odoo
        .inject_disconnect("sale.order/message_post", FaultPoint::BeforeCall);
    let call = message_to(id, &json!({"idempotency_key": "k"}));
    stage.call_fails("post_message", &call, "outcome_unknown");
    refused_as(&stage, "post_message", &call, "outcome_pending");
}

#[test]
fn message_outside_the_rules_is_not_posted() {
    let stage = direct();
    let id = order_in_state(&stage.fake_odoo.snapshot(), "sale");
    let messages = [
        message_to(id, &json!({"body": " "})),
        message_to(id, &json!({"as": "shout"})),
        message_to(id, &json!({"partner_ids": ["x"]})),
        message_to(987_654, &json!({})),
        message_to(1, &json!({"model": "res.partner"})),
        message_to(id, &json!({"author_id": 1})),
    ]
    .map(|arguments| refused(&stage, "post_message", &arguments));
    insta::assert_snapshot!(messages.join("\n"));
    let notes = concat!(
        r#"[{ models = ["*"] }, { models = ["sale.order"], methods = ["message_post"], arguments = { message_post = { "#,
        r#"body = { type = "text", max_length = 100 }, body_is_html = { type = "boolean" }, "#,
        r#"message_type = { allowed = ["comment"] }, subtype_xmlid = { allowed = ["mail.mt_note"] } } } }]"#,
    );
    let stage = super::stage("direct", notes, &[]);
    answered(&stage, "post_message", &message_to(id, &json!({})));
    let messages = [
        message_to(id, &json!({"as": "comment"})),
        message_to(id, &json!({"partner_ids": [1]})),
        message_to(id, &json!({"body": "x".repeat(101)})),
    ]
    .map(|arguments| refused(&stage, "post_message", &arguments));
    insta::assert_snapshot!("of_a_role_for_notes", messages.join("\n"));
}
