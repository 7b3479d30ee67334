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
    // About these two alone.
    let all = all.filter(|text| text.contains("`changes`") || text.contains("`audit`"));
    let text = all.collect::<Vec<String>>().join("\n");
    text.replace(folder.path().to_str().unwrap(), "FOLDER")
}

#[test]
fn writes_without_persistent_store_or_audit_are_warned_about() {
    let forgets = warnings(&configuration(""));
    let both = warnings(&configuration("").replace("[audit]\nfile = \"audit.jsonl\"", ""));
    insta::assert_snapshot!([&forgets, &both].map(String::as_str).join("\n\n"));
    for nothing_to_forget in [
        configuration(IN_FILE),
        configuration("[redis]\nurl = \"redis://127.0.0.1\""),
        configuration("").replace("writes = \"confirm\"", ""),
        configuration("").replace(", \"write\"", ""),
        configuration("").replace("[roles.clerk]", "[roles.clerk]\nwrites = \"read_only\""),
    ] {
        let message = warnings(&nothing_to_forget);
        assert!(
            !message.contains("`[changes]`"),
            "{nothing_to_forget}\n{message}"
        );
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
        let message = String::from_utf8([stdout, stderr].concat()).unwrap();
        // About the store alone.
        let about = |line: &&str| line.contains("changes");
        let lines: Vec<&str> = message.lines().filter(about).collect();
        (status.code(), lines.join("\n"))
    };
    let (code, works) = check();
    assert_eq!(code, Some(0), "{works}");
    assert!(!at("changes.redb").exists());

    let settings = StoreSettings {
        location: StoreLocation::File {
            path: at("changes.redb"),
            max_bytes: 1 << 20,
        },
        retention: Retention::default(),
    };
    let ledger = StateStore::open(settings).unwrap();
    let (code, used) = check();
    assert_eq!(code, Some(0), "{used}");
    assert!(ledger.close(Duration::from_secs(20)));
    assert_eq!(check(), (Some(0), works.clone()));

    fs::write(at("changes.redb"), "x".repeat(5_000)).unwrap();
    let (code, damaged) = check();
    assert_eq!(code, Some(3), "{damaged}");
    insta::assert_snapshot!([works, used, damaged].join("\n\n"));
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
    one.call_succeeds("create_records", &create, "applied");
    drop(one);
    let two = TestGateway::from_config(&text.replace("ODOO", &odoo));
    let before = company.snapshot();
    two.call_succeeds("create_records", &create, "repeated");
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
    assert!(log::written_since(from).contains(log::REDIS_LOST));
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
        stage.request("POST", "/mcp", &headers, &message).recorded()
    };
    let update = |key: &ApiKey, phone: &str| {
        let arguments = json!({
            "model": "res.partner", "ids": [7], "values": {"phone": phone}, "idempotency_key": phone
        });
        call(key, "update_records", &arguments)
    };
    assert!(!update(&greedy, "1").tool_result().1);
    let store = stage.state_store();
    let share = fill_store(&store, &["gatepost", "api_key", greedy.id().as_str()]);
    assert!(matches!(share, StoreError::ShareUsed), "{share}");
    let before = stage.fake_odoo.snapshot();
    assert_eq!(update(&greedy, "2").error_kind(), "unremembered");
    assert_eq!(stage.fake_odoo.snapshot(), before);
    assert!(!update(&other, "3").tool_result().1);
    let why = || {
        let (status, changes) = readiness_of_changes(&stage);
        (
            status,
            changes["why"].as_str().unwrap_or_default().to_owned(),
        )
    };
    wait_until("the share is not reported", || !why().1.is_empty());
    let (status, share) = why();
    assert_eq!(status, 200);
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
    assert_eq!(update(&other, "4").error_kind(), "unremembered");
    assert_eq!(stage.fake_odoo.snapshot(), before);
    let count = call(&other, "count_records", &json!({"model": "res.partner"}));
    assert!(!count.tool_result().1);
    for (outcome, calls) in [("applied", 2), ("refused", 2)] {
        let line = format!(
            "gatepost_changes_total{{instance=\"demo\",outcome=\"{outcome}\",tool=\"update_records\"}} {calls}"
        );
        assert!(has_metric(&stage, &line), "{line}");
    }
    wait_until("the full store is not reported", || why().1 != share);
    let (status, full) = why();
    assert_eq!(status, 200);
    // Without the bytes in use.
    let causes = [&share, &full].map(|why| why.split("; ").next().unwrap());
    insta::assert_snapshot!(causes.join("\n"), @r"
    a caller has used its share of the change store, so its changes are refused
    the change store is full, so changes are refused
    ");
}
