//! Answers that are lost between Odoo and us, and clients that leave.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits on a thread of its own"
)]

use std::{
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use odoo_sim::{ADMIN_KEY, Moment, SALES_KEY};
use serde_json::json;

use super::{ALL, answered, change, direct, made, stage, stage_of, times, undo};
use crate::stage::{Stage, calling};

#[test]
fn a_create_whose_answer_is_lost_is_found_again_by_its_key() {
    let stage = direct();
    let before = stage.company.snapshot();
    stage.company.cut("crm.lead/create", Moment::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost"}, {"name": "Lost too"}], "idempotency_key": "k"});
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed && text.contains("may have run or not"), "{text}");
    assert!(text.contains("the same `idempotency_key`"), "{text}");
    let text = answered(&stage, "create_records", &create);
    assert!(
        text.starts_with("The earlier call with this `idempotency_key`"),
        "{text}"
    );
    assert_eq!(made(&stage, &before, "crm.lead").len(), 2);
    assert_eq!(times(&stage, "crm.lead/create"), 1);
    let text = answered(&stage, "create_records", &create);
    assert!(text.starts_with("This was done before"), "{text}");
}

#[test]
fn what_was_lost_and_found_can_be_taken_back() {
    let stage = direct();
    let before = stage.company.snapshot();
    let taken_back = |text: &str| undo(&stage, &change(text));
    stage.company.cut("crm.lead/create", Moment::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost", "description": "as text"}], "idempotency_key": "k"});
    stage.call("create_records", &create);
    taken_back(&answered(&stage, "create_records", &create));
    assert!(made(&stage, &before, "crm.lead").is_empty());
    // Odoo puts a text into a paragraph.
    stage.company.cut("crm.lead/write", Moment::AfterCommit);
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"name": "Lost"}, "idempotency_key": "l"});
    stage.call("update_records", &update);
    taken_back(&answered(&stage, "update_records", &update));
    let now = stage.company.snapshot();
    assert_eq!(
        now.record("crm.lead", 1).unwrap()["name"],
        before.record("crm.lead", 1).unwrap()["name"]
    );
    // Without a key nobody knows what it made.
    stage.company.cut("crm.lead/create", Moment::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost too"}]});
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed && !text.contains("undo_change"), "{text}");
}

#[test]
fn a_change_that_never_ran_is_not_called_done_and_not_repeated_blindly() {
    let stage = direct();
    for (tool, arguments) in [
        (
            "create_records",
            json!({"model": "crm.lead", "values": [{"name": "Never"}], "idempotency_key": "k"}),
        ),
        (
            "update_records",
            json!({"model": "crm.lead", "ids": [1], "values": {"name": "Never"}, "idempotency_key": "update"}),
        ),
        (
            "delete_records",
            json!({"model": "crm.lead", "ids": [1], "idempotency_key": "delete"}),
        ),
    ] {
        let method = match tool {
            "create_records" => "crm.lead/create",
            "update_records" => "crm.lead/write",
            _ => "crm.lead/unlink",
        };
        let before = stage.company.snapshot();
        stage.company.cut(method, Moment::BeforeCall);
        let (text, failed) = stage.call(tool, &arguments);
        assert!(failed && text.contains("may have run or not"), "{text}");
        let (text, failed) = stage.call(tool, &arguments);
        // Odoo may still be at work on it.
        assert!(failed && text.contains("no trace of it so far"), "{text}");
        // The company counts what it began to do.
        assert_eq!(times(&stage, method), 0);
        super::unchanged(&stage, &before, tool);
    }
}

#[test]
fn without_a_key_the_model_is_told_where_to_look() {
    let stage = direct();
    stage.company.cut("crm.lead/write", Moment::AfterCommit);
    let (text, failed) = stage.call(
        "update_records",
        &json!({"model": "crm.lead", "ids": [1], "values": {"name": "Lost"}}),
    );
    assert!(failed, "{text}");
    assert!(
        text.contains("do not call again before you know: read_records of `crm.lead` with ids [1]"),
        "{text}"
    );
}

#[test]
fn a_client_that_leaves_does_not_stop_a_change_nor_is_it_forgotten() {
    let text = format!(
        r#"
        [server]
        anonymous_role = "all"
        [audit]
        file = "audit.jsonl"
        [instances.demo]
        url = "ODOO"
        database = "demo"
        api_key = "{ADMIN_KEY}"
        service_key_writes = true
        writes = "direct"
        [roles.all]
        rules = {ALL}
        "#
    );
    let stage = Stage::written(&text);
    let before = stage.company.snapshot();
    let held = stage.company.hold("crm.lead/create", Moment::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Gone"}], "idempotency_key": "k"});
    let body = calling("create_records", &create).to_string();
    let mut client = TcpStream::connect(stage.address).unwrap();
    write!(
        client,
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        stage.address,
        body.len()
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(held.reached());
    drop(client);
    // Until the gateway has seen that.
    std::thread::sleep(Duration::from_millis(500));
    held.release();
    let patience = Instant::now();
    let of_create = || {
        stage
            .audited()
            .into_iter()
            .filter(|record| record["method"] == json!("create"))
            .collect::<Vec<_>>()
    };
    while of_create().len() < 2 {
        assert!(
            patience.elapsed() < Duration::from_secs(20),
            "{:?}",
            of_create()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let records = of_create();
    assert_eq!(records[0]["outcome"], json!("begun"));
    assert_eq!(records[1]["outcome"], json!("answered"));
    assert_eq!(records[1]["client_left"], json!(true));
    assert_eq!(records[1]["ids"].as_array().unwrap().len(), 1);
    let text = answered(&stage, "create_records", &create);
    assert!(text.starts_with("This was done before"), "{text}");
    assert_eq!(made(&stage, &before, "crm.lead").len(), 1);
}

#[test]
fn a_change_that_outlasts_our_patience_is_not_said_to_have_broken_off() {
    let hurried = ("GATEPOST_INSTANCES__DEMO__TIMEOUT_MS", "1500");
    let stage = stage("direct", ALL, &[hurried]);
    let held = stage.company.hold("crm.lead/create", Moment::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Slow"}]});
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed, "{text}");
    assert!(
        text.contains("did not answer within 1.5 s, and may still be at work"),
        "{text}"
    );
    assert!(!text.contains("broke"), "{text}");
    held.release();
}

#[test]
fn what_goes_wrong_after_a_change_is_no_error_of_the_change() {
    let stage = std::sync::Arc::new(direct());
    let held = stage.company.hold("crm.lead/write", Moment::AfterCommit);
    let caller = {
        let stage = std::sync::Arc::clone(&stage);
        std::thread::spawn(move || {
            stage.call(
                "update_records",
                &json!({"model": "crm.lead", "ids": [1], "values": {"partner_id": "Deco Addict"}}),
            )
        })
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(held.reached());
    // The name is looked up again, to see what Odoo took; and once more.
    for _ in 0..2 {
        stage
            .company
            .cut("res.partner/name_search", Moment::BeforeCall);
    }
    held.release();
    let (text, failed) = caller.join().unwrap();
    assert!(!failed, "{text}");
    assert!(
        text.starts_with("It is done, with these records: [1]"),
        "{text}"
    );
    assert!(text.contains("undo_change"), "{text}");
}

#[test]
fn a_lost_create_is_not_called_undone_because_its_record_was_changed_since() {
    let stage = direct();
    let before = stage.company.snapshot();
    stage.company.cut("crm.lead/create", Moment::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost"}], "idempotency_key": "k"});
    stage.call("create_records", &create);
    let id = made(&stage, &before, "crm.lead")[0];
    answered(
        &stage,
        "update_records",
        &json!({"model": "crm.lead", "ids": [id], "values": {"name": "Found by a colleague"}}),
    );
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed, "{text}");
    assert!(text.contains("cannot be said for sure"), "{text}");
    assert!(text.contains(&format!("[{id}]")), "{text}");
}

#[test]
fn an_equal_record_from_before_is_not_taken_for_a_lost_one() {
    let stage = direct();
    let earlier = jiff::Timestamp::now() - Duration::from_mins(1);
    stage.company.stop_clock(Some(earlier));
    let twin = json!({"model": "crm.lead", "values": [{"name": "Twin"}]});
    answered(&stage, "create_records", &twin);
    stage.company.stop_clock(None);
    stage.company.cut("crm.lead/create", Moment::BeforeCall);
    let mut create = twin;
    create["idempotency_key"] = json!("k");
    stage.call("create_records", &create);
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed && text.contains("no trace of it so far"), "{text}");
}

#[test]
fn a_clock_of_odoo_that_is_wrong_hides_nothing() {
    for minutes in [-90, 90] {
        let stage = direct();
        let before = stage.company.snapshot();
        let odoo = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        stage.company.stop_clock(Some(odoo));
        stage.company.cut("crm.lead/create", Moment::AfterCommit);
        let create =
            json!({"model": "crm.lead", "values": [{"name": "Lost"}], "idempotency_key": "k"});
        stage.call("create_records", &create);
        let text = answered(&stage, "create_records", &create);
        assert!(text.starts_with("The earlier call"), "{text}");
        assert_eq!(made(&stage, &before, "crm.lead").len(), 1);
        // Odoo keeps this value in a form of its own.
        stage.company.cut("res.partner/write", Moment::AfterCommit);
        let update = json!({"model": "res.partner", "ids": [7], "values": {"child_ids": [{"name": "Once"}]}, "idempotency_key": "l"});
        stage.call("update_records", &update);
        let (text, failed) = stage.call("update_records", &update);
        assert!(failed && text.contains("cannot be said for sure"), "{text}");
        assert_eq!(made(&stage, &before, "res.partner").len(), 1);
    }
}

#[test]
fn a_lost_create_that_the_caller_may_not_see_is_not_made_again() {
    let rules = r#"[{ models = ["crm.lead"], operations = ["read"], domain = [["name", "=", "Mine"]] },
        { models = ["crm.lead"], operations = ["create"] }]"#;
    let stage = stage("direct", rules, &[]);
    let before = stage.company.snapshot();
    stage.company.cut("crm.lead/create", Moment::AfterCommit);
    let create =
        json!({"model": "crm.lead", "values": [{"name": "Theirs"}], "idempotency_key": "k"});
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed && text.contains("may have run or not"), "{text}");
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed && text.contains("cannot be said for sure"), "{text}");
    assert!(text.contains("1 that you may not see"), "{text}");
    assert_eq!(made(&stage, &before, "crm.lead").len(), 1);
}

#[test]
fn a_record_that_was_hidden_since_is_not_called_deleted() {
    let stage = stage_of(SALES_KEY, "direct", ALL, &[]);
    let before = stage.company.snapshot();
    let lead = json!({"model": "crm.lead", "values": [{"name": "Mine"}]});
    answered(&stage, "create_records", &lead);
    let id = made(&stage, &before, "crm.lead")[0];
    stage.company.cut("crm.lead/unlink", Moment::BeforeCall);
    let delete = json!({"model": "crm.lead", "ids": [id], "idempotency_key": "k"});
    let (text, failed) = stage.call("delete_records", &delete);
    assert!(failed && text.contains("may have run or not"), "{text}");
    // A colleague takes it over.
    let body = json!({"ids": [id], "vals": {"user_id": 2}}).to_string();
    let request = http::Request::post("/json/2/crm.lead/write")
        .header("authorization", format!("bearer {ADMIN_KEY}"))
        .header("x-odoo-database", "demo")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(bytes::Bytes::from(body))
        .unwrap();
    assert_eq!(stage.company.answer(&request).status(), 200);
    let (text, failed) = stage.call("delete_records", &delete);
    assert!(failed && text.contains("cannot be said for sure"), "{text}");
    assert!(text.contains("may not see all of the records"), "{text}");
}

#[test]
fn an_error_of_odoos_own_making_after_the_commit_is_no_failure() {
    let stage = direct();
    for (key, method, tool, arguments) in [
        (
            true,
            "crm.lead/create",
            "create_records",
            json!({"model": "crm.lead", "values": [{"name": "Kept"}]}),
        ),
        (
            false,
            "crm.lead/create",
            "create_records",
            json!({"model": "crm.lead", "values": [{"name": "Kept too"}]}),
        ),
        (
            true,
            "crm.lead/write",
            "update_records",
            json!({"model": "crm.lead", "ids": [1], "values": {"name": "Kept"}}),
        ),
        (
            false,
            "crm.lead/unlink",
            "delete_records",
            json!({"model": "crm.lead", "ids": [2]}),
        ),
    ] {
        let mut arguments = arguments;
        if key {
            arguments["idempotency_key"] = json!(tool);
        }
        stage.company.fail(method, Moment::AfterCommit);
        let text = answered(&stage, tool, &arguments);
        assert!(text.contains("undo_change"), "{text}");
        if key {
            let text = answered(&stage, tool, &arguments);
            assert!(text.starts_with("This was done before"), "{text}");
        }
    }
}

#[test]
fn an_error_of_odoos_own_making_that_took_all_back_is_said_to_have() {
    let stage = direct();
    for (method, tool, arguments) in [
        (
            "crm.lead/create",
            "create_records",
            json!({"model": "crm.lead", "values": [{"name": "Kept"}], "idempotency_key": "k"}),
        ),
        (
            "crm.lead/write",
            "update_records",
            json!({"model": "crm.lead", "ids": [1], "values": {"name": "Kept"}, "idempotency_key": "update"}),
        ),
        (
            "crm.lead/unlink",
            "delete_records",
            json!({"model": "crm.lead", "ids": [1], "idempotency_key": "delete"}),
        ),
    ] {
        stage.company.fail(method, Moment::BeforeCall);
        let text = super::refused(&stage, tool, &arguments);
        assert!(text.contains("internal error"), "{text}");
        assert!(text.ends_with("nothing was changed"), "{text}");
        assert!(!text.contains("NoneType"), "{text}");
        // Nothing is at work on it, so that it need not wait.
        answered(&stage, tool, &arguments);
    }
}

#[test]
fn a_lost_update_is_not_made_again_over_what_others_wrote_since() {
    let stage = direct();
    stage.company.cut("crm.lead/write", Moment::AfterCommit);
    let of = |name: &str| json!({"model": "crm.lead", "ids": [1], "values": {"name": name}});
    let mut lost = of("Lost");
    lost["idempotency_key"] = json!("k");
    stage.call("update_records", &lost);
    answered(&stage, "update_records", &of("A colleague's"));
    let (text, failed) = stage.call("update_records", &lost);
    assert!(failed && text.contains("cannot be said for sure"), "{text}");
}
