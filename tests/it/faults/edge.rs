//! Clients that hold what they can, and a log that nobody reads, with a bystander
//! whose requests go on being answered.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    configuration,
    process::{
        GatewayProcess, TEST_TIMEOUT, new_key, post, serve_command, wait_until, write_configuration,
    },
};
use crate::test_gateway::{send_raw, start_fake_odoo};

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream
}

/// Sends part of a body, and leaves the rest out.
fn hold_body(address: SocketAddr, declared: usize, sent: usize) -> TcpStream {
    let mut stream = connect(address);
    let head = format!(
        "POST /demo/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {declared}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // It may be refused before everything is sent.
    drop(stream.write_all(&vec![b' '; sent]));
    stream
}

/// The status of the response, without waiting for the end of the connection.
fn read_status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    let line = String::from_utf8_lossy(&line).into_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// The gateway with this subcommand, after the shell has set limits.
fn limited_command(folder: &Path, limits: &str, subcommand: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .env_clear()
        .current_dir(folder)
        .env("GATEPOST_SERVER__LISTEN", "127.0.0.1:0")
        .env("GATEPOST_ADMIN__LISTEN", "127.0.0.1:0")
        .args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_gatepost"))
        .args([subcommand, "--config", "gatepost.toml"]);
    command
}

#[test]
fn idle_connections_leave_descriptors_for_calls_and_the_admin_listener() {
    let (_odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), &configuration(&url, &url, ""));
    let mut limited = limited_command(folder.path(), "ulimit -n 256", "serve");
    let gateway = GatewayProcess::spawn(folder.path(), &mut limited);
    gateway.wait_for_log("Lowered the number of connections", 1);
    let mut idle = Vec::new();
    for number in 0..400 {
        idle.push(connect(gateway.address));
        if number % 50 == 49 {
            let answer = gateway.count();
            assert!(!answer.tool_result().1, "{}", answer.body);
            assert_eq!(gateway.get_admin("/livez").status, 200);
        }
    }
    // EMFILE.
    let log = gateway.log();
    assert!(!log.contains("os error 24"), "{log}");
    let check = limited_command(folder.path(), "ulimit -n 256", "check")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    let mut lines = said.lines();
    let bound = lines.find(|line| line.contains("`server.max_connections`"));
    insta::assert_snapshot!(bound.unwrap_or(&said), @"  limit      112 connections instead of the 10000 of `server.max_connections`, because a process may open only 256 files here; raise that limit (systemd: LimitNOFILE=, containers: --ulimit nofile=)");
    assert!(gateway.stop().success());
}

#[test]
fn soft_limit_on_open_files_is_raised() {
    let (_odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    write_configuration(folder.path(), &configuration(&url, &url, ""));
    let limits = "ulimit -Sn 64 && ulimit -Hn 900";
    let mut limited = limited_command(folder.path(), limits, "serve");
    let gateway = GatewayProcess::spawn(folder.path(), &mut limited);
    let limits = fs::read_to_string(
        Path::new("/proc")
            .join(gateway.id().to_string())
            .join("limits"),
    );
    let limits = limits.unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let values: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(values[3..5], ["900", "900"], "{line}");
    assert!(gateway.stop().success());
}

#[test]
fn bodies_that_are_held_back_are_bounded_in_sum() {
    let (_odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    // A caller and an address get 1 MiB.
    let more = "[limits]\ncaller_in_flight = 1_000";
    let text = configuration(&url, &url, more)
        .replace("[server]", "[server]\nmax_bodies_bytes = 4_194_304");
    let gateway = GatewayProcess::start(folder.path(), &text);
    let held: Vec<TcpStream> = (0..60)
        .map(|number| {
            let stream = hold_body(gateway.address, 1_000_000, 300_000);
            if number % 10 == 9 {
                let answer = gateway.post("/demo/mcp", &[], &ping());
                assert_eq!(answer.status, 200, "{}", answer.body);
                assert_eq!(gateway.get_admin("/livez").status, 200);
            }
            stream
        })
        .collect();
    // 1 MiB has room for three of them beyond their free first part.
    wait_until("the refusals", || {
        let refused = "gatepost_refusals_total{blame=\"client\",instance=\"demo\",refusal=\"too_many_bodies\"}";
        gateway.metric(refused).is_some_and(|count| count > 56.5)
    });
    drop(held);
    gateway.wait_for_metric("gatepost_requests_in_flight{instance=\"demo\"}", 0.0);
    let mut large = hold_body(gateway.address, 1_000_000, 1_000_000);
    assert_eq!(read_status(&mut large), 400);
    assert!(gateway.stop().success());
}

#[test]
fn requests_in_flight_of_one_caller_are_bounded() {
    let (_odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let key = new_key(folder.path(), "reader", None);
    let more = "[limits]\ncaller_in_flight = 3\naddress_in_flight = 6";
    let gateway = GatewayProcess::start(folder.path(), &configuration(&url, &url, more));
    let mut held: Vec<TcpStream> = (0..3)
        .map(|_| hold_body(gateway.address, 100, 10))
        .collect();
    gateway.wait_for_metric("gatepost_requests_in_flight{instance=\"demo\"}", 3.0);
    let refused = gateway.post("/demo/mcp", &[], &ping());
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    let kind = gateway.error_kind(&refused);
    assert_eq!(
        kind.as_deref(),
        Some("too_many_in_flight"),
        "{}",
        refused.body
    );
    // Another caller at the same address.
    let bearer = format!("Authorization: Bearer {key}");
    let answer = gateway.post("/demo/mcp", &[&bearer], &ping());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(gateway.get_admin("/livez").status, 200);
    // One that ends makes room.
    held[0].write_all(&[b' '; 90]).unwrap();
    assert_eq!(read_status(&mut held[0]), 400);
    // Its place is free once the gateway is done with it, after the client has the answer.
    wait_until("the next request is served", || {
        gateway.post("/demo/mcp", &[], &ping()).status == 200
    });
    assert!(gateway.stop().success());
}

#[test]
fn log_that_is_not_read_stops_neither_requests_nor_the_end() {
    let (_odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let limits = "[limits]\naddress_burst = 1_000_000";
    write_configuration(folder.path(), &configuration(&url, &url, limits));
    // Its log cannot say where it listens.
    let free = || {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let (address, admin) = (free(), free());
    let mut child = serve_command(folder.path())
        .env("GATEPOST_SERVER__LISTEN", address.to_string())
        .env("GATEPOST_ADMIN__LISTEN", admin.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _unread = child.stderr.take().unwrap();
    wait_until("the listener", || TcpStream::connect(admin).is_ok());
    // A pipe holds 64 KiB, and a line has some hundred bytes.
    for number in 0..1_500 {
        let answer = post(address, "/demo/mcp", &[], &ping());
        assert_eq!(answer.status, 200, "{number} {}", answer.body);
    }
    let livez = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(send_raw(admin, livez).status, 200);
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn browser_gets_a_page_and_clients_the_challenge() {
    let (_odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let text = configuration(&url, &url, "").replace("anonymous_role = \"reader\"", "");
    let gateway = GatewayProcess::start(folder.path(), &text);
    let get = |path: &str, accept: &str, host: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        send_raw(gateway.address, request.as_bytes())
    };
    for path in ["/", "/demo/mcp"] {
        let page = get(path, "text/html,*/*;q=0.8", "localhost");
        assert_eq!(page.status, 200, "{}", page.body);
        assert_eq!(
            page.header("content-type").as_deref(),
            Some("text/html; charset=utf-8")
        );
        assert!(
            page.header("content-security-policy")
                .unwrap()
                .starts_with("default-src 'none'")
        );
        assert!(page.body.contains("<h1>"), "{}", page.body);
        // Instances are not listed.
        assert_eq!(page.body.contains("<b>demo</b>"), path == "/demo/mcp");
        assert!(!page.body.contains("other"), "{}", page.body);
        assert_eq!(get(path, "text/html", "evil.example").status, 421);
    }
    assert_eq!(
        get("/demo/mcp", "text/event-stream", "localhost").status,
        401
    );
    assert_eq!(get("/nothing", "text/html", "localhost").status, 404);
    assert_eq!(get("/", "*/*", "localhost").status, 404);
    assert!(gateway.stop().success());
}
