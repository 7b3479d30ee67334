//! The edge from outside: opened from a configuration, run, and told to leave.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{self, Command},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use gatepost::{config, edge::Edge, gateway::Gateway, telemetry::Telemetry};

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

fn open(listen: SocketAddr) -> Result<Edge, gatepost::edge::CannotOpen> {
    let server = config::Server {
        listen: vec![listen],
        ..config::Server::default()
    };
    let admin = config::Admin {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
    };
    let gateway = Arc::new(ArcSwap::from_pointee(Gateway::default()));
    Edge::open(&server, &admin, &gateway, &Arc::new(Telemetry::new()))
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn an_address_that_is_taken_is_an_error_that_names_the_setting() {
    let first = open(any()).unwrap();
    let taken = first.addresses()[0];
    let error = open(taken).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("`server.listen`: cannot listen on {taken}: ")),
        "{error}"
    );
}

#[test]
fn two_edges_stand_side_by_side_and_one_leaves_alone() {
    let (one, two) = (open(any()).unwrap(), open(any()).unwrap());
    let (admin, other) = (one.admin_address().unwrap(), two.admin_address().unwrap());
    let (stop, stop_other) = (one.stop(), two.stop());
    let running = thread::spawn(move || one.run_deaf());
    let running_other = thread::spawn(move || two.run_deaf());
    let livez = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for address in [admin, other] {
        assert!(ask(address, livez).starts_with("HTTP/1.1 200 "));
    }
    stop.now();
    running.join().unwrap();
    assert!(ask(other, livez).starts_with("HTTP/1.1 200 "));
    stop_other.now();
    running_other.join().unwrap();
}

fn signal(name: &str) {
    let told = Command::new("kill")
        .args([name, &process::id().to_string()])
        .status();
    assert!(told.unwrap().success());
}

#[test]
fn sighup_reloads_even_after_a_reload_that_panicked_and_sigterm_leaves() {
    // Until the edge listens, these signals would end the tests.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    for kind in [
        tokio::signal::unix::SignalKind::hangup(),
        tokio::signal::unix::SignalKind::terminate(),
    ] {
        drop(tokio::signal::unix::signal(kind).unwrap());
    }
    let edge = open(any()).unwrap();
    let admin = edge.admin_address().unwrap();
    let (reloaded, heard) = mpsc::channel();
    let running = thread::spawn(move || {
        edge.run(Box::new(move || {
            reloaded.send(()).unwrap();
            panic!("a bad configuration");
        }));
    });
    let begun = Instant::now();
    for _ in 0..2 {
        // Again, for it may have come before the edge listened.
        signal("-HUP");
        while heard.recv_timeout(Duration::from_millis(100)).is_err() {
            assert!(begun.elapsed() < PATIENCE);
            signal("-HUP");
        }
    }
    let livez = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert!(ask(admin, livez).starts_with("HTTP/1.1 200 "));
    signal("-TERM");
    running.join().unwrap();
}
