//! A gateway that is killed between sending a change and hearing of it.

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

use odoo_sim::Moment;
use serde_json::{Value, json};

use super::{
    configuration,
    process::{Process, calls, until, verified},
};
use crate::stage::{calling, company};

/// What is remembered of changes stands in a file.
fn text(odoo: &str) -> String {
    let text = configuration(odoo, odoo, "[changes]\nfile = \"changes.redb\"");
    let more = "[instances.demo]\nwrites = \"direct\"\nservice_key_writes = true\n";
    text.replacen("[instances.demo]\n", more, 1).replacen(
        r#"[{ models = ["*"] }]"#,
        r#"[{ models = ["*"], operations = ["read", "create"] }]"#,
        1,
    )
}

fn create(gateway: &Process, key: &str) -> (String, bool) {
    let arguments =
        json!({"model": "res.partner", "values": [{"name": "Killed"}], "idempotency_key": key});
    let message = calling("create_records", &arguments);
    gateway.post("/demo/mcp", &[], &message).tool()
}

/// A call that nobody waits for.
fn unanswered(address: SocketAddr) -> TcpStream {
    let arguments =
        json!({"model": "res.partner", "values": [{"name": "Killed"}], "idempotency_key": "k"});
    let message = calling("create_records", &arguments).to_string();
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
fn a_gateway_that_leaves_waits_for_changes_whose_clients_have_left() {
    let (company, odoo) = company();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &text(&odoo));
    let held = company.hold("res.partner/create", Moment::AfterCommit);
    let client = unanswered(gateway.address);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(held.reached());
    drop(client);
    // Until the gateway has seen that.
    thread::sleep(Duration::from_millis(500));
    let stopping = thread::spawn(move || gateway.stop());
    thread::sleep(Duration::from_millis(500));
    assert!(!stopping.is_finished());
    held.release();
    assert!(stopping.join().unwrap().success());
    let ends: Vec<Value> = calls(folder.path())
        .into_iter()
        .filter(|record| record["method"] == json!("create"))
        .collect();
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert_eq!(ends[1]["outcome"], json!("answered"), "{ends:?}");
    assert_eq!(ends[1]["client_left"], json!(true), "{ends:?}");
}

#[test]
fn a_change_is_neither_doubled_nor_lost_when_the_gateway_is_killed_in_the_middle() {
    for moment in [Moment::AfterCommit, Moment::BeforeCall] {
        let (company, odoo) = company();
        let before = company.snapshot();
        let folder = tempfile::tempdir().unwrap();
        let text = text(&odoo);
        let gateway = Process::start(folder.path(), &text);
        let held = company.hold("res.partner/create", moment);
        let address = gateway.address;
        let asked = thread::spawn(move || unanswered(address));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(held.reached());
        gateway.kill();
        drop(asked.join().unwrap());
        // Odoo goes on with what it was sent.
        held.release();
        let gateway = Process::start(folder.path(), &text);
        let mut told = String::new();
        until("it is found out", || {
            let (text, failed) = create(&gateway, "k");
            if failed {
                assert!(
                    text.contains("is doing it right now")
                        || text.contains("no trace of it so far"),
                    "{text}"
                );
            }
            told = text;
            !failed
        });
        assert!(
            told.starts_with("The earlier call with this `idempotency_key`"),
            "{moment:?}: {told}"
        );
        let made: Vec<_> = before
            .changes_to(&company.snapshot())
            .into_iter()
            .filter(|change| change.model == "res.partner" && change.before.is_none())
            .collect();
        assert_eq!(made.len(), 1, "{moment:?}: {made:?}");
        // The journal says that it was begun, and nothing of an end.
        let outcomes: Vec<Value> = calls(folder.path())
            .into_iter()
            .filter(|record| record["method"] == json!("create"))
            .map(|record| record["outcome"].clone())
            .collect();
        assert_eq!(outcomes, [json!("begun")]);
        let records = gateway.records();
        assert!(!records.is_empty());
        drop(verified(folder.path()));
    }
}
