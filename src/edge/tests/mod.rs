//! What sockets do, shown on a real edge before a host that obeys its path.

mod admin;
mod asking;
mod bounds;
mod calls;
mod drain;
mod stdio;
mod tls;

use std::{
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
    time::timeout,
};

use super::{
    Edge, Stop,
    host::{Host, Terms},
};
use crate::{
    access::SentChanges,
    config,
    gateway::{Head, Notices, Readiness, Reply, Story},
    telemetry::{Remembered, Seen, Telemetry},
};
use gatepost_base::InstanceName;
use gatepost_odoo_client::Traffic;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the host saw.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    Began(String),
    Cancelled(String),
}

/// A host that does what the path says.
struct Actor {
    signs: mpsc::UnboundedSender<Sign>,
    release: Arc<Notify>,
    ready: Vec<(InstanceName, Result<(), String>)>,
    /// How long it takes to say who is ready.
    ready_after: Duration,
}

#[derive(Clone)]
struct Visitor {
    path: String,
    head: String,
    accept: String,
}

struct Cancelled<'a>(&'a Actor, Option<String>);

impl Drop for Cancelled<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.1.take() {
            drop(self.0.signs.send(Sign::Cancelled(path)));
        }
    }
}

impl Host for Actor {
    type Guest = Visitor;

    async fn greet(&self, head: Head, story: &mut Story) -> Result<Visitor, Reply> {
        story.method = Some("ping");
        let accept = head
            .headers
            .get(header::ACCEPT)
            .map_or("", |accept| accept.to_str().unwrap());
        match head.path.as_str() {
            "/closed" => return Err(Reply::empty(StatusCode::UNAUTHORIZED)),
            "/panic-at-once" => panic!("at the door"),
            _ => {}
        }
        if head.method == Method::HEAD {
            return Err(Reply::json(StatusCode::OK, Bytes::from_static(b"{}")));
        }
        Ok(Visitor {
            head: format!(
                "{} {} {:?} {} {}",
                head.method,
                head.path,
                head.host,
                head.peer.is_some_and(|peer| peer.is_loopback()),
                head.local_listener
            ),
            accept: accept.to_owned(),
            path: head.path,
        })
    }

    fn journal_is_written(&self) -> Option<bool> {
        None
    }

    fn redis_is_here(&self) -> Option<bool> {
        None
    }

    fn remembered(&self) -> Remembered {
        Remembered::default()
    }

    async fn attend(
        &self,
        visitor: &Visitor,
        body: Bytes,
        notices: Option<Notices>,
        story: &mut Story,
    ) -> Reply {
        // A message over stdin says it in itself.
        let message = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        let path = message["path"].as_str().unwrap_or(&visitor.path).to_owned();
        drop(self.signs.send(Sign::Began(path.clone())));
        let mut cancelled = Cancelled(self, Some(path.clone()));
        story.tool = Some("search_records");
        let reply = match path.as_str() {
            "/head" => {
                let said = serde_json::json!(visitor.head);
                Reply::json(StatusCode::OK, Bytes::from(said.to_string()))
            }
            "/panic" => {
                cancelled.1 = None;
                panic!("while serving");
            }
            "/held" => {
                self.release.notified().await;
                Reply::json(StatusCode::OK, Bytes::from_static(b"{\"held\":1}"))
            }
            "/notices" => {
                for n in 1..=3 {
                    let notice = Bytes::from(format!("{{\"n\":{n}}}"));
                    if let Some(notices) = &notices {
                        notices.send(notice).await.unwrap();
                    }
                }
                Reply::json(StatusCode::OK, Bytes::from_static(b"{\"last\":1}"))
            }
            "/large" => {
                let large = format!("\"{}\"", "x".repeat(64 << 20));
                Reply::json(StatusCode::OK, Bytes::from(large))
            }
            "/quiet" => Reply::empty(StatusCode::ACCEPTED),
            "/wrong" => Reply::json(StatusCode::BAD_REQUEST, Bytes::from_static(b"{}")),
            _ => Reply::json(StatusCode::OK, body),
        };
        cancelled.1 = None;
        reply
    }

    fn part(&self) {}

    fn sent_changes(&self) -> Arc<SentChanges> {
        Arc::default()
    }

    fn local_guest(&self, instance: &InstanceName, _session: Option<&str>) -> Option<Visitor> {
        (instance.as_str() == "local").then(|| Visitor {
            path: "/stdio".to_owned(),
            head: String::new(),
            accept: String::new(),
        })
    }

    async fn ready(&self) -> Readiness {
        drop(self.signs.send(Sign::Began("readiness".to_owned())));
        tokio::time::sleep(self.ready_after).await;
        Readiness {
            instances: self.ready.clone(),
            providers: Vec::new(),
            audit: None,
            changes: None,
            limits: None,
        }
    }

    fn busy(&self) -> Vec<(InstanceName, Traffic)> {
        Vec::new()
    }

    fn terms(visitor: &Visitor) -> Terms {
        Terms {
            takes_events: visitor.accept.contains("text/event-stream"),
            only_events: visitor.accept == "text/event-stream",
            max_body_bytes: 4096,
        }
    }
}

/// A running edge; it stops when dropped.
struct Stage {
    address: SocketAddr,
    admin: SocketAddr,
    stop: Stop,
    signs: mpsc::UnboundedReceiver<Sign>,
    release: Arc<Notify>,
    telemetry: Arc<Telemetry>,
    runner: Option<JoinHandle<()>>,
}

impl Stage {
    fn open() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut config::Server)) -> Self {
        let ready = vec![
            (InstanceName::try_from("one").unwrap(), Ok(())),
            (
                InstanceName::try_from("two").unwrap(),
                Err("it does not answer".to_owned()),
            ),
        ];
        Self::with_ready(ready, change)
    }

    fn with_ready(
        ready: Vec<(InstanceName, Result<(), String>)>,
        change: impl FnOnce(&mut config::Server),
    ) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = config::Server {
            listen: vec![any],
            max_header_bytes: 2048,
            // Tests that wait for a deadline shorten it; the others never meet one.
            header_timeout_ms: 60_000,
            body_timeout_ms: 60_000,
            event_stream_after_ms: 60_000,
            heartbeat_ms: 60_000,
            ..config::Server::default()
        };
        change(&mut server);
        let admin = config::Admin { listen: Some(any) };
        let (sender, signs) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let telemetry = Arc::new(Telemetry::new());
        let actor = Actor {
            signs: sender,
            release: Arc::clone(&release),
            ready,
            ready_after: Duration::ZERO,
        };
        let gateway = Arc::new(ArcSwap::from_pointee(actor));
        let edge = Edge::open_before(&server, &admin, &gateway, &telemetry).unwrap();
        Self {
            address: edge.addresses()[0],
            admin: edge.admin_address().unwrap(),
            stop: edge.stop(),
            signs,
            release,
            telemetry,
            runner: Some(thread::spawn(move || edge.run_deaf())),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends the bytes and reads to the end of the connection.
    async fn say(&self, bytes: &str) -> String {
        self.say_to(self.address, bytes).await
    }

    async fn say_to(&self, address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A refusal may come before all is sent.
        drop(stream.write_all(bytes.as_bytes()).await);
        rest(&mut stream).await
    }

    /// Asks the operators' listener.
    async fn ask(&self, path: &str) -> String {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        self.say_to(self.admin, &get).await
    }

    async fn sign(&mut self) -> Sign {
        patiently(self.signs.recv()).await.unwrap()
    }

    /// Waits until a metric has a value.
    async fn metric(&self, line: &str) {
        patiently(async {
            while !self
                .telemetry
                .metrics
                .encode(&Seen::default())
                .unwrap()
                .contains(line)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until the edge has left.
    async fn left(&mut self) {
        let runner = self.runner.take().unwrap();
        let joined = tokio::task::spawn_blocking(move || runner.join());
        patiently(joined).await.unwrap().unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.now();
        self.release.notify_waiters();
    }
}

async fn patiently<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it takes too long")
}

/// All that still comes; a reset counts as an end, but what came before it
/// must have been seen.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let read = async {
        let mut part = vec![0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..n]);
        }
    };
    patiently(read).await;
    String::from_utf8(all).unwrap()
}

/// Reads until the text has come.
async fn until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut all = String::new();
    let read = async {
        let mut part = vec![0; 4096];
        while !all.contains(text) {
            let n = stream.read(&mut part).await.unwrap();
            assert!(n > 0, "ended without {text}: {all}");
            all.push_str(std::str::from_utf8(&part[..n]).unwrap());
        }
    };
    patiently(read).await;
    all
}

fn post(path: &str, body: &str, more: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{more}\r\n{body}")
}

fn last_post(path: &str, body: &str, more: &str) -> String {
    post(path, body, &format!("Connection: close\r\n{more}"))
}

/// An answer without what differs from one to the next.
fn plain(answer: &str) -> String {
    let differs = |line: &&str| {
        !line.starts_with("Date:")
            && !line.starts_with("date:")
            && !line.to_ascii_lowercase().starts_with("x-request-id: ")
    };
    let lines: Vec<_> = answer.split("\r\n").filter(differs).collect();
    lines.join("\n")
}
