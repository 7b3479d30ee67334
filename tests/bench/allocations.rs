//! What one call allocates in the whole process of a gateway: exact numbers, and
//! their bounds.
//!
//! The parent process is the Odoo; its child is a gateway with a client that
//! allocates nothing. The child counts with a counting allocator: TLS is off, the
//! audit journal and the log are written, and the caller has an API key.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "it is a test"
)]

#[expect(dead_code, reason = "the comparison needs more of it")]
#[path = "canned_odoo.rs"]
mod canned_odoo;
#[path = "in_process.rs"]
mod in_process;
#[path = "reader_key.rs"]
mod reader_key;
#[expect(dead_code, reason = "only the calls are used here")]
#[path = "compare/scenario.rs"]
mod scenario;

use std::{
    alloc::System,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
};

use gatepost::{config::Sources, telemetry::logging};
use odoo_sim::{ADMIN_KEY, DATABASE};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use canned_odoo::CannedOdoo;
use scenario::{CallKind, RULES};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The most that one call may allocate: a call, allocations (and reallocations),
/// bytes. Lower them when a call gets cheaper.
const BOUNDS: [(CallKind, usize, usize); 7] = [
    (CallKind::Ping, 87, 33_000),
    (CallKind::Count17, 278, 78_000),
    (CallKind::Count280, 276, 70_000),
    (CallKind::Partners, 715, 130_000),
    (CallKind::Answer4Kb, 315, 108_000),
    (CallKind::Answer100Kb, 412, 475_000),
    // On a busy machine it arrives in more pieces, and its buffer grows in more steps.
    (CallKind::Answer1Mb, 560, 2_600_000),
];

/// Calls before counting: caches and buffers have their sizes afterwards.
const WARM_UP: usize = 50;
/// Calls that are counted together, and how often; the smallest counts, because timers
/// and the audit thread allocate now and then.
const CALLS: usize = 25;
const BATCHES: usize = 6;

fn main() {
    if let Some(odoo) = std::env::args()
        .skip_while(|argument| argument != "measure")
        .nth(1)
    {
        measure(&odoo);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let odoo = CannedOdoo::start();
    let log = folder.path().join("log");
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["measure", &odoo.listen().url()])
        .current_dir(folder.path())
        .stderr(File::create(&log).unwrap())
        .status()
        .unwrap();
    let log = fs::read_to_string(&log).unwrap();
    let panic = log.lines().find(|line| line.contains("Panicked"));
    assert!(status.success(), "{}", panic.unwrap_or(&log));
}

/// Counts what each call allocates, and compares it with its bound.
fn measure(odoo: &str) {
    logging::start("info", None).unwrap();
    let key = reader_key::new_reader_key(Path::new("."));
    let mut client = Client::new(start_gateway(odoo), &key);
    let mut exceeded = Vec::new();
    for (call, max_allocations, max_bytes) in BOUNDS {
        let request = client.request(call);
        for _ in 0..WARM_UP {
            client.send(&request);
        }
        let batches = (0..BATCHES).map(|_| {
            let region = Region::new(ALLOCATOR);
            for _ in 0..CALLS {
                client.send(&request);
            }
            let counted = region.change();
            (
                (counted.allocations + counted.reallocations) / CALLS,
                counted.bytes_allocated / CALLS,
            )
        });
        let (allocations, bytes): (Vec<_>, Vec<_>) = batches.unzip();
        let (allocations, bytes) = (
            allocations.iter().min().unwrap(),
            bytes.iter().min().unwrap(),
        );
        println!(
            "{call:?}: {allocations} allocations (at most {max_allocations}), {bytes} bytes (at most {max_bytes})"
        );
        if *allocations > max_allocations || *bytes > max_bytes {
            exceeded.push(call);
        }
    }
    assert!(
        exceeded.is_empty(),
        "allocate more than their bounds: {exceeded:?}"
    );
}

fn start_gateway(odoo: &str) -> SocketAddr {
    let text = format!(
        r#"
server.listen = ["127.0.0.1:0"]
admin.listen = ""
keys.file = "keys.toml"
audit.file = "audit.jsonl"
roles.reader.rules = {RULES}

[instances.bench]
url = "{odoo}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
schema_ttl_s = 3_600

[limits]
address_burst = 1_000_000
caller_burst = 1_000_000
read_burst = 1_000_000
instance_burst = 1_000_000
rows_per_minute = 1_000_000_000
bytes_per_minute = 4_000_000_000
"#
    );
    fs::write("gatepost.toml", text).unwrap();
    in_process::start_gateway(&Sources::with_environment(Some("gatepost.toml".into()), []))
}

/// A client that keeps its connection and allocates nothing while it sends.
struct Client {
    stream: TcpStream,
    key: String,
    response: Box<[u8]>,
}

impl Client {
    fn new(address: SocketAddr, key: &str) -> Self {
        Self {
            stream: TcpStream::connect(address).unwrap(),
            key: key.to_owned(),
            response: vec![0; 1 << 20].into(),
        }
    }

    fn request(&self, call: CallKind) -> Vec<u8> {
        let body = call.message().to_string();
        let head = format!(
            "POST /bench/mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: {}\r\n\r\n",
            self.key,
            body.len()
        );
        (head + &body).into_bytes()
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
        let mut filled = 0;
        let end_of_head = loop {
            let read = self.stream.read(&mut self.response[filled..]).unwrap();
            assert_ne!(read, 0, "the gateway closed the connection");
            filled += read;
            let end = self.response[..filled]
                .windows(4)
                .position(|end| end == b"\r\n\r\n");
            if let Some(end) = end {
                break end;
            }
        };
        let head = std::str::from_utf8(&self.response[..end_of_head]).unwrap();
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().unwrap())
        });
        let end = end_of_head + 4 + length.unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        self.stream
            .read_exact(&mut self.response[filled..end])
            .unwrap();
        let is_error = self.response[..end]
            .windows(14)
            .any(|part| part == b"\"isError\":true");
        assert!(
            !is_error,
            "{}",
            String::from_utf8_lossy(&self.response[..end])
        );
    }
}
