//! `gatepost check`: what `serve` would meet, and what is wrong with the services
//! around the gateway, in the words of an administrator.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
};

use odoo_sim::ADMIN_KEY;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, crypto::ring, pki_types::CertificateDer};

use crate::{log::LISTENING, test_gateway::start_fake_odoo};

/// The settings that make the listeners use any free port.
const FREE_PORTS: [(&str, &str); 2] = [
    ("GATEPOST_SERVER__LISTEN", "127.0.0.1:0"),
    ("GATEPOST_ADMIN__LISTEN", ""),
];

const INSTANCE: &str = "[instances.production]\nurl = \"http://odoo:8069\"\napi_key = \"x\"\n";

/// The exit code and all output of a command in a folder with this configuration.
fn gatepost(
    folder: &Path,
    arguments: &[&str],
    text: &str,
    variables: &[(&str, &str)],
) -> (i32, String) {
    let file = folder.join("gatepost.toml");
    fs::write(&file, text).unwrap();
    // Otherwise there is a warning about the keys in it.
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .args(arguments)
        .args(["--config", "gatepost.toml"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), format!("{out}{err}"))
}

/// `gatepost check` on free ports.
fn check(folder: &Path, text: &str) -> (i32, String) {
    gatepost(folder, &["check"], text, &FREE_PORTS)
}

/// The part of the output from the first error or warning about `key` on.
fn about<'a>(output: &'a str, key: &str) -> &'a str {
    let mut findings = output.split("\n\n");
    let wanted = format!("key `{key}`");
    let found = findings.find(|finding| finding.contains(&wanted));
    let found = found.unwrap_or_else(|| panic!("nothing about {key}: {output}"));
    let start = found.find("error: ").or_else(|| found.find("warning: "));
    start.and_then(|at| found.get(at..)).unwrap()
}

/// Writes a pair for `localhost` into `cert.pem` and `key.pem`.
fn write_pair(folder: &Path, change: impl FnOnce(&mut CertificateParams)) {
    let key = KeyPair::generate().unwrap();
    let mut terms = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    change(&mut terms);
    let certificate = terms.self_signed(&key).unwrap();
    fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
    // Otherwise there is a warning about it.
    fs::set_permissions(folder.join("key.pem"), Permissions::from_mode(0o600)).unwrap();
}

/// Changes the terms of a certificate.
type ChangeTerms = fn(&mut CertificateParams);

fn with_tls(certificate: &str, key: &str) -> String {
    format!(
        "[server.tls]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n\n{INSTANCE}"
    )
}

#[test]
fn check_judges_the_certificate_as_serve_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_pair(path, |_| {});
    fs::copy(path.join("key.pem"), path.join("other.pem")).unwrap();
    write_pair(path, |_| {});
    let mut shown = Vec::new();
    for (certificate, key, setting) in [
        ("cert.pem", "other.pem", "server.tls.key_file"),
        ("key.pem", "key.pem", "server.tls.certificate_file"),
        ("cert.pem", "cert.pem", "server.tls.key_file"),
        ("cert.pem", "nowhere.pem", "server.tls.key_file"),
    ] {
        let (code, output) = check(path, &with_tls(certificate, key));
        assert_eq!(code, 3, "{output}");
        shown.push(about(&output, setting).to_owned());
    }
    let terms: [(ChangeTerms, i32); 3] = [
        (|terms| terms.not_after = date_time_ymd(2020, 2, 3), 3),
        (|terms| terms.not_before = date_time_ymd(4000, 2, 3), 3),
        (|terms| terms.not_after = date_time_ymd(4000, 2, 3), 0),
    ];
    for (change, expected) in terms {
        write_pair(path, change);
        let (code, output) = check(path, &with_tls("cert.pem", "key.pem"));
        assert_eq!(code, expected, "{output}");
        if code == 0 {
            let mut lines = output.lines();
            let valid = lines.find(|line| line.starts_with("  TLS "));
            shown.push(valid.unwrap().to_owned());
        } else {
            shown.push(about(&output, "server.tls.certificate_file").to_owned());
        }
    }
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn certificate_that_ends_soon_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(36);
    let end = end.to_zoned(jiff::tz::TimeZone::UTC).date();
    write_pair(folder.path(), |terms| {
        let [year, month, day] = [end.year().into(), end.month().into(), end.day().into()];
        terms.not_after = date_time_ymd(
            year,
            u8::try_from(month).unwrap(),
            u8::try_from(day).unwrap(),
        );
    });
    let (code, output) = check(folder.path(), &with_tls("cert.pem", "key.pem"));
    assert_eq!(code, 0, "{output}");
    let warning = about(&output, "server.tls.certificate_file");
    assert!(warning.contains(&end.to_string()), "{warning}");
}

#[test]
fn certificate_that_some_clients_refuse_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), |terms| {
        terms.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let text = with_tls("cert.pem", "key.pem");
    let text = format!(
        "{text}public_urls = [\"https://localhost/mcp\", \"https://odoo.example.com/mcp\"]\n"
    );
    let (code, output) = check(folder.path(), &text);
    assert_eq!(code, 0, "{output}");
    let warnings: Vec<&str> = output
        .split("\n\n")
        .filter(|one| one.contains("key `server.tls.certificate_file`"))
        .filter_map(|one| one.split_once("\n  |\n")?.1.split_once("^\n"))
        .map(|(_, text)| text)
        .collect();
    insta::assert_snapshot!(warnings.join("\n"), @r"
    this is the certificate of an authority (CA:TRUE), which some clients refuse from a server
    help: create it with `openssl req -x509 … -addext basicConstraints=critical,CA:FALSE`, or let the authority sign one for the server
    clients that connect to https://odoo.example.com/mcp (`instances.production.public_urls`) refuse this certificate: the server's certificate is not for the name `odoo.example.com`, but for `localhost`
    help: issue a certificate for this name (as subjectAltName); if a proxy with its own certificate is in front, name it in `server.trusted_proxies`
    ");
    // Then the proxy's certificate is what clients see.
    let behind = text.replace(
        "[server.tls]",
        "[server]\ntrusted_proxies = [\"10.0.0.1\"]\n\n[server.tls]",
    );
    let (_, output) = check(folder.path(), &behind);
    assert!(!output.contains("odoo.example.com/mcp ("), "{output}");
}

#[test]
fn only_regular_files_are_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    write_pair(path, |_| {});
    let made = Command::new("mkfifo").arg(path.join("pipe")).status();
    assert!(made.unwrap().success());
    let settings = [
        ("audit", "file"),
        ("audit", "key_file"),
        ("changes", "file"),
        ("instances.production", "api_key_file"),
        ("instances.production", "ca_file"),
        ("keys", "file"),
        ("server.tls", "certificate_file"),
        ("server.tls", "key_file"),
    ];
    for (table, key) in settings {
        for (file, kind) in [("pipe", "pipe"), ("/dev/zero", "device"), (".", "folder")] {
            let mut lines = BTreeMap::from([
                ("instances.production.url", "http://odoo:8069"),
                ("instances.production.api_key", "x"),
            ]);
            if key == "api_key_file" {
                lines.remove("instances.production.api_key");
            }
            if table == "server.tls" {
                lines.insert("server.tls.certificate_file", "cert.pem");
                lines.insert("server.tls.key_file", "key.pem");
            }
            let setting = format!("{table}.{key}");
            lines.insert(&setting, file);
            let lines = lines.iter();
            let lines = lines.map(|(setting, value)| format!("{setting} = \"{value}\"\n"));
            let text: String = lines.collect();
            let (code, output) = check(path, &text);
            assert_eq!(code, 3, "{table}.{key} = {file}: {output}");
            let found = about(&output, &setting);
            let expected = format!("it is a {kind}");
            assert!(found.contains(&expected), "{table}.{key} = {file}: {found}");
        }
    }
    // The configuration itself.
    for file in ["pipe", "/dev/zero", "."] {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .env_clear()
            .current_dir(path)
            .args(["check", "--config", file])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{file}: {text}");
        assert!(text.contains("not a regular file"), "{file}: {text}");
    }
}

#[test]
fn secret_in_a_file_that_others_can_read_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (_, output) = check(folder.path(), INSTANCE);
    assert!(!output.contains("chmod"), "{output}");
    let file = folder.path().join("gatepost.toml");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .env_clear()
        .envs(FREE_PORTS)
        .args(["check", "--config"])
        .arg(file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let found = about(&text, "instances.production.api_key");
    assert!(
        found.contains("users other than the owner can read this file, which holds secrets"),
        "{found}"
    );
    assert!(found.contains("chmod 600"), "{found}");
}

#[test]
fn writes_that_cannot_happen_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let direct = "writes = \"direct\"\nservice_key_writes = true\n";
    let rule =
        "[[roles.sales.rules]]\nmodels = [\"res.partner\"]\noperations = [\"read\", \"write\"]\n";
    let cases = [
        ("", rule.to_owned()),
        ("writes = \"direct\"\n", rule.to_owned()),
        (
            direct,
            format!("[roles.sales]\nwrites = \"read_only\"\n{rule}"),
        ),
        (direct, rule.replace("\"read\", ", "")),
        (direct, format!("{rule}write_fields = []\n")),
        (
            direct,
            format!("{rule}fields = [\"name\"]\nwrite_fields = [\"email\"]\n"),
        ),
        (direct, rule.to_owned()),
        (
            direct,
            format!("{rule}fields = [\"name\", \"email\"]\nwrite_fields = [\"email\"]\n"),
        ),
    ];
    let shown = cases.map(|(instance, rules)| {
        let (code, output) = check(folder.path(), &format!("{INSTANCE}{instance}{rules}"));
        assert_eq!(code, 0, "{output}");
        let mut findings = output.split("\n\n");
        let found = findings.find(|one| one.contains("key `roles.sales.rules[0].operations`"));
        let text = found.and_then(|one| one.split_once("^\n"));
        text.map_or("-", |(_, text)| text).to_owned()
    });
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn odoo_s_own_name_of_an_operation_is_recognized() {
    let folder = tempfile::tempdir().unwrap();
    let rule = "[[roles.sales.rules]]\nmodels = [\"res.partner\"]\noperations = [\"unlink\"]\n";
    let (code, output) = check(folder.path(), &format!("{INSTANCE}{rule}"));
    assert_eq!(code, 3, "{output}");
    assert!(output.contains("did you mean `delete`?"), "{output}");
}

#[test]
fn log_has_the_format_of_its_variable() {
    let folder = tempfile::tempdir().unwrap();
    let variables = |format| [&FREE_PORTS[..], &[("GATEPOST_LOG_FORMAT", format)]].concat();
    for (format, is_json) in [("json", true), ("text", false)] {
        let mut serving = Serving::start(folder.path(), INSTANCE, &variables(format));
        let log = serving.read_until("Opened the listeners");
        let line = log.lines().next_back().unwrap();
        assert_eq!(line.starts_with('{'), is_json, "{line}");
    }
    let (code, output) = gatepost(folder.path(), &["serve"], INSTANCE, &variables("xml"));
    assert_eq!(code, 3, "{output}");
    assert!(output.contains("`xml` is not a log format"), "{output}");
}

#[test]
fn several_instances_end_the_path_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let second = INSTANCE.replace("production", "staging");
    let (_, output) = check(folder.path(), INSTANCE);
    assert!(!output.contains("answers 404"), "{output}");
    assert!(output.contains(":0/production/mcp"), "{output}");
    let (_, output) = check(folder.path(), &format!("{INSTANCE}{second}"));
    assert!(output.contains("/mcp       answers 404"), "{output}");
}

/// `serve`, until dropped.
struct Serving {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Serving {
    fn start(folder: &Path, text: &str, variables: &[(&str, &str)]) -> Self {
        fs::write(folder.join("gatepost.toml"), text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .env_clear()
            .envs(variables.iter().copied())
            .current_dir(folder)
            .args(["serve", "--config", "gatepost.toml"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// The log up to the line with these words.
    fn read_until(&mut self, words: &str) -> String {
        let mut log = String::new();
        while !log
            .lines()
            .next_back()
            .is_some_and(|line| line.contains(words))
        {
            assert_ne!(self.lines.read_line(&mut log).unwrap(), 0, "{log}");
        }
        log
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn serve_logs_a_certificate_that_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    write_pair(folder.path(), |terms| {
        terms.not_after = date_time_ymd(2020, 2, 3);
    });
    let text = with_tls("cert.pem", "key.pem");
    let mut serving = Serving::start(folder.path(), &text, &FREE_PORTS);
    let log = serving.read_until(LISTENING);
    let found = log.lines().find(|line| line.contains("2020-02-03"));
    let found = found.unwrap_or_else(|| panic!("not logged: {log}"));
    assert!(found.contains("ERROR"), "{found}");
}

#[test]
fn port_in_use_names_the_setting_or_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let used = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = used.local_addr().unwrap().to_string();
    let in_file = format!(
        "[server]\nlisten = [\"127.0.0.1:0\", \"{address}\"]\n\n[admin]\nlisten = \"\"\n\n{INSTANCE}"
    );
    let (code, by_setting) = gatepost(folder.path(), &["check"], &in_file, &[]);
    assert_eq!(code, 3);
    let variables = [("GATEPOST_ADMIN__LISTEN", address.as_str()), FREE_PORTS[0]];
    let (code, by_variable) = gatepost(folder.path(), &["check"], INSTANCE, &variables);
    assert_eq!(code, 3);
    let (code, by_option) = gatepost(
        folder.path(),
        &["serve", "--listen", &address],
        INSTANCE,
        &FREE_PORTS[1..],
    );
    assert_eq!(code, 1);
    let (code, of_demo) = {
        let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
            .env_clear()
            .args(["demo", "--listen", &address])
            .output()
            .unwrap();
        let code = output.status.code().unwrap();
        (code, String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code, 1);
    let last = |output: &str| {
        let at = output.rfind("option `--listen`").unwrap();
        output.get(at..).unwrap().to_owned()
    };
    let shown = [
        about(&by_setting, "server.listen").to_owned(),
        by_setting.lines().last().unwrap().to_owned(),
        about(&by_variable, "admin.listen").to_owned(),
        last(&by_option),
        last(&of_demo),
    ];
    insta::assert_snapshot!(shown.join("\n\n").replace(&address, "127.0.0.1:8080"));
}

#[test]
fn check_beside_the_running_gateway_finds_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let free = || {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().to_string()
    };
    let (listen, admin) = (free(), free());
    let text =
        format!("{INSTANCE}[audit]\nfile = \"audit.jsonl\"\n[changes]\nfile = \"changes.redb\"\n");
    let variables = [
        ("GATEPOST_SERVER__LISTEN", listen.as_str()),
        ("GATEPOST_ADMIN__LISTEN", admin.as_str()),
    ];
    let mut serving = Serving::start(folder.path(), &text, &variables);
    serving.read_until(LISTENING);
    let (code, output) = gatepost(folder.path(), &["check"], &text, &variables);
    assert_eq!(code, 0, "{output}");
    // What the running gateway uses.
    let used = format!("{listen}, {admin}, `audit.file`, `changes.file`");
    let mut lines = output.lines();
    let found = lines.find(|line| line.contains(&used)).unwrap_or(&output);
    insta::assert_snapshot!(found.replace(&listen, "LISTEN").replace(&admin, "ADMIN"), @"  running    this gateway is running already, and uses LISTEN, ADMIN, `audit.file`, `changes.file`");
    // Without the admin listener it is not certain who uses the files.
    let (code, output) = check(folder.path(), &text);
    assert_eq!(code, 0, "{output}");
    insta::assert_snapshot!(about(&output, "audit.file"));
    drop(serving);
    let (code, output) = gatepost(folder.path(), &["check"], &text, &variables);
    assert_eq!(code, 0, "{output}");
    assert!(!output.contains(&used), "{output}");
}

#[test]
fn check_opens_files_that_serve_would_open_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "{INSTANCE}ca_file = \"ca.pem\"\n[audit]\nfile = \"audit.jsonl\"\n[changes]\nfile = \"changes.redb\"\n"
    );
    fs::write(folder.path().join("ca.pem"), "no certificate\n").unwrap();
    let (code, output) = check(folder.path(), &text);
    assert_eq!(code, 3, "{output}");
    let authority = about(&output, "instances.production.ca_file").to_owned();

    let text = text.replace("ca_file = \"ca.pem\"\n", "");
    let (code, output) = check(folder.path(), &text);
    assert_eq!(code, 0, "{output}");
    let files = || {
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(files(), ["ca.pem", "gatepost.toml"]);

    let forged = "{\"n\":1,\"hash\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}\n";
    fs::write(
        folder.path().join("audit.jsonl"),
        "x".repeat(3 << 20) + forged,
    )
    .unwrap();
    let store = folder.path().join("changes.redb");
    fs::write(&store, "not a store").unwrap();
    let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&store, owner_only).unwrap();
    let (code, output) = check(folder.path(), &text);
    assert_eq!(code, 3, "{output}");
    let shown = [
        authority,
        about(&output, "audit.file").to_owned(),
        about(&output, "changes.file").to_owned(),
    ];
    insta::assert_snapshot!(shown.join("\n\n"));
}

/// A server that gives every connection this answer; returns its port.
fn answering(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                drop(stream.write_all(answer.as_bytes()));
            }
        }
    });
    port
}

/// A server that speaks TLS with a certificate for `localhost`, which is written to
/// `NAME.pem`; returns its port.
fn speaking_tls(folder: &Path, name: &str, change: impl FnOnce(&mut CertificateParams)) -> u16 {
    let key = KeyPair::generate().unwrap();
    let mut terms = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    change(&mut terms);
    let certificate = terms.self_signed(&key).unwrap();
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
    let own: CertificateDer<'static> = certificate.der().clone();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            drop(connection.complete_io(&mut stream.unwrap()));
        }
    });
    port
}

/// The output of `check --live` from its first error on, with ports replaced.
fn live_errors(folder: &Path, text: &str) -> String {
    let (code, output) = gatepost(folder, &["check", "--live"], text, &FREE_PORTS);
    assert_eq!(code, 4, "{output}");
    for model in [
        "tell the administrator",
        "try again",
        "Retrying",
        "retrying",
    ] {
        assert!(!output.contains(model), "made for a model: {output}");
    }
    let errors: Vec<&str> = output
        .split("\n\n")
        .filter_map(|finding| finding.get(finding.find("error: ")?..))
        .filter(|finding| finding.contains('\n'))
        .collect();
    errors.join("\n")
}

#[test]
fn live_errors_of_an_odoo_name_setting_cause_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (_company, odoo) = start_fake_odoo();
    let closed = {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let plain =
        answering("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let moved = answering(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: https://odoo.example.com/web/version\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    let other = answering(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 14\r\n\r\n<h1>hello</h1>",
    );
    let not_http = answering("SSH-2.0-OpenSSH_9.6\r\n");
    let authority = speaking_tls(path, "authority", |terms| {
        terms.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let ended = speaking_tls(path, "ended", |terms| {
        terms.not_after = date_time_ymd(2020, 2, 3);
    });
    let right = speaking_tls(path, "right", |_| {});
    let cases: [(&str, String, &str); 12] = [
        ("wrong database", odoo.clone(), "database = \"prodd\""),
        ("wrong key", odoo, "database = \"demo\""),
        ("nothing listens", format!("http://127.0.0.1:{closed}"), ""),
        ("unknown name", "http://odoo.invalid:8069".to_owned(), ""),
        ("redirect", format!("http://127.0.0.1:{moved}"), ""),
        ("another website", format!("http://127.0.0.1:{other}"), ""),
        ("no HTTP", format!("http://127.0.0.1:{not_http}"), ""),
        ("plain HTTP", format!("https://localhost:{plain}"), ""),
        ("unknown issuer", format!("https://localhost:{right}"), ""),
        (
            "wrong name",
            format!("https://127.0.0.1:{right}"),
            "ca_file = \"right.pem\"",
        ),
        (
            "CA as server",
            format!("https://localhost:{authority}"),
            "ca_file = \"authority.pem\"",
        ),
        (
            "ended",
            format!("https://localhost:{ended}"),
            "ca_file = \"ended.pem\"",
        ),
    ];
    let mut shown = String::new();
    for (name, url, more) in cases {
        let text =
            format!("[instances.production]\nurl = \"{url}\"\napi_key = \"wrong\"\n{more}\n");
        let port = url.rsplit(':').next().unwrap();
        let errors = live_errors(path, &text).replace(port, "PORT");
        // The resolver's words differ between machines.
        let errors = match errors.split_once(" (failed to lookup") {
            Some((before, rest)) => format!("{before}{}", rest.split_once(')').unwrap().1),
            None => errors,
        };
        // Wide ports move the carets.
        let carets = |line: &&str| !line.trim_start_matches([' ', '|']).starts_with('^');
        let errors: Vec<&str> = errors.lines().filter(carets).collect();
        writeln!(shown, "--- {name}\n{}", errors.join("\n")).unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn live_errors_of_providers_and_redis_name_setting_cause_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let (_company, odoo) = start_fake_odoo();
    let plain =
        answering("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let moved = answering(
        "HTTP/1.1 301 Moved Permanently\r\nLocation: https://id.example.com/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    );
    let right = speaking_tls(path, "right", |_| {});
    let no_redis = answering("-ERR unknown command\r\n");
    let refusing = answering("-NOAUTH Authentication required.\r\n");
    let provider = |issuer: String| {
        format!(
            "[providers.id]\nissuer = \"{issuer}\"\nvalidation = \"jwt\"\nprivate_networks = [\"127.0.0.0/8\", \"::1/128\"]\n"
        )
    };
    let redis = |url: String| format!("[redis]\nurl = \"{url}\"\n");
    let cases = [
        (
            "provider without TLS",
            plain,
            provider(format!("https://localhost:{plain}")),
        ),
        (
            "untrusted provider",
            right,
            provider(format!("https://localhost:{right}")),
        ),
        (
            "provider that moved",
            moved,
            provider(format!("http://127.0.0.1:{moved}")),
        ),
        (
            "redis without TLS",
            no_redis,
            redis(format!("rediss://localhost:{no_redis}")),
        ),
        (
            "untrusted redis",
            right,
            redis(format!("rediss://localhost:{right}")),
        ),
        (
            "redis with a password",
            refusing,
            redis(format!("redis://127.0.0.1:{refusing}")),
        ),
    ];
    let mut shown = String::new();
    for (name, port, section) in cases {
        let text = format!(
            "[instances.production]\nurl = \"{odoo}\"\ndatabase = \"demo\"\napi_key = \"{ADMIN_KEY}\"\npublic_urls = [\"https://mcp.example.com/mcp\"]\n\n[roles.reader]\nrules = [{{ models = [\"res.partner\"] }}]\n\n{section}"
        );
        let errors = live_errors(path, &text).replace(&port.to_string(), "PORT");
        let carets = |line: &&str| !line.trim_start_matches([' ', '|']).starts_with('^');
        let errors: Vec<&str> = errors.lines().filter(carets).collect();
        writeln!(shown, "--- {name}\n{}", errors.join("\n")).unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn odoo_is_judged_apart_from_roles() {
    let folder = tempfile::tempdir().unwrap();
    let (_company, odoo) = start_fake_odoo();
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .env_clear()
        .envs(FREE_PORTS)
        .envs([
            ("ODOO_URL", odoo.as_str()),
            ("ODOO_DB", "demo"),
            ("ODOO_API_KEY", ADMIN_KEY),
        ])
        .current_dir(folder.path())
        .args(["check", "--live"])
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    insta::assert_snapshot!(format!("{out}\n{err}").replace(&odoo, "http://odoo"));
}
