//! The command line: output, error output and exit codes.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use gatepost::config::Sources;
use gatepost_identity::ApiKeyStore;

const GOOD: &str = r#"
[keys]
file = "keys.toml"

[server]
listen = ["127.0.0.1:0"]

[admin]
listen = ""

[instances.production]
url = "http://odoo:8069"
api_key = "hunter2"

[[roles.reader.rules]]
models = ["*"]
"#;

/// The program with an empty environment.
fn gatepost(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.env_clear().args(arguments);
    command
}

struct CliOutput {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(command: &mut Command) -> CliOutput {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    CliOutput {
        code: status.code().unwrap(),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

/// A folder with this text in `gatepost.toml`, and the path of that file.
fn config_folder(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, text).unwrap();
    // Otherwise there is a warning about the key in it.
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, owner_only).unwrap();
    (folder, file)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn check_exits_0_and_summarizes_a_valid_configuration() {
    let (folder, file) = config_folder(GOOD);
    let ran = run(gatepost(&["check", "--config", "gatepost.toml"]).current_dir(&folder));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout, @r#"
    gatepost.toml
      listen     127.0.0.1:0
      instance   production: the only database on http://odoo:8069
      endpoint   production: http://127.0.0.1:0/production/mcp
      client     claude mcp add --transport http odoo http://127.0.0.1:0/production/mcp --header "Authorization: Bearer KEY"
      role       reader: 1 rule
      API keys   0 in use
    The configuration is valid; 2 warnings
    "#);
    insta::assert_snapshot!(ran.stderr, @r#"
    warning: gatepost.toml at line 3, column 8, key `keys.file`
      |
    3 | file = "keys.toml"
      |        ^^^^^^^^^^^
    keys.toml does not exist yet
    help: `gatepost key new` creates it

    warning: gatepost.toml
    EVERY REQUEST WILL BE REJECTED: there is no API key and no other way to authenticate
    help: create a key: `gatepost key new --role ROLE --name NAME`
    "#);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"));
    drop(file);
}

#[test]
fn invalid_configuration_exits_3_and_prints_all_errors_to_stderr() {
    let (folder, _) = config_folder(&GOOD.replace("file =", "flie =").replace("models", "model"));
    for command in [vec!["check"], vec!["serve"], vec!["stdio"]] {
        let ran = run(gatepost(&command)
            .args(["--config", "gatepost.toml"])
            .current_dir(&folder));
        assert_eq!(ran.code, 3);
        assert_eq!(ran.stdout, "");
        assert_eq!(ran.stderr.matches("error: ").count(), 3, "{}", ran.stderr);
        assert!(!ran.stderr.contains("hunter2"));
    }
}

#[test]
fn check_accepts_a_file_named_by_variable_or_variables_alone() {
    let (_folder, file) = config_folder(GOOD);
    let named = run(gatepost(&["check"]).env("GATEPOST_CONFIG", &file));
    assert_eq!(named.code, 0, "{}", named.stderr);
    let alone = run(gatepost(&["check"])
        .env("GATEPOST_SERVER__LISTEN", "127.0.0.1:0")
        .env("GATEPOST_ADMIN__LISTEN", "")
        .env("ODOO_URL", "http://odoo:8069")
        .env("ODOO_API_KEY", "x"));
    assert_eq!(alone.code, 0, "{}", alone.stderr);
    insta::assert_snapshot!(alone.stderr, @r#"
    warning: configuration
    EVERY REQUEST WILL BE REJECTED: there is no API key and no other way to authenticate
    help: to give access: add a role that says what its callers may do (`[[roles.reader.rules]]` with `models = ["res.partner"]`, or GATEPOST_ROLES__READER__RULES='[{ models = ["res.partner"] }]'), set `keys.file` (GATEPOST_KEYS__FILE), and create a key: `gatepost key new --role reader --name NAME`
    "#);
    assert_eq!(run(&mut gatepost(&["check"])).code, 3);
}

#[test]
fn check_warns_if_every_key_has_expired_or_is_revoked() {
    let (folder, file) = config_folder(GOOD);
    let key = |command: &[&str]| {
        let ran = run(gatepost(&[&["key"], command].concat())
            .args(["--config", &file.to_string_lossy()])
            .current_dir(&folder));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stdout
    };
    let warns = || {
        let ran = run(gatepost(&["check"]).args(["--config", &file.to_string_lossy()]));
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        ran.stderr.contains("`gatepost key new ")
    };
    let revoked = key(&["new", "--role", "reader", "--name", "revoked"]);
    key(&[
        "new",
        "--role",
        "reader",
        "--name",
        "expired",
        "--expires",
        "1h",
    ]);
    key(&["revoke", revoked.trim()]);
    assert!(!warns());
    let keys = folder.path().join("keys.toml");
    let text = std::fs::read_to_string(&keys).unwrap();
    let text: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.starts_with("expires") {
                "expires = \"2020-01-01T00:00:00Z\""
            } else {
                line
            }
        })
        .collect();
    std::fs::write(&keys, text.join("\n")).unwrap();
    assert!(warns());
}

#[test]
fn invalid_command_line_exits_2() {
    for arguments in [
        vec![],
        vec!["sevre"],
        vec!["serve", "--listen", "localhost"],
        vec!["key", "new", "--name", "x"],
        vec!["key", "new", "--name", "x", "--role", "Not A Role"],
        vec![
            "key",
            "new",
            "--name",
            "x",
            "--role",
            "a",
            "--expires",
            "soon",
        ],
        vec!["key", "list", "--file", "a", "--config", "b"],
        vec!["key", "revoke", "nonsense"],
        vec!["stdio", "--demo", "--instance", "a"],
    ] {
        assert_eq!(run(&mut gatepost(&arguments)).code, 2, "{arguments:?}");
    }
}

#[test]
fn help_and_version_exit_0_even_with_a_closed_pipe() {
    let help = run(&mut gatepost(&["--help"]));
    assert_eq!(help.code, 0);
    insta::assert_snapshot!(help.stdout);
    let version = run(&mut gatepost(&["--version"]));
    assert!(
        version
            .stdout
            .starts_with(concat!("gatepost ", env!("CARGO_PKG_VERSION"))),
        "{}",
        version.stdout
    );
    assert!(version.stdout.contains("build: "), "{}", version.stdout);

    let (_folder, file) = config_folder(GOOD);
    for arguments in [vec!["--help"], vec!["check", "--config", text(&file)]] {
        let mut child = gatepost(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn new_key_is_the_only_stdout_and_is_valid_until_revoked() {
    let (folder, file) = config_folder(GOOD);
    let config = ["--config", text(&file)];
    let made = run(gatepost(&[
        "key",
        "new",
        "--role",
        "reader",
        "--name",
        "laptop",
        "--expires",
        "90d",
    ])
    .args(config));
    assert_eq!(made.code, 0, "{}", made.stderr);
    let key = made.stdout.trim();
    assert_eq!(made.stdout.lines().count(), 1);
    assert!(!made.stderr.contains(key));

    let now = jiff::Timestamp::now();
    let keys = || ApiKeyStore::load(&folder.path().join("keys.toml")).unwrap();
    let caller = keys().verify(key, now).unwrap();
    assert_eq!(caller.roles[0].as_str(), "reader");
    let checked =
        gatepost::config::load(&Sources::with_environment(Some(file.clone()), [])).unwrap();
    assert!(checked.secrets.keyring.unwrap().verify(key, now).is_ok());

    let listed = run(gatepost(&["key", "list"]).args(config));
    assert!(
        listed.stdout.contains(caller.subject.as_str()) && listed.stdout.contains("active"),
        "{}",
        listed.stdout
    );
    assert!(!listed.stdout.contains(key));

    let revoked = run(gatepost(&["key", "revoke", caller.subject.as_str()]).args(config));
    assert_eq!(revoked.code, 0, "{}", revoked.stderr);
    assert_eq!(keys().verify(key, now).unwrap_err().reason(), "revoked");
    let listed = run(gatepost(&["key", "list"]).args(config));
    assert!(listed.stdout.contains("revoked"), "{}", listed.stdout);
}

#[test]
fn key_new_does_not_need_odoo_secrets() {
    let (_folder, file) =
        config_folder(&GOOD.replace("api_key = \"hunter2\"", "api_key_file = \"/nowhere\""));
    let made = run(&mut gatepost(&[
        "key",
        "new",
        "--role",
        "reader",
        "--name",
        "a",
        "--config",
        text(&file),
    ]));
    assert_eq!(made.code, 0, "{}", made.stderr);
}

#[test]
fn key_new_rejects_an_unknown_role() {
    let (folder, file) = config_folder(GOOD);
    let made = run(&mut gatepost(&[
        "key",
        "new",
        "--role",
        "writer",
        "--name",
        "a",
        "--config",
        text(&file),
    ]));
    assert_eq!((made.code, made.stdout.as_str()), (3, ""));
    insta::assert_snapshot!(made.stderr, @r"
    error: there is no role `writer`; configured: `reader`
    ");
    assert!(!folder.path().join("keys.toml").exists());
}

#[test]
fn key_commands_accept_a_keys_file_without_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let made = run(&mut gatepost(&[
        "key",
        "new",
        "--role",
        "any",
        "--name",
        "a",
        "--file",
        text(&file),
    ]));
    assert_eq!(made.code, 0, "{}", made.stderr);
    insta::assert_snapshot!(made.stderr.lines().next().unwrap(), @"note: without a configuration the roles are not checked");
    let unknown = run(&mut gatepost(&[
        "key",
        "revoke",
        "000000000000",
        "--file",
        text(&file),
    ]));
    assert_eq!(unknown.code, 1);
    let nowhere = run(gatepost(&["key", "list"]).env("ODOO_URL", "http://odoo"));
    assert_eq!(nowhere.code, 3);
    assert!(
        nowhere.stderr.contains("GATEPOST_KEYS__FILE"),
        "{}",
        nowhere.stderr
    );
}

#[test]
fn concurrent_key_new_commands_lose_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let children: Vec<_> = (0..12)
        .map(|number| {
            gatepost(&[
                "key",
                "new",
                "--role",
                "a",
                "--name",
                &number.to_string(),
                "--file",
                text(&file),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(ApiKeyStore::load(&file).unwrap().iter().count(), 12);
}

/// Responds to one connection with these bytes; returns the request.
fn serve_once(answer: &'static [u8]) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(answer).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (address, server)
}

#[test]
fn healthcheck_exit_code_reflects_the_response() {
    for (answer, code) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], 0),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1),
        (b"HTTP/1.1 302 Found\r\n\r\n", 1),
        (b"SSH-2.0-OpenSSH\r\n", 1),
        (b"", 1),
    ] {
        let (address, server) = serve_once(answer);
        let url = format!("http://{address}/readyz?x=1");
        let ran = run(&mut gatepost(&["healthcheck", "--url", &url]));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /readyz?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        );
    }
    let (address, server) = serve_once(b"HTTP/1.1 200 OK\r\n\r\n");
    let port = address.rsplit(':').next().unwrap();
    let configured =
        run(gatepost(&["healthcheck"]).env("GATEPOST_ADMIN__LISTEN", format!("0.0.0.0:{port}")));
    assert_eq!(configured.code, 0, "{}", configured.stderr);
    assert!(server.join().unwrap().starts_with("GET /livez "));
    // The listener is closed now.
    assert_eq!(
        run(&mut gatepost(&[
            "healthcheck",
            "--url",
            &format!("http://{address}/")
        ]))
        .code,
        4
    );
    assert_eq!(
        run(&mut gatepost(&[
            "healthcheck",
            "--url",
            "https://127.0.0.1/"
        ]))
        .code,
        3
    );
    assert_eq!(
        run(gatepost(&["healthcheck"]).env("GATEPOST_ADMIN__LISTEN", "")).code,
        3
    );
}

#[test]
fn demo_refuses_to_listen_beyond_loopback() {
    let ran = run(&mut gatepost(&["demo", "--listen", "0.0.0.0:0"]));
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!(ran.stderr, @"error: the demo has no authentication, so it listens only on loopback, and `0.0.0.0:0` can be reached from other machines");
}

#[test]
fn stdio_requires_an_existing_instance_when_several_are_configured() {
    let two = format!("{GOOD}\n[instances.staging]\nurl = \"http://odoo\"\napi_key = \"x\"\n");
    let (_folder, file) = config_folder(&two);
    for arguments in [&["stdio"][..], &["stdio", "--instance", "test"]] {
        let ran = run(gatepost(arguments).args(["--config", text(&file)]));
        assert_eq!(ran.code, 3);
        assert!(
            ran.stderr.contains("`production`, `staging`"),
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn explain_shows_the_decision_and_the_line_of_each_rule() {
    let (folder, _) = config_folder(
        r#"[instances.production]
url = "http://odoo:8069"
api_key_file = "/run/secrets/nowhere"
writes = "direct"
service_key_writes = true

[instances.staging]
url = "http://odoo:8069"
api_key_file = "/run/secrets/nowhere"
service_key_writes = true

[instances.training]
url = "http://odoo:8069"
api_key_file = "/run/secrets/nowhere"
writes = "confirm"
credentials.one.api_key_file = "/run/secrets/nowhere"
credentials.other.api_key_file = "/run/secrets/nowhere"

[roles.one]
credential = "one"
rules = [{ instances = ["training"], models = ["res.partner"], operations = ["read", "write"] }]

[roles.other]
credential = "other"
rules = [{ instances = ["training"], models = ["*"], domain = [["state", "=", "sale"]] }]

[roles.looking]
writes = "read_only"
rules = [{ models = ["res.partner"], operations = ["read", "write"] }]

[[roles.sales.rules]]
models = ["res.partner", "sale.*"]
operations = ["read", "write"]
methods = ["action_confirm", "message_post"]
arguments.action_confirm = {}
hidden_fields = ["credit*"]
write_fields = ["phone"]
domain = [["company_id", "=", 1]]

[[roles.strict.rules]]
models = ["sale.*"]
fields = ["margin*"]
deny = true

[roles.careful]
writes = "confirm"
approval = "human"
rules = [{ models = ["res.partner"], operations = ["write"] }]
limits = { write_per_minute = 500 }
"#,
    );
    let explain = |arguments: &[&str]| {
        let all = [&["explain", "--config", "gatepost.toml"], arguments].concat();
        let ran = run(gatepost(&all).current_dir(&folder));
        format!("{}{}-> {}", ran.stdout, ran.stderr, ran.code)
    };
    let outputs = [
        "--role sales --instance production res.partner read",
        "--role sales --instance production res.partner read --field credit_limit",
        "--role sales --instance production res.partner write --field name",
        "--role sales --instance production sale.order action_cancel",
        "--role sales --role strict --instance production sale.order read --field margin",
        "--role strict --instance production sale.order read",
        "--role sales --instance production res.users read",
        "--role sales --instance production sale.order action_confirm --json",
        "--role sales --instance production sale.order message_post",
        "--role sales --instance production res.partner write --field id",
        "--role sales --role looking --instance production res.partner write --field phone",
        "--role looking --instance production res.partner write",
        "--role sales --instance staging res.partner write --field phone",
        "--role sales --instance training res.partner write --field phone",
        "--role one --instance training res.partner write",
        "--role one --role other --instance training res.partner read",
        "--role other --instance training res.partner read",
        "--role sales --role strict --instance production --all",
        "--role strict --instance production --all --json",
        "--role sales --role careful --instance production res.partner write --field phone",
        "--role sales --role careful --role looking --all",
        "--role sales --instance staging --all --json",
        "--role nobody --all",
    ]
    .map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        format!("$ gatepost explain {line}\n{}", explain(&words))
    });
    insta::assert_snapshot!(outputs.join("\n\n"));
}
