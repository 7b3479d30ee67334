//! The edge from outside: opened from a configuration, run, and shut down.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{self, Command},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use gatepost::{
    config,
    edge::{Edge, ProcessTasks},
    gateway::Gateway,
    telemetry::Telemetry,
};

/// The longest time that a test waits for anything.
const TEST_TIMEOUT: Duration = Duration::from_mins(2);

fn open(listen: SocketAddr) -> Result<Edge, gatepost::edge::EdgeOpenError> {
    let server = config::ServerConfig {
        listen: vec![listen],
        ..config::ServerConfig::default()
    };
    let admin = config::AdminConfig {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..config::AdminConfig::default()
    };
    let gateway = Arc::new(ArcSwap::from_pointee(Gateway::default()));
    Edge::open(&server, &admin, &gateway, &Arc::new(Telemetry::new()))
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn send_request(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn occupied_address_error_names_the_setting() {
    let first = open(any_port()).unwrap();
    let taken = first.addresses()[0];
    let error = open(taken).unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(&taken.to_string(), "ADDRESS"), @"`server.listen`: ADDRESS is in use by another process");
}

#[test]
fn stopping_one_edge_leaves_the_other_running() {
    let (one, two) = (open(any_port()).unwrap(), open(any_port()).unwrap());
    let (admin, other) = (one.admin_address().unwrap(), two.admin_address().unwrap());
    let (stop, stop_other) = (one.shutdown_handle(), two.shutdown_handle());
    let running = thread::spawn(move || one.run(None));
    let running_other = thread::spawn(move || two.run(None));
    let livez = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for address in [admin, other] {
        assert!(send_request(address, livez).starts_with("HTTP/1.1 200 "));
    }
    stop.shut_down();
    running.join().unwrap();
    assert!(send_request(other, livez).starts_with("HTTP/1.1 200 "));
    stop_other.shut_down();
    running_other.join().unwrap();
}

fn send_signal(name: &str) {
    let sent = Command::new("kill")
        .args([name, &process::id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn sighup_reloads_after_panicking_reload_and_sigterm_stops() {
    // Until the edge handles them, these signals would end the tests.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    for kind in [
        tokio::signal::unix::SignalKind::hangup(),
        tokio::signal::unix::SignalKind::terminate(),
    ] {
        drop(tokio::signal::unix::signal(kind).unwrap());
    }
    let edge = open(any_port()).unwrap();
    let admin = edge.admin_address().unwrap();
    let (reloaded, heard) = mpsc::channel();
    let running = thread::spawn(move || {
        edge.run(Some(ProcessTasks {
            reload: Box::new(move || {
                reloaded.send(()).unwrap();
                panic!("a bad configuration");
            }),
            config_file: None,
            background: Vec::new(),
        }));
    });
    let begun = Instant::now();
    for _ in 0..2 {
        // Again, because it may have arrived before the handlers were installed.
        send_signal("-HUP");
        while heard.recv_timeout(Duration::from_millis(100)).is_err() {
            assert!(begun.elapsed() < TEST_TIMEOUT);
            send_signal("-HUP");
        }
    }
    let livez = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(send_request(admin, livez).starts_with("HTTP/1.1 200 "));
    send_signal("-TERM");
    running.join().unwrap();
}
