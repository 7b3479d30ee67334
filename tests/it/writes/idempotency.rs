//! Idempotency keys: a repeated request makes a change only once.

use std::{sync::Arc, thread};

use odoo_sim::FaultPoint;
use serde_json::json;

use super::{answered, call_count, created_ids, direct, refused, refused_as};
use crate::test_gateway::tool_call;

#[test]
fn repeated_call_with_same_key_is_executed_once() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let create =
        json!({"model": "crm.lead", "values": [{"name": "Once"}], "idempotency_key": "k1"});
    stage.call_succeeds("create_records", &create, "applied");
    stage.call_succeeds("create_records", &create, "repeated");
    assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
    assert_eq!(call_count(&stage, "crm.lead/create"), 1);
    let other =
        json!({"model": "crm.lead", "values": [{"name": "Twice"}], "idempotency_key": "k1"});
    refused_as(&stage, "create_records", &other, "key_reused");
    refused_as(
        &stage,
        "update_records",
        &json!({"model": "crm.lead", "ids": [1], "values": {"name": "Other"}, "idempotency_key": "k1"}),
        "key_reused",
    );
}

#[test]
fn idempotency_key_is_released_after_a_rejected_call() {
    let stage = direct();
    let wrong = json!({"model": "crm.lead", "values": [{"name": "x", "type": "leed"}], "idempotency_key": "k"});
    refused(&stage, "create_records", &wrong);
    stage.fake_odoo.inject_conflict("crm.lead/create");
    let right = json!({"model": "crm.lead", "values": [{"name": "x"}], "idempotency_key": "k"});
    refused_as(&stage, "create_records", &right, "odoo_conflict");
    answered(&stage, "create_records", &right);
}

#[test]
#[expect(
    clippy::needless_collect,
    reason = "all begin before one is waited for"
)]
fn concurrent_calls_with_same_key_are_executed_once() {
    let stage = Arc::new(direct());
    let before = stage.fake_odoo.snapshot();
    let held = stage
        .fake_odoo
        .hold_call("crm.lead/create", FaultPoint::AfterCommit);
    let create =
        json!({"model": "crm.lead", "values": [{"name": "At once"}], "idempotency_key": "k"});
    let callers: Vec<_> = (0..10)
        .map(|_| {
            let (stage, create) = (Arc::clone(&stage), create.clone());
            let create = tool_call("create_records", &create);
            thread::spawn(move || stage.post(&create).recorded().tool_result())
        })
        .collect();
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(held.wait_until_reached());
    held.release();
    let results: Vec<_> = callers
        .into_iter()
        .map(|caller| caller.join().unwrap())
        .collect();
    assert!(results.iter().all(|(_, failed)| !failed), "{results:#?}");
    let changes = ["applied", "repeated"].map(|outcome| stage.changes(outcome));
    assert_eq!(changes, [1, 9], "{results:#?}");
    assert_eq!(call_count(&stage, "crm.lead/create"), 1);
    assert_eq!(created_ids(&stage, &before, "crm.lead").len(), 1);
}
