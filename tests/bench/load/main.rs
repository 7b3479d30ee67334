//! 200 clients for a minute, while the configuration is reloaded each second.
//!
//! Every response is compared with what the caller must receive, every call that
//! reached Odoo with its audit record, and the metrics with what the clients
//! counted; memory, files and threads must not grow.
//!
//! It is a separate program, because it takes a minute and the whole machine:
//! `cargo test` leaves it out, `cargo test --bench load` runs it in the test
//! profile (as CI does: that build exists, and it checks for overflow), and
//! `cargo bench --bench load` in the release profile. `GATEPOST_LOAD_SECONDS`
//! sets the duration. With `GATEPOST_SOAK_MINUTES`, as `scripts/soak` sets it, it
//! runs `soak` instead.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "it fails like a test, and prints what it measured"
)]

mod agent;
mod expected;
mod odoo;
mod soak;
mod usage;

#[expect(
    dead_code,
    unused_imports,
    reason = "the tests need more of the provider than this does"
)]
#[path = "../../it/idp/mod.rs"]
mod idp;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../../it/redis_server.rs"]
mod redis_server;

#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../../it/log.rs"]
mod log;
#[path = "../../it/pace.rs"]
mod pace;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../../it/faults/process.rs"]
mod process;
#[expect(dead_code, reason = "the tests need more of it")]
#[path = "../../it/test_gateway.rs"]
mod test_gateway;

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use agent::{Agent, ClientCounts};
use expected::{CALLERS, ExpectedResponses, LIMITED_BURST, LIMITED_PER_MINUTE};
use odoo::CountingOdoo;
use process::GatewayProcess;
use usage::ResourceUsage;

const CLIENTS: usize = 200;

fn main() {
    if let Ok(minutes) = std::env::var("GATEPOST_SOAK_MINUTES") {
        let seconds = minutes.parse::<f64>().unwrap() * 60.0;
        return soak::run(Duration::from_secs_f64(seconds));
    }
    let seconds = std::env::var("GATEPOST_LOAD_SECONDS")
        .ok()
        .map_or(60, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let odoo = CountingOdoo::start();
    let keys: Vec<String> = CALLERS
        .iter()
        .map(|role| process::new_key(folder.path(), role, None))
        .collect();
    let [one, other] = [false, true].map(|shifted| expected::configuration(&odoo.url(), shifted));
    let mut gateway = GatewayProcess::start(folder.path(), &one);
    for key in &keys {
        gateway.forbid_in_log(key);
    }
    let mut first = Agent::new(gateway.address, keys.clone(), 0);
    let expected = Arc::new(ExpectedResponses::record(&mut first, || {
        gateway.reload(&other);
    }));
    let begun = Instant::now();

    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|number| {
            let (done, expected) = (Arc::clone(&done), Arc::clone(&expected));
            let mut agent = Agent::new(gateway.address, keys.clone(), number);
            thread::spawn(move || {
                while !done.load(SeqCst) {
                    agent.send_random_request(&expected);
                }
                agent.counts
            })
        })
        .collect();
    let mut usage = ResourceUsage::of(gateway.id());
    let (mut read, mut kept) = (1, 0);
    for second in 1..=seconds {
        thread::park_timeout((begun + Duration::from_secs(second)).duration_since(Instant::now()));
        // Now and then an invalid one, and otherwise from one to the other.
        if second % 5 == 0 {
            kept += 1;
            process::write_configuration(
                folder.path(),
                &format!("{one}\n[roles.reader]\nrules = 7"),
            );
            gateway.signal("-HUP");
            gateway.wait_for_log("Failed to reload the configuration", kept);
        } else {
            read += 1;
            gateway.reload(if second % 2 == 0 { &one } else { &other });
        }
        usage.sample();
    }
    done.store(true, SeqCst);
    let mut total = first.counts;
    for client in clients {
        total.merge(client.join().unwrap());
    }
    let elapsed = begun.elapsed();
    gateway.wait_for_metric("gatepost_requests_in_flight", 0.0);
    println!(
        "{} requests of {CLIENTS} clients in {elapsed:.1?}, {} calls to Odoo, {read} reloads and {kept} that were wrong",
        total.sent,
        odoo.calls()
    );
    usage.assert_flat();
    total.assert_matches_metrics(&gateway.get_admin("/metrics").body);
    let most = LIMITED_BURST as f64 + elapsed.as_secs_f64() * LIMITED_PER_MINUTE as f64 / 60.0;
    assert!(
        total.limited_allowed as f64 <= most + 1.0,
        "{} of {most}",
        total.limited_allowed
    );
    assert!(
        total.limited_allowed >= LIMITED_BURST,
        "{}",
        total.limited_allowed
    );

    // Only the invalid configurations caused errors.
    let log = gateway.log();
    let errors = log
        .lines()
        .filter(|line| line.contains("\"level\":\"ERROR\""));
    assert_eq!(errors.count(), kept);
    assert_eq!(log.matches("Reloaded the configuration").count(), read);
    drop(log);
    assert!(gateway.stop().success());
    check_audit_records(folder.path(), &odoo, &total);
}

/// Asserts that there is exactly one record for each call, and that the chain is
/// valid.
fn check_audit_records(folder: &Path, odoo: &CountingOdoo, total: &ClientCounts) {
    let said = process::verify_journal(folder);
    assert!(fs::exists(folder.join("audit.jsonl.1")).unwrap(), "{said}");
    let mut by_request: HashMap<u128, u32> = HashMap::new();
    let (mut sent, mut forbidden) = (0, 0);
    for record in process::read_calls(folder) {
        let request = u128::from_str_radix(record["request"].as_str().unwrap(), 16).unwrap();
        match record["outcome"].as_str().unwrap() {
            "forbidden" => forbidden += 1,
            "answered" | "cancelled" => {
                sent += 1;
                *by_request.entry(request).or_default() += 1;
            }
            _ => panic!("{record}"),
        }
    }
    assert_eq!(forbidden, total.forbidden, "refused by policy");
    let mut reached = odoo.calls_by_trace();
    // After each reload the gateway asks when its keys expire, for no caller.
    reached.remove(&odoo::NO_TRACE);
    let mut answered = 0;
    for (trace, request) in &total.requests {
        let calls = reached.remove(trace).unwrap_or(0);
        let known = by_request.remove(request).unwrap_or(0);
        assert_eq!(calls, known, "calls and records of request {request:032x}");
        answered += calls;
    }
    // The remaining records belong to clients that disconnected: a queued call
    // has a record, but never reached Odoo.
    let (calls, known): (u32, u32) = (reached.values().sum(), by_request.values().sum());
    assert!(calls <= known, "{calls} calls, {known} records");
    assert_eq!(sent, total.odoo_calls, "records and the metric");
    println!(
        "{answered} calls for answers, each with its record; {calls} calls and {known} records of those who hung up"
    );
    println!("{}", said.trim());
}
