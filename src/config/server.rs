//! `[server]`: the listeners for clients.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use super::schema;
use gatepost_base::RoleName;

/// Where and how clients connect.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Addresses to listen on. Default `127.0.0.1:8080`.
    #[default(vec![SocketAddr::from(([127, 0, 0, 1], 8080))])]
    #[schemars(schema_with = "schema::addresses")]
    pub listen: Vec<SocketAddr>,
    /// Certificate and key; without them the listeners use plain HTTP.
    pub tls: Option<TlsConfig>,
    /// The role of unauthenticated callers. Only allowed if every address in
    /// `listen` is a loopback address, and no setting is for callers from other
    /// machines. Requests through a proxy are rejected. Default: all are rejected.
    #[schemars(schema_with = "schema::role_name")]
    pub anonymous_role: Option<RoleName>,
    /// Web origins, such as `https://inspector.example`, whose pages may call the
    /// gateway. Pages on loopback may if the listener is on loopback.
    pub allowed_origins: Vec<String>,
    /// Host names accepted besides those of `public_urls`, such as
    /// `gatepost:8080`. Without both, every name is accepted.
    pub allowed_hosts: Vec<String>,
    /// Networks of proxies whose `X-Forwarded-For` and `Forwarded` are trusted for
    /// the client's address, such as `172.16.0.0/12`.
    #[schemars(schema_with = "schema::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a challenge names an error even if the request had no token: some
    /// clients need it, RFC 6750 advises against it. Default `false`.
    pub challenge_always_error: bool,
    /// The largest request body, in bytes. Default 1 MiB.
    #[default(1 << 20)]
    #[schemars(range(min = 1_024, max = 1_073_741_824))]
    pub max_body_bytes: usize,
    /// The memory for the bodies of all requests in flight, in bytes, of which one
    /// caller and one address get a quarter: at least four times `max_body_bytes`.
    /// Default 64 MiB.
    #[default(64 << 20)]
    #[schemars(range(min = 65_536, max = 1_099_511_627_776_u64))]
    pub max_bodies_bytes: usize,
    /// The largest request head, in bytes. Default 16 KiB.
    #[default(16 << 10)]
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub max_header_bytes: usize,
    /// How long a client may take to send a request head, and how long a
    /// connection may be idle, in milliseconds. Default 15,000.
    #[default(15_000)]
    #[schemars(range(min = 100, max = 600_000))]
    pub header_timeout_ms: u64,
    /// How long a client may take to send a body, in milliseconds. Default 30,000.
    #[default(30_000)]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub body_timeout_ms: u64,
    /// How long one write to a client may take, in milliseconds. Default 30,000.
    #[default(30_000)]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub write_timeout_ms: u64,
    /// When the response of a running call becomes an event stream, so that
    /// proxies do not close the connection, in milliseconds. Default 10,000.
    #[default(10_000)]
    #[schemars(range(min = 0, max = 600_000))]
    pub event_stream_after_ms: u64,
    /// How often such a stream gets a comment line, in milliseconds. Default 15,000.
    #[default(15_000)]
    #[schemars(range(min = 100, max = 600_000))]
    pub heartbeat_ms: u64,
    /// How long calls may continue after SIGTERM, in milliseconds. Default 30,000.
    #[default(30_000)]
    #[schemars(range(min = 0, max = 3_600_000))]
    pub drain_timeout_ms: u64,
    /// Concurrent connections, or as many as the limit on open files allows. With
    /// more, those that wait longest for a request are closed. Default 10,000.
    #[default(10_000)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: usize,
    /// Concurrent connections from one address, which never gets more than three
    /// quarters of all; not for `trusted_proxies`. Default 2,000.
    #[default(2_000)]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_address: usize,
}

/// The certificate of the listeners; both files are reloaded when they change.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain, the server's own first.
    #[schemars(extend("format" = "path"))]
    pub certificate_file: PathBuf,
    /// PEM file with the private key.
    #[schemars(extend("format" = "path"))]
    pub key_file: PathBuf,
}
