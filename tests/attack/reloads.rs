//! Reloads, and the end, while changes are made.

use std::{
    collections::BTreeSet,
    io::{BufReader, Write as _},
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use serde_json::json;

use crate::{
    client::read_response,
    process::{verify_journal, wait_until, write_configuration},
    target::{ATTACKER, Setup, Target},
    test_gateway::tool_call,
};

/// What the clients were answered.
#[derive(Default)]
struct Answers {
    /// The names that were created, as the clients know.
    created: Mutex<BTreeSet<String>>,
    count: AtomicUsize,
}

/// One client: creates a record with each request, on one connection as long as that
/// lasts, until no connection is accepted.
fn create_until_refused(target: &Target, client: usize, answers: &Answers) {
    let mut stream: Option<BufReader<TcpStream>> = None;
    for number in 0.. {
        let Some(mut connection) = stream.take().or_else(|| {
            TcpStream::connect(target.gateway.address)
                .ok()
                .map(BufReader::new)
        }) else {
            return;
        };
        let name = format!("Reload {client}-{number}");
        let arguments =
            json!({"model": "res.partner", "values": [{"name": name}], "idempotency_key": name});
        let request = tool_call("create_records", &arguments).to_string();
        let request = target.client(ATTACKER).request(&request);
        drop(connection.get_mut().write_all(request.as_bytes()));
        // A connection may be closed between two requests.
        let Some(answer) = read_response(&mut connection) else {
            continue;
        };
        assert!(matches!(answer.status, 200 | 503), "{name}: {answer:?}");
        if answer.status == 200 {
            let (text, failed) = answer.tool_result();
            assert!(
                text.starts_with("Created") || (failed && text.contains("shutting down")),
                "{text}"
            );
            if !failed {
                answers.created.lock().unwrap().insert(name);
                answers.count.fetch_add(1, SeqCst);
            }
        }
        if answer.header("connection").as_deref() != Some("close") {
            stream = Some(connection);
        }
    }
}

/// Whatever is reloaded meanwhile, and whenever the end comes: each change that reached
/// Odoo was answered, and each answer is true.
#[test]
fn no_change_is_lost_by_reloads_or_by_the_end() {
    let target = Target::start(Setup {
        server: "drain_timeout_ms = 4_000",
        instance: "max_in_flight = 16",
        ..Setup::default()
    });
    let text = std::fs::read_to_string(target.folder.path().join("gatepost.toml")).unwrap();
    let answers = Answers::default();
    let before = target.odoo.snapshot().ids("res.partner").len();
    thread::scope(|threads| {
        for client in 0..8 {
            let (target, answers) = (&target, &answers);
            threads.spawn(move || create_until_refused(target, client, answers));
        }
        wait_until("changes", || answers.count.load(SeqCst) > 20);
        for number in 0..15 {
            let so_far = answers.count.load(SeqCst);
            // Another account, another limit, or a mistake.
            match number % 3 {
                0 => target
                    .gateway
                    .reload(&text.replace("max_in_flight = 16", "max_in_flight = 12")),
                1 => target.gateway.reload(&text),
                _ => {
                    write_configuration(target.folder.path(), "[instances.demo]\nurl = 7");
                    target.gateway.signal("-HUP");
                    let failures = number / 3 + 1;
                    target
                        .gateway
                        .wait_for_log("Failed to reload the configuration", failures);
                }
            }
            target.bystander().assert_served(1);
            wait_until("changes after a reload", || {
                answers.count.load(SeqCst) > so_far + 5
            });
        }
        target.gateway.signal("-TERM");
    });
    let id = target.gateway.id();
    wait_until("the end", || {
        // Until it is waited for, it is a zombie.
        let status = std::fs::read_to_string(format!("/proc/{id}/stat"));
        status.is_ok_and(|status| status.contains(") Z "))
    });
    let snapshot = target.odoo.snapshot();
    let names = snapshot.ids("res.partner").into_iter().filter_map(|id| {
        let name = snapshot.record("res.partner", id)?["name"].as_str()?;
        name.starts_with("Reload ").then(|| name.to_owned())
    });
    let made: Vec<String> = names.collect();
    let answered = answers.created.into_inner().unwrap();
    println!("{} changes", made.len());
    assert_eq!(made.len(), snapshot.ids("res.partner").len() - before);
    assert_eq!(made.len(), answered.len(), "made twice, or not answered");
    assert_eq!(made.into_iter().collect::<BTreeSet<_>>(), answered);
    let folder = target.folder;
    assert!(target.gateway.stop().success());
    drop(verify_journal(folder.path()));
}
