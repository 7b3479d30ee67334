//! The state store from outside.

use std::{
    fs,
    process::{Command, Output},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gatepost::config::Sources;
use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use gatepost_state::store::{
    Retention, StateStore, StoreError, StoreKey, StoreLocation, StoreSettings,
};
use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::{
    log,
    redis_server::RedisServer,
    test_gateway::{TestGateway, start_fake_odoo, tool_call},
};

/// A gateway whose role may change contacts, with this additional configuration.
fn configuration(more: &str) -> String {
    format!(
        r#"
[server]
anonymous_role = "clerk"
[instances.demo]
url = "ODOO"
database = "demo"
api_key = "{ADMIN_KEY}"
service_key_writes = true
writes = "confirm"
[roles.clerk]
[[roles.clerk.rules]]
models = ["res.partner"]
operations = ["read", "write"]
[audit]
file = "audit.jsonl"
{more}
"#
    )
}

const IN_FILE: &str = "[changes]\nfile = \"changes.redb\"";

fn redis_settings(server: &RedisServer) -> String {
    format!("[redis]\nurl = \"{}\"\ntimeout_ms = 2_000", server.url())
}

fn readiness_of_changes(stage: &TestGateway) -> (u16, Value) {
    let answer = stage.admin_get("/readyz");
    (answer.status, answer.json()["changes"].clone())
}

fn has_metric(stage: &TestGateway, line: &str) -> bool {
    stage
        .admin_get("/metrics")
        .body
        .lines()
        .any(|one| one == line)
}

/// Waits until the condition holds, because admin responses are cached for two
/// seconds.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < patience, "{what}");
        thread::yield_now();
    }
}

/// The warnings of a configuration.
fn warnings(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    fs::write(&file, text.replace("ODOO", "http://127.0.0.1:9")).unwrap();
    let checked = gatepost::config::load(&Sources::with_environment(Some(file), [])).unwrap();
    let all = checked.warnings.iter().map(ToString::to_string);
    all.collect::<Vec<String>>().join("\n")
}

#[test]
fn writes_without_persistent_store_or_audit_are_warned_about() {
    let forgets = "lost at a restart";
    let unaudited = "no audit journal records who did";
    let message = warnings(&configuration(""));
    assert!(message.contains(forgets), "{message}");
    assert!(message.contains("set `file` in `[changes]`"), "{message}");
    assert!(!message.contains(unaudited), "{message}");
    let message = warnings(&configuration("").replace("[audit]\nfile = \"audit.jsonl\"", ""));
    assert!(message.contains(unaudited), "{message}");
    for nothing_to_forget in [
        configuration(IN_FILE),
        configuration("[redis]\nurl = \"redis://127.0.0.1\""),
        configuration("").replace("writes = \"confirm\"", ""),
        configuration("").replace(", \"write\"", ""),
        configuration("").replace("[roles.clerk]", "[roles.clerk]\nwrites = \"read_only\""),
    ] {
        let message = warnings(&nothing_to_forget);
        assert!(!message.contains(forgets), "{nothing_to_forget}\n{message}");
    }
}

#[test]
fn unusable_store_settings_are_rejected_at_startup() {
    let with = |more: &str| {
        TestGateway::config_errors(&configuration(more), &[("other.redb", "no database")])
    };
    assert_eq!(with(IN_FILE), "");
    let errors = [
        "[changes]\nfile = \"no/such/changes.redb\"",
        "[changes]\nfile = \"audit.jsonl\"",
        "[changes]\nfile = \"changes.redb\"\n[redis]\nurl = \"redis://127.0.0.1\"",
        "[changes]\nfile = \"other.redb\"",
        "[changes]\nkeep_keys_hours = 0",
        "[changes]\nmax_undo_bytes = 2_000_000",
    ]
    .map(with);
    insta::assert_snapshot!(errors.join("\n\n"));
}

#[test]
fn store_file_cannot_be_opened_by_second_gateway() {
    let stage = TestGateway::from_config(&configuration(IN_FILE));
    let file = stage.path("changes.redb").display().to_string();
    let second = configuration(&format!("[changes]\nfile = \"{file}\""));
    let message = TestGateway::config_errors(&second, &[]);
    insta::assert_snapshot!(message.replace(&file, "FILE"));
    assert_eq!(
        readiness_of_changes(&stage),
        (200, json!({ "remembered": true }))
    );
    assert!(has_metric(&stage, "gatepost_ledger_up{store=\"file\"} 1"));
}

#[test]
fn check_live_tests_store_file_and_creates_none() {
    let (_company, odoo) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(
        at("gatepost.toml"),
        configuration(IN_FILE).replace("ODOO", &odoo),
    )
    .unwrap();
    let check = || {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .env_clear()
            .env("GATEPOST_SERVER__LISTEN", "127.0.0.1:0")
            .env("GATEPOST_ADMIN__LISTEN", "")
            .current_dir(folder.path())
            .args(["check", "--live", "--config", "gatepost.toml"])
            .output()
            .unwrap();
        let message = [stdout, stderr].concat();
        (status.code(), String::from_utf8(message).unwrap())
    };
    let (code, message) = check();
    assert!(message.contains("stored in changes.redb"), "{message}");
    assert!(message.contains("changes: the store works"), "{message}");
    assert_eq!(code, Some(0), "{message}");
    assert!(!at("changes.redb").exists());

    let settings = StoreSettings {
        location: StoreLocation::File {
            path: at("changes.redb"),
            max_bytes: 1 << 20,
        },
        retention: Retention::default(),
    };
    let ledger = StateStore::open(settings).unwrap();
    let (code, message) = check();
    assert!(
        message.contains("another process uses this file"),
        "{message}"
    );
    assert_eq!(code, Some(0), "{message}");
    assert!(ledger.close(Duration::from_secs(20)));
    let (code, message) = check();
    assert!(message.contains("changes: the store works"), "{message}");
    assert_eq!(code, Some(0), "{message}");

    fs::write(at("changes.redb"), "x".repeat(5_000)).unwrap();
    let (code, message) = check();
    assert!(message.contains("is damaged"), "{message}");
    assert!(message.contains("move it away"), "{message}");
    assert_eq!(code, Some(3), "{message}");
}

#[test]
fn repeated_call_after_restart_is_not_executed_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changes.redb");
    let text = configuration(&format!("[changes]\nfile = \"{}\"", file.display()));
    let text = text
        .replace("writes = \"confirm\"", "writes = \"direct\"")
        .replace("\"write\"]", "\"create\"]");
    let create = json!({
        "model": "res.partner", "values": [{"name": "Remembered"}], "idempotency_key": "k"
    });
    let one = TestGateway::from_config(&text);
    let (company, odoo) = (Arc::clone(&one.fake_odoo), one.odoo_url().to_owned());
    let (done, failed) = one.call("create_records", &create);
    assert!(!failed && done.starts_with("Created"), "{done}");
    drop(one);
    let two = TestGateway::from_config(&text.replace("ODOO", &odoo));
    let before = company.snapshot();
    let (again, failed) = two.call("create_records", &create);
    assert!(
        !failed && again.starts_with("This was done before"),
        "{again}"
    );
    assert_eq!(company.snapshot(), before);
}

#[test]
fn reload_retains_store_and_refuses_to_move_it() {
    let stage = TestGateway::from_config(&configuration(IN_FILE));
    let shorter = format!("{IN_FILE}\nkeep_keys_hours = 1");
    stage.reload(&configuration(&shorter));
    stage.reload(&configuration(IN_FILE));
    let message = stage.reload_error(&configuration("[changes]\nfile = \"other.redb\""));
    insta::assert_snapshot!(message);
    assert_eq!(stage.reload_error(&configuration("")), message);
    assert!(!stage.path("other.redb").exists());
    assert_eq!(
        readiness_of_changes(&stage),
        (200, json!({ "remembered": true }))
    );
    // If no role may write, there is nothing to lose.
    let reading = configuration(IN_FILE).replace("writes = \"confirm\"", "");
    stage.reload(&reading);
    stage.reload(&configuration("[changes]\nfile = \"other.redb\""));
    assert!(stage.path("other.redb").exists());
    assert!(has_metric(&stage, "gatepost_ledger_up{store=\"file\"} 1"));
}

#[test]
fn readiness_and_metrics_report_store_outage_and_recovery() {
    let mut server = RedisServer::start();
    let stage = TestGateway::from_config(&configuration(&redis_settings(&server)));
    assert_eq!(
        readiness_of_changes(&stage),
        (200, json!({ "remembered": true }))
    );
    assert!(has_metric(&stage, "gatepost_ledger_up{store=\"redis\"} 1"));
    let from = log::length();
    server.kill();
    let up = |is_up: u8| format!("gatepost_ledger_up{{store=\"redis\"}} {is_up}");
    wait_until("the metric is missing", || has_metric(&stage, &up(0)));
    let (status, message) = readiness_of_changes(&stage);
    assert_eq!(
        (status, &message["remembered"]),
        (200, &json!(false)),
        "{message}"
    );
    let why = message["why"].as_str().unwrap();
    assert!(why.starts_with("redis: "), "{why}");
    assert!(log::written_since(from).contains("Lost Redis"));
    server.restart();
    wait_until("it does not come back", || has_metric(&stage, &up(1)));

    // A read-only gateway needs no state store, and does not mention one.
    server.kill();
    let reading = configuration(&redis_settings(&server)).replace("writes = \"confirm\"", "");
    let stage = TestGateway::from_config(&reading);
    assert_eq!(readiness_of_changes(&stage), (200, Value::Null));
    let metrics = stage.admin_get("/metrics").body;
    assert!(!metrics.contains("\ngatepost_ledger_up{"), "{metrics}");
}

/// Two API keys with the role `clerk`, and the keys file with both.
fn two_keys() -> ([ApiKey; 2], String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let keys = [(); 2].map(|()| ApiKey::generate().unwrap());
    for key in &keys {
        let stored = StoredKey {
            id: key.id().clone(),
            hash: key.hash(),
            name: "test".to_owned(),
            roles: vec![RoleName::try_from("clerk").unwrap()],
            created: jiff::Timestamp::UNIX_EPOCH,
            expires: None,
            revoked: None,
        };
        update_keys_file(&file, |keys| keys.add(stored)).unwrap();
    }
    (keys, fs::read_to_string(&file).unwrap())
}

/// Stores entries of a caller until the store takes no more of it; returns why.
fn fill_store(store: &StateStore, caller: &[&str]) -> StoreError {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut refusal = None;
    // Ever smaller ones, so that nothing is left.
    for size in [200_000, 10_000, 500, 1] {
        for number in 0.. {
            let (size_text, number) = (size.to_string(), format!("{number}"));
            let key = StoreKey::idempotency(&[caller.concat().as_str(), &size_text, &number]);
            let value = Bytes::from(vec![b'x'; size]);
            let key = key.owned_by(caller);
            let stored = store.put_if_absent(&key, value, DAY);
            if let Err(error) = runtime.block_on(stored) {
                refusal = Some(error);
                break;
            }
        }
    }
    refusal.unwrap()
}

const DAY: Duration = Duration::from_hours(24);

// Attack A8: one caller filled the store, and every other caller's changes were refused.
#[test]
fn caller_that_fills_its_share_of_the_store_stops_only_itself_and_a_full_store_only_changes() {
    let ([greedy, other], keys_file) = two_keys();
    let text = configuration("[keys]\nfile = \"keys.toml\"\n[changes]\nmax_memory_mb = 4")
        .replace("anonymous_role = \"clerk\"", "")
        .replace("writes = \"confirm\"", "writes = \"direct\"");
    let stage = TestGateway::from_config_with_files(&text, &[("keys.toml", &keys_file)]);
    let call = |key: &ApiKey, tool: &str, arguments: &Value| {
        let authorization = format!("Authorization: Bearer {}", key.reveal());
        let headers = ["Content-Type: application/json", &authorization];
        let message = tool_call(tool, arguments).to_string();
        let answer = stage.request("POST", "/mcp", &headers, &message);
        answer.tool_result()
    };
    let update = |key: &ApiKey, phone: &str| {
        let arguments = json!({
            "model": "res.partner", "ids": [7], "values": {"phone": phone}, "idempotency_key": phone
        });
        call(key, "update_records", &arguments)
    };
    let (done, failed) = update(&greedy, "1");
    assert!(!failed, "{done}");
    let store = stage.state_store();
    let share = fill_store(&store, &["gatepost", "api_key", greedy.id().as_str()]);
    assert!(matches!(share, StoreError::ShareUsed), "{share}");
    let before = stage.fake_odoo.snapshot();
    let (text, failed) = update(&greedy, "2");
    assert!(failed && text.contains("as one caller may use"), "{text}");
    assert_eq!(stage.fake_odoo.snapshot(), before);
    let (done, failed) = update(&other, "3");
    assert!(!failed, "{done}");
    let why = || {
        let (status, changes) = readiness_of_changes(&stage);
        (
            status,
            changes["why"].as_str().unwrap_or_default().to_owned(),
        )
    };
    wait_until("the share is not reported", || {
        let (status, why) = why();
        status == 200 && why.contains("a caller has used its share")
    });
    let metrics = stage.admin_get("/metrics").body;
    let failures = "gatepost_ledger_failures_total{operation=\"claim\",reason=\"share_used\",store=\"memory\"}";
    assert!(metrics.contains(failures), "{metrics}");

    // Half of the rest for each further caller, until not even a small entry fits.
    let full = (0..40).find_map(|number| {
        let refusal = fill_store(&store, &["gatepost", "api_key", &number.to_string()]);
        matches!(refusal, StoreError::Full).then_some(refusal)
    });
    assert!(full.is_some());
    let before = stage.fake_odoo.snapshot();
    let (text, failed) = update(&other, "4");
    assert!(failed && text.contains("nothing was sent"), "{text}");
    assert_eq!(stage.fake_odoo.snapshot(), before);
    let (count, failed) = call(&other, "count_records", &json!({"model": "res.partner"}));
    assert!(!failed, "{count}");
    for (outcome, calls) in [("applied", 2), ("refused", 2)] {
        let line = format!(
            "gatepost_changes_total{{instance=\"demo\",outcome=\"{outcome}\",tool=\"update_records\"}} {calls}"
        );
        assert!(has_metric(&stage, &line), "{line}");
    }
    wait_until("the full store is not reported", || {
        let (status, why) = why();
        status == 200 && why.contains("the change store is full")
    });
}
