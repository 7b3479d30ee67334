//! Several gateways, and gateways that are killed.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    configuration, in_parallel,
    process::{GatewayProcess, count_call, post, read_calls, read_journal, verify_journal},
};
use crate::{redis_server::RedisServer, test_gateway::start_fake_odoo};

/// The age at which a record has certainly been written.
const FLUSHED_AFTER: Duration = Duration::from_secs(1);

/// The limit of one caller: the burst, and the rate per second.
const BURST: usize = 20;
const PER_SECOND: usize = 5;

#[test]
fn two_gateways_on_one_redis_share_exactly_one_rate_limit() {
    let (_, odoo) = start_fake_odoo();
    let redis = RedisServer::start();
    let more = format!(
        "[limits]\naddress_per_minute = 1_000_000\naddress_burst = 1_000_000\ncaller_per_minute = {}\ncaller_burst = {BURST}\n[redis]\nurl = \"{}\"\ntimeout_ms = 5_000\nwhen_down = \"fail_closed\"\nreplicas = 2",
        PER_SECOND * 60,
        redis.url()
    );
    let text = configuration(&odoo, &odoo, &more);
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [one, two] = folders
        .each_ref()
        .map(|folder| GatewayProcess::start(folder.path(), &text));
    let (allowed, done) = ([const { AtomicUsize::new(0) }; 2], AtomicBool::new(false));
    let begun = Instant::now();
    thread::scope(|threads| {
        for (gateway, allowed) in [&one, &two].into_iter().zip(&allowed) {
            for _ in 0..3 {
                let address = gateway.address;
                let (text, done) = (&text, &done);
                threads.spawn(move || {
                    while !done.load(SeqCst) {
                        // Both instances count as the same caller.
                        for instance in ["demo", "other"] {
                            let path = format!("/{instance}/mcp");
                            let (said, failed) =
                                post(address, &path, &[], &count_call()).tool_result();
                            if failed {
                                assert!(said.contains("too many calls"), "{said}\n{text}");
                            } else {
                                allowed.fetch_add(1, SeqCst);
                            }
                        }
                    }
                });
            }
        }
        // A reload of either does not reset the limit.
        for _ in 0..3 {
            one.reload(&text);
            two.reload(&text);
            thread::park_timeout(Duration::from_millis(700));
        }
        done.store(true, SeqCst);
    });
    let elapsed = usize::try_from(begun.elapsed().as_millis()).unwrap();
    let both: Vec<usize> = allowed.iter().map(|one| one.load(SeqCst)).collect();
    let together: usize = both.iter().sum();
    // The bound of the algorithm: the burst and what was refilled meanwhile; and,
    // because they called continuously, not less than that except for the last
    // refill.
    let most = BURST + elapsed * PER_SECOND / 1000;
    assert!(together <= most + 1, "{both:?} of {most}");
    assert!(together + 4 >= most, "{both:?} of {most}");
    assert!(both.iter().all(|one| *one > 0), "{both:?}");
    // The journals and Odoo have no other calls.
    let records: Vec<usize> = [one, two]
        .map(GatewayProcess::stop_and_read_calls)
        .iter()
        .map(|records| {
            let counted = records.iter().filter(|one| one["method"] == "search_count");
            counted.count()
        })
        .collect();
    assert_eq!(records, both);
}

#[test]
fn sighup_right_after_listeners_open_reloads() {
    let (_, odoo) = start_fake_odoo();
    let text = configuration(&odoo, &odoo, "");
    // So many at once that they start slowly.
    in_parallel(0..32, |_| {
        let folder = tempfile::tempdir().unwrap();
        // Waits only for the line about the listeners.
        let gateway = GatewayProcess::start(folder.path(), &text);
        gateway.signal("-HUP");
        gateway.wait_for_log("Reloaded the configuration", 1);
        assert!(!gateway.count().tool_result().1);
        assert!(gateway.stop().success());
    });
}

#[test]
fn killed_gateway_loses_at_most_the_last_second_of_journal() {
    let (_, odoo) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let limits = "[limits]\naddress_burst = 1_000_000\ncaller_burst = 1_000_000\nread_burst = 1_000_000\ninstance_burst = 1_000_000";
    let text = configuration(&odoo, &odoo, limits);
    let mut served_in_all = 0;
    for _ in 0..3 {
        let answered = Mutex::new(Vec::new());
        let gateway = GatewayProcess::start(folder.path(), &text);
        let address = gateway.address;
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    // Until no gateway answers.
                    while let Some(id) = answered_request_id(address) {
                        answered.lock().unwrap().push((Instant::now(), id));
                    }
                });
            }
            thread::park_timeout(FLUSHED_AFTER * 2);
            gateway.kill();
        });
        let killed = Instant::now();
        // Every call that was answered more than a second ago has a record; later
        // records may have been lost with the process.
        let known = recorded_request_ids(folder.path());
        let answered = answered.into_inner().unwrap();
        let mut old = answered
            .iter()
            .filter(|(when, _)| killed.duration_since(*when) > FLUSHED_AFTER)
            .map(|(_, id)| id)
            .peekable();
        assert!(old.peek().is_some());
        let lost: Vec<_> = old.filter(|id| !known.contains(*id)).collect();
        assert!(lost.is_empty(), "{lost:?}");
        served_in_all += answered.len();
    }
    // The next process continues the journal, and reports where it was torn.
    let gateway = GatewayProcess::start(folder.path(), &text);
    assert!(!gateway.count().tool_result().1);
    let records = gateway.stop_and_read_calls();
    assert!(records.len() * 10 >= served_in_all * 9, "{served_in_all}");
    let said = verify_journal(folder.path());
    assert!(said.starts_with("intact: "), "{said}");
    let numbers = read_journal(folder.path());
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|one| one["seq"].as_u64().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next));
    assert_eq!(read_calls(folder.path()).len(), records.len());
}

/// The id of a request that was answered.
fn answered_request_id(address: SocketAddr) -> Option<String> {
    let body = count_call().to_string();
    let mut stream = TcpStream::connect(address).ok()?;
    let request = format!(
        "POST /demo/mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    // Complete, or cut off with the process.
    serde_json::from_str::<Value>(body).ok()?;
    let id = head
        .lines()
        .find_map(|line| line.strip_prefix("X-Request-Id: "))?;
    Some(id.to_owned())
}

/// The ids of the requests in a journal whose last line may be incomplete.
fn recorded_request_ids(folder: &Path) -> BTreeSet<String> {
    let text = fs::read(folder.join("audit.jsonl")).unwrap();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| line["request"].as_str().map(str::to_owned))
        .collect()
}
