//! Write tools, in front of the sample company.
//!
//! Whatever Odoo would silently ignore or alter is rejected, and a rejected call
//! changes nothing: every test compares the whole company before and after.

mod approval;
mod idempotency;
mod import;
mod line_rules;
mod lost_responses;
mod methods;
mod properties;
mod replicas;
mod undo;
mod values;
mod x2many;

use odoo_sim::{ADMIN_KEY, Snapshot};
use serde_json::{Value, json};

use crate::test_gateway::TestGateway;

/// Rules for all writes, except to protected models.
const ALL: &str = r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"] },
    { models = ["res.users"] }]"#;

/// A gateway with this configuration of its instance and role.
fn stage(writes: &str, rules: &str, more: &[(&str, &str)]) -> TestGateway {
    stage_of(ADMIN_KEY, writes, rules, more)
}

/// The same, as another Odoo user.
fn stage_of(key: &str, writes: &str, rules: &str, more: &[(&str, &str)]) -> TestGateway {
    let mut settings = vec![
        ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
        ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
        ("GATEPOST_INSTANCES__DEMO__WRITES", writes),
        ("GATEPOST_ROLES__READER__RULES", rules),
    ];
    settings.extend_from_slice(more);
    TestGateway::with_key(key, &settings)
}

/// A gateway that writes without approval.
fn direct() -> TestGateway {
    stage("direct", ALL, &[])
}

/// The approval token in a preview.
pub(crate) fn confirm_id(preview: &str) -> String {
    let (_, rest) = preview.split_once("`confirm`: \"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// The arguments with a confirmation.
fn with_confirm(arguments: &Value, confirm: &str) -> Value {
    let mut arguments = arguments.clone();
    arguments["confirm"] = json!(confirm);
    arguments
}

/// The text without what varies, for snapshots: times, IDs and the port of Odoo.
fn normalized(text: &str) -> String {
    let mut text = text.to_owned();
    let odoo = "http://127.0.0.1:";
    if let Some((_, port)) = text.split_once(odoo) {
        let port = port.split('/').next().unwrap();
        text = text.replace(&format!("{odoo}{port}"), "ODOO");
    }
    let time_at = |text: &str, at: usize| {
        let instant = text.get(at..at + 20);
        let instant = instant.filter(|part| part.parse::<jiff::Timestamp>().is_ok());
        // As Odoo writes it.
        let plain = text.get(at..at + 19);
        let plain = plain.filter(|part| part.parse::<jiff::civil::DateTime>().is_ok());
        instant.or(plain).map(str::to_owned)
    };
    let time_in = |text: &str| (0..text.len()).find_map(|at| time_at(text, at));
    while let Some(time) = time_in(&text) {
        text = text.replace(&time, "TIME");
    }
    if text.contains("`change`: \"") {
        text = text.replace(&change_id(&text), "ID");
    }
    if text.contains("`confirm`: \"") {
        text = text.replace(&confirm_id(&text), "ID");
    }
    text
}

/// The ID by which a change can be undone.
pub(crate) fn change_id(text: &str) -> String {
    let (_, rest) = text
        .rsplit_once("`change`: \"")
        .unwrap_or_else(|| panic!("{text}"));
    rest.split('"').next().unwrap().to_owned()
}

fn undo_change(stage: &TestGateway, name: &str) -> String {
    answered(stage, "undo_change", &json!({ "change": name }))
}

/// Makes a call that must fail without changing anything; returns the error.
fn refused(stage: &TestGateway, tool: &str, arguments: &Value) -> String {
    let before = stage.fake_odoo.snapshot();
    let (text, failed) = stage.call(tool, arguments);
    assert!(failed, "{tool} {arguments}: {text}");
    assert_unchanged(stage, &before, &format!("{tool} {arguments}"));
    text
}

/// The same, with an error of this kind.
fn refused_as(stage: &TestGateway, tool: &str, arguments: &Value, kind: &str) -> String {
    let before = stage.fake_odoo.snapshot();
    let text = stage.call_fails(tool, arguments, kind);
    assert_unchanged(stage, &before, &format!("{tool} {arguments}"));
    text
}

/// Makes a call that must succeed; returns the text.
fn answered(stage: &TestGateway, tool: &str, arguments: &Value) -> String {
    let (text, failed) = stage.call(tool, arguments);
    assert!(!failed, "{tool} {arguments}: {text}");
    text
}

fn assert_unchanged(stage: &TestGateway, before: &Snapshot, what: &str) {
    let changes = before.changes_to(&stage.fake_odoo.snapshot());
    assert!(changes.is_empty(), "{what}: {changes:?}");
}

/// The number of calls to a method.
fn call_count(stage: &TestGateway, call: &str) -> usize {
    let path = format!("/json/2/{call}");
    let calls = stage.fake_odoo.calls();
    calls.iter().filter(|call| call.path == path).count()
}

/// The ids of a model's new records.
fn created_ids(stage: &TestGateway, before: &Snapshot, model: &str) -> Vec<u32> {
    let known = before.ids(model);
    let mut ids = stage.fake_odoo.snapshot().ids(model);
    ids.retain(|id| !known.contains(id));
    ids
}

/// The names of the tools that are listed.
fn tool_names(stage: &TestGateway) -> Vec<String> {
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let answer = stage.post(&list).json();
    let tools = answer["result"]["tools"].as_array().unwrap().iter();
    tools
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn write_tools_are_unavailable_unless_instance_and_role_allow_writes() {
    let writing = ["create_records", "update_records", "delete_records"];
    let plain = TestGateway::with_key(
        ADMIN_KEY,
        &[
            ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
            ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
            ("GATEPOST_ROLES__READER__RULES", ALL),
        ],
    );
    let reading_role = stage("direct", r#"[{ models = ["*"] }]"#, &[]);
    let lowered = stage(
        "direct",
        ALL,
        &[("GATEPOST_ROLES__READER__WRITES", "read_only")],
    );
    for stage in [plain, reading_role, lowered] {
        let tools = tool_names(&stage);
        for tool in writing {
            assert!(!tools.contains(&tool.to_owned()), "{tool}");
            let before = stage.fake_odoo.snapshot();
            let call = crate::test_gateway::tool_call(
                tool,
                &json!({"model": "crm.lead", "ids": [1], "values": {}}),
            );
            let answer = stage.post(&call).json();
            assert_eq!(
                answer["error"]["message"],
                format!("Unknown tool: {tool}; tools/list has those that you may call")
            );
            assert_unchanged(&stage, &before, tool);
        }
    }
    let tools = tool_names(&direct());
    assert!(
        writing
            .iter()
            .all(|tool| tools.contains(&(*tool).to_owned())),
        "{tools:?}"
    );
}

#[test]
fn tools_that_call_methods_are_listed_if_a_rule_has_one_for_them() {
    let listed = |methods: &str| {
        let rules = format!(
            r#"[{{ models = ["sale.order"], operations = ["read"], methods = {methods} }}]"#
        );
        let tools = tool_names(&stage("direct", &rules, &[]));
        ["call_method", "post_message"].map(|tool| tools.iter().any(|one| one == tool))
    };
    assert_eq!(listed(r#"["action_confirm"]"#), [true, false]);
    assert_eq!(listed(r#"["message_post"]"#), [false, true]);
    assert_eq!(
        listed(r#"["message_post", "action_confirm"]"#),
        [true, true]
    );
}

#[test]
fn post_message_is_listed_with_its_models_if_the_roles_name_them_all() {
    let description = |rules: &str| {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let answer = stage("direct", rules, &[]).post(&list).json();
        let tools = answer["result"]["tools"].as_array().unwrap().iter();
        let mut posting = tools.filter(|tool| tool["name"] == "post_message");
        posting.next().map(|tool| {
            let text = tool["description"].as_str().unwrap();
            text.split_once("preview first.").unwrap().1.to_owned()
        })
    };
    let posts = |models: &str| format!("{{ models = {models}, methods = [\"message_post\"] }}");
    let denies = r#"{ models = ["sale.*"], deny = true }"#;
    let named = posts(r#"["sale.order", "crm.lead"]"#);
    assert_eq!(
        description(&format!("[{named}]")).as_deref(),
        Some(" Only for `crm.lead`, `sale.order`.")
    );
    assert_eq!(
        description(&format!("[{named}, {denies}]")).as_deref(),
        Some(" Only for `crm.lead`.")
    );
    let pattern = posts(r#"["sale.*"]"#);
    assert_eq!(
        description(&format!("[{named}, {pattern}]")).as_deref(),
        Some("")
    );
    let denied = posts(r#"["sale.order"]"#);
    assert_eq!(description(&format!("[{denied}, {denies}]")), None);
}

#[test]
fn records_are_created_updated_and_deleted() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let text = answered(
        &stage,
        "create_records",
        &json!({"model": "crm.lead", "values": [{"name": "Chairs"}, {"name": "Tables", "expected_revenue": 1200}]}),
    );
    let ids = created_ids(&stage, &before, "crm.lead");
    assert_eq!(ids.len(), 2, "{text}");
    insta::assert_snapshot!(normalized(&text));
    assert_eq!(call_count(&stage, "crm.lead/create"), 1);
    let update = json!({"model": "crm.lead", "ids": ids, "values": {"expected_revenue": "99.5"}});
    let text = stage.call_succeeds("update_records", &update, "applied");
    insta::assert_snapshot!(normalized(&text));
    assert_eq!(call_count(&stage, "crm.lead/write"), 1);
    let now = stage.fake_odoo.snapshot();
    for id in &ids {
        assert_eq!(
            now.record("crm.lead", *id).unwrap()["expected_revenue"],
            json!(99.5)
        );
    }
    answered(
        &stage,
        "delete_records",
        &json!({"model": "crm.lead", "ids": ids}),
    );
    assert!(created_ids(&stage, &before, "crm.lead").is_empty());
}

#[test]
fn result_of_create_never_shows_what_a_rule_hides() {
    let hidden =
        r#"[{ models = ["*"], operations = ["read", "create"], hidden_fields = ["user_id"] }]"#;
    let create = json!({"model": "crm.lead", "values": [{"name": "Chairs"}]});
    let [hidden, all] = [hidden, ALL]
        .map(|rules| answered(&stage("direct", rules, &[]), "create_records", &create));
    assert!(hidden.contains("Set by Odoo: stage_id"), "{hidden}");
    assert!(!hidden.contains("user_id"), "{hidden}");
    assert!(all.contains("user_id: Mitchell Admin"), "{all}");
}

#[test]
fn results_that_cut_a_text_say_once_how_to_read_more() {
    let stage = direct();
    let long = "word ".repeat(3_000);
    let values = json!({"model": "crm.lead", "ids": [1, 2, 3], "values": {"description": long}});
    answered(&stage, "update_records", &values);
    let fields =
        |fields: &[&str], id: u32| json!({"model": "crm.lead", "ids": [id], "fields": fields});
    let search =
        json!({"model": "crm.lead", "domain": [["id", "<", 4]], "fields": ["description"]});
    let list = answered(&stage, "search_records", &search);
    assert_eq!(list.matches("read_records shows more").count(), 1, "{list}");
    let record = answered(&stage, "read_records", &fields(&["name", "description"], 1));
    assert_eq!(
        record
            .matches("reading one id with only that field")
            .count(),
        1
    );
    let alone = answered(&stage, "read_records", &fields(&["description"], 1));
    assert!(alone.contains(long.trim()) && !alone.contains("cut"));
}

#[test]
fn odoo_refusal_keeps_its_wording_and_changes_nothing() {
    let stage = direct();
    let confirmed = stage.fake_odoo.snapshot();
    let order = confirmed
        .ids("sale.order")
        .into_iter()
        .find(|id| confirmed.record("sale.order", *id).unwrap()["state"] == json!("sale"))
        .unwrap();
    let delete = json!({"model": "sale.order", "ids": [order]});
    insta::assert_snapshot!(refused_as(&stage, "delete_records", &delete, "odoo_rule"));
}

#[test]
fn row_filter_applies_before_and_after_the_write() {
    let rules = r#"[{ models = ["*"] }, { models = ["res.users"] },
        { models = ["crm.lead"], operations = ["create", "write", "delete"], domain = [["user_id", "=", 2]] }]"#;
    let stage = stage("direct", rules, &[]);
    let all = stage.fake_odoo.snapshot();
    let of = |wanted: bool| {
        let is_theirs = |id: &u32| all.record("crm.lead", *id).unwrap()["user_id"] == json!(2);
        all.ids("crm.lead")
            .into_iter()
            .find(|id| is_theirs(id) == wanted)
            .unwrap()
    };
    let mut users = all.ids("res.users").into_iter();
    let someone = users.find(|id| *id != 2).unwrap();
    let (own, other) = (of(true), of(false));
    let update =
        |id: u32, values: Value| json!({"model": "crm.lead", "ids": [id], "values": values});
    answered(
        &stage,
        "update_records",
        &update(own, json!({"name": "Mine"})),
    );
    let theirs = update(other, json!({"name": "Not mine"}));
    insta::assert_snapshot!(refused_as(&stage, "update_records", &theirs, "forbidden"));
    let text = refused_as(
        &stage,
        "update_records",
        &update(own, json!({"user_id": someone})),
        "forbidden",
    );
    insta::assert_snapshot!(text);
    refused(
        &stage,
        "delete_records",
        &json!({"model": "crm.lead", "ids": [other]}),
    );
    let create = |values: Value| json!({"model": "crm.lead", "values": [values]});
    let whose = create(json!({"name": "Whose"}));
    insta::assert_snapshot!(refused_as(&stage, "create_records", &whose, "forbidden"));
    answered(
        &stage,
        "create_records",
        &create(json!({"name": "Mine", "user_id": 2})),
    );
}

#[test]
fn links_under_row_filter_are_checked_in_few_searches() {
    let bounded = r#"[{ models = ["crm.lead"], operations = ["read", "create", "write"], domain = [["partner_id.active", "=", true]] },
        { models = ["res.partner"], operations = ["create"] },
        { models = ["res.partner"], operations = ["read"], domain = [["name", "=like", "Link %"]] }]"#;
    let stage = stage("direct", bounded, &[]);
    let before = stage.fake_odoo.snapshot();
    let partners: Vec<Value> = (0..150)
        .map(|at| json!({"name": format!("Link {at}")}))
        .collect();
    let create = json!({"model": "res.partner", "values": partners});
    answered(&stage, "create_records", &create);
    let partners = created_ids(&stage, &before, "res.partner");
    let leads = |partners: &[u32]| -> Vec<Value> {
        let leads = partners.iter();
        leads
            .map(|id| json!({"name": format!("Of {id}"), "partner_id": id}))
            .collect()
    };
    let asked = call_count(&stage, "res.partner/search_read");
    let create = json!({"model": "crm.lead", "values": leads(&partners)});
    answered(&stage, "create_records", &create);
    let asked = call_count(&stage, "res.partner/search_read") - asked;
    assert!(asked <= 4, "{asked} searches");
    // A single record outside the rules makes the call fail.
    let outside = [&*partners, &[1]].concat();
    let text = refused(
        &stage,
        "create_records",
        &json!({"model": "crm.lead", "values": leads(&outside)}),
    );
    assert!(text.contains("partner_id"), "{text}");
}
