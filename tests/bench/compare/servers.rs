//! The servers that are compared, each in front of its own address of the Odoo.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use odoo_sim::{ADMIN_KEY, DATABASE};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    canned_odoo::{CannedOdoo, OdooListener},
    client::{HOST, LoadGenerator, Message, Target},
    idp::{ExpectedClientAuth, Idp},
    peers::{self, Peer},
    process::ServerProcess,
    reader_key::new_reader_key,
    redis_server::RedisServer,
    scenario::{CallKind, Credential, RULES, Scenario, Setup, Transport},
};

/// How long a server may take to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What the servers share: the Odoo, the certificate, a provider and a Redis.
pub(super) struct Environment {
    pub(super) odoo: CannedOdoo,
    pub(super) clients: LoadGenerator,
    idp: Idp,
    redis: RedisServer,
    folder: TempDir,
    /// A token of the provider.
    token: String,
}

/// What a server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum ServerKind {
    /// A gateway with one build of Gatepost and this setup.
    Gateway { binary: PathBuf, setup: Setup },
    /// nginx with `proxy_pass`.
    Nginx,
    /// Pingora's proxy, passing through.
    PassThrough,
    /// Another MCP server, and its program.
    Peer { peer: Peer, program: PathBuf },
    /// No server: clients connect to the Odoo itself.
    Straight,
}

/// A running server.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) kind: ServerKind,
    /// How long it took from the start of the process to the first answer.
    pub(super) start_up: Duration,
    /// `None` if there is no server.
    pub(super) process: Option<ServerProcess>,
    pub(super) odoo: OdooListener,
    plain: SocketAddr,
    tls: SocketAddr,
    api_key: String,
    /// The session of MCP, with a peer.
    session: Option<String>,
    folder: TempDir,
}

impl Environment {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
        fs::write(folder.path().join("certificate.pem"), certified.cert.pem()).unwrap();
        fs::write(
            folder.path().join("certificate.key"),
            certified.signing_key.serialize_pem(),
        )
        .unwrap();
        let idp = Idp::start();
        let token = idp.issue_opaque(json!({
            "iss": idp.issuer(), "sub": "alice", "client_id": "bench",
            "aud": format!("https://{HOST}/bench/mcp"), "token_type": "Bearer",
            "exp": jiff::Timestamp::now().as_second() + 36_000, "roles": ["odoo_reader"],
        }));
        Self {
            odoo: CannedOdoo::start(),
            clients: LoadGenerator::new(certified.cert.der().clone()),
            idp,
            redis: RedisServer::start(),
            folder,
            token,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Starts a server and waits for its first answer.
    pub(super) fn start(&self, name: &str, kind: &ServerKind) -> Server {
        let odoo = self.odoo.listen();
        let [plain, tls] = [free_address(), free_address()];
        let mut server = Server {
            folder: tempfile::tempdir().unwrap(),
            name: name.to_owned(),
            kind: kind.clone(),
            start_up: Duration::ZERO,
            process: None,
            plain,
            tls,
            api_key: String::new(),
            session: None,
            odoo,
        };
        let mut command = match kind {
            ServerKind::Gateway { binary, setup } => {
                server.api_key = new_reader_key(server.folder.path());
                if setup.tls {
                    server.plain = tls;
                }
                let text = self.configuration(&server, *setup);
                fs::write(server.folder.path().join("gatepost.toml"), text).unwrap();
                let mut command = Command::new(binary);
                command
                    .env_clear()
                    .args(["serve", "--config", "gatepost.toml"]);
                command
            }
            ServerKind::Nginx => {
                fs::write(
                    server.folder.path().join("nginx.conf"),
                    self.nginx_configuration(&server),
                )
                .unwrap();
                let mut command = Command::new("nginx");
                command.arg("-p").arg(server.folder.path()).args([
                    "-c",
                    "nginx.conf",
                    "-e",
                    "stderr",
                ]);
                command
            }
            ServerKind::PassThrough => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.arg("pass-through");
                command.args([
                    "--listen",
                    &plain.to_string(),
                    "--listen-tls",
                    &tls.to_string(),
                ]);
                command.args(["--upstream", &server.odoo.address.to_string()]);
                command.args(["--certificate", &self.path("certificate.pem")]);
                command.args(["--key", &self.path("certificate.key")]);
                command
            }
            ServerKind::Peer { peer, program } => peer.command(program, plain, &server.odoo.url()),
            ServerKind::Straight => {
                server.plain = server.odoo.address;
                return server;
            }
        };
        let begun = Instant::now();
        let log = server.folder.path().join("log");
        server.process = Some(ServerProcess::spawn(
            command.current_dir(server.folder.path()),
            &log,
        ));
        let uses_tls = matches!(kind, ServerKind::Gateway { setup, .. } if setup.tls);
        let transport = if uses_tls {
            Transport::Tls1
        } else {
            Transport::Http1
        };
        let target = server.target(self, CallKind::Ping, transport, Credential::ApiKey);
        let limit = begun + START_TIMEOUT;
        while let Err(error) = self.clients.send_once(&target) {
            let running = server
                .process
                .as_mut()
                .is_some_and(ServerProcess::is_running);
            let said = || fs::read_to_string(&log).unwrap();
            assert!(
                running && Instant::now() < limit,
                "{name}: {error}: {}",
                said()
            );
            thread::sleep(Duration::from_micros(500));
        }
        server.start_up = begun.elapsed();
        if let ServerKind::Peer { .. } = kind {
            server.open_session(self);
        }
        server
    }

    fn configuration(&self, server: &Server, setup: Setup) -> String {
        let ExpectedClientAuth::Basic { id, secret } = self.idp.client_auth() else {
            panic!("the provider expects a client secret")
        };
        let tls = if setup.tls {
            format!(
                "[server.tls]\ncertificate_file = {:?}\nkey_file = {:?}\n",
                self.path("certificate.pem"),
                self.path("certificate.key")
            )
        } else {
            String::new()
        };
        let redis = if setup.redis {
            format!("[redis]\nurl = {:?}\n", self.redis.url())
        } else {
            String::new()
        };
        let audit = if setup.audit {
            "audit.file = \"audit.jsonl\"\n"
        } else {
            ""
        };
        format!(
            r#"
server.listen = ["{}"]
admin.listen = ""
keys.file = "keys.toml"
roles.reader.rules = {RULES}
{audit}
[[grants]]
roles = ["reader"]
provider_role = "odoo_reader"

[providers.company]
issuer = "{}"
client_id = {}
client_secret = {}
cache_ttl_s = 300

[instances.bench]
url = "{}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
public_urls = ["https://{HOST}/bench/mcp"]
max_in_flight = 64
max_waiting = 400
schema_ttl_s = 3_600

[limits]
address_per_minute = 1_000_000
address_burst = 1_000_000
instance_per_minute = 1_000_000
instance_burst = 1_000_000
caller_per_minute = 1_000_000
caller_burst = 1_000_000
read_per_minute = 1_000_000
read_burst = 1_000_000
rows_per_minute = 1_000_000_000
bytes_per_minute = 4_000_000_000
{redis}{tls}"#,
            server.plain,
            self.idp.issuer(),
            json!(id),
            json!(secret),
            server.odoo.url(),
        )
    }

    /// nginx as a plain proxy: kept connections on both sides, no log, no disk.
    fn nginx_configuration(&self, server: &Server) -> String {
        format!(
            r"
worker_processes 2;
daemon off;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy;
  upstream odoo {{ server {}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen {};
    listen {} ssl http2;
    ssl_certificate {};
    ssl_certificate_key {};
    keepalive_requests 100000000;
    keepalive_timeout 600s;
    location / {{
      proxy_pass http://odoo;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_max_temp_file_size 0;
    }}
  }}
}}
",
            server.odoo.address,
            server.plain,
            server.tls,
            self.path("certificate.pem"),
            self.path("certificate.key"),
        )
    }
}

impl Server {
    /// Whether it can serve a scenario.
    pub(super) fn serves(&self, scenario: &Scenario) -> bool {
        match &self.kind {
            ServerKind::Gateway { setup, .. } => *setup == scenario.setup(),
            // They have no credentials, limits and audit to vary.
            _ if scenario.credential != Credential::ApiKey || scenario.redis || !scenario.audit => {
                false
            }
            ServerKind::Nginx | ServerKind::PassThrough => scenario.call.odoo_path().is_some(),
            ServerKind::Peer { peer, .. } => {
                scenario.reach && peer.message(scenario.call).is_some()
            }
            ServerKind::Straight => {
                scenario.call.odoo_path().is_some() && !scenario.transport.uses_tls()
            }
        }
    }

    pub(super) fn is_gateway(&self) -> bool {
        matches!(self.kind, ServerKind::Gateway { .. })
    }

    pub(super) fn is_peer(&self) -> bool {
        matches!(self.kind, ServerKind::Peer { .. })
    }

    fn open_session(&mut self, environment: &Environment) {
        let mut target = self.target(
            environment,
            CallKind::Ping,
            Transport::Http1,
            Credential::ApiKey,
        );
        target.message.body = peers::initialize().to_string().into();
        let answer = environment.clients.send_once(&target).unwrap();
        let session = answer.head.headers.get("mcp-session-id");
        self.session = session.map(|id| id.to_str().unwrap().to_owned());
        let mut target = self.target(
            environment,
            CallKind::Ping,
            Transport::Http1,
            Credential::ApiKey,
        );
        target.message.body = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })
            .to_string()
            .into();
        environment.clients.send_once(&target).unwrap();
    }

    /// What clients send to it. Proxies get the request that a gateway sent to Odoo,
    /// so that the same answer passes through all.
    pub(super) fn target(
        &self,
        environment: &Environment,
        call: CallKind,
        transport: Transport,
        credential: Credential,
    ) -> Target {
        let message = if let ServerKind::Peer { peer, .. } = &self.kind {
            let message = peer.message(call).unwrap();
            let mut message = mcp_message("/mcp", &message);
            let session = self.session.iter();
            message
                .headers
                .extend(session.map(|id| ("mcp-session-id", id.clone())));
            message
        } else if self.is_gateway() {
            let secret = match credential {
                Credential::ApiKey => &self.api_key,
                Credential::CachedToken => &environment.token,
            };
            let mut message = mcp_message("/bench/mcp", &call.message());
            message
                .headers
                .push(("authorization", format!("Bearer {secret}")));
            message
        } else {
            let path = call.odoo_path();
            Message {
                path: path.unwrap_or("/json/2/res.users/context_get").to_owned(),
                headers: vec![
                    ("authorization", format!("bearer {ADMIN_KEY}")),
                    ("x-odoo-database", DATABASE.to_owned()),
                    ("content-type", "application/json".to_owned()),
                ],
                body: path.map_or_else(
                    || Bytes::from_static(b"{}"),
                    |path| environment.odoo.last_body(path),
                ),
            }
        };
        Target {
            // A peer accepts only its own address.
            host: if self.is_peer() {
                self.plain.to_string()
            } else {
                HOST.to_owned()
            },
            address: if transport.uses_tls() && !self.is_gateway() {
                self.tls
            } else {
                self.plain
            },
            transport,
            message,
        }
    }
}

fn mcp_message(path: &str, message: &Value) -> Message {
    Message {
        path: path.to_owned(),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json, text/event-stream".to_owned()),
        ],
        body: message.to_string().into(),
    }
}

/// A loopback address that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
