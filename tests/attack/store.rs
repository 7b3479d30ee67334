//! A8: one caller that fills the store of changes.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use serde_json::json;

use crate::{
    client::Client,
    process::new_key,
    target::{ATTACKER, BYSTANDER, NO_LIMITS, Setup, Target},
    test_gateway::TestResponse,
};

/// Renames a record, which costs the stand-in for Odoo less than creating thousands.
fn rename(client: &mut Client, name: &str) -> TestResponse {
    let arguments = json!({
        "model": "res.partner", "ids": [7], "values": {"name": name}, "idempotency_key": name
    });
    client.call("update_records", &arguments)
}

fn create(client: &mut Client, name: &str) -> TestResponse {
    let arguments =
        json!({"model": "res.partner", "values": [{"name": name}], "idempotency_key": name});
    client.call("create_records", &arguments)
}

#[test]
fn caller_who_fills_the_store_leaves_room_for_the_changes_of_others() {
    let limits = format!("{NO_LIMITS}caller_in_flight = 32");
    let target = Target::start(Setup {
        limits: Some(&limits),
        more: "[changes]\nmax_memory_mb = 4\nmax_undo_bytes = 0",
        ..Setup::default()
    });
    let mut bystander = target.bystander();
    // Each next caller uses what the ones before leave.
    let mut made = Vec::new();
    for caller in 0..2 {
        let key = new_key(target.folder.path(), "writer", None);
        target
            .gateway
            .reload(&std::fs::read_to_string(target.folder.path().join("gatepost.toml")).unwrap());
        // Several at once, because each waits for the journal on the disk.
        let (made_by_caller, refusal) = (AtomicUsize::new(0), OnceLock::new());
        thread::scope(|scope| {
            for client in 0..16 {
                let mut attacker = target.client_with(ATTACKER, &key);
                let (made, refusal, gateway) = (&made_by_caller, &refusal, &target.gateway);
                scope.spawn(move || {
                    for number in 0..2_000 {
                        if refusal.get().is_some() {
                            return;
                        }
                        // The answer is stored with its text.
                        let name = format!("{caller} {client} {number} {}", "x".repeat(2_000));
                        let answer = rename(&mut attacker, &name);
                        if !answer.tool_result().1 {
                            made.fetch_add(1, Relaxed);
                            continue;
                        }
                        let kind = gateway.error_kind(&answer).unwrap();
                        // A disk may be too slow for the journal for a moment.
                        if kind != "unaudited" {
                            let _first = refusal.set(kind);
                        }
                    }
                });
            }
        });
        let kind = refusal.get().expect("no end of the store");
        let number = made_by_caller.load(Relaxed);
        assert_eq!(kind, "unremembered");
        assert!(number > 3, "caller {caller} had room for {number}");
        made.push(number);
        bystander.assert_served(1);
    }
    println!("changes of each caller until the refusal: {made:?}");
    // Reads go on for the one who is refused, and so do the changes of another.
    assert_eq!(target.client(ATTACKER).count().status, 200);
    for _ in 0..2 {
        let answer = create(&mut target.client(BYSTANDER), "A bystander's");
        assert_eq!(target.gateway.error_kind(&answer), None, "{answer:?}");
    }
    assert_eq!(target.gateway.changes("repeated"), 1);
    target.end();
}

#[test]
fn idempotency_keys_and_confirmations_of_an_attacker_are_bounded_before_they_are_stored() {
    let target = Target::start(Setup::default());
    let mut attacker = target.client(ATTACKER);
    let before = target.odoo.snapshot().ids("res.partner").len();
    for text in [
        "",
        " ",
        "\n",
        "\u{0}",
        "\u{202e}",
        &"k".repeat(100_000),
        "../../etc/passwd",
        "{}",
        "*",
        "gatepost:*",
    ] {
        for argument in ["idempotency_key", "confirm"] {
            let mut arguments = json!({"model": "res.partner", "values": [{"name": "Bounded"}]});
            arguments[argument] = json!(text);
            let answer = attacker.call("create_records", &arguments);
            assert_eq!(answer.status, 200, "{argument} {text:?}");
            assert!(
                answer.body.len() < 4_000,
                "{argument}: {} bytes",
                answer.body.len()
            );
        }
    }
    let made = target.odoo.snapshot().ids("res.partner").len() - before;
    assert!(made <= 20, "{made}");
    target.bystander().assert_served(3);
    target.end();
}
