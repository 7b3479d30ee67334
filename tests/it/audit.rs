//! The record of who did what, seen from outside.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, change_keys};
use odoo_sim::{ADMIN_KEY, DATABASE, INTERNAL_KEY};
use serde_json::{Value, json};

use crate::stage::{Stage, calling, company};

/// Two keys to the company; who brings no proof reads everything by the first.
fn configuration(more: &str) -> String {
    format!(
        r#"
[server]
anonymous_role = "reader"
[instances.demo]
url = "ODOO"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
[instances.demo.credentials.internal]
api_key = "{INTERNAL_KEY}"
[roles.reader]
rules = [{{ models = ["res.*", "sale.*"] }}]
[roles.internal]
credential = "internal"
rules = [{{ models = ["*"] }}]
[keys]
file = "keys.toml"
[audit]
file = "audit.jsonl"
{more}
"#
    )
}

fn stage() -> Stage {
    Stage::written(&configuration(""))
}

/// The records of calls, without what differs from run to run, one a line.
fn records(stage: &Stage) -> String {
    let lines: Vec<String> = stage
        .audited()
        .into_iter()
        .filter(|line| line["kind"] == "call")
        .map(|mut line| {
            let members = line.as_object_mut().unwrap();
            for name in [
                "seq",
                "prev",
                "hash",
                "kind",
                "time",
                "request",
                "duration_ms",
                "size_bytes",
            ] {
                members.shift_remove(name);
            }
            line.to_string()
        })
        .collect();
    lines.join("\n")
}

/// The header of a new key of ours with this role.
fn key(file: &Path, role: &str) -> (String, String) {
    let key = ApiKey::fresh().unwrap();
    let stored = StoredKey {
        hash: key.hash(),
        name: "test".to_owned(),
        roles: vec![RoleName::try_from(role).unwrap()],
        created: jiff::Timestamp::UNIX_EPOCH,
        expires: None,
        revoked: None,
    };
    change_keys(file, |keys| keys.add(&key, stored)).unwrap();
    (key.reveal(), key.id().to_string())
}

fn gatepost(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.env_clear().current_dir(folder).args(arguments);
    command
}

/// The exit code of a command, and what it printed.
fn ran(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = gatepost(folder, arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A folder with the configuration of a gateway in front of this URL.
fn folder(url: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = configuration(more).replace("ODOO", url);
    fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    folder
}

/// A program that serves one client over its standard input and output.
struct Local {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Local {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn ask(&mut self, number: usize) {
        let mut message = calling("count_records", &json!({"model": "res.partner"}));
        message["id"] = json!(number);
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    fn answer(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(30)).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

const STDIO: [&str; 3] = ["stdio", "--config", "gatepost.toml"];

#[test]
fn a_read_leaves_a_record_and_so_do_the_questions_of_our_own_before_it() {
    let stage = stage();
    let (_, failed) = stage.call("count_records", &json!({"model": "res.partner"}));
    assert!(!failed);
    insta::assert_snapshot!(records(&stage), @r#"
    {"call":1,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.users","method":"context_get","effect":"read","outcome":"answered"}
    {"call":2,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.users","method":"read","effect":"read","ids":[2],"ids_count":1,"outcome":"answered","rows":1}
    {"call":3,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.company","method":"read","effect":"read","ids":[2],"ids_count":1,"outcome":"answered","rows":1}
    {"call":4,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.lang","method":"search_read","effect":"read","ids":[1,2],"ids_count":2,"outcome":"answered","rows":2}
    {"call":5,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","model":"res.partner","method":"search_count","effect":"read","outcome":"answered"}
    "#);
    let arguments = json!({"model": "res.partner", "ids": [1, 2], "fields": ["name"]});
    stage.call("read_records", &arguments);
    let all = stage.audited();
    let last = all.last().unwrap();
    assert_eq!((&last["ids"], &last["rows"]), (&json!([1, 2]), &json!(2)));
    assert_eq!(last["request"].as_str().unwrap().len(), 32);
}

#[test]
fn what_policy_and_what_odoo_refuse_is_told_apart_with_who_asked() {
    let stage = stage();
    let (_, failed) = stage.call("count_records", &json!({"model": "account.move"}));
    assert!(failed);
    insta::assert_snapshot!(records(&stage), @r#"{"call":0,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","model":"account.move","effect":"read","outcome":"forbidden","reason":"operation"}"#);
    let (secret, id) = key(&stage.path("keys.toml"), "internal");
    stage.reload(&configuration(""));
    let message = calling("count_records", &json!({"model": "account.move"})).to_string();
    let headers = [
        "Content-Type: application/json",
        &format!("Authorization: Bearer {secret}"),
    ];
    let (_, failed) = stage.request("POST", "/mcp", &headers, &message).tool();
    assert!(failed);
    let last = records(&stage);
    let last = last.lines().last().unwrap().replace(&id, "ID");
    insta::assert_snapshot!(last, @r#"{"call":4,"caller":{"issuer":"gatepost","kind":"api_key","subject":"ID"},"instance":"demo","credential":"internal","tool":"count_records","model":"account.move","method":"search_count","effect":"read","outcome":"refused","reason":"odoo_access"}"#);
    // A reload goes on in the same journal.
    let numbers: Vec<u64> = stage
        .audited()
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn a_client_says_its_name_and_that_is_kept_as_its_own_word() {
    let stage = stage();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "count_records",
        "arguments": {"model": "res.partner"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "inspector", "version": "1"},
        },
    }});
    let headers = [
        "Content-Type: application/json",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        "Mcp-Name: count_records",
    ];
    let answer = stage.request("POST", "/mcp", &headers, &message.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let last = stage.audited().pop().unwrap();
    assert_eq!(last["client"], json!({"name": "inspector"}));
}

#[test]
fn nothing_secret_and_nothing_that_was_searched_for_is_kept() {
    let stage = stage();
    let (secret, _) = key(&stage.path("keys.toml"), "internal");
    stage.reload(&configuration(""));
    let arguments = json!({
        "model": "res.partner",
        "domain": [["name", "ilike", "Needle in a haystack"]],
        "fields": ["name", "email"],
    });
    let message = calling("search_records", &arguments).to_string();
    let authorization = format!("Authorization: Bearer {secret}");
    let headers = ["Content-Type: application/json", &authorization];
    stage.request("POST", "/mcp", &headers, &message);
    stage.request("POST", "/mcp", &headers[..1], &message);
    stage.call(
        "find_by_name",
        &json!({"model": "res.partner", "name": "Needle"}),
    );
    assert!(stage.audited().len() > 3);
    let text = fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    let random = secret.rsplit('_').next().unwrap();
    for hidden in [
        &*secret,
        random,
        ADMIN_KEY,
        INTERNAL_KEY,
        "Needle",
        "Bearer",
        "127.0.0.1",
    ] {
        assert!(!text.contains(hidden), "{hidden}");
    }
}

#[test]
fn a_client_that_hangs_up_leaves_a_record() {
    // An Odoo that never answers.
    let odoo = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", odoo.local_addr().unwrap());
    let stage = Stage::written(&configuration("").replace("ODOO", &url));
    let mut client = TcpStream::connect(stage.address).unwrap();
    let body = calling("count_records", &json!({"model": "res.partner"})).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        stage.address,
        body.len()
    );
    client.write_all(request.as_bytes()).unwrap();
    let (mut asked, _) = odoo.accept().unwrap();
    let mut bytes = [0; 1024];
    assert!(asked.read(&mut bytes).unwrap() > 0);
    drop(client);
    // The gateway lets go of Odoo.
    while asked.read(&mut bytes).is_ok_and(|read| read > 0) {}
    let limit = Instant::now() + Duration::from_secs(20);
    let last = loop {
        let last = stage.audited().pop().unwrap();
        if last["kind"] == "call" {
            break last;
        }
        assert!(Instant::now() < limit, "no record came");
        thread::yield_now();
    };
    assert_eq!(last["outcome"], "cancelled");
    assert_eq!(last["method"], "context_get");
}

#[test]
fn readiness_says_that_the_journal_cannot_be_written_and_when_it_can_again() {
    let stage = stage();
    let told = |stage: &Stage| {
        let answer = stage.admin("/readyz");
        (answer.status, answer.json()["audit"].clone())
    };
    stage.call("count_records", &json!({"model": "res.partner"}));
    stage.audited();
    // Something stands in its place that cannot be written.
    let path = stage.path("audit.jsonl");
    fs::rename(&path, stage.path("audit.jsonl.1")).unwrap();
    fs::create_dir(&path).unwrap();
    let (_, failed) = stage.call("count_records", &json!({"model": "res.partner"}));
    assert!(!failed, "reads go on");
    stage.audited();
    let (status, audit) = told(&stage);
    assert_eq!((status, &audit["written"]), (503, &json!(false)), "{audit}");
    // Somebody is called before records are lost.
    let metric = |line: &str| {
        let metrics = stage.admin("/metrics").body;
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    };
    metric("gatepost_audit_up{} 0");
    metric("gatepost_audit_failures_total 0");
    fs::remove_dir(&path).unwrap();
    assert_eq!(
        stage.audited().len(),
        2,
        "the record was kept, behind a first line"
    );
    let limit = Instant::now() + Duration::from_secs(20);
    // Answers are given again for two seconds.
    while told(&stage) != (200, json!({"written": true})) {
        assert!(Instant::now() < limit, "it does not come back");
        thread::yield_now();
    }
    metric("gatepost_audit_up{} 1");
    let (code, out, err) = ran(
        stage.path("").as_path(),
        &["audit", "verify", "audit.jsonl"],
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2 files"), "{out}");
}

#[test]
fn two_gateways_do_not_share_a_journal() {
    let stage = stage();
    let folder = stage.path("");
    let mine = configuration("").replace("ODOO", stage.odoo());
    fs::write(folder.join("gatepost.toml"), mine).unwrap();
    let (code, _, err) = ran(&folder, &STDIO);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("is written by another process"), "{err}");
    assert!(err.contains("give each gateway a file of its own"), "{err}");
    // Looking takes nothing from the one that runs.
    let (code, _, err) = ran(&folder, &["check", "--live", "--config", "gatepost.toml"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_gateway_that_is_killed_while_it_writes_leaves_a_journal_that_goes_on() {
    let (_company, url) = company();
    let folder = folder(&url, "");
    for round in 1..=5 {
        let mut local = Local::start(&mut gatepost(folder.path(), &STDIO));
        (0..40).for_each(|number| local.ask(number));
        // In the middle of it.
        (0..round * 5).for_each(|_| drop(local.answer()));
        local.child.kill().unwrap();
        local.child.wait().unwrap();
    }
    let mut local = Local::start(&mut gatepost(folder.path(), &STDIO));
    local.ask(1);
    assert_eq!(local.answer()["id"], json!(1));
    drop(local.child.stdin.take());
    local.child.wait().unwrap();
    let (code, out, err) = ran(folder.path(), &["audit", "verify", "audit.jsonl"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("whole: "), "{out}");
}

#[test]
fn a_file_that_may_not_grow_stops_no_read_and_goes_on_when_it_may() {
    let (_company, url) = company();
    let folder = folder(&url, "");
    // As a full disk: the system cuts a write in the middle, then takes no more.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} stdio --config gatepost.toml",
        env!("CARGO_BIN_EXE_gatepost")
    );
    let mut shell = Command::new("sh");
    shell.env_clear().current_dir(folder.path());
    let mut local = Local::start(shell.arg("-c").arg(limited));
    for number in 0..40 {
        local.ask(number);
        assert_eq!(local.answer()["result"]["isError"], json!(false));
    }
    drop(local.child.stdin.take());
    local.child.wait().unwrap();
    let length = fs::metadata(folder.path().join("audit.jsonl"))
        .unwrap()
        .len();
    assert!(length == 4096 || length == 8192, "{length}");
    let (code, _, err) = ran(folder.path(), &["audit", "verify", "audit.jsonl"]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("no whole line"), "{err}");
    // The next one tells of it.
    let mut local = Local::start(&mut gatepost(folder.path(), &STDIO));
    local.ask(1);
    local.answer();
    drop(local.child.stdin.take());
    local.child.wait().unwrap();
    let (code, out, err) = ran(folder.path(), &["audit", "verify", "audit.jsonl"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("torn once"), "{out}");
}

#[test]
fn a_long_journal_is_verified_over_its_files_and_the_first_wrong_line_is_named() {
    let stage = Stage::written_beside(
        &configuration("max_file_bytes = 65_536\nkey_file = \"audit.key\""),
        &[("audit.key", &"k".repeat(32))],
    );
    for _ in 0..400 {
        stage.call("count_records", &json!({"model": "res.partner"}));
    }
    stage.audited();
    let folder = stage.path("");
    let verify = ["audit", "verify", "audit.jsonl", "--key-file", "audit.key"];
    let (code, out, err) = ran(&folder, &verify);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(stage.path("audit.jsonl.2").exists(), "{out}");
    let (code, _, err) = ran(&folder, &verify[..3]);
    assert_eq!(code, 1);
    assert!(err.contains("made with a key"), "{err}");
    // Somebody makes it look as if nobody had asked.
    let old = stage.path("audit.jsonl.1");
    let text = fs::read_to_string(&old).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    changed[6] = changed[6].replace("anonymous", "nobody");
    fs::write(&old, format!("{}\n", changed.join("\n"))).unwrap();
    let (code, _, err) = ran(&folder, &verify);
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "error: ./audit.jsonl.1, line 7: it does not fit its own hash: it was changed, or written with another key or none\n"
    );
}

#[test]
fn records_are_shown_by_who_what_and_how_it_ended() {
    let stage = stage();
    stage.call("count_records", &json!({"model": "res.partner"}));
    stage.call("count_records", &json!({"model": "sale.order"}));
    stage.call("count_records", &json!({"model": "account.move"}));
    stage.audited();
    let folder = stage.path("");
    let show = |more: &[&str]| {
        let mut arguments = vec!["audit", "show", "audit.jsonl"];
        arguments.extend(more);
        ran(&folder, &arguments)
    };
    let (code, out, _) = show(&["--model", "sale.*", "--since", "1h"]);
    assert_eq!(code, 0);
    // Without the times: they differ.
    let table: Vec<String> = out
        .lines()
        .map(|line| {
            let mut words: Vec<&str> = line.split_whitespace().skip(1).collect();
            words.remove(words.len() - 2);
            words.join(" ")
        })
        .collect();
    insta::assert_snapshot!(table.join("\n"), @r"
    CALLER INSTANCE TOOL MODEL METHOD RECORDS OUTCOME
    anonymous demo count_records sale.order search_count - answered
    ");
    let (_, out, _) = show(&["--outcome", "forbidden", "--json"]);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["model"], "account.move");
    let (_, out, _) = show(&["--outcome", "forbidden"]);
    assert!(out.contains("(read)"), "{out}");
    assert!(out.contains("forbidden: operation"), "{out}");
    let (code, out, err) = show(&["--outcome", "beguns"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("begun, cancelled"), "{err}");
    let (_, out, _) = show(&["--limit", "1", "--json"]);
    assert_eq!(out.lines().count(), 1);
    let (code, out, err) = show(&["--caller", "nobody"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert!(err.contains("nothing is kept"), "{err}");
    let (code, _, err) = show(&["--since", "yesterday"]);
    assert_eq!(code, 2, "{err}");
    // A line that is none is not passed over without a word.
    let (_, _, err) = show(&[]);
    assert!(!err.contains("cannot be read"), "{err}");
    let rotated = stage.path("audit.jsonl.1");
    fs::write(&rotated, "{\"kind\":\"call\",\"ti\n{\"kind\":\"ca").unwrap();
    let (code, _, err) = show(&[]);
    assert_eq!(code, 0);
    assert!(err.contains("1 line that cannot be read"), "{err}");
}

#[test]
fn what_was_refused_names_the_method_and_the_records_that_the_call_named() {
    let stage = stage();
    for (tool, arguments) in [
        (
            "read_records",
            json!({"model": "account.move", "ids": [7, 8]}),
        ),
        (
            "read_records",
            json!({"model": "account.move", "ids": (1..=150).collect::<Vec<u32>>()}),
        ),
    ] {
        assert!(stage.call(tool, &arguments).1);
    }
    let told: Vec<Value> = stage.audited();
    let two = told.iter().find(|one| one["ids"] == json!([7, 8])).unwrap();
    assert_eq!(two["model"], "account.move");
    assert_eq!(two["outcome"], "forbidden");
    let many = told.last().unwrap();
    assert_eq!(many["ids"].as_array().unwrap().len(), 100);
    assert_eq!(many["ids_count"], 150);
}

/// One line of a journal, as it is read.
fn line(call: u32, outcome: &str, more: &str) -> String {
    format!(
        r#"{{"kind":"call","time":"2026-11-21T08:00:00Z","request":"5f","call":{call},"caller":{{"subject":"ada"}},"instance":"demo","tool":"update_records","model":"res.partner","method":"write","ids":[{call}],"ids_count":1,"outcome":"{outcome}"{more}}}"#
    )
}

#[test]
fn the_changes_whose_end_is_not_told_are_shown_alone_and_those_whose_caller_left_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        line(1, "begun", ""),
        line(2, "begun", ""),
        line(1, "answered", r#","client_left":true"#),
        line(3, "begun", ""),
        line(3, "refused", r#","reason":"odoo_rule""#),
        line(4, "begun", ""),
        String::new(),
    ];
    fs::write(folder.path().join("audit.jsonl"), lines.join("\n")).unwrap();
    let show = |more: &[&str]| {
        let mut arguments = vec!["audit", "show", "audit.jsonl"];
        arguments.extend(more);
        let (code, out, err) = ran(folder.path(), &arguments);
        assert_eq!(code, 0, "{err}");
        out
    };
    let of = |out: &str| -> Vec<String> {
        let rows = out.lines().skip(1);
        rows.map(|row| row.split_whitespace().nth(6).unwrap().to_owned())
            .collect()
    };
    assert_eq!(of(&show(&["--outcome", "begun"])), ["[2]", "[4]"]);
    assert_eq!(of(&show(&["--outcome", "begun", "--limit", "1"])), ["[4]"]);
    assert_eq!(show(&["--outcome", "begun", "--json"]).lines().count(), 2);
    let all = show(&[]);
    assert_eq!(of(&all), ["[2]", "[1]", "[3]", "[4]"]);
    assert!(all.contains("answered, and the client had left"), "{all}");
}

#[test]
fn a_journal_that_was_emptied_is_not_whole() {
    let stage = stage();
    stage.call("count_records", &json!({"model": "res.partner"}));
    stage.audited();
    let folder = stage.path("");
    fs::write(stage.path("audit.jsonl"), "").unwrap();
    let (code, out, err) = ran(&folder, &["audit", "verify", "audit.jsonl"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(
        err.contains("holds no records: if it held some, it was emptied"),
        "{err}"
    );
    let (code, _, err) = ran(&folder, &["audit", "show", "audit.jsonl"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("it was emptied"), "{err}");
}

#[test]
fn standard_output_takes_the_lines_and_one_that_takes_nothing_is_told_by_readiness() {
    let (_company, url) = company();
    let folder = folder(&url, "stdout = true");
    let (code, _, err) = ran(folder.path(), &STDIO);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("GATEPOST_AUDIT__STDOUT=false"), "{err}");
    // Ports that are free now, most likely still in a moment.
    let port = || {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    for full in [false, true] {
        let (listen, admin) = (port(), port());
        let mut command = gatepost(folder.path(), &["serve", "--config", "gatepost.toml"]);
        command
            .env("GATEPOST_SERVER__LISTEN", &listen)
            .env("GATEPOST_ADMIN__LISTEN", &admin)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        if full {
            command.stdout(
                fs::OpenOptions::new()
                    .write(true)
                    .open("/dev/full")
                    .unwrap(),
            );
        } else {
            command.stdout(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = log.by_ref().map_while(Result::ok);
        assert!(
            ready
                .take(50)
                .any(|line| line.contains("Opened the listeners"))
        );
        let asked = asking(
            &listen,
            "POST /mcp",
            &calling("count_records", &json!({"model": "res.partner"})).to_string(),
        );
        assert!(asked.contains("records of `res.partner` match"), "{asked}");
        if full {
            let limit = Instant::now() + Duration::from_secs(20);
            while !asking(&admin, "GET /readyz", "").contains("No space left on device") {
                assert!(Instant::now() < limit, "it is not told");
                thread::yield_now();
            }
        }
        let killed = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        // So that it can write its log to the end.
        log.for_each(drop);
        let out = child.wait_with_output().unwrap().stdout;
        let out = String::from_utf8(out).unwrap();
        let file = fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
        if full {
            assert_eq!(file.matches("\"search_count\"").count(), 2);
        } else {
            assert_eq!(out.matches("\"search_count\"").count(), 1, "{out}");
            assert!(file.ends_with(&out), "the same lines in both");
        }
    }
}

/// Sends a request over a socket and reads to its end.
fn asking(address: &str, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_journal_that_cannot_be_kept_is_found_before_anything_starts() {
    let with = |audit: &str| {
        let text = configuration("").replace("file = \"audit.jsonl\"", audit);
        Stage::mistakes(&text, &[("short.key", "hunter2")])
    };
    let short = with("file = \"audit.jsonl\"\nkey_file = \"short.key\"");
    assert!(
        short.contains("a key has at least 32 characters"),
        "{short}"
    );
    assert!(!short.contains("hunter2"), "{short}");
    let nowhere = with("file = \"no/such/audit.jsonl\"");
    assert!(nowhere.contains("is no folder"), "{nowhere}");
    let keys = with("file = \"keys.toml\"");
    assert!(keys.contains("this is a file with keys"), "{keys}");
    assert_eq!(with(""), "");
}
