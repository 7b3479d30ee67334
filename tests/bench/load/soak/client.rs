//! One client, which reads and writes, disconnects and repeats.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use super::Soak;

/// How often a change is repeated until its outcome is known.
const MAX_ATTEMPTS: usize = 12;

/// How long a client thinks between two tasks.
const THINKING: Duration = Duration::from_millis(60);

/// A client.
pub(super) struct SoakClient {
    soak: Arc<Soak>,
    http: reqwest::Client,
    number: u64,
    requests: u64,
    token: Option<String>,
    random_state: u64,
    report: ClientReport,
}

/// What the clients did.
#[derive(Default)]
pub(super) struct ClientReport {
    /// All requests with a response.
    pub(super) answered: Vec<AnsweredRequest>,
    /// For each change, whether the gateway said that it was made.
    changes: HashMap<String, bool>,
    failures: BTreeMap<String, usize>,
    /// The last failures of changes that were given up.
    given_up: BTreeMap<String, usize>,
    successes: usize,
    disconnected: usize,
    slow: usize,
}

/// A request with a response.
pub(super) struct AnsweredRequest {
    /// Its trace, as Odoo received it.
    pub(super) trace: u128,
    /// Its id, as the audit journal has it.
    pub(super) id: u128,
    /// From its first byte to the last of its response, since the start.
    pub(super) during: (Duration, Duration),
}

impl SoakClient {
    pub(super) fn new(soak: Arc<Soak>, number: usize) -> Self {
        let protocol: &[u8] = if number.is_multiple_of(2) {
            b"http/1.1"
        } else {
            b"h2"
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(soak.setup.tls(protocol))
            .resolve("localhost", soak.setup.address)
            .no_proxy()
            .timeout(Duration::from_mins(1))
            .build();
        Self {
            soak,
            http: http.unwrap(),
            number: number as u64,
            requests: 0,
            token: None,
            random_state: (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            report: ClientReport::default(),
        }
    }

    /// Works until the end.
    pub(super) async fn run(mut self) -> ClientReport {
        while !self.soak.done.load(SeqCst) {
            match self.random_below(20) {
                0..10 => self.read().await,
                10..13 => self.change_directly().await,
                13..15 => self.change_with_approval().await,
                15..17 => {
                    let (tool, arguments) = self.some_read();
                    self.disconnect("direct", tool, &arguments).await;
                }
                17 => self.send_slowly().await,
                _ => self.token = Some(self.soak.setup.issue_token(&self.soak.idp)),
            }
            sleep(THINKING).await;
        }
        self.report
    }

    async fn read(&mut self) {
        let (tool, arguments) = self.some_read();
        drop(self.call("direct", tool, &arguments).await);
    }

    fn some_read(&mut self) -> (&'static str, Value) {
        match self.random_below(4) {
            0 => ("count_records", json!({"model": "res.partner"})),
            1 => (
                "search_records",
                json!({"model": "res.partner", "fields": ["name"], "limit": 7}),
            ),
            2 => (
                "read_records",
                json!({"model": "res.partner", "ids": [1, 2, 3, 20], "fields": ["name"]}),
            ),
            _ => (
                "find_by_name",
                json!({"model": "res.partner", "name": "azure"}),
            ),
        }
    }

    /// Creates a record, changes it, and deletes it.
    async fn change_directly(&mut self) {
        let name = self.unique_name();
        let create = json!({"model": "crm.lead", "values": [{"name": name}]});
        let created = format!("create \"{name}\"");
        let Some(text) = self
            .change("direct", "create_records", create, &created)
            .await
        else {
            return;
        };
        let Some(id) = first_id(&text) else {
            panic!("no id in {text}");
        };
        let name = self.unique_name();
        let update = json!({"model": "crm.lead", "ids": [id], "values": {"name": name}});
        let updated = format!("write \"{name}\"");
        self.change("direct", "update_records", update, &updated)
            .await;
        let delete = json!({"model": "crm.lead", "ids": [id]});
        let deleted = format!("unlink {id}");
        self.change("direct", "delete_records", delete, &deleted)
            .await;
    }

    async fn change_with_approval(&mut self) {
        let name = self.unique_name();
        let lead = self.number + 1;
        let update = json!({"model": "crm.lead", "ids": [lead], "values": {"name": name}});
        let updated = format!("write \"{name}\"");
        self.change("careful", "update_records", update, &updated)
            .await;
    }

    /// Makes a change, and repeats the call until its outcome is known; returns the
    /// text of the last response if it was made.
    async fn change(
        &mut self,
        instance: &str,
        tool: &str,
        mut arguments: Value,
        change: &str,
    ) -> Option<String> {
        arguments["idempotency_key"] = json!(self.unique_name());
        self.report.changes.insert(change.to_owned(), false);
        let mut last = String::new();
        for _ in 0..MAX_ATTEMPTS {
            if self.random_below(6) == 0 {
                self.disconnect(instance, tool, &arguments).await;
            }
            match self.call_as_writer(instance, tool, &arguments).await {
                Ok(text) => match confirm_id(&text) {
                    Some(confirm) => arguments["confirm"] = json!(confirm),
                    None => {
                        self.report.changes.insert(change.to_owned(), true);
                        return Some(text);
                    }
                },
                Err(text) => {
                    last = text;
                    sleep(Duration::from_millis(400)).await;
                }
            }
        }
        let last = last.chars().filter(|c| !c.is_ascii_digit()).take(240);
        *self.report.given_up.entry(last.collect()).or_default() += 1;
        None
    }

    async fn call(
        &mut self,
        instance: &str,
        tool: &str,
        arguments: &Value,
    ) -> Result<String, String> {
        let which = usize::try_from(self.random_below(4)).unwrap();
        let credential = match (self.soak.setup.keys().get(which), &self.token) {
            (Some(key), _) => key.clone(),
            (None, Some(token)) => token.clone(),
            (None, None) => self.soak.setup.keys()[0].clone(),
        };
        self.send(instance, &credential, tool, arguments).await
    }

    /// Approvals and idempotency keys belong to a caller.
    async fn call_as_writer(
        &mut self,
        instance: &str,
        tool: &str,
        arguments: &Value,
    ) -> Result<String, String> {
        let key = self.soak.setup.keys()[0].clone();
        self.send(instance, &key, tool, arguments).await
    }

    /// Calls a tool; an error is the text of a failure.
    async fn send(
        &mut self,
        instance: &str,
        credential: &str,
        tool: &str,
        arguments: &Value,
    ) -> Result<String, String> {
        let (trace, request) = self.request(instance, credential, tool, arguments);
        let from = self.soak.begun.elapsed();
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{error:?}"));
        let status = response.status();
        let id = response.headers()["x-request-id"].to_str().unwrap();
        let id = u128::from_str_radix(id, 16).unwrap();
        let body = response
            .bytes()
            .await
            .unwrap_or_else(|error| panic!("{error:?}"));
        let during = (from, self.soak.begun.elapsed());
        self.report
            .answered
            .push(AnsweredRequest { trace, id, during });
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let text = answer["result"]["content"][0]["text"].as_str();
        let failed = answer["result"]["isError"] == json!(true);
        match text {
            Some(text) if status == 200 && !failed => {
                self.report.successes += 1;
                Ok(text.to_owned())
            }
            _ => {
                let text = text.map_or_else(|| answer.to_string(), str::to_owned);
                let kind: String = text
                    .split(['`', '[', '(', ';'])
                    .next()
                    .unwrap()
                    .chars()
                    .take(100)
                    .collect();
                *self
                    .report
                    .failures
                    .entry(format!("{status} {tool}: {kind}"))
                    .or_default() += 1;
                Err(text)
            }
        }
    }

    /// Sends a call and disconnects, soon or a little later.
    async fn disconnect(&mut self, instance: &str, tool: &str, arguments: &Value) {
        let key = self.soak.setup.keys()[0].clone();
        let (_, request) = self.request(instance, &key, tool, arguments);
        let patience = Duration::from_millis(self.random_below(25));
        self.report.disconnected += 1;
        drop(timeout(patience, request.send()).await);
    }

    fn request(
        &mut self,
        instance: &str,
        credential: &str,
        tool: &str,
        arguments: &Value,
    ) -> (u128, reqwest::RequestBuilder) {
        self.requests += 1;
        let trace = (u128::from(self.number) + 1) << 64 | u128::from(self.requests);
        let request = self
            .http
            .post(self.soak.setup.url(instance))
            .bearer_auth(credential)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header(
                "traceparent",
                format!("00-{trace:032x}-00000000000000ab-01"),
            )
            .body(message(self.requests, tool, arguments));
        (trace, request)
    }

    /// Sends a call in pieces, with pauses, or only half of it.
    async fn send_slowly(&mut self) {
        let body = message(0, "count_records", &json!({"model": "res.partner"}));
        let address: SocketAddr = self.soak.setup.address;
        let request = format!(
            "POST /direct/mcp HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            address.port(),
            self.soak.setup.keys()[0],
            body.len()
        );
        let connector = TlsConnector::from(Arc::new(self.soak.setup.tls(b"http/1.1")));
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let pieces = if self.random_below(2) == 0 { 8 } else { 4 };
        for piece in request
            .as_bytes()
            .chunks(request.len() / 8 + 1)
            .take(pieces)
        {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
            sleep(Duration::from_millis(150)).await;
        }
        self.report.slow += 1;
        if pieces == 8 {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
    }

    fn unique_name(&mut self) -> String {
        self.requests += 1;
        format!("soak-{}-{}", self.number, self.requests)
    }

    /// A pseudorandom number below this (xorshift).
    fn random_below(&mut self, below: u64) -> u64 {
        self.random_state ^= self.random_state << 13;
        self.random_state ^= self.random_state >> 7;
        self.random_state ^= self.random_state << 17;
        self.random_state % below
    }
}

impl ClientReport {
    pub(super) fn merge(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.changes.extend(other.changes);
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
        for (failure, count) in other.given_up {
            *self.given_up.entry(failure).or_default() += count;
        }
        self.successes += other.successes;
        self.disconnected += other.disconnected;
        self.slow += other.slow;
    }

    /// Asserts that Odoo made each change once if it was reported as made, and no
    /// change twice.
    pub(super) fn assert_changed_once(&self, made: &HashMap<String, u32>) {
        let mut reported = 0;
        for (change, done) in &self.changes {
            let times = made.get(change).copied().unwrap_or(0);
            assert!(times <= 1, "`{change}` was made {times} times");
            assert!(times == 1 || !done, "`{change}` was reported and not made");
            reported += usize::from(*done);
        }
        assert!(made.values().all(|times| *times == 1), "{made:?}");
        let unclear = self.changes.len() - reported;
        println!(
            "{reported} changes, each made once; {unclear} others were given up: {:#?}",
            self.given_up
        );
        assert!(unclear * 20 < self.changes.len(), "too many are unclear");
    }
}

impl fmt::Display for ClientReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests with a response, {} of them successful; {} disconnected, {} slow; failures: {:#?}",
            self.answered.len(),
            self.successes,
            self.disconnected,
            self.slow,
            self.failures
        )
    }
}

fn message(id: u64, tool: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        .to_string()
}

/// The approval token in a preview.
fn confirm_id(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("`confirm`: \"")?;
    rest.split('"').next().map(str::to_owned)
}

/// The first id in a text, such as `[7]`.
fn first_id(text: &str) -> Option<u64> {
    let mut parts = text.split('[').skip(1);
    parts.find_map(|part| part.split([']', ',']).next()?.parse().ok())
}
