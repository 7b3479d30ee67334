//! Responses that are lost between Odoo and the gateway, and clients that
//! disconnect.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits on a thread of its own"
)]

use std::{
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use http::StatusCode;
use odoo_sim::{ADMIN_KEY, FaultPoint, SALES_KEY};
use serde_json::json;

use super::{
    ALL, answered, call_count, change_id, created_ids, direct, normalized, stage, stage_of,
    undo_change,
};
use crate::test_gateway::{TestGateway, reset, tool_call};

#[test]
fn lost_create_is_found_by_its_key() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/create", FaultPoint::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost"}, {"name": "Lost too"}], "idempotency_key": "k"});
    let text = stage.call_fails("create_records", &create, "outcome_unknown");
    insta::assert_snapshot!(normalized(&text));
    let found = stage.call_succeeds("create_records", &create, "repeated");
    assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 2);
    assert_eq!(call_count(&stage, "crm.lead/create"), 1);
    let again = stage.call_succeeds("create_records", &create, "repeated");
    insta::assert_snapshot!([found, again].map(|text| normalized(&text)).join("\n\n"));
}

// BC-49
#[test]
fn write_answered_by_a_proxy_is_looked_up_and_not_repeated() {
    for status in [
        StatusCode::BAD_GATEWAY,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT,
    ] {
        let stage = direct();
        let before = stage.fake_odoo.snapshot();
        let create =
            json!({"model": "crm.lead", "values": [{"name": "Lost"}], "idempotency_key": "k"});
        let point = FaultPoint::AfterCommit;
        stage
            .fake_odoo
            .inject_proxy_page("crm.lead/create", point, status);
        let text = stage.call_fails("create_records", &create, "outcome_unknown");
        assert!(text.contains(status.as_str()), "{text}");
        stage.call_succeeds("create_records", &create, "repeated");
        assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
        assert_eq!(call_count(&stage, "crm.lead/create"), 1, "{status}");
    }
}

#[test]
fn recovered_write_can_be_undone() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let taken_back = |text: &str| undo_change(&stage, &change_id(text));
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/create", FaultPoint::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost", "description": "as text"}], "idempotency_key": "k"});
    stage.call("create_records", &create);
    taken_back(&answered(&stage, "create_records", &create));
    assert!(created_ids(&stage, &before, "crm.lead").is_empty());
    // Odoo wraps a text in a paragraph.
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/write", FaultPoint::AfterCommit);
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"name": "Lost"}, "idempotency_key": "l"});
    stage.call("update_records", &update);
    taken_back(&answered(&stage, "update_records", &update));
    let now = stage.fake_odoo.snapshot();
    assert_eq!(
        now.record("crm.lead", 1).unwrap()["name"],
        before.record("crm.lead", 1).unwrap()["name"]
    );
    // Without a key, it is not known which records the call created.
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/create", FaultPoint::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost too"}]});
    let (text, failed) = stage.call("create_records", &create);
    assert!(failed && !text.contains("undo_change"), "{text}");
}

#[test]
fn lost_update_of_tags_and_html_is_found_done() {
    let stage = direct();
    stage
        .fake_odoo
        .inject_disconnect("res.partner/write", FaultPoint::AfterCommit);
    let values = json!({"category_id": [1], "comment": "Met at the fair"});
    let update =
        json!({"model": "res.partner", "ids": [1], "values": values, "idempotency_key": "k"});
    stage.call_fails("update_records", &update, "outcome_unknown");
    stage.call_succeeds("update_records", &update, "repeated");
    assert_eq!(call_count(&stage, "res.partner/write"), 1);
}

#[test]
fn write_that_never_ran_is_neither_reported_done_nor_repeated() {
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
        let before = stage.fake_odoo.snapshot();
        stage
            .fake_odoo
            .inject_disconnect(method, FaultPoint::BeforeCall);
        stage.call_fails(tool, &arguments, "outcome_unknown");
        // Odoo may still be processing it.
        stage.call_fails(tool, &arguments, "outcome_pending");
        // The fake Odoo counts calls that it started.
        assert_eq!(call_count(&stage, method), 0);
        super::assert_unchanged(&stage, &before, tool);
    }
}

#[test]
fn lost_write_without_key_says_how_to_verify_it() {
    let stage = direct();
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/write", FaultPoint::AfterCommit);
    let update = json!({"model": "crm.lead", "ids": [1], "values": {"name": "Lost"}});
    let text = stage.call_fails("update_records", &update, "outcome_unknown");
    insta::assert_snapshot!(normalized(&text));
}

#[test]
fn write_completes_and_is_recorded_after_client_disconnects() {
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
    let stage = TestGateway::from_config(&text);
    let before = stage.fake_odoo.snapshot();
    let held = stage
        .fake_odoo
        .hold_call("crm.lead/create", FaultPoint::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Gone"}], "idempotency_key": "k"});
    let body = tool_call("create_records", &create).to_string();
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
    runtime.block_on(held.wait_until_reached());
    reset(client);
    // Until the gateway has detected that.
    std::thread::sleep(Duration::from_millis(500));
    held.release();
    let patience = Instant::now();
    let of_create = || {
        stage
            .audit_entries()
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
    stage.call_succeeds("create_records", &create, "repeated");
    assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
}

#[test]
fn write_timeout_is_not_reported_as_broken_connection() {
    let hurried = ("GATEPOST_INSTANCES__DEMO__TIMEOUT_MS", "1500");
    let stage = stage("direct", ALL, &[hurried]);
    let held = stage
        .fake_odoo
        .hold_call("crm.lead/create", FaultPoint::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Slow"}]});
    let text = stage.call_fails("create_records", &create, "outcome_unknown");
    insta::assert_snapshot!(normalized(&text));
    held.release();
}

#[test]
fn failure_after_a_write_is_not_reported_as_failed_write() {
    let stage = std::sync::Arc::new(direct());
    let held = stage
        .fake_odoo
        .hold_call("crm.lead/write", FaultPoint::AfterCommit);
    let update = json!({"model": "crm.lead", "ids": [1], "idempotency_key": "k1",
        "values": {"partner_id": "Deco Addict"}});
    let repeated = update.clone();
    let caller = {
        let stage = std::sync::Arc::clone(&stage);
        let update = tool_call("update_records", &update);
        std::thread::spawn(move || stage.post(&update).recorded().tool_result())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(held.wait_until_reached());
    // A read is retried once.
    let fail_reads = |path: &str| {
        for _ in 0..2 {
            let faults = &stage.fake_odoo;
            faults.inject_disconnect(path, FaultPoint::BeforeCall);
        }
    };
    fail_reads("crm.lead/search_read");
    held.release();
    let (text, failed) = caller.join().unwrap();
    assert!(!failed, "{text}");
    assert_eq!(stage.changes("applied"), 1, "{text}");
    // A repeated call validates the values again, to compare them.
    fail_reads("res.partner/name_search");
    let again = stage.call_succeeds("update_records", &repeated, "repeated");
    insta::assert_snapshot!([text, again].map(|text| normalized(&text)).join("\n\n"));
}

#[test]
fn lost_create_with_later_changed_record_is_unclear() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/create", FaultPoint::AfterCommit);
    let create = json!({"model": "crm.lead", "values": [{"name": "Lost"}], "idempotency_key": "k"});
    stage.call("create_records", &create);
    let id = created_ids(&stage, &before, "crm.lead")[0];
    answered(
        &stage,
        "update_records",
        &json!({"model": "crm.lead", "ids": [id], "values": {"name": "Found by a colleague"}}),
    );
    let text = stage.call_fails("create_records", &create, "outcome_unclear");
    assert!(text.contains(&format!("[{id}]")), "{text}");
}

#[test]
fn older_equal_record_is_not_mistaken_for_lost_create() {
    let stage = direct();
    let earlier = jiff::Timestamp::now() - Duration::from_mins(1);
    stage.fake_odoo.set_clock(Some(earlier));
    let twin = json!({"model": "crm.lead", "values": [{"name": "Twin"}]});
    answered(&stage, "create_records", &twin);
    stage.fake_odoo.set_clock(None);
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/create", FaultPoint::BeforeCall);
    let mut create = twin;
    create["idempotency_key"] = json!("k");
    stage.call("create_records", &create);
    let text = stage.call_fails("create_records", &create, "outcome_pending");
    // The seconds vary.
    let (before, after) = text.split_once(" in ").unwrap();
    let (_, after) = after.split_once(' ').unwrap();
    insta::assert_snapshot!(format!("{before} in N {after}"));
}

#[test]
fn wrong_odoo_clock_does_not_hide_lost_writes() {
    for minutes in [-90, 90] {
        let stage = direct();
        let before = stage.fake_odoo.snapshot();
        let odoo = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        stage.fake_odoo.set_clock(Some(odoo));
        stage
            .fake_odoo
            .inject_disconnect("crm.lead/create", FaultPoint::AfterCommit);
        let create =
            json!({"model": "crm.lead", "values": [{"name": "Lost"}], "idempotency_key": "k"});
        stage.call("create_records", &create);
        stage.call_succeeds("create_records", &create, "repeated");
        assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
        // Odoo stores this value in a different form.
        stage
            .fake_odoo
            .inject_disconnect("res.partner/write", FaultPoint::AfterCommit);
        let update = json!({"model": "res.partner", "ids": [7], "values": {"child_ids": [{"name": "Once"}]}, "idempotency_key": "l"});
        stage.call("update_records", &update);
        stage.call_fails("update_records", &update, "outcome_unclear");
        assert_eq!(created_ids(&stage, &before, "res.partner").len(), 1);
    }
}

#[test]
fn lost_create_hidden_from_caller_is_not_repeated() {
    let rules = r#"[{ models = ["crm.lead"], operations = ["read"], domain = [["name", "=", "Mine"]] },
        { models = ["crm.lead"], operations = ["create"] }]"#;
    let stage = stage("direct", rules, &[]);
    let before = stage.fake_odoo.snapshot();
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/create", FaultPoint::AfterCommit);
    let create =
        json!({"model": "crm.lead", "values": [{"name": "Theirs"}], "idempotency_key": "k"});
    stage.call_fails("create_records", &create, "outcome_unknown");
    let text = stage.call_fails("create_records", &create, "outcome_unclear");
    insta::assert_snapshot!(text);
    assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
}

#[test]
fn hidden_record_is_not_reported_as_deleted() {
    let stage = stage_of(SALES_KEY, "direct", ALL, &[]);
    let before = stage.fake_odoo.snapshot();
    let lead = json!({"model": "crm.lead", "values": [{"name": "Mine"}]});
    answered(&stage, "create_records", &lead);
    let id = created_ids(&stage, &before, "crm.lead")[0];
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/unlink", FaultPoint::BeforeCall);
    let delete = json!({"model": "crm.lead", "ids": [id], "idempotency_key": "k"});
    stage.call_fails("delete_records", &delete, "outcome_unknown");
    // A colleague is made responsible for it.
    let body = json!({"ids": [id], "vals": {"user_id": 2}}).to_string();
    let request = http::Request::post("/json/2/crm.lead/write")
        .header("authorization", format!("bearer {ADMIN_KEY}"))
        .header("x-odoo-database", "demo")
        .header("content-type", "application/json")
        .header("content-length", body.len())
        .body(bytes::Bytes::from(body))
        .unwrap();
    assert_eq!(stage.fake_odoo.handle(&request).status(), 200);
    let text = stage.call_fails("delete_records", &delete, "outcome_unclear");
    insta::assert_snapshot!(text);
}

#[test]
fn odoo_error_after_commit_is_reported_as_success() {
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
        stage
            .fake_odoo
            .inject_error(method, FaultPoint::AfterCommit);
        let text = answered(&stage, tool, &arguments);
        assert!(text.contains("undo_change"), "{text}");
        if key {
            stage.call_succeeds(tool, &arguments, "repeated");
        }
    }
}

#[test]
fn odoo_error_before_commit_reports_that_nothing_was_changed() {
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
        stage.fake_odoo.inject_error(method, FaultPoint::BeforeCall);
        let text = super::refused_as(&stage, tool, &arguments, "odoo_error");
        insta::allow_duplicates!(insta::assert_snapshot!(text));
        assert!(!text.contains("NoneType"), "{text}");
        // No call is in flight, so it need not wait.
        answered(&stage, tool, &arguments);
    }
}

#[test]
fn lost_update_is_not_repeated_over_later_writes() {
    let stage = direct();
    stage
        .fake_odoo
        .inject_disconnect("crm.lead/write", FaultPoint::AfterCommit);
    let of = |name: &str| json!({"model": "crm.lead", "ids": [1], "values": {"name": name}});
    let mut lost = of("Lost");
    lost["idempotency_key"] = json!("k");
    stage.call("update_records", &lost);
    answered(&stage, "update_records", &of("A colleague's"));
    stage.call_fails("update_records", &lost, "outcome_unclear");
}
