//! The program as a separate process, seen from outside.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use odoo_sim::{ADMIN_KEY, INTERNAL_KEY, SALES_KEY};
use serde_json::{Value, json};

use crate::{
    log,
    pace::assert_takes_at_most,
    test_gateway::{TestResponse, changes, send_raw, tool_call},
};

/// The longest time that a test waits for anything.
pub(super) const TEST_TIMEOUT: Duration = Duration::from_mins(2);

/// What a log must never contain.
const SECRETS: [&str; 3] = [ADMIN_KEY, INTERNAL_KEY, SALES_KEY];

/// A running `gatepost serve`. Dropping it kills it and checks that its log contains
/// no secret and no panic.
pub(super) struct GatewayProcess {
    pub(super) address: SocketAddr,
    pub(super) admin: SocketAddr,
    folder: PathBuf,
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
    secrets: Vec<String>,
}

impl GatewayProcess {
    /// Starts it with this configuration in this folder.
    pub(super) fn start(folder: &Path, configuration: &str) -> Self {
        write_configuration(folder, configuration);
        Self::spawn(folder, &mut serve_command(folder))
    }

    /// Starts it with this command, whose configuration is in this folder.
    pub(super) fn spawn(folder: &Path, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        let (sender, opened) = std::sync::mpsc::channel();
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(addresses) = parse_listener_addresses(&line) {
                    sender.send(addresses).unwrap();
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let Ok((address, admin)) = opened.recv_timeout(TEST_TIMEOUT) else {
            drop(child.kill());
            drop(child.wait());
            panic!("{}", log.lock().unwrap());
        };
        Self {
            address,
            admin,
            folder: folder.to_owned(),
            child,
            log,
            reader: Some(reader),
            secrets: SECRETS.map(str::to_owned).into(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Adds a text that the log must not contain.
    pub(super) fn forbid_in_log(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Posts a message to a path, with these additional header lines.
    pub(super) fn post(&self, path: &str, headers: &[&str], message: &Value) -> TestResponse {
        post(self.address, path, headers, message)
    }

    /// Counts partners in the instance `demo`, as an anonymous caller.
    pub(super) fn count(&self) -> TestResponse {
        self.count_in("demo")
    }

    /// The same in another instance.
    pub(super) fn count_in(&self, instance: &str) -> TestResponse {
        self.post(&format!("/{instance}/mcp"), &[], &count_call())
    }

    /// Sends a GET to the admin listener.
    pub(super) fn get_admin(&self, path: &str) -> TestResponse {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        send_raw(self.admin, request.as_bytes())
    }

    /// The status and the body of `/readyz`.
    pub(super) fn readiness(&self) -> (u16, Value) {
        let answer = self.get_admin("/readyz");
        (answer.status, answer.json())
    }

    /// Runs `work`, which may take this long on an idle machine.
    #[track_caller]
    pub(super) fn assert_takes_at_most<T>(&self, limit: Duration, work: impl FnOnce() -> T) -> T {
        assert_takes_at_most(limit, || drop(self.get_admin("/metrics")), work)
    }

    /// The sum of all samples whose line has this prefix; `None` if there are none.
    pub(super) fn metric(&self, begin: &str) -> Option<f64> {
        let values = samples(&self.get_admin("/metrics").body, begin);
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Waits until a sample has this value.
    pub(super) fn wait_for_metric(&self, begin: &str, value: f64) {
        // Results of checks are cached for two seconds.
        wait_until(begin, || {
            self.metric(begin)
                .is_some_and(|known| (known - value).abs() < 0.5)
        });
    }

    /// The kind of the error in a response, if any, once its request is in the log
    /// and the metrics.
    pub(super) fn error_kind(&self, answer: &TestResponse) -> Option<String> {
        let kind = &self.request_line(answer)["refusal.kind"];
        kind.as_str().map(str::to_owned)
    }

    /// The line of the log about a request, which is written after its response.
    fn request_line(&self, answer: &TestResponse) -> Value {
        let id = answer.header("x-request-id").unwrap();
        let mut found = None;
        wait_until("the line of the request", || {
            let log = self.log();
            let mut lines = log.lines();
            found = lines
                .rfind(|line| line.contains(&id) && line.contains(log::SERVED))
                .map(|line| serde_json::from_str(line).unwrap());
            found.is_some()
        });
        found.unwrap()
    }

    /// The number of recorded changes with this outcome.
    pub(super) fn changes(&self, outcome: &str) -> u64 {
        changes(&self.get_admin("/metrics").body, outcome)
    }

    pub(super) fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    /// Waits until the log has this number of lines with this text.
    pub(super) fn wait_for_log(&self, text: &str, times: usize) {
        wait_until(text, || {
            self.log()
                .lines()
                .filter(|line| line.contains(text))
                .count()
                >= times
        });
    }

    /// Reloads with another configuration.
    pub(super) fn reload(&self, configuration: &str) {
        let reloads = self.log().matches("Reloaded the configuration").count();
        write_configuration(&self.folder, configuration);
        self.signal("-HUP");
        self.wait_for_log("Reloaded the configuration", reloads + 1);
    }

    pub(super) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Kills it, as when the machine fails.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as operators do.
    pub(super) fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    /// Stops it, checks that the journal is valid, and returns its records of calls.
    pub(super) fn stop_and_read_calls(self) -> Vec<Value> {
        let folder = self.folder.clone();
        let status = self.stop();
        assert!(status.success(), "{status}");
        verify_journal(&folder);
        read_calls(&folder)
    }
}

impl Drop for GatewayProcess {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
        if thread::panicking() {
            return;
        }
        let log = self.log();
        for secret in self.secrets.iter().map(String::as_str).chain(["(panic)"]) {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "the log contains a secret or a panic");
        }
    }
}

/// The command that serves the configuration in this folder: of this build, or the
/// binary that `GATEPOST_BINARY` names.
pub(super) fn serve_command(folder: &Path) -> Command {
    let own = || env!("CARGO_BIN_EXE_gatepost").into();
    let mut command = Command::new(std::env::var_os("GATEPOST_BINARY").unwrap_or_else(own));
    command
        .env_clear()
        .current_dir(folder)
        .env("GATEPOST_SERVER__LISTEN", "127.0.0.1:0")
        .env("GATEPOST_ADMIN__LISTEN", "127.0.0.1:0")
        .args(["serve", "--config", "gatepost.toml"]);
    command
}

/// Replaces the configuration atomically.
pub(super) fn write_configuration(folder: &Path, configuration: &str) {
    let next = folder.join("gatepost.toml.next");
    fs::write(&next, configuration).unwrap();
    fs::rename(&next, folder.join("gatepost.toml")).unwrap();
}

/// Checks that `gatepost audit verify` succeeds, and returns its output.
pub(super) fn verify_journal(folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .env_clear()
        .current_dir(folder)
        .args(["audit", "verify", "audit.jsonl"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// All lines of the journal in this folder, the oldest first.
pub(super) fn read_journal(folder: &Path) -> Vec<Value> {
    let older = (1..).map(|number| folder.join(format!("audit.jsonl.{number}")));
    let mut files: Vec<PathBuf> = older.take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(folder.join("audit.jsonl"));
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let lines: Vec<Value> = texts
        .flat_map(|text| {
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    lines
}

/// The records of calls among them.
pub(super) fn read_calls(folder: &Path) -> Vec<Value> {
    let mut lines = read_journal(folder);
    lines.retain(|line| line["kind"] == "call");
    lines
}

/// Adds an API key to `keys.toml`, with this role and lifetime in seconds.
pub(super) fn new_key(folder: &Path, role: &str, good_for: Option<Duration>) -> String {
    let key = ApiKey::generate().unwrap();
    let stored = StoredKey {
        id: key.id().clone(),
        hash: key.hash(),
        name: "test".to_owned(),
        roles: vec![RoleName::try_from(role).unwrap()],
        created: jiff::Timestamp::UNIX_EPOCH,
        expires: good_for.map(|time| jiff::Timestamp::now() + time),
        revoked: None,
    };
    update_keys_file(&folder.join("keys.toml"), |keys| keys.add(stored)).unwrap();
    key.reveal()
}

/// A tool call that needs one call to Odoo.
pub(super) fn count_call() -> Value {
    tool_call("count_records", &json!({ "model": "res.partner" }))
}

pub(super) fn post(
    address: SocketAddr,
    path: &str,
    headers: &[&str],
    message: &Value,
) -> TestResponse {
    let body = message.to_string();
    let more: Vec<String> = headers.iter().map(|line| format!("{line}\r\n")).collect();
    let more = more.concat();
    let host = if more.to_lowercase().contains("host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let request = format!(
        "POST {path} HTTP/1.1\r\n{host}{more}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    send_raw(address, request.as_bytes())
}

/// The values of all samples whose line has this prefix.
pub(super) fn samples(metrics: &str, begin: &str) -> Vec<f64> {
    metrics
        .lines()
        .filter(|line| line.starts_with(begin))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect()
}

/// Waits until the condition holds.
#[track_caller]
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + TEST_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < limit, "{what} did not come");
        // Nothing signals it; polling slowly leaves the CPU to the other tests.
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// The addresses of the listeners, if this line of the log has them.
fn parse_listener_addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["message"] != log::LISTENING {
        return None;
    }
    let addresses = line["addresses"].as_str()?;
    let first = addresses.trim_matches(['[', ']']).split(',').next()?;
    let admin = line["admin_address"].as_str()?;
    Some((first.parse().ok()?, admin.parse().ok()?))
}
