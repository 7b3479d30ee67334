//! A gateway in process on port 0, in front of the sample company.

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;
use gatepost::{
    config::{Sources, ValidConfig, load},
    edge::{Edge, ShutdownHandle},
    gateway::Gateway,
    telemetry::Telemetry,
};
use gatepost_base::{InstanceName, ProviderName};
use gatepost_identity::CheckResult;
use gatepost_state::store::StateStore;
use odoo_sim::{ADMIN_KEY, DATABASE, FakeOdoo};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::log;

/// A running gateway; dropping it stops it.
pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) fake_odoo: Arc<FakeOdoo>,
    /// The address of the admin listener, if there is a configuration file.
    pub(crate) admin: Option<SocketAddr>,
    gateway: Arc<ArcSwap<Gateway>>,
    telemetry: Arc<Telemetry>,
    /// The URL of the simulated Odoo, if there is a folder.
    odoo_url: String,
    /// The folder of the configuration, if there is one.
    folder: Option<TempDir>,
    stop: ShutdownHandle,
    runner: Option<thread::JoinHandle<()>>,
}

/// A parsed response.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl TestResponse {
    fn read(bytes: Vec<u8>) -> Self {
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The text of a tool's result, and whether it is an error.
    pub(crate) fn tool_result(&self) -> (String, bool) {
        let result = &self.json()["result"];
        let text = result["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("{}", self.body));
        (text.to_owned(), result["isError"] == json!(true))
    }

    /// The kind of the error, as the log and the metrics name it.
    pub(crate) fn error_kind(&self) -> String {
        let line = log::of_request(&self.header("x-request-id").unwrap());
        let (_, kind) = line
            .split_once("refusal.kind=\"")
            .unwrap_or_else(|| panic!("no error in {line}"));
        kind.split('"').next().unwrap().to_owned()
    }

    /// The same response, once its request is in the log and the metrics.
    pub(crate) fn recorded(self) -> Self {
        log::of_request(&self.header("x-request-id").unwrap());
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    }
}

impl TestGateway {
    /// A gateway with one instance `demo`, open to all local callers.
    pub(crate) fn anonymous() -> Self {
        Self::with_key(ADMIN_KEY, &[("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader")])
    }

    /// A gateway with this API key of the simulated Odoo and more configuration.
    pub(crate) fn with_key(key: &str, more: &[(&str, &str)]) -> Self {
        let (company, url) = start_fake_odoo();
        Self::in_front_of(&url, company, key, more)
    }

    /// A gateway with a whole configuration, in which `ODOO` is replaced by the URL of
    /// the simulated Odoo. Relative paths start from the gateway's folder.
    pub(crate) fn from_config(text: &str) -> Self {
        Self::from_config_with_files(text, &[])
    }

    /// The same, with other files beside the configuration.
    pub(crate) fn from_config_with_files(text: &str, files: &[(&str, &str)]) -> Self {
        let (company, odoo) = start_fake_odoo();
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let sources = config_sources(folder.path(), &text.replace("ODOO", &odoo));
        let checked = load(&sources).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let mut stage = Self::from_checked_config(&checked, company);
        stage.odoo_url = odoo;
        stage.folder = Some(folder);
        stage
    }

    /// The errors of a configuration; empty if there are none.
    pub(crate) fn config_errors(text: &str, files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let sources = config_sources(folder.path(), &text.replace("ODOO", "http://127.0.0.1:9"));
        let text = match load(&sources) {
            Ok(checked) => checked
                .build()
                .err()
                .map_or(String::new(), |error| error.to_string()),
            Err(mistakes) => mistakes.to_string(),
        };
        text.replace(folder.path().to_str().unwrap(), "FOLDER")
    }

    /// The warnings of a valid configuration.
    pub(crate) fn config_warnings(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let sources = config_sources(folder.path(), &text.replace("ODOO", "http://127.0.0.1:9"));
        let warnings = load(&sources).unwrap().warnings;
        let text: String = warnings.iter().map(ToString::to_string).collect();
        text.replace(folder.path().to_str().unwrap(), "FOLDER")
    }

    /// Reloads with another configuration, as SIGHUP does.
    pub(crate) fn reload(&self, text: &str) {
        let folder = self.folder.as_ref().unwrap().path();
        let sources = config_sources(folder, &text.replace("ODOO", &self.odoo_url));
        let checked = load(&sources).unwrap();
        let old = self.gateway.load();
        let built = checked.rebuild(&old).unwrap();
        self.gateway.store(Arc::new(built));
    }

    /// The error of a reload with this configuration.
    pub(crate) fn reload_error(&self, text: &str) -> String {
        let folder = self.folder.as_ref().unwrap().path();
        let sources = config_sources(folder, &text.replace("ODOO", &self.odoo_url));
        let checked = load(&sources).unwrap();
        let built = checked.rebuild(&self.gateway.load());
        built.unwrap_err().to_string()
    }

    /// A gateway in front of the server at this URL.
    pub(crate) fn in_front_of(
        url: &str,
        company: Arc<FakeOdoo>,
        key: &str,
        more: &[(&str, &str)],
    ) -> Self {
        Self::from_checked_config(&load_config(url, key, more), company)
    }

    /// A gateway with this configuration.
    pub(crate) fn from_checked_config(checked: &ValidConfig, fake_odoo: Arc<FakeOdoo>) -> Self {
        log::install();
        let gateway = Arc::new(ArcSwap::from_pointee(checked.build().unwrap()));
        let telemetry = Arc::new(checked.telemetry().unwrap());
        let edge = Edge::open(
            &checked.config.server,
            &checked.config.admin,
            &gateway,
            &telemetry,
        )
        .unwrap();
        let address = edge.addresses()[0];
        let admin = edge.admin_address();
        let stop = edge.shutdown_handle();
        let runner = thread::spawn(move || edge.run(None));
        Self {
            address,
            fake_odoo,
            admin,
            gateway,
            telemetry,
            odoo_url: String::new(),
            folder: None,
            stop,
            runner: Some(runner),
        }
    }

    /// Asks Odoo when its API keys expire, as a running gateway does in the background.
    pub(crate) fn ask_when_keys_expire(&self, keys: usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for _ in 0..keys {
            runtime.block_on(self.gateway.load().refresh_next_key_expiry());
        }
    }

    /// What the gateway says at this time about keys of Odoo that expire, and of which
    /// instances every key has expired.
    pub(crate) fn key_warnings(&self, at: jiff::Timestamp) -> (Vec<String>, Vec<InstanceName>) {
        self.gateway.load().key_warnings(at)
    }

    /// What `check --live` finds out about the identity providers.
    pub(crate) fn check_providers(&self) -> Vec<(ProviderName, Vec<CheckResult>)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .unwrap()
            .block_on(self.gateway.load().check_providers())
    }

    /// What `check --live --token` finds out about a token, by instance.
    pub(crate) fn check_token(&self, token: &str) -> Vec<(InstanceName, Vec<CheckResult>)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .unwrap()
            .block_on(self.gateway.load().check_token(token))
    }

    /// The store of changes.
    pub(crate) fn state_store(&self) -> Arc<StateStore> {
        Arc::clone(&self.gateway.load().state_store)
    }

    /// A path in the gateway's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.as_ref().unwrap().path().join(name)
    }

    /// The URL of the simulated Odoo, for a gateway with a folder.
    pub(crate) fn odoo_url(&self) -> &str {
        &self.odoo_url
    }

    /// The lines of the audit journal `audit.jsonl`, after flushing it.
    pub(crate) fn audit_entries(&self) -> Vec<Value> {
        self.gateway.load().journal.flush(Duration::from_secs(20));
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Sends bytes and reads until the gateway closes.
    pub(crate) fn send(&self, request: &[u8]) -> TestResponse {
        send_raw(self.address, request)
    }

    /// Sends a request to the admin listener.
    pub(crate) fn admin_get(&self, path: &str) -> TestResponse {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        send_raw(self.admin.unwrap(), request.as_bytes())
    }

    /// Sends bytes, and more of them at once or after the first response.
    pub(crate) fn send_in_two(&self, first: &[u8], second: &[u8], late: bool) -> TestResponse {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream.write_all(first).unwrap();
        let mut bytes = Vec::new();
        if late {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            bytes.extend_from_slice(part.get(..read).unwrap_or_default());
        }
        // The gateway may have closed the connection already.
        drop(stream.write_all(second));
        drop(stream.read_to_end(&mut bytes));
        TestResponse::read(bytes)
    }

    /// Sends a request with more header lines; adds `Host` and `Connection: close`.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &str,
    ) -> TestResponse {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers
            .iter()
            .any(|line| line.to_lowercase().starts_with("host:"))
        {
            write!(head, "Host: {}\r\n", self.address).unwrap();
        }
        for line in headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        if !body.is_empty() || method == "POST" {
            write!(head, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        self.send(format!("{head}\r\n{body}").as_bytes())
    }

    /// A POST of a message, as a client of the handshake era sends it.
    pub(crate) fn post(&self, message: &Value) -> TestResponse {
        self.request(
            "POST",
            "/mcp",
            &["Content-Type: application/json"],
            &message.to_string(),
        )
    }

    /// Makes a call that must fail with an error of this kind; returns its text.
    pub(crate) fn call_fails(&self, tool: &str, arguments: &Value, kind: &str) -> String {
        let response = self.post(&tool_call(tool, arguments));
        let (text, failed) = response.tool_result();
        assert!(failed, "{tool} {arguments}: {text}");
        assert_eq!(response.error_kind(), kind, "{tool} {arguments}: {text}");
        text
    }

    /// Makes a call that must succeed with this outcome of its change, such as
    /// `previewed` or `repeated`; returns its text.
    pub(crate) fn call_succeeds(&self, tool: &str, arguments: &Value, outcome: &str) -> String {
        let before = self.changes(outcome);
        let (text, failed) = self.call(tool, arguments);
        assert!(!failed, "{tool} {arguments}: {text}");
        let changes = self.changes(outcome) - before;
        assert_eq!(changes, 1, "{outcome}: {tool} {arguments}: {text}");
        text
    }

    /// The number of recorded changes with this outcome.
    pub(crate) fn changes(&self, outcome: &str) -> u64 {
        changes(&self.telemetry.metrics.encode(|_| {}).unwrap(), outcome)
    }

    /// Calls a tool.
    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> (String, bool) {
        let response = self.post(&tool_call(tool, arguments));
        response.recorded().tool_result()
    }
}

/// The number of changes with this outcome in the text of the metrics.
pub(crate) fn changes(metrics: &str, outcome: &str) -> u64 {
    let label = format!("outcome=\"{outcome}\"");
    let series = metrics.lines().filter(|line| line.contains(&label));
    series
        .filter_map(|line| {
            line.strip_prefix("gatepost_changes_total{")?
                .rsplit_once(' ')
        })
        .map(|(_, count)| count.parse::<u64>().unwrap())
        .sum()
}

/// A running simulated Odoo and its URL.
pub(crate) fn start_fake_odoo() -> (Arc<FakeOdoo>, String) {
    let company = Arc::new(FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
    let odoo = TcpListener::bind("127.0.0.1:0").unwrap();
    odoo.set_nonblocking(true).unwrap();
    let url = format!("http://{}", odoo.local_addr().unwrap());
    let serving = Arc::clone(&company);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            serving
                .serve(tokio::net::TcpListener::from_std(odoo).unwrap())
                .await;
        });
    });
    (company, url)
}

/// One instance `demo` with this URL and key, a role `reader`, and more.
pub(crate) fn load_config(url: &str, key: &str, more: &[(&str, &str)]) -> ValidConfig {
    let mut settings = vec![
        ("GATEPOST_SERVER__LISTEN", "127.0.0.1:0"),
        ("GATEPOST_ADMIN__LISTEN", ""),
        ("GATEPOST_INSTANCES__DEMO__URL", url),
        ("GATEPOST_INSTANCES__DEMO__DATABASE", DATABASE),
        ("GATEPOST_INSTANCES__DEMO__API_KEY", key),
        ("GATEPOST_ROLES__READER__RULES", r#"[{ models = ["*"] }]"#),
    ];
    settings.extend_from_slice(more);
    load(&Sources::with_environment(None, settings)).unwrap()
}

/// Writes a configuration with free ports to a file in this folder.
fn config_sources(folder: &Path, text: &str) -> Sources {
    let file = folder.join("gatepost.toml");
    fs::write(&file, text).unwrap();
    let ports = [
        ("GATEPOST_SERVER__LISTEN", "127.0.0.1:0"),
        ("GATEPOST_ADMIN__LISTEN", "127.0.0.1:0"),
    ];
    Sources::with_environment(Some(file), ports)
}

/// Sends bytes to an address and reads until it closes.
pub(crate) fn send_raw(address: SocketAddr, request: &[u8]) -> TestResponse {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    stream.write_all(request).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    TestResponse::read(bytes)
}

/// Disconnects with a reset, as a client that fails. Closing in order looks to the
/// gateway like a client that only stopped sending.
pub(crate) fn reset(stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    stream.set_zero_linger().unwrap();
}

/// A `tools/call` of the handshake era.
pub(crate) fn tool_call(tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.stop.shut_down();
        if let Some(runner) = self.runner.take() {
            drop(runner.join());
        }
        // As the program does at exit, so that another gateway can open the file.
        self.gateway
            .load()
            .state_store
            .close(Duration::from_secs(20));
    }
}
