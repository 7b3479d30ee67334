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

use gatepost::demo::{ADMIN_KEY, Moment};
use serde_json::json;

use super::{ALL, answered, direct, made, times};
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
fn a_change_that_never_ran_is_not_called_done_and_not_repeated_blindly() {
    let stage = direct();
    for (tool, arguments) in [
        (
            "create_records",
            json!({"model": "crm.lead", "values": [{"name": "Never"}], "idempotency_key": "k"}),
        ),
        (
            "update_records",
            json!({"model": "crm.lead", "ids": [1], "values": {"name": "Never"}, "idempotency_key": "k"}),
        ),
        (
            "delete_records",
            json!({"model": "crm.lead", "ids": [1], "idempotency_key": "k"}),
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
    let earlier = jiff::Timestamp::now() - Duration::from_secs(60);
    stage.company.stop_clock(Some(earlier));
    let twin = json!({"model": "crm.lead", "values": [{"name": "Twin"}]});
    answered(&stage, "create_records", &twin);
    stage.company.stop_clock(None);
    stage.company.cut("crm.lead/create", Moment::BeforeCall);
    let mut create = twin;
    create["idempotency_key"] = json!("k");
    stage.call("create_records", &create);
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed && text.contains("cannot be said for sure"), "{text}");
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
