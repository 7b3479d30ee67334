//! What is remembered of changes, seen from outside.

use std::{
    fs,
    process::{Command, Output},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use gatepost::config::Sources;
use gatepost_state::store::{Ledger, LedgerPlace, LedgerSettings, Retention};
use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::{
    log,
    redis_server::RedisServer,
    stage::{Stage, company},
};

/// A gateway whose role may change contacts, configured further.
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

fn in_redis(server: &RedisServer) -> String {
    format!("[redis]\nurl = \"{}\"\ntimeout_ms = 2_000", server.url())
}

fn shown(stage: &Stage) -> (u16, Value) {
    let answer = stage.admin("/readyz");
    (answer.status, answer.json()["changes"].clone())
}

fn metric(stage: &Stage, line: &str) -> bool {
    stage.admin("/metrics").body.lines().any(|one| one == line)
}

/// Waits until it is so: what operators are told is told again for two seconds.
fn until(what: &str, is_so: impl Fn() -> bool) {
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
fn whoever_may_change_something_is_warned_of_what_a_restart_forgets() {
    let forgets = "lost at a restart";
    let unaudited = "no record is kept of who did";
    let told = warnings(&configuration(""));
    assert!(told.contains(forgets), "{told}");
    assert!(told.contains("set `file` in `[changes]`"), "{told}");
    assert!(!told.contains(unaudited), "{told}");
    let told = warnings(&configuration("").replace("[audit]\nfile = \"audit.jsonl\"", ""));
    assert!(told.contains(unaudited), "{told}");
    for nothing_to_forget in [
        configuration(IN_FILE),
        configuration("[redis]\nurl = \"redis://127.0.0.1\""),
        configuration("").replace("writes = \"confirm\"", ""),
        configuration("").replace(", \"write\"", ""),
        configuration("").replace("[roles.clerk]", "[roles.clerk]\nwrites = \"read_only\""),
    ] {
        let told = warnings(&nothing_to_forget);
        assert!(!told.contains(forgets), "{nothing_to_forget}\n{told}");
    }
}

#[test]
fn a_place_in_which_nothing_can_be_remembered_is_found_before_anything_starts() {
    let with = |more: &str| Stage::mistakes(&configuration(more), &[("other.redb", "no database")]);
    assert_eq!(with(IN_FILE), "");
    for (more, says) in [
        ("[changes]\nfile = \"no/such/changes.redb\"", "is no folder"),
        (
            "[changes]\nfile = \"audit.jsonl\"",
            "used for something else",
        ),
        (
            "[changes]\nfile = \"changes.redb\"\n[redis]\nurl = \"redis://127.0.0.1\"",
            "replicas do not see each other's files",
        ),
        ("[changes]\nfile = \"other.redb\"", "is no file of a ledger"),
        ("[changes]\nkeep_keys_hours = 0", "1 to 8,784"),
        ("[changes]\nmax_undo_bytes = 2_000_000", "0 to 1,048,576"),
    ] {
        let told = with(more);
        assert!(told.contains(says), "{more}\n{told}");
    }
}

#[test]
fn a_second_gateway_does_not_get_the_file_of_the_first() {
    let stage = Stage::written(&configuration(IN_FILE));
    let file = stage.path("changes.redb").display().to_string();
    let second = configuration(&format!("[changes]\nfile = \"{file}\""));
    let told = Stage::mistakes(&second, &[]);
    assert!(told.contains("is used by another process"), "{told}");
    assert_eq!(shown(&stage), (200, json!({ "remembered": true })));
    assert!(metric(&stage, "gatepost_ledger_up{store=\"file\"} 1"));
}

#[test]
fn check_live_looks_whether_the_file_can_be_used_and_leaves_none_behind() {
    let (_company, odoo) = company();
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
            .current_dir(folder.path())
            .args(["check", "--live", "--config", "gatepost.toml"])
            .output()
            .unwrap();
        let told = [stdout, stderr].concat();
        (status.code(), String::from_utf8(told).unwrap())
    };
    let (code, told) = check();
    assert!(told.contains("remembered in changes.redb"), "{told}");
    assert!(told.contains("changes: can be remembered"), "{told}");
    assert_eq!(code, Some(0), "{told}");
    assert!(!at("changes.redb").exists());

    let settings = LedgerSettings {
        place: LedgerPlace::File {
            path: at("changes.redb"),
            max_bytes: 1 << 20,
        },
        retention: Retention::default(),
    };
    let ledger = Ledger::open(settings).unwrap();
    let (code, told) = check();
    assert!(told.contains("in use by another process"), "{told}");
    assert_eq!(code, Some(0), "{told}");
    assert!(ledger.close(Duration::from_secs(20)));
    let (code, told) = check();
    assert!(told.contains("changes: can be remembered"), "{told}");
    assert_eq!(code, Some(0), "{told}");

    fs::write(at("changes.redb"), "x".repeat(5_000)).unwrap();
    let (code, told) = check();
    assert!(told.contains("is damaged"), "{told}");
    assert!(told.contains("move it away"), "{told}");
    assert_eq!(code, Some(4), "{told}");
}

#[test]
fn a_call_that_is_repeated_after_a_restart_is_not_made_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changes.redb");
    let text = configuration(&format!("[changes]\nfile = \"{}\"", file.display()));
    let text = text
        .replace("writes = \"confirm\"", "writes = \"direct\"")
        .replace("\"write\"]", "\"create\"]");
    let create = json!({
        "model": "res.partner", "values": [{"name": "Remembered"}], "idempotency_key": "k"
    });
    let one = Stage::written(&text);
    let (company, odoo) = (Arc::clone(&one.company), one.odoo().to_owned());
    let (done, failed) = one.call("create_records", &create);
    assert!(!failed && done.starts_with("Created"), "{done}");
    drop(one);
    let two = Stage::written(&text.replace("ODOO", &odoo));
    let before = company.snapshot();
    let (again, failed) = two.call("create_records", &create);
    assert!(
        !failed && again.starts_with("This was done before"),
        "{again}"
    );
    assert_eq!(company.snapshot(), before);
}

#[test]
fn a_reload_goes_on_with_what_is_remembered_and_does_not_move_it() {
    let stage = Stage::written(&configuration(IN_FILE));
    let shorter = format!("{IN_FILE}\nkeep_keys_hours = 1");
    stage.reload(&configuration(&shorter));
    stage.reload(&configuration(IN_FILE));
    let told = stage.refused_reload(&configuration("[changes]\nfile = \"other.redb\""));
    assert!(told.contains("cannot be kept in another place"), "{told}");
    assert!(told.contains("restart"), "{told}");
    let told = stage.refused_reload(&configuration(""));
    assert!(told.contains("cannot be kept in another place"), "{told}");
    assert!(!stage.path("other.redb").exists());
    assert_eq!(shown(&stage), (200, json!({ "remembered": true })));
    // Where nobody may change anything there is nothing to lose.
    let reading = configuration(IN_FILE).replace("writes = \"confirm\"", "");
    stage.reload(&reading);
    stage.reload(&configuration("[changes]\nfile = \"other.redb\""));
    assert!(stage.path("other.redb").exists());
    assert!(metric(&stage, "gatepost_ledger_up{store=\"file\"} 1"));
}

#[test]
fn operators_hear_that_changes_cannot_be_remembered_and_when_they_can_again() {
    let mut server = RedisServer::start();
    let stage = Stage::written(&configuration(&in_redis(&server)));
    assert_eq!(shown(&stage), (200, json!({ "remembered": true })));
    assert!(metric(&stage, "gatepost_ledger_up{store=\"redis\"} 1"));
    let from = log::length();
    server.kill();
    let up = |is_up: u8| format!("gatepost_ledger_up{{store=\"redis\"}} {is_up}");
    until("it is not told", || metric(&stage, &up(0)));
    let (status, told) = shown(&stage);
    assert_eq!(
        (status, &told["remembered"]),
        (200, &json!(false)),
        "{told}"
    );
    let why = told["why"].as_str().unwrap();
    assert!(why.starts_with("redis: "), "{why}");
    assert!(log::since(from).contains("Lost Redis"));
    server.restart();
    until("it does not come back", || metric(&stage, &up(1)));

    // A gateway that only reads needs no ledger, and says nothing of one.
    server.kill();
    let reading = configuration(&in_redis(&server)).replace("writes = \"confirm\"", "");
    let stage = Stage::written(&reading);
    assert_eq!(shown(&stage), (200, Value::Null));
    let metrics = stage.admin("/metrics").body;
    assert!(!metrics.contains("\ngatepost_ledger_up{"), "{metrics}");
}
