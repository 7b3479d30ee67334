//! 32 agents at once: directly against a two-worker Odoo, and through the
//! gateway.
//!
//! The Odoo is the sample company behind a simulated prefork server: two workers
//! that each accept one connection, respond and close it, and a listen queue of
//! 16 (eight for each worker). If the queue is full the kernel drops the SYN, and
//! the client retries after one second. Run it with `cargo bench --bench agents`;
//! it prints times and asserts nothing about them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::needless_collect,
    reason = "a benchmark fails like a test, and prints what it measured"
)]

#[path = "in_process.rs"]
mod in_process;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use gatepost::config::Sources;
use odoo_sim::{ADMIN_KEY, DATABASE, FakeOdoo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

const AGENTS: usize = 32;
const CALLS: usize = 40;
const WORKERS: usize = 2;
const BACKLOG: u32 = 16;
/// How long one call takes in Odoo.
const CALL_DURATION: Duration = Duration::from_millis(10);

/// A two-worker prefork server on a free port.
fn start_odoo() -> SocketAddr {
    let (sender, address) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = Arc::new(socket.listen(BACKLOG).unwrap());
            sender.send(listener.local_addr().unwrap()).unwrap();
            let company = Arc::new(FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
            let workers = (0..WORKERS).map(|_| {
                let (listener, company) = (Arc::clone(&listener), Arc::clone(&company));
                tokio::spawn(async move {
                    loop {
                        let (mut stream, _) = listener.accept().await.unwrap();
                        let mut request = vec![0; 16 << 10];
                        let read = stream.read(&mut request).await.unwrap_or(0);
                        tokio::time::sleep(CALL_DURATION).await;
                        let answer = respond(&company, &request[..read]);
                        drop(stream.write_all(&answer).await);
                    }
                })
            });
            futures_util::future::join_all(workers.collect::<Vec<_>>()).await;
        });
    });
    address.recv().unwrap()
}

fn respond(company: &FakeOdoo, request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let mut built = http::Request::builder()
        .method("POST")
        .uri(first.split(' ').nth(1).unwrap_or("/"));
    for (key, value) in lines.filter_map(|line| line.split_once(": ")) {
        built = built.header(key, value);
    }
    let response = company.handle(&built.body(Bytes::from(body.to_owned())).unwrap());
    let mut bytes = format!(
        "HTTP/1.0 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        response.status().as_u16(),
        response.body().len()
    )
    .into_bytes();
    bytes.extend_from_slice(response.body());
    bytes
}

/// Makes one call on its own connection and returns its duration.
fn timed_call(address: SocketAddr, request: &str) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200") && answer.contains("37"), "{answer}");
    begun.elapsed()
}

/// Runs all agents at once and returns p50 and p99.
fn run_agents(address: SocketAddr, request: &str) -> (Duration, Duration) {
    let agents: Vec<_> = (0..AGENTS)
        .map(|_| {
            let request = request.to_owned();
            thread::spawn(move || {
                (0..CALLS)
                    .map(|_| timed_call(address, &request))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut took: Vec<Duration> = agents
        .into_iter()
        .flat_map(|agent| agent.join().unwrap())
        .collect();
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

fn main() {
    // `cargo test --benches` only checks that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let odoo = start_odoo();
    let body = r#"{"domain":[]}"#;
    let straight = format!(
        "POST /json/2/res.partner/search_count HTTP/1.1\r\nHost: odoo\r\nAuthorization: bearer {ADMIN_KEY}\r\nX-Odoo-Database: {DATABASE}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let url = format!("http://{odoo}");
    let sources = Sources::with_environment(
        None,
        [
            ("GATEPOST_SERVER__LISTEN", "127.0.0.1:0"),
            ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
            ("GATEPOST_ADMIN__LISTEN", ""),
            ("GATEPOST_LIMITS__CALLER_BURST", "1000000"),
            ("GATEPOST_LIMITS__READ_BURST", "1000000"),
            ("GATEPOST_LIMITS__INSTANCE_BURST", "1000000"),
            ("GATEPOST_LIMITS__ADDRESS_BURST", "1000000"),
            ("GATEPOST_INSTANCES__DEMO__URL", url.as_str()),
            ("GATEPOST_INSTANCES__DEMO__DATABASE", DATABASE),
            ("GATEPOST_INSTANCES__DEMO__API_KEY", ADMIN_KEY),
            ("GATEPOST_ROLES__READER__RULES", r#"[{ models = ["*"] }]"#),
        ],
    );
    let address = in_process::start_gateway(&sources);
    let message = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count_records","arguments":{"model":"res.partner"}}}"#;
    let through = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{message}",
        message.len()
    );
    // Warm up the caches.
    timed_call(address, &through);

    println!(
        "{AGENTS} agents, {CALLS} calls each, {WORKERS} workers of {CALL_DURATION:?} a call, listen queue {BACKLOG}"
    );
    let (straight_p50, straight_p99) = run_agents(odoo, &straight);
    println!("straight at Odoo      p50 {straight_p50:>10.1?}   p99 {straight_p99:>10.1?}");
    let (through_p50, through_p99) = run_agents(address, &through);
    println!("through the gateway   p50 {through_p50:>10.1?}   p99 {through_p99:>10.1?}");
    println!(
        "gateway / straight    p50 {:>9.2}x   p99 {:>9.2}x",
        through_p50.as_secs_f64() / straight_p50.as_secs_f64(),
        through_p99.as_secs_f64() / straight_p99.as_secs_f64()
    );
}
