//! The program as it is typed: what it prints where, and its exit codes.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use gatepost::config::Sources;
use gatepost_identity::Keyring;

const GOOD: &str = r#"
[keys]
file = "keys.toml"

[instances.production]
url = "http://odoo:8069"
api_key = "hunter2"

[[roles.reader.rules]]
models = ["*"]
"#;

/// The program with nothing in its environment.
fn gatepost(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.env_clear().args(arguments);
    command
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn ran(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    Ran {
        code: status.code().unwrap(),
        out: String::from_utf8(stdout).unwrap(),
        err: String::from_utf8(stderr).unwrap(),
    }
}

/// A folder with this text in `gatepost.toml`, and the path of that file.
fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gatepost.toml");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_right_configuration_ends_with_0_and_is_told_in_short() {
    let (folder, file) = folder(GOOD);
    let ran = ran(gatepost(&["check", "--config", "gatepost.toml"]).current_dir(&folder));
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!(ran.out, @r"
    gatepost.toml is right
      listen     127.0.0.1:8080
      instance   production: the only database on http://odoo:8069
      role       reader: 1 rule
      API keys   0 in use
      2 warnings
    ");
    insta::assert_snapshot!(ran.err, @r#"
    warning: gatepost.toml at line 3, column 8, key `keys.file`
      |
    3 | file = "keys.toml"
      |        ^^^^^^^^^^^
    keys.toml does not exist yet
    help: `gatepost key new` makes it

    warning: gatepost.toml
    NOBODY CAN GET IN: there is no API key and no other way to prove who one is
    help: make a key: `gatepost key new --role ROLE --name NAME`
    "#);
    assert!(!format!("{}{}", ran.out, ran.err).contains("hunter2"));
    drop(file);
}

#[test]
fn a_wrong_configuration_ends_with_3_and_says_all_of_it_on_standard_error() {
    let (folder, _) = folder(&GOOD.replace("file =", "flie =").replace("models", "model"));
    for command in [vec!["check"], vec!["serve"], vec!["stdio"]] {
        let ran = ran(gatepost(&command)
            .args(["--config", "gatepost.toml"])
            .current_dir(&folder));
        assert_eq!(ran.code, 3);
        assert_eq!(ran.out, "");
        assert_eq!(ran.err.matches("error: ").count(), 3, "{}", ran.err);
        assert!(!ran.err.contains("hunter2"));
    }
}

#[test]
fn the_file_may_be_named_by_a_variable_and_variables_alone_are_enough() {
    let (_folder, file) = folder(GOOD);
    let named = ran(gatepost(&["check"]).env("GATEPOST_CONFIG", &file));
    assert_eq!(named.code, 0, "{}", named.err);
    let alone = ran(gatepost(&["check"])
        .env("ODOO_URL", "http://odoo:8069")
        .env("ODOO_API_KEY", "x"));
    assert_eq!(alone.code, 0, "{}", alone.err);
    assert!(alone.err.contains("NOBODY CAN GET IN"), "{}", alone.err);
    assert_eq!(ran(&mut gatepost(&["check"])).code, 3);
}

#[test]
fn a_wrong_command_line_ends_with_2() {
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
        assert_eq!(ran(&mut gatepost(&arguments)).code, 2, "{arguments:?}");
    }
}

#[test]
fn help_and_version_end_with_0_even_when_nobody_reads_them() {
    let help = ran(&mut gatepost(&["--help"]));
    assert_eq!(help.code, 0);
    insta::assert_snapshot!(help.out);
    let version = ran(&mut gatepost(&["--version"]));
    assert!(
        version
            .out
            .starts_with(concat!("gatepost ", env!("CARGO_PKG_VERSION"))),
        "{}",
        version.out
    );
    assert!(version.out.contains("build: "), "{}", version.out);

    let (_folder, file) = folder(GOOD);
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
fn a_new_key_alone_is_on_standard_output_and_opens_the_gateway() {
    let (folder, file) = folder(GOOD);
    let config = ["--config", text(&file)];
    let made = ran(gatepost(&[
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
    assert_eq!(made.code, 0, "{}", made.err);
    let key = made.out.trim();
    assert_eq!(made.out.lines().count(), 1);
    assert!(!made.err.contains(key));

    let now = jiff::Timestamp::now();
    let keys = || Keyring::load(&folder.path().join("keys.toml")).unwrap();
    let caller = keys().verify(key, now).unwrap();
    assert_eq!(caller.roles[0].as_str(), "reader");
    let checked =
        gatepost::config::load(&Sources::with_environment(Some(file.clone()), [])).unwrap();
    assert!(checked.keyring.unwrap().verify(key, now).is_ok());

    let listed = ran(gatepost(&["key", "list"]).args(config));
    assert!(
        listed.out.contains(caller.subject.as_str()) && listed.out.contains("good"),
        "{}",
        listed.out
    );
    assert!(!listed.out.contains(key));

    let revoked = ran(gatepost(&["key", "revoke", caller.subject.as_str()]).args(config));
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    assert_eq!(keys().verify(key, now).unwrap_err().reason(), "revoked");
    let listed = ran(gatepost(&["key", "list"]).args(config));
    assert!(listed.out.contains("revoked"), "{}", listed.out);
}

#[test]
fn keys_can_be_made_where_the_secrets_of_odoo_are_not() {
    let (_folder, file) =
        folder(&GOOD.replace("api_key = \"hunter2\"", "api_key_file = \"/nowhere\""));
    let made = ran(&mut gatepost(&[
        "key",
        "new",
        "--role",
        "reader",
        "--name",
        "a",
        "--config",
        text(&file),
    ]));
    assert_eq!(made.code, 0, "{}", made.err);
}

#[test]
fn a_key_for_a_role_that_does_not_exist_is_not_made() {
    let (folder, file) = folder(GOOD);
    let made = ran(&mut gatepost(&[
        "key",
        "new",
        "--role",
        "writer",
        "--name",
        "a",
        "--config",
        text(&file),
    ]));
    assert_eq!((made.code, made.out.as_str()), (3, ""));
    insta::assert_snapshot!(made.err, @r"
    error: there is no role `writer`; there are `reader`
    ");
    assert!(!folder.path().join("keys.toml").exists());
}

#[test]
fn a_keys_file_needs_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let made = ran(&mut gatepost(&[
        "key",
        "new",
        "--role",
        "any",
        "--name",
        "a",
        "--file",
        text(&file),
    ]));
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(
        made.err.contains("nobody looks whether the roles exist"),
        "{}",
        made.err
    );
    let unknown = ran(&mut gatepost(&[
        "key",
        "revoke",
        "000000000000",
        "--file",
        text(&file),
    ]));
    assert_eq!(unknown.code, 1);
    let nowhere = ran(gatepost(&["key", "list"]).env("ODOO_URL", "http://odoo"));
    assert_eq!(nowhere.code, 3);
    assert!(
        nowhere.err.contains("GATEPOST_KEYS__FILE"),
        "{}",
        nowhere.err
    );
}

#[test]
fn many_commands_at_once_lose_no_key() {
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
    assert_eq!(Keyring::load(&file).unwrap().iter().count(), 12);
}

/// Answers one connection with these bytes; gives back the request.
fn answering(answer: &'static [u8]) -> (String, thread::JoinHandle<String>) {
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
fn a_health_check_says_by_its_exit_code_how_it_went() {
    for (answer, code) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"[..], 0),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1),
        (b"HTTP/1.1 302 Found\r\n\r\n", 1),
        (b"SSH-2.0-OpenSSH\r\n", 1),
        (b"", 1),
    ] {
        let (address, server) = answering(answer);
        let url = format!("http://{address}/readyz?x=1");
        let ran = ran(&mut gatepost(&["healthcheck", "--url", &url]));
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(
            server
                .join()
                .unwrap()
                .starts_with("GET /readyz?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")
        );
    }
    let (address, server) = answering(b"HTTP/1.1 200 OK\r\n\r\n");
    let port = address.rsplit(':').next().unwrap();
    let configured =
        ran(gatepost(&["healthcheck"]).env("GATEPOST_ADMIN__LISTEN", format!("0.0.0.0:{port}")));
    assert_eq!(configured.code, 0, "{}", configured.err);
    assert!(server.join().unwrap().starts_with("GET /livez "));
    // The listener is closed now.
    assert_eq!(
        ran(&mut gatepost(&[
            "healthcheck",
            "--url",
            &format!("http://{address}/")
        ]))
        .code,
        4
    );
    assert_eq!(
        ran(&mut gatepost(&[
            "healthcheck",
            "--url",
            "https://127.0.0.1/"
        ]))
        .code,
        3
    );
    assert_eq!(
        ran(gatepost(&["healthcheck"]).env("GATEPOST_ADMIN__LISTEN", "")).code,
        3
    );
}

#[test]
fn the_demo_lets_everybody_in_and_so_stays_on_loopback() {
    let ran = ran(&mut gatepost(&["demo", "--listen", "0.0.0.0:0"]));
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("only on loopback"), "{}", ran.err);
}

#[test]
fn stdio_asks_which_instance_is_meant() {
    let two = format!("{GOOD}\n[instances.staging]\nurl = \"http://odoo\"\napi_key = \"x\"\n");
    let (_folder, file) = folder(&two);
    for arguments in [&["stdio"][..], &["stdio", "--instance", "test"]] {
        let ran = ran(gatepost(arguments).args(["--config", text(&file)]));
        assert_eq!(ran.code, 3);
        assert!(ran.err.contains("`production`, `staging`"), "{}", ran.err);
    }
}

#[test]
fn what_a_role_may_is_explained_with_the_line_that_says_so() {
    let (folder, _) = folder(
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
        let ran = ran(gatepost(&all).current_dir(&folder));
        format!("{}{}-> {}", ran.out, ran.err, ran.code)
    };
    let told = [
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
    insta::assert_snapshot!(told.join("\n\n"));
}
