//! A gateway that is killed after it sent a write and before the response.

#![expect(
    clippy::disallowed_methods,
    reason = "a test waits on a thread of its own"
)]

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use gatepost_identity::{ApiKey, update_keys_file};
use odoo_sim::FaultPoint;
use serde_json::{Value, json};

use super::{
    configuration,
    process::{GatewayProcess, new_key, read_calls, verify_journal, wait_until},
};
use crate::test_gateway::{reset, start_fake_odoo, tool_call};

/// The state store for writes is a file.
fn gateway_configuration(odoo: &str) -> String {
    let text = configuration(odoo, odoo, "[changes]\nfile = \"changes.redb\"");
    let more = "[instances.demo]\nwrites = \"direct\"\nservice_key_writes = true\n";
    text.replacen("[instances.demo]\n", more, 1).replacen(
        r#"[{ models = ["*"] }]"#,
        r#"[{ models = ["*"], operations = ["read", "create"] }]"#,
        1,
    )
}

/// The kind of the error of a create with this key, if any.
fn create_error(gateway: &GatewayProcess, key: &str) -> Option<String> {
    let arguments =
        json!({"model": "res.partner", "values": [{"name": "Killed"}], "idempotency_key": key});
    let message = tool_call("create_records", &arguments);
    gateway.error_kind(&gateway.post("/demo/mcp", &[], &message))
}

/// A call whose response is not awaited.
fn send_without_reading(address: SocketAddr) -> TcpStream {
    let arguments =
        json!({"model": "res.partner", "values": [{"name": "Killed"}], "idempotency_key": "k"});
    let message = tool_call("create_records", &arguments).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = message.len();
    write!(
        stream,
        "POST /demo/mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{message}"
    )
    .unwrap();
    stream
}

#[test]
fn shutdown_waits_for_writes_of_disconnected_clients() {
    let (company, odoo) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let gateway = GatewayProcess::start(folder.path(), &gateway_configuration(&odoo));
    let held = company.hold_call("res.partner/create", FaultPoint::AfterCommit);
    let client = send_without_reading(gateway.address);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(held.wait_until_reached());
    reset(client);
    // Until the gateway has seen that.
    thread::sleep(Duration::from_millis(500));
    let stopping = thread::spawn(move || gateway.stop());
    thread::sleep(Duration::from_millis(500));
    assert!(!stopping.is_finished());
    held.release();
    assert!(stopping.join().unwrap().success());
    let ends: Vec<Value> = read_calls(folder.path())
        .into_iter()
        .filter(|record| record["method"] == json!("create"))
        .collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert_eq!(ends[1]["outcome"], json!("answered"), "{ends:?}");
    assert_eq!(ends[1]["client_left"], json!(true), "{ends:?}");
}

#[test]
fn write_is_neither_repeated_nor_lost_when_gateway_is_killed() {
    for moment in [FaultPoint::AfterCommit, FaultPoint::BeforeCall] {
        let (company, odoo) = start_fake_odoo();
        let before = company.snapshot();
        let folder = tempfile::tempdir().unwrap();
        let text = gateway_configuration(&odoo);
        let gateway = GatewayProcess::start(folder.path(), &text);
        let held = company.hold_call("res.partner/create", moment);
        let address = gateway.address;
        let asked = thread::spawn(move || send_without_reading(address));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(held.wait_until_reached());
        gateway.kill();
        drop(asked.join().unwrap());
        // Odoo completes what it was sent.
        held.release();
        let gateway = GatewayProcess::start(folder.path(), &text);
        wait_until("it is found out", || {
            let kind = create_error(&gateway, "k");
            assert!(
                matches!(kind.as_deref(), None | Some("outcome_pending")),
                "{kind:?}"
            );
            kind.is_none()
        });
        assert_eq!(gateway.changes("repeated"), 1, "{moment:?}");
        let made: Vec<_> = before
            .changes_to(&company.snapshot())
            .into_iter()
            .filter(|change| change.model == "res.partner" && change.before.is_none())
            .collect();
        assert_eq!(made.len(), 1, "{moment:?}: {made:?}");
        // The journal has the start of the call, and no end.
        let outcomes: Vec<Value> = read_calls(folder.path())
            .into_iter()
            .filter(|record| record["method"] == json!("create"))
            .map(|record| record["outcome"].clone())
            .collect();
        assert_eq!(outcomes, [json!("begun")]);
        let records = gateway.stop_and_read_calls();
        assert!(!records.is_empty());
        drop(verify_journal(folder.path()));
    }
}

#[test]
fn write_is_not_sent_if_its_api_key_is_revoked_meanwhile() {
    let (company, odoo) = start_fake_odoo();
    let before = company.snapshot();
    let folder = tempfile::tempdir().unwrap();
    let more = "[instances.other]\nwrites = \"direct\"\nservice_key_writes = true\n";
    let text = configuration(&odoo, &odoo, "")
        .replacen("[instances.other]\n", more, 1)
        .replacen(
            r#"[{ models = ["*"] }]"#,
            r#"[{ models = ["*"], operations = ["read", "create"] }]"#,
            1,
        );
    let [revoked, other] = [(); 2].map(|()| new_key(folder.path(), "reader", None));
    let gateway = GatewayProcess::start(folder.path(), &text);
    let create = |key: &str, name: &str| {
        let arguments = json!({"model": "res.partner", "values": [{"name": name}]});
        let bearer = format!("Authorization: Bearer {key}");
        let message = tool_call("create_records", &arguments);
        let answer = gateway.post("/other/mcp", &[&bearer], &message);
        gateway.error_kind(&answer)
    };
    // While the call is prepared.
    let held = company.hold_call("res.partner/fields_get", FaultPoint::BeforeCall);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    thread::scope(|threads| {
        let call = threads.spawn(|| create(&revoked, "Revoked"));
        runtime.block_on(held.wait_until_reached());
        update_keys_file(&folder.path().join("keys.toml"), |keys| {
            let key = ApiKey::parse(&revoked).unwrap();
            keys.revoke(key.id(), jiff::Timestamp::now()).unwrap();
        })
        .unwrap();
        gateway.reload(&text);
        held.release();
        assert_eq!(call.join().unwrap().as_deref(), Some("unapproved"));
    });
    let partners = company.snapshot().ids("res.partner");
    assert_eq!(partners, before.ids("res.partner"));
    assert_eq!(create(&other, "Not revoked"), None);
    gateway.stop_and_read_calls();
}
