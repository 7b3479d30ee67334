//! Several gateways, and gateways that are killed.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use gatepost_identity::{ApiKeyId, ApiKeyStore, KeyUses, update_keys_file};
use serde_json::Value;

use super::{
    configuration, in_parallel,
    process::{
        GatewayProcess, count_call, new_key, read_calls, read_journal, verify_journal, wait_until,
        write_configuration,
    },
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
                let done = &done;
                threads.spawn(move || {
                    while !done.load(SeqCst) {
                        // Both instances count as the same caller.
                        for instance in ["demo", "other"] {
                            let path = format!("/{instance}/mcp");
                            let answer = gateway.post(&path, &[], &count_call());
                            if let Some(kind) = gateway.error_kind(&answer) {
                                assert_eq!(kind, "limited", "{answer:?}");
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
fn keys_take_effect_without_a_signal_and_a_broken_file_changes_nothing() {
    let (_, odoo) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let gateway = GatewayProcess::start(folder.path(), &configuration(&odoo, &odoo, ""));
    let key = new_key(folder.path(), "reader", None);
    let authorization = format!("Authorization: Bearer {key}");
    let headers = [authorization.as_str()];
    let status = || gateway.post("/demo/mcp", &headers, &count_call()).status;
    wait_until("the new key", || status() == 200);
    let reload_succeeded = || gateway.metric("gatepost_config_last_reload_successful");
    assert_eq!(reload_succeeded(), Some(1.0));
    let good = fs::read_to_string(&file).unwrap();
    for (broken, line) in [
        ("", "Found an empty keys file"),
        ("[[keys]]\nid = 1\n", "Failed to load the keys file"),
    ] {
        fs::write(&file, broken).unwrap();
        gateway.wait_for_log(line, 1);
        assert_eq!(status(), 200);
        assert_eq!(reload_succeeded(), Some(0.0));
    }
    fs::remove_file(&file).unwrap();
    gateway.wait_for_log("Failed to load the keys file", 2);
    assert_eq!(status(), 200);
    fs::write(&file, good).unwrap();
    gateway.wait_for_metric("gatepost_config_last_reload_successful", 1.0);
    let id = ApiKeyId::try_from(key.split('_').nth(1).unwrap()).unwrap();
    let revoke = |keys: &mut ApiKeyStore| keys.revoke(&id, jiff::Timestamp::now()).is_some();
    assert!(update_keys_file(&file, revoke).unwrap());
    wait_until("the revocation", || status() == 401);
    assert!(gateway.stop().success());
    let used = KeyUses::load(&file).unwrap();
    assert_eq!(used.keys().collect::<Vec<_>>(), [&id]);
}

#[test]
fn reload_command_reports_errors_and_settings_that_need_a_restart() {
    let (_, odoo) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let base = configuration(&odoo, &odoo, "");
    let gateway = GatewayProcess::start(folder.path(), &base);
    let reload_file = |file: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .env_clear()
            .current_dir(folder.path())
            .env("GATEPOST_ADMIN__LISTEN", gateway.admin.to_string())
            .args(["reload", "--config", file])
            .output()
            .unwrap();
        let texts = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let text = texts
            .concat()
            .replace(folder.path().to_str().unwrap(), "FOLDER");
        // Without the warnings that `check` prints too.
        let ours = ["404", "restart"];
        let about = |line: &&str| {
            !line.starts_with("warning: ") || ours.iter().any(|word| line.contains(word))
        };
        let lines: Vec<&str> = text.lines().filter(about).collect();
        (output.status.code(), lines.join("\n"))
    };
    let reload = |text: &str| {
        write_configuration(folder.path(), text);
        reload_file("gatepost.toml")
    };
    let changed = base.replace("[server]", "[server]\ndrain_timeout_ms = 7");
    let (code, text) = reload(&format!("{changed}\n[telemetry]\nservice_name = \"mcp\"\n"));
    assert_eq!(code, Some(0), "{text}");
    let mut texts = vec![text];
    gateway.wait_for_log("Ignored changed settings that need a restart", 1);
    let (code, text) = reload(&base.replace("[\"*\"]", "\"*\""));
    assert_eq!(code, Some(3), "{text}");
    texts.push(text);
    assert_eq!(
        gateway.metric("gatepost_config_last_reload_successful"),
        Some(0.0)
    );
    let (code, text) = reload(&base);
    assert_eq!(code, Some(0), "{text}");
    texts.push(text);
    assert_eq!(
        gateway.metric("gatepost_config_last_reload_successful"),
        Some(1.0)
    );
    // The old addresses of instances end.
    let (code, text) = reload(&base.replace("[instances.", "[instances.new-"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("get 404 now"), "{text}");
    let (_, text) = reload(&base);
    assert!(text.contains("/new-"), "{text}");
    // Another file is not read, and that is said.
    fs::write(folder.path().join("other.toml"), &base).unwrap();
    let (code, text) = reload_file("other.toml");
    assert_eq!(code, Some(1), "{text}");
    texts.push(text);
    insta::assert_snapshot!(texts.join("\n\n"));
    let (admin, stopped) = (gateway.admin, gateway.stop());
    assert!(stopped.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let command = command
        .env_clear()
        .env("GATEPOST_ADMIN__LISTEN", admin.to_string());
    let output = command.arg("reload").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("if `admin.listen` was changed"), "{text}");
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
