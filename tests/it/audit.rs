//! The audit journal from outside.

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
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use odoo_sim::{ADMIN_KEY, DATABASE, INTERNAL_KEY};
use serde_json::{Value, json};

use crate::{
    log,
    test_gateway::{TestGateway, reset, start_fake_odoo, tool_call},
};

/// Two API keys of the simulated Odoo; anonymous callers use the first.
fn audit_config(more: &str) -> String {
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

fn start_gateway() -> TestGateway {
    TestGateway::from_config(&audit_config(""))
}

/// The records of calls, without members that differ between runs, one per line.
fn call_records(stage: &TestGateway) -> String {
    let lines: Vec<String> = stage
        .audit_entries()
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

/// The header with a new API key of this role.
fn create_key(file: &Path, role: &str) -> (String, String) {
    let key = ApiKey::generate().unwrap();
    let stored = StoredKey {
        id: key.id().clone(),
        hash: key.hash(),
        name: "test".to_owned(),
        roles: vec![RoleName::try_from(role).unwrap()],
        created: jiff::Timestamp::UNIX_EPOCH,
        expires: None,
        revoked: None,
    };
    update_keys_file(file, |keys| keys.add(stored)).unwrap();
    (key.reveal(), key.id().to_string())
}

fn gatepost(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command
        .env_clear()
        .env("GATEPOST_SERVER__LISTEN", "127.0.0.1:0")
        .env("GATEPOST_ADMIN__LISTEN", "")
        .current_dir(folder)
        .args(arguments);
    command
}

/// The exit code and the output of a command.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
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
fn config_folder(url: &str, more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = audit_config(more).replace("ODOO", url);
    fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    folder
}

/// A gateway process that serves one client over standard input and output.
struct StdioGateway {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl StdioGateway {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
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

    fn send_count(&mut self, number: usize) {
        let mut message = tool_call("count_records", &json!({"model": "res.partner"}));
        message["id"] = json!(number);
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    fn read_response(&self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_mins(2)).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

const STDIO: [&str; 3] = ["stdio", "--config", "gatepost.toml"];

#[test]
fn read_and_its_system_queries_are_recorded() {
    let stage = start_gateway();
    let (_, failed) = stage.call("count_records", &json!({"model": "res.partner"}));
    assert!(!failed);
    insta::assert_snapshot!(call_records(&stage), @r#"
    {"call":1,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.users","method":"context_get","effect":"read","outcome":"answered"}
    {"call":2,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.users","method":"read","effect":"read","ids":[2],"ids_count":1,"outcome":"answered","rows":1}
    {"call":3,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.company","method":"read","effect":"read","ids":[2],"ids_count":1,"outcome":"answered","rows":1}
    {"call":4,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","inquiry":true,"model":"res.lang","method":"search_read","effect":"read","ids":[1,2],"ids_count":2,"outcome":"answered","rows":2}
    {"call":5,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","model":"res.partner","method":"search_count","effect":"read","outcome":"answered"}
    "#);
    let arguments = json!({"model": "res.partner", "ids": [1, 2], "fields": ["name"]});
    stage.call("read_records", &arguments);
    let all = stage.audit_entries();
    let last = all.last().unwrap();
    assert_eq!((&last["ids"], &last["rows"]), (&json!([1, 2]), &json!(2)));
    assert_eq!(last["request"].as_str().unwrap().len(), 32);
}

#[test]
fn policy_and_odoo_denials_are_recorded_with_the_caller() {
    let stage = start_gateway();
    let (_, failed) = stage.call("count_records", &json!({"model": "account.move"}));
    assert!(failed);
    insta::assert_snapshot!(call_records(&stage), @r#"{"call":0,"caller":{"issuer":"gatepost","kind":"anonymous","subject":"anonymous"},"instance":"demo","tool":"count_records","model":"account.move","effect":"read","outcome":"forbidden","reason":"operation"}"#);
    let (secret, id) = create_key(&stage.path("keys.toml"), "internal");
    stage.reload(&audit_config(""));
    let message = tool_call("count_records", &json!({"model": "account.move"})).to_string();
    let headers = [
        "Content-Type: application/json",
        &format!("Authorization: Bearer {secret}"),
    ];
    let (_, failed) = stage
        .request("POST", "/mcp", &headers, &message)
        .tool_result();
    assert!(failed);
    let last = call_records(&stage);
    let last = last.lines().last().unwrap().replace(&id, "ID");
    insta::assert_snapshot!(last, @r#"{"call":4,"caller":{"issuer":"gatepost","kind":"api_key","subject":"ID","name":"test"},"instance":"demo","credential":"internal","tool":"count_records","model":"account.move","method":"search_count","effect":"read","outcome":"refused","reason":"odoo_access"}"#);
    // A reload continues the same journal.
    let numbers: Vec<u64> = stage
        .audit_entries()
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn declared_client_name_is_recorded() {
    let stage = start_gateway();
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
    let last = stage.audit_entries().pop().unwrap();
    assert_eq!(last["client"], json!({"name": "inspector"}));
}

#[test]
fn secrets_and_search_terms_are_not_recorded() {
    let stage = start_gateway();
    let (secret, _) = create_key(&stage.path("keys.toml"), "internal");
    stage.reload(&audit_config(""));
    let arguments = json!({
        "model": "res.partner",
        "domain": [["name", "ilike", "Needle in a haystack"]],
        "fields": ["name", "email"],
    });
    let message = tool_call("search_records", &arguments).to_string();
    let authorization = format!("Authorization: Bearer {secret}");
    let headers = ["Content-Type: application/json", &authorization];
    stage.request("POST", "/mcp", &headers, &message);
    stage.request("POST", "/mcp", &headers[..1], &message);
    stage.call(
        "find_by_name",
        &json!({"model": "res.partner", "name": "Needle"}),
    );
    assert!(stage.audit_entries().len() > 3);
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
fn client_disconnect_is_recorded_as_cancelled() {
    // An Odoo that never answers.
    let odoo = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", odoo.local_addr().unwrap());
    let stage = TestGateway::from_config(&audit_config("").replace("ODOO", &url));
    let mut client = TcpStream::connect(stage.address).unwrap();
    let body = tool_call("count_records", &json!({"model": "res.partner"})).to_string();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        stage.address,
        body.len()
    );
    client.write_all(request.as_bytes()).unwrap();
    let (mut asked, _) = odoo.accept().unwrap();
    let mut bytes = [0; 1024];
    assert!(asked.read(&mut bytes).unwrap() > 0);
    reset(client);
    // The gateway closes the connection to Odoo.
    while asked.read(&mut bytes).is_ok_and(|read| read > 0) {}
    let limit = Instant::now() + Duration::from_secs(20);
    let last = loop {
        let last = stage.audit_entries().pop().unwrap();
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
fn readiness_reports_an_unwritable_journal_and_its_recovery() {
    let stage = start_gateway();
    let readiness = |stage: &TestGateway| {
        let answer = stage.admin_get("/readyz");
        (answer.status, answer.json()["audit"].clone())
    };
    stage.call("count_records", &json!({"model": "res.partner"}));
    stage.audit_entries();
    // The path is replaced by something that cannot be written.
    let path = stage.path("audit.jsonl");
    fs::rename(&path, stage.path("audit.jsonl.1")).unwrap();
    fs::create_dir(&path).unwrap();
    let (_, failed) = stage.call("count_records", &json!({"model": "res.partner"}));
    assert!(!failed, "reads go on");
    stage.audit_entries();
    let (status, audit) = readiness(&stage);
    assert_eq!((status, &audit["written"]), (503, &json!(false)), "{audit}");
    // The gateway reports it before records are lost.
    let metric = |line: &str| {
        let metrics = stage.admin_get("/metrics").body;
        assert!(metrics.lines().any(|one| one == line), "{line}: {metrics}");
    };
    metric("gatepost_audit_up 0");
    metric("gatepost_audit_failures_total 0");
    fs::remove_dir(&path).unwrap();
    assert_eq!(
        stage.audit_entries().len(),
        2,
        "the record was kept, behind a first line"
    );
    let limit = Instant::now() + Duration::from_secs(20);
    // Admin responses are cached for two seconds.
    while readiness(&stage) != (200, json!({"written": true})) {
        assert!(Instant::now() < limit, "it does not come back");
        thread::yield_now();
    }
    metric("gatepost_audit_up 1");
    let (code, out, err) = run(
        stage.path("").as_path(),
        &["audit", "verify", "audit.jsonl"],
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("2 files"), "{out}");
}

#[test]
fn second_gateway_cannot_open_the_same_journal() {
    let stage = start_gateway();
    let folder = stage.path("");
    let mine = audit_config("").replace("ODOO", stage.odoo_url());
    fs::write(folder.join("gatepost.toml"), mine).unwrap();
    let (code, _, err) = run(&folder, &["serve", "--config", "gatepost.toml"]);
    assert_eq!(code, 3, "{err}");
    let error = err.get(err.find("error: ").unwrap()..).unwrap();
    insta::assert_snapshot!(error.replace(folder.to_str().unwrap(), "FOLDER"));
    // Reading does not affect the running gateway.
    let (code, _, err) = run(&folder, &["check", "--live", "--config", "gatepost.toml"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn local_clients_run_beside_the_gateway_and_each_other() {
    let stage = start_gateway();
    let folder = stage.path("");
    let mine = audit_config("").replace("ODOO", stage.odoo_url());
    let mine = format!("{mine}\n[changes]\nfile = \"changes.redb\"\n");
    fs::write(folder.join("gatepost.toml"), mine).unwrap();
    let mut clients = [1, 2].map(|number| {
        let mut local = StdioGateway::start(&mut gatepost(&folder, &STDIO));
        local.send_count(number);
        assert_eq!(local.read_response()["result"]["isError"], json!(false));
        local
    });
    for (number, local) in (1..).zip(&mut clients) {
        drop(local.child.stdin.take());
        assert!(local.child.wait().unwrap().success());
        let mut log = String::new();
        let mut stderr = local.child.stderr.take().unwrap();
        stderr.read_to_string(&mut log).unwrap();
        assert!(log.contains("Served request"), "{log}");
        let journal = format!("audit.stdio-{number}.jsonl");
        let (code, out, err) = run(&folder, &["audit", "verify", &journal]);
        assert_eq!(code, 0, "{err}");
        assert!(out.starts_with("intact: "), "{out}");
        assert!(folder.join(format!("changes.stdio-{number}.redb")).exists());
    }
    // A later one continues the first files that are free.
    let mut local = StdioGateway::start(&mut gatepost(&folder, &STDIO));
    local.send_count(3);
    local.read_response();
    drop(local.child.stdin.take());
    local.child.wait().unwrap();
    assert!(!folder.join("audit.stdio-3.jsonl").exists());
    assert!(!folder.join("changes.redb").exists());
}

#[test]
fn local_client_learns_why_its_gateway_cannot_start() {
    let (_company, url) = start_fake_odoo();
    let folder = config_folder(&url, "flie = \"x\"");
    let mut program = gatepost(folder.path(), &STDIO)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    // The input stays open, as a client leaves it.
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(format!("{request}\n").as_bytes()).unwrap();
    let answered = program.wait_with_output().unwrap();
    assert_eq!(answered.status.code(), Some(3));
    let answer: Value = serde_json::from_slice(&answered.stdout).unwrap();
    let (id, code) = (&answer["id"], &answer["error"]["code"]);
    assert_eq!((id, code), (&json!(1), &json!(-32603)), "{answer}");
    let reason = answer["error"]["message"].as_str().unwrap();
    let said = String::from_utf8(answered.stderr).unwrap();
    insta::assert_snapshot!([reason, &said].join("\n---\n"));
    drop(stdin);
}

#[test]
fn journal_continues_after_the_gateway_is_killed() {
    let (_company, url) = start_fake_odoo();
    let folder = config_folder(&url, "");
    for round in 1..=5 {
        let mut local = StdioGateway::start(&mut gatepost(folder.path(), &STDIO));
        (0..40).for_each(|number| local.send_count(number));
        // In the middle of a line.
        (0..round * 5).for_each(|_| drop(local.read_response()));
        local.child.kill().unwrap();
        local.child.wait().unwrap();
    }
    let mut local = StdioGateway::start(&mut gatepost(folder.path(), &STDIO));
    local.send_count(1);
    assert_eq!(local.read_response()["id"], json!(1));
    drop(local.child.stdin.take());
    local.child.wait().unwrap();
    let (code, out, err) = run(folder.path(), &["audit", "verify", "audit.stdio-1.jsonl"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("intact: "), "{out}");
}

#[test]
fn journal_at_its_size_limit_stops_no_read_and_is_repaired() {
    let (_company, url) = start_fake_odoo();
    let folder = config_folder(&url, "");
    // Like a full disk: one write is cut short, and later ones fail.
    let limited = format!(
        "trap '' XFSZ; ulimit -f 8; exec {} stdio --config gatepost.toml",
        env!("CARGO_BIN_EXE_gatepost")
    );
    let mut shell = Command::new("sh");
    shell.env_clear().current_dir(folder.path());
    let mut local = StdioGateway::start(shell.arg("-c").arg(limited));
    for number in 0..40 {
        local.send_count(number);
        assert_eq!(local.read_response()["result"]["isError"], json!(false));
    }
    drop(local.child.stdin.take());
    local.child.wait().unwrap();
    let length = fs::metadata(folder.path().join("audit.stdio-1.jsonl"))
        .unwrap()
        .len();
    assert!(length == 4096 || length == 8192, "{length}");
    let (code, _, err) = run(folder.path(), &["audit", "verify", "audit.stdio-1.jsonl"]);
    assert_eq!(code, 1, "{err}");
    let (_, damage) = err.split_once(", line ").unwrap();
    let (_, damage) = damage.split_once(": ").unwrap();
    insta::assert_snapshot!(damage, @"it is incomplete: the gateway crashed while writing it (and reports that when it opens the file again), the file was truncated, or the line is being written right now");
    // The next gateway reports it.
    let mut local = StdioGateway::start(&mut gatepost(folder.path(), &STDIO));
    local.send_count(1);
    local.read_response();
    drop(local.child.stdin.take());
    local.child.wait().unwrap();
    let (code, out, err) = run(folder.path(), &["audit", "verify", "audit.stdio-1.jsonl"]);
    assert_eq!(code, 0, "{err}");
    insta::assert_snapshot!(out.lines().last().unwrap(), @"  an incomplete record was found once after a crash");
}

#[test]
fn verify_spans_rotated_files_and_names_the_first_changed_line() {
    let stage = TestGateway::from_config_with_files(
        &audit_config("max_file_bytes = 65_536\nkey_file = \"audit.key\""),
        &[("audit.key", &"k".repeat(32))],
    );
    for _ in 0..400 {
        stage.call("count_records", &json!({"model": "res.partner"}));
    }
    stage.audit_entries();
    let folder = stage.path("");
    let verify = ["audit", "verify", "audit.jsonl", "--key-file", "audit.key"];
    let (code, out, err) = run(&folder, &verify);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(stage.path("audit.jsonl.2").exists(), "{out}");
    let (code, _, err) = run(&folder, &verify[..3]);
    assert_eq!(code, 1);
    assert!(err.contains("use a key"), "{err}");
    // An attacker hides who called.
    let old = stage.path("audit.jsonl.1");
    let text = fs::read_to_string(&old).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    changed[6] = changed[6].replace("anonymous", "nobody");
    fs::write(&old, format!("{}\n", changed.join("\n"))).unwrap();
    let (code, _, err) = run(&folder, &verify);
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "error: ./audit.jsonl.1, line 7: it does not match its own hash: it was changed, or written with another key, or without one\n"
    );
}

#[test]
fn audit_show_filters_by_model_caller_and_outcome() {
    let stage = start_gateway();
    stage.call("count_records", &json!({"model": "res.partner"}));
    stage.call("count_records", &json!({"model": "sale.order"}));
    stage.call("count_records", &json!({"model": "account.move"}));
    stage.audit_entries();
    let folder = stage.path("");
    let show = |more: &[&str]| {
        let mut arguments = vec!["audit", "show", "audit.jsonl"];
        arguments.extend(more);
        run(&folder, &arguments)
    };
    let (code, out, _) = show(&["--model", "sale.*", "--since", "1h"]);
    assert_eq!(code, 0);
    // Without the times, which differ.
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
    insta::assert_snapshot!(err);
    let (code, _, err) = show(&["--since", "yesterday"]);
    assert_eq!(code, 2, "{err}");
    // An invalid line is reported.
    let (_, _, err) = show(&[]);
    assert_eq!(err, "");
    let rotated = stage.path("audit.jsonl.1");
    fs::write(&rotated, "{\"kind\":\"call\",\"ti\n{\"kind\":\"ca").unwrap();
    let (code, _, err) = show(&[]);
    assert_eq!(code, 0);
    insta::assert_snapshot!(err);
}

#[test]
fn denied_call_is_recorded_with_its_model_and_ids() {
    let stage = start_gateway();
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
    let entries: Vec<Value> = stage.audit_entries();
    let two = entries
        .iter()
        .find(|one| one["ids"] == json!([7, 8]))
        .unwrap();
    assert_eq!(two["model"], "account.move");
    assert_eq!(two["outcome"], "forbidden");
    let many = entries.last().unwrap();
    assert_eq!(many["ids"].as_array().unwrap().len(), 100);
    assert_eq!(many["ids_count"], 150);
}

/// One line of a journal.
fn journal_line(call: u32, outcome: &str, more: &str) -> String {
    format!(
        r#"{{"kind":"call","time":"2026-11-21T08:00:00Z","request":"5f","call":{call},"caller":{{"subject":"ada"}},"instance":"demo","tool":"update_records","model":"res.partner","method":"write","ids":[{call}],"ids_count":1,"outcome":"{outcome}"{more}}}"#
    )
}

#[test]
fn audit_show_marks_unfinished_writes_and_client_disconnects() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        journal_line(1, "begun", ""),
        journal_line(2, "begun", ""),
        journal_line(1, "answered", r#","client_left":true"#),
        journal_line(3, "begun", ""),
        journal_line(3, "refused", r#","reason":"odoo_rule""#),
        journal_line(4, "begun", ""),
        String::new(),
    ];
    fs::write(folder.path().join("audit.jsonl"), lines.join("\n")).unwrap();
    let show = |more: &[&str]| {
        let mut arguments = vec!["audit", "show", "audit.jsonl"];
        arguments.extend(more);
        let (code, out, err) = run(folder.path(), &arguments);
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
    insta::assert_snapshot!(all);
}

#[test]
fn verify_rejects_an_emptied_journal() {
    let stage = start_gateway();
    stage.call("count_records", &json!({"model": "res.partner"}));
    stage.audit_entries();
    let folder = stage.path("");
    fs::write(stage.path("audit.jsonl"), "").unwrap();
    let (code, out, err) = run(&folder, &["audit", "verify", "audit.jsonl"]);
    assert_eq!((code, out.as_str()), (1, ""));
    let (code, _, shown) = run(&folder, &["audit", "show", "audit.jsonl"]);
    assert_eq!(code, 0, "{shown}");
    insta::assert_snapshot!([err, shown].join("\n"), @r"
    error: audit.jsonl has no lines: if it had any, they were removed

    note: audit.jsonl has no lines: if it had any, they were removed
    no matching records
    ");
}

#[test]
fn stdout_receives_the_lines_and_readiness_reports_its_failure() {
    let (_company, url) = start_fake_odoo();
    let folder = config_folder(&url, "stdout = true");
    let (code, _, err) = run(folder.path(), &STDIO);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("GATEPOST_AUDIT__STDOUT=false"), "{err}");
    // The ports are free now and most likely remain so.
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
        assert!(ready.take(50).any(|line| line.contains(log::LISTENING)));
        let asked = raw_request(
            &listen,
            "POST /mcp",
            &tool_call("count_records", &json!({"model": "res.partner"})).to_string(),
        );
        assert!(asked.contains(r#""isError":false"#), "{asked}");
        if full {
            let limit = Instant::now() + Duration::from_secs(20);
            while !raw_request(&admin, "GET /readyz", "").contains("No space left on device") {
                assert!(Instant::now() < limit, "the file was not reported");
                thread::yield_now();
            }
        }
        let killed = Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        // So that it can finish its log.
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
fn raw_request(address: &str, line: &str, body: &str) -> String {
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
fn invalid_audit_settings_are_found_before_startup() {
    let with = |audit: &str| {
        let text = audit_config("").replace("file = \"audit.jsonl\"", audit);
        TestGateway::config_errors(&text, &[("short.key", "hunter2")])
    };
    let short = with("file = \"audit.jsonl\"\nkey_file = \"short.key\"");
    assert!(!short.contains("hunter2"), "{short}");
    let nowhere = with("file = \"no/such/audit.jsonl\"");
    let keys = with("file = \"keys.toml\"");
    insta::assert_snapshot!([short, nowhere, keys].join("\n\n"));
    assert_eq!(with(""), "");
}
