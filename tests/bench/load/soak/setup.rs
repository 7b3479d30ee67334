//! The gateway's configuration, its certificate and its callers.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
};

use odoo_sim::{ADMIN_KEY, DATABASE, SALES_KEY};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;

use crate::{
    idp::{ExpectedClientAuth, Idp},
    process::new_key,
};

/// The roles with keys.
const ROLES: [&str; 3] = ["all", "sales", "partners"];

/// The configurations, and what clients need.
pub(super) struct Setup {
    pub(super) address: SocketAddr,
    configurations: [String; 2],
    keys: Vec<String>,
    roots: RootCertStore,
}

impl Setup {
    /// Writes the certificate and the keys.
    pub(super) fn new(
        folder: &Path,
        address: SocketAddr,
        odoo: &str,
        redis: &str,
        idp: &Idp,
    ) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let configurations =
            [30_000, 20_000].map(|timeout| configuration(timeout, address, odoo, redis, idp));
        Self {
            address,
            configurations,
            keys: ROLES.map(|role| new_key(folder, role, None)).into(),
            roots,
        }
    }

    /// One of two configurations.
    pub(super) fn configuration(&self, other: bool) -> &str {
        &self.configurations[usize::from(other)]
    }

    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The TLS of a client that speaks this protocol.
    pub(super) fn tls(&self, protocol: &[u8]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let mut tls = builder
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        tls.alpn_protocols = vec![protocol.to_owned()];
        tls
    }

    /// The URL of an instance.
    pub(super) fn url(&self, instance: &str) -> String {
        url(self.address, instance)
    }

    /// A new token.
    pub(super) fn issue_token(&self, idp: &Idp) -> String {
        let now = jiff::Timestamp::now().as_second();
        idp.issue_opaque(json!({
            "iss": idp.issuer(), "sub": "alice", "client_id": "soak", "aud": [self.url("direct"), self.url("careful")],
            "token_type": "Bearer", "exp": now + 3600, "roles": ["odoo_user"],
        }))
    }
}

/// An address that is free now.
pub(super) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0");
    listener.and_then(|socket| socket.local_addr()).unwrap()
}

fn url(address: SocketAddr, instance: &str) -> String {
    format!("https://localhost:{}/{instance}/mcp", address.port())
}

fn configuration(timeout: u32, address: SocketAddr, odoo: &str, redis: &str, idp: &Idp) -> String {
    let ExpectedClientAuth::Basic { id, secret } = idp.client_auth() else {
        unreachable!("the default")
    };
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let instance = |name: &str, writes: &str| {
        format!(
            r#"
[instances.{name}]
url = "{odoo}"
database = "{DATABASE}"
api_key = "{ADMIN_KEY}"
service_key_writes = true
writes = "{writes}"
timeout_ms = {timeout}
public_urls = ["{}"]
[instances.{name}.credentials.sales]
api_key = "{SALES_KEY}"
"#,
            url(address, name)
        )
    };
    format!(
        r#"
[server.tls]
certificate_file = "certificate.pem"
key_file = "key.pem"
{}{}
[providers.company]
issuer = {}
client_id = {}
client_secret = {}
[[grants]]
roles = ["all"]
provider = "company"
provider_role = "odoo_user"
[roles.all]
rules = [{{ models = ["*"], operations = ["read", "create", "write", "delete"] }}]
[roles.sales]
credential = "sales"
rules = [{{ models = ["*"] }}]
[roles.partners]
rules = [{{ models = ["res.partner"], fields = ["name", "city"], domain = [["id", "<", 30]] }}]
[keys]
file = "keys.toml"
[audit]
file = "audit.jsonl"
max_file_bytes = 16_777_216
keep_files = 10_000
[redis]
url = "{redis}"
[limits]
address_per_minute = 1_000_000
address_burst = 1_000_000
instance_per_minute = 1_000_000
instance_burst = 1_000_000
caller_per_minute = 1_000_000
caller_burst = 1_000_000
read_per_minute = 1_000_000
read_burst = 1_000_000
write_per_minute = 1_000_000
write_burst = 1_000_000
rows_per_minute = 1_000_000_000
bytes_per_minute = 4_000_000_000
"#,
        instance("direct", "direct"),
        instance("careful", "confirm"),
        quoted(idp.issuer()),
        quoted(&id),
        quoted(&secret),
    )
}
