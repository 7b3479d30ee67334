//! The edge on real sockets, with a handler that does what the path says.

mod admin;
mod bounds;
mod calls;
mod drain;
mod elicitation;
mod error_texts;
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

use super::{Edge, RequestHandler, RequestTerms, ShutdownHandle};
use crate::{
    config,
    gateway::{Head, HttpResponse, ServerMessages},
    telemetry::{Readiness, RequestLog, Telemetry},
};
use gatepost_base::InstanceName;

/// The longest time that a test waits for anything.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What the handler was asked to do.
#[derive(Debug, PartialEq, Eq)]
enum HostEvent {
    Started(String),
    Cancelled(String),
}

/// A handler that does what the path says.
struct ScriptedHost {
    events: mpsc::UnboundedSender<HostEvent>,
    release: Arc<Notify>,
    readiness: Readiness,
    /// How long the check of readiness takes.
    readiness_delay: Duration,
}

#[derive(Clone)]
struct ScriptedRequest {
    path: String,
    head: String,
    accept: String,
}

struct CancelGuard<'a>(&'a ScriptedHost, Option<String>);

impl Drop for CancelGuard<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.1.take() {
            drop(self.0.events.send(HostEvent::Cancelled(path)));
        }
    }
}

impl RequestHandler for ScriptedHost {
    type Request = ScriptedRequest;

    async fn accept_head(
        &self,
        head: Head,
        log: &mut RequestLog,
    ) -> Result<ScriptedRequest, HttpResponse> {
        log.method = Some("ping");
        let accept = head
            .headers
            .get(header::ACCEPT)
            .map_or("", |accept| accept.to_str().unwrap());
        match head.path.as_str() {
            "/closed" => return Err(HttpResponse::empty(StatusCode::UNAUTHORIZED)),
            "/panic-at-once" => panic!("at the door"),
            _ => {}
        }
        if head.method == Method::HEAD {
            return Err(HttpResponse::json(
                StatusCode::OK,
                Bytes::from_static(b"{}"),
            ));
        }
        Ok(ScriptedRequest {
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

    async fn handle_body(
        &self,
        visitor: &ScriptedRequest,
        body: Bytes,
        notices: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> HttpResponse {
        // A message over stdin has the path in itself.
        let message = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        let path = message["path"].as_str().unwrap_or(&visitor.path).to_owned();
        drop(self.events.send(HostEvent::Started(path.clone())));
        let mut cancelled = CancelGuard(self, Some(path.clone()));
        log.tool = Some("search_records");
        let reply = match path.as_str() {
            "/head" => {
                let said = serde_json::json!(visitor.head);
                HttpResponse::json(StatusCode::OK, Bytes::from(said.to_string()))
            }
            "/panic" => {
                cancelled.1 = None;
                panic!("while serving");
            }
            "/held" => {
                self.release.notified().await;
                HttpResponse::json(StatusCode::OK, Bytes::from_static(b"{\"held\":1}"))
            }
            "/notices" => {
                for n in 1..=3 {
                    let notice = Bytes::from(format!("{{\"n\":{n}}}"));
                    if let Some(notices) = &notices {
                        notices.send(notice).await.unwrap();
                    }
                }
                HttpResponse::json(StatusCode::OK, Bytes::from_static(b"{\"last\":1}"))
            }
            "/large" => {
                let large = format!("\"{}\"", "x".repeat(64 << 20));
                HttpResponse::json(StatusCode::OK, Bytes::from(large))
            }
            "/quiet" => HttpResponse::empty(StatusCode::ACCEPTED),
            "/wrong" => HttpResponse::json(StatusCode::BAD_REQUEST, Bytes::from_static(b"{}")),
            _ => HttpResponse::json(StatusCode::OK, body),
        };
        cancelled.1 = None;
        reply
    }

    fn accept_stdio(
        &self,
        instance: &InstanceName,
        _session: Option<&str>,
    ) -> Option<ScriptedRequest> {
        (instance.as_str() == "local").then(|| ScriptedRequest {
            path: "/stdio".to_owned(),
            head: String::new(),
            accept: String::new(),
        })
    }

    async fn readiness(&self) -> Readiness {
        drop(self.events.send(HostEvent::Started("readiness".to_owned())));
        tokio::time::sleep(self.readiness_delay).await;
        self.readiness.clone()
    }

    fn terms(visitor: &ScriptedRequest) -> RequestTerms {
        RequestTerms {
            accepts_event_stream: visitor.accept.contains("text/event-stream"),
            requires_event_stream: visitor.accept == "text/event-stream",
            max_body_bytes: 4096,
        }
    }
}

/// The state of these instances.
fn instances(instances: Vec<(InstanceName, Result<(), String>)>) -> Readiness {
    Readiness {
        instances,
        ..Readiness::default()
    }
}

/// A running edge; it stops when dropped.
struct TestEdge {
    address: SocketAddr,
    admin: SocketAddr,
    shutdown: ShutdownHandle,
    events: mpsc::UnboundedReceiver<HostEvent>,
    release: Arc<Notify>,
    telemetry: Arc<Telemetry>,
    runner: Option<JoinHandle<()>>,
}

impl TestEdge {
    fn open() -> Self {
        Self::with_server(|_| {})
    }

    fn with_server(change: impl FnOnce(&mut config::ServerConfig)) -> Self {
        let ready = vec![
            (InstanceName::try_from("one").unwrap(), Ok(())),
            (
                InstanceName::try_from("two").unwrap(),
                Err("it does not answer".to_owned()),
            ),
        ];
        Self::with_readiness(instances(ready), change)
    }

    fn with_admin(change: impl FnOnce(&mut config::AdminConfig)) -> Self {
        Self::with_config(Readiness::default(), |_| {}, change)
    }

    fn with_readiness(ready: Readiness, change: impl FnOnce(&mut config::ServerConfig)) -> Self {
        Self::with_config(ready, change, |_| {})
    }

    fn with_config(
        ready: Readiness,
        change: impl FnOnce(&mut config::ServerConfig),
        change_admin: impl FnOnce(&mut config::AdminConfig),
    ) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = config::ServerConfig {
            listen: vec![any],
            max_header_bytes: 2048,
            // Tests that wait for a deadline shorten it; the others never reach one.
            header_timeout_ms: 60_000,
            body_timeout_ms: 60_000,
            event_stream_after_ms: 60_000,
            heartbeat_ms: 60_000,
            ..config::ServerConfig::default()
        };
        change(&mut server);
        let mut admin = config::AdminConfig {
            listen: Some(any),
            ..config::AdminConfig::default()
        };
        change_admin(&mut admin);
        let (sender, events) = mpsc::unbounded_channel();
        let release = Arc::new(Notify::new());
        let telemetry = Arc::new(Telemetry::new());
        let actor = ScriptedHost {
            events: sender,
            release: Arc::clone(&release),
            readiness: ready,
            readiness_delay: Duration::ZERO,
        };
        let gateway = Arc::new(ArcSwap::from_pointee(actor));
        let edge = Edge::open(&server, &admin, &gateway, &telemetry).unwrap();
        Self {
            address: edge.addresses()[0],
            admin: edge.admin_address().unwrap(),
            shutdown: edge.shutdown_handle(),
            events,
            release,
            telemetry,
            runner: Some(thread::spawn(move || edge.run(None))),
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request to `/held`, and returns its connection once the call has started.
    async fn start(&mut self, request: &str) -> TcpStream {
        let mut client = self.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        let started = HostEvent::Started("/held".to_owned());
        assert_eq!(self.next_event().await, started);
        client
    }

    /// Sends the bytes and reads to the end of the connection.
    async fn send(&self, bytes: &str) -> String {
        self.send_to(self.address, bytes).await
    }

    async fn send_to(&self, address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The response may arrive before everything is sent.
        drop(stream.write_all(bytes.as_bytes()).await);
        read_to_end(&mut stream).await
    }

    /// Sends a GET to the admin listener.
    async fn get_admin(&self, path: &str) -> String {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        self.send_to(self.admin, &get).await
    }

    async fn next_event(&mut self) -> HostEvent {
        within_timeout(self.events.recv()).await.unwrap()
    }

    /// Waits until a metric has a value.
    async fn wait_for_metric(&self, line: &str) {
        within_timeout(async {
            while !self
                .telemetry
                .metrics
                .encode(|_| {})
                .unwrap()
                .contains(line)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until the edge has stopped.
    async fn wait_for_exit(&mut self) {
        let runner = self.runner.take().unwrap();
        let joined = tokio::task::spawn_blocking(move || runner.join());
        within_timeout(joined).await.unwrap().unwrap();
    }
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        self.shutdown.shut_down();
        self.release.notify_waiters();
    }
}

async fn within_timeout<T>(work: impl Future<Output = T>) -> T {
    timeout(TEST_TIMEOUT, work)
        .await
        .expect("it takes too long")
}

/// Everything until the end of the connection; a reset counts as an end, but what
/// came before it is returned.
async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    let read = async {
        let mut part = vec![0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..n]);
        }
    };
    within_timeout(read).await;
    String::from_utf8(all).unwrap()
}

/// Reads until the text has arrived.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut all = String::new();
    let read = async {
        let mut part = vec![0; 4096];
        while !all.contains(text) {
            let n = stream.read(&mut part).await.unwrap();
            assert!(n > 0, "ended without {text}: {all}");
            all.push_str(std::str::from_utf8(&part[..n]).unwrap());
        }
    };
    within_timeout(read).await;
    all
}

fn post(path: &str, body: &str, more: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{more}\r\n{body}")
}

fn post_and_close(path: &str, body: &str, more: &str) -> String {
    post(path, body, &format!("Connection: close\r\n{more}"))
}

/// The sample of the requests to the scripted handler with this outcome.
fn requests_total(outcome: &str, count: u32) -> String {
    format!(
        "gatepost_requests_total{{blame=\"none\",instance=\"none\",outcome=\"{outcome}\",revision=\"none\",tool=\"search_records\"}} {count}\n"
    )
}

/// A response without the header fields that vary.
fn stable_lines(answer: &str) -> String {
    let differs = |line: &&str| {
        !line.starts_with("Date:")
            && !line.starts_with("date:")
            && !line.to_ascii_lowercase().starts_with("x-request-id: ")
    };
    let lines: Vec<_> = answer.split("\r\n").filter(differs).collect();
    lines.join("\n")
}
