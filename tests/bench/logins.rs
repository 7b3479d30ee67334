//! The cost of authentication: a cached token, an uncached one, and both during a flood
//! of 10,000 random tokens; each as a ratio to the same call with an API key, in the
//! same run.
//!
//! Provider, gateway and sample company share the machine. Run it with
//! `cargo bench --bench logins`; it prints, and asserts nothing about time.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::unreachable,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::needless_collect,
    reason = "a benchmark fails like a test, and prints what it measured"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "the tests need more of the provider than this does"
)]
#[path = "../it/idp/mod.rs"]
mod idp;
#[path = "in_process.rs"]
mod in_process;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gatepost::config::Sources;
use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use idp::{Endpoint, ExpectedClientAuth, Idp, random_hex};
use odoo_sim::{ADMIN_KEY, DATABASE, FakeOdoo};
use serde_json::json;

const CALLS: usize = 2_000;
const COLD_CALLS: usize = 1_000;
const FLOOD: usize = 10_000;
const FLOOD_CLIENTS: usize = 8;
/// How long each of them waits: all together send some 2,000 in a second.
const FLOOD_INTERVAL: Duration = Duration::from_millis(4);
const URL: &str = "https://gw.example.com/production/mcp";

/// A client that keeps its connection.
struct Agent(BufReader<TcpStream>);

impl Agent {
    fn new(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).unwrap()))
    }

    /// Makes one call and returns its status and duration.
    fn call(&mut self, token: &str) -> (u16, Duration) {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"count_records","arguments":{"model":"res.partner"}}}"#;
        let request = format!(
            "POST /production/mcp HTTP/1.1\r\nHost: gw.example.com\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length) = (0, 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        (status, begun.elapsed())
    }

    fn measure_calls(&mut self, tokens: impl Iterator<Item = String>) -> LatencyPercentiles {
        let took = tokens.map(|token| {
            let (status, took) = self.call(&token);
            assert_eq!(status, 200);
            took
        });
        let mut took: Vec<Duration> = took.collect();
        took.sort();
        LatencyPercentiles {
            p50: took[took.len() / 2],
            p99: took[took.len() * 99 / 100],
        }
    }
}

#[derive(Clone, Copy)]
struct LatencyPercentiles {
    p50: Duration,
    p99: Duration,
}

impl LatencyPercentiles {
    fn print(self, what: &str, base: Self) {
        println!(
            "{what:32} p50 {:>9.1?} {:>6.2}x   p99 {:>9.1?} {:>6.2}x",
            self.p50,
            self.p50.as_secs_f64() / base.p50.as_secs_f64(),
            self.p99,
            self.p99.as_secs_f64() / base.p99.as_secs_f64()
        );
    }
}

/// The sample company on a free port.
fn start_odoo() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let company = Arc::new(FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            company.serve(listener).await;
        });
    });
    url
}

fn start_gateway(idp: &Idp, odoo: &str, folder: &std::path::Path) -> (SocketAddr, String) {
    let key = ApiKey::generate().unwrap();
    let keys = folder.join("keys.toml");
    let stored = StoredKey {
        id: key.id().clone(),
        hash: key.hash(),
        name: "bench".to_owned(),
        roles: vec![RoleName::try_from("reader").unwrap()],
        created: jiff::Timestamp::now(),
        expires: None,
        revoked: None,
    };
    update_keys_file(&keys, |ring| ring.add(stored)).unwrap();
    let ExpectedClientAuth::Basic { id, secret } = idp.client_auth() else {
        unreachable!("the provider is set up like this")
    };
    let file = folder.join("gatepost.toml");
    let text = format!(
        r#"
server.listen = ["127.0.0.1:0"]
admin.listen = ""
keys.file = "keys.toml"
roles.reader.rules = [{{ models = ["*"] }}]

[[grants]]
roles = ["reader"]
provider_role = "odoo_reader"

[providers.company]
issuer = "{}"
client_id = {}
client_secret = {}
cache_ttl_s = 300

[instances.production]
url = "{odoo}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
public_urls = ["{URL}"]
max_in_flight = 64

[limits]
address_burst = 1000000
caller_burst = 1000000
read_burst = 1000000
instance_burst = 1000000
"#,
        idp.issuer(),
        json!(id),
        json!(secret)
    );
    std::fs::write(&file, text).unwrap();
    let address = in_process::start_gateway(&Sources::with_environment(Some(file), []));
    (address, key.reveal())
}

fn main() {
    // `cargo test --benches` only checks that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let (idp, odoo, folder) = (Idp::start(), start_odoo(), tempfile::tempdir().unwrap());
    let (address, key) = start_gateway(&idp, &odoo, folder.path());
    let now = jiff::Timestamp::now().as_second();
    let token = || {
        idp.issue_opaque(json!({
            "iss": idp.issuer(), "sub": "alice", "client_id": "bench", "aud": URL,
            "token_type": "Bearer", "exp": now + 3600, "roles": ["odoo_reader"],
        }))
    };
    let known = token();
    let mut agent = Agent::new(address);
    let cached = |agent: &mut Agent| agent.measure_calls((0..CALLS).map(|_| known.clone()));
    let with_key = |agent: &mut Agent| agent.measure_calls((0..CALLS).map(|_| key.clone()));
    // Warm up the caches.
    cached(&mut agent);
    with_key(&mut agent);

    println!("{CALLS} calls each, {COLD_CALLS} cold, one at a time");
    let base = with_key(&mut agent);
    base.print("API key", base);
    cached(&mut agent).print("token, remembered", base);
    let tokens: Vec<String> = (0..COLD_CALLS).map(|_| token()).collect();
    agent
        .measure_calls(tokens.into_iter())
        .print("token, not remembered", base);

    let asked = idp.request_count(Endpoint::Introspection);
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|threads| {
        for _ in 0..FLOOD_CLIENTS {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) || sent.load(Ordering::Relaxed) < FLOOD {
                    sent.fetch_add(1, Ordering::Relaxed);
                    // The body of a rejected request is not read, so the connection ends.
                    assert_ne!(Agent::new(address).call(&random_hex(24)).0, 200);
                    // Otherwise the flood would saturate the machine.
                    thread::sleep(FLOOD_INTERVAL);
                }
            });
        }
        let in_flood = with_key(&mut agent);
        in_flood.print("API key, in a flood", base);
        let token = cached(&mut agent);
        token.print("token, remembered, in a flood", base);
        token.print("  against the key in the flood", in_flood);
        over.store(true, Ordering::Relaxed);
    });
    println!(
        "the flood: {} random tokens from one address, {} questions to the provider",
        sent.load(Ordering::Relaxed),
        idp.request_count(Endpoint::Introspection) - asked
    );
}
