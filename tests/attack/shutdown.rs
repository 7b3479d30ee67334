//! A7 and B10: the end of the process, and the end of a key, under traffic.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
};

use gatepost_identity::{ApiKey, update_keys_file};
use odoo_sim::FaultPoint;
use serde_json::json;

use crate::{
    client::{connect_from, read_response},
    process::{new_key, read_calls, verify_journal, wait_until},
    target::{ATTACKER, BYSTANDER, Setup, Target},
    test_gateway::tool_call,
};

fn reached(held: &odoo_sim::HeldCall) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(held.wait_until_reached());
}

#[test]
fn shutdown_under_steady_traffic_ends_with_changes_first() {
    let target = Target::start(Setup {
        server: "drain_timeout_ms = 12_000",
        instance: "timeout_ms = 120_000\nmax_in_flight = 64",
        ..Setup::default()
    });
    let address = target.gateway.address;
    // A read that never ends, and changes that end late.
    let endless = target
        .odoo
        .hold_call("sale.order/search_count", FaultPoint::BeforeCall);
    let read = tool_call("count_records", &json!({"model": "sale.order"})).to_string();
    let mut reader = connect_from(ATTACKER.parse().unwrap(), address);
    reader
        .write_all(target.client(ATTACKER).request(&read).as_bytes())
        .unwrap();
    reached(&endless);
    let writes: Vec<_> = (0..4)
        .map(|number| {
            let held = target.odoo.hold_call("res.partner/create", FaultPoint::BeforeCall);
            let arguments = json!({"model": "res.partner", "values": [{"name": format!("Late {number}")}], "idempotency_key": format!("late-{number}")});
            let mut stream = connect_from(BYSTANDER.parse().unwrap(), address);
            let request = target.client(BYSTANDER).request(&tool_call("create_records", &arguments).to_string());
            stream.write_all(request.as_bytes()).unwrap();
            reached(&held);
            (held, BufReader::new(stream))
        })
        .collect();
    let served = AtomicUsize::new(0);
    let ping = target
        .client(ATTACKER)
        .request(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    thread::scope(|threads| {
        // Twelve clients that reconnect for each request, until they are refused.
        for _ in 0..12 {
            threads.spawn(|| {
                while let Ok(mut stream) = TcpStream::connect(address) {
                    let mut said = Vec::new();
                    drop(
                        stream.write_all(
                            ping.replace("Host", "Connection: close\r\nHost").as_bytes(),
                        ),
                    );
                    drop(stream.read_to_end(&mut said));
                    let said = String::from_utf8(said).unwrap();
                    // A request is answered whole, or was not begun.
                    let is_served = said.starts_with("HTTP/1.1 200") && said.ends_with('}');
                    let is_refused = said.starts_with("HTTP/1.1 503");
                    assert!(is_served || is_refused || said.is_empty(), "{said}");
                    if is_served {
                        served.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        wait_until("traffic", || served.load(SeqCst) > 100);
        target.gateway.signal("-TERM");
        target.gateway.wait_for_log("Started to shut down", 1);
        let at_signal = served.load(SeqCst);
        wait_until("nothing new is accepted", || {
            TcpStream::connect(address).is_err()
        });
        assert!(
            served.load(SeqCst) > at_signal,
            "clients are served until a load balancer notices"
        );
    });
    for (held, mut stream) in writes {
        held.release();
        let answer = read_response(&mut stream).expect("the change is answered");
        assert_eq!(target.gateway.error_kind(&answer), None, "{answer:?}");
    }
    let folder = target.folder;
    let id = target.gateway.id();
    wait_until("the end", || {
        // Until it is waited for, it is a zombie.
        let status = std::fs::read_to_string(format!("/proc/{id}/stat"));
        status.is_ok_and(|status| status.contains(") Z "))
    });
    // The read is still held at Odoo: nothing waited for it.
    let log = target.gateway.log();
    assert!(!log.contains("Stopped with writes in flight"), "{log}");
    drop(endless);
    // It has ended already; this only reaps it.
    drop(target.gateway);
    drop(verify_journal(folder.path()));
    let created = read_calls(folder.path());
    let created = created
        .iter()
        .filter(|call| call["method"] == "create" && call["outcome"] == "answered");
    assert_eq!(created.count(), 4);
}

/// Whichever call to Odoo is in flight when the key of a caller is revoked and the
/// configuration is reloaded, nothing is written after that.
#[test]
fn revoked_key_writes_nothing_after_the_reload_at_whatever_stage_its_call_is() {
    let target = Target::start(Setup::default());
    let mut bystander = target.bystander();
    let text = std::fs::read_to_string(target.folder.path().join("gatepost.toml")).unwrap();
    let writer = || {
        let key = new_key(target.folder.path(), "writer", None);
        target.gateway.reload(&text);
        key
    };
    // Records that nothing else uses.
    let fresh = |number: usize| {
        let arguments =
            json!({"model": "res.partner", "values": [{"name": format!("Subject {number}")}]});
        let (said, failed) = target
            .client(ATTACKER)
            .call("create_records", &arguments)
            .tool_result();
        assert!(!failed, "{said}");
        *target
            .odoo
            .snapshot()
            .ids("res.partner")
            .iter()
            .max()
            .unwrap()
    };
    let mut stages = 0;
    for tool in ["create_records", "update_records", "delete_records"] {
        let arguments = |number: usize| match tool {
            "create_records" => {
                json!({"model": "res.partner", "values": [{"name": format!("Created {number}")}], "idempotency_key": format!("c{number}")})
            }
            "update_records" => {
                json!({"model": "res.partner", "ids": [fresh(number)], "values": {"name": format!("Updated {number}")}})
            }
            _ => json!({"model": "res.partner", "ids": [fresh(number)]}),
        };
        // The calls that it takes, once with a cold cache, which a reload leaves.
        let whole = arguments(0);
        let key = writer();
        let before = target.odoo.calls().len();
        let (said, failed) = target
            .client_with(ATTACKER, &key)
            .call(tool, &whole)
            .tool_result();
        assert!(!failed, "{said}");
        let calls = target.odoo.calls();
        let mut paths: Vec<String> = calls[before..]
            .iter()
            .filter_map(|call| call.path.strip_prefix("/json/2/").map(str::to_owned))
            .take_while(|path| {
                !["/create", "/write", "/unlink"]
                    .iter()
                    .any(|end| path.ends_with(end))
            })
            .collect();
        paths.sort();
        paths.dedup();
        assert!(!paths.is_empty());
        for path in paths {
            stages += 1;
            let arguments = arguments(stages);
            let key = writer();
            let held = target.odoo.hold_call(&path, FaultPoint::BeforeCall);
            let before = target.odoo.snapshot();
            thread::scope(|threads| {
                let call =
                    threads.spawn(|| target.client_with(ATTACKER, &key).call(tool, &arguments));
                reached(&held);
                update_keys_file(&target.folder.path().join("keys.toml"), |keys| {
                    keys.revoke(ApiKey::parse(&key).unwrap().id(), jiff::Timestamp::now())
                        .unwrap();
                })
                .unwrap();
                target.gateway.reload(&text);
                held.release();
                let kind = target.gateway.error_kind(&call.join().unwrap());
                assert_eq!(kind.as_deref(), Some("unapproved"), "{tool}, {path}");
            });
            let changes = before.changes_to(&target.odoo.snapshot());
            assert!(changes.is_empty(), "{tool}, {path}: {changes:?}");
            assert_eq!(target.client_with(ATTACKER, &key).ping().status, 401);
            bystander.assert_served(1);
        }
    }
    println!("{stages} stages");
    assert!(stages >= 5);
    target.end();
}
