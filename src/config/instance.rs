//! `[instances.NAME]`: one Odoo.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Approval, Credential, Writes, schema};
use gatepost_base::{CredentialName, ProviderName};

/// One Odoo database and how to reach it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The server, such as `http://odoo:8069`.
    pub url: String,
    /// The database; needed wherever the server has more than one.
    #[serde(default)]
    pub database: Option<String>,
    /// The API key of the Odoo user that calls act as where nothing names a
    /// credential: the service key. Better in a file.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The file that holds the API key and nothing else.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub api_key_file: Option<PathBuf>,
    /// Whether calls with that key may change anything, as far as policy lets
    /// them. Default `false`: it only reads.
    #[serde(default)]
    pub service_key_writes: bool,
    /// How freely records may be changed here: `read_only` (not at all), `confirm`
    /// (a change is shown first) or `direct` (at once). Default `read_only`.
    #[serde(default)]
    pub writes: Writes,
    /// Who confirms a change that is shown first: `client` (its second call is
    /// enough) or `human` (somebody there must be asked, also with `direct`).
    /// Default `client`.
    #[serde(default)]
    pub approval: Approval,
    /// Further Odoo users by name, for roles that name them; policy decides
    /// what calls as one of them may change.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "format": "credential-name" }))]
    pub credentials: BTreeMap<CredentialName, Credential>,
    /// The identity providers whose tokens are taken; the first is the one
    /// that clients are sent to. Default: all.
    #[serde(default)]
    #[schemars(schema_with = "schema::provider_names")]
    pub providers: Option<Vec<ProviderName>>,
    /// Whom a token must be meant for (`aud`), one of these. Default: the
    /// provider's `project`, and without one the public URLs.
    #[serde(default)]
    pub audiences: Option<Vec<String>>,
    /// The scopes that a first login asks for. Default: of a provider with a
    /// `project` those that lead to it, else none.
    #[serde(default)]
    pub challenge_scopes: Option<Vec<String>>,
    /// The URLs under which clients reach this instance, such as
    /// `https://mcp.example.com/production/mcp` or `https://production.example.com/mcp`.
    #[serde(default)]
    pub public_urls: Vec<String>,
    /// The address of Odoo's web client for links in answers. Default: `url`.
    #[serde(default)]
    pub web_url: Option<String>,
    /// PEM certificates to trust for `https://` instead of the system's.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, in milliseconds. Default 3,000.
    #[serde(default = "connect_timeout")]
    #[schemars(range(min = 10, max = 120_000))]
    pub connect_timeout_ms: u64,
    /// How long Odoo may take to answer, in milliseconds. Default 30,000.
    #[serde(default = "timeout")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub timeout_ms: u64,
    /// The largest answer that is read from Odoo, in bytes. Default 16 MiB.
    #[serde(default = "max_answer")]
    #[schemars(range(min = 1_024, max = 1_073_741_824))]
    pub max_answer_bytes: usize,
    /// Calls under way at once: about four for each of Odoo's workers, and
    /// never more than eight, the share of its listen queue. Default 8.
    #[serde(default = "max_in_flight")]
    #[schemars(range(min = 1, max = 256))]
    pub max_in_flight: usize,
    /// Calls that may wait for their turn. Default 64.
    #[serde(default = "max_waiting")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_waiting: usize,
    /// How long a call waits for its turn, in milliseconds. Default 10,000.
    #[serde(default = "max_wait")]
    #[schemars(range(min = 1, max = 600_000))]
    pub max_wait_ms: u64,
    /// How long what Odoo says of its models and fields is believed, in
    /// seconds. Default 300.
    #[serde(default = "schema_ttl")]
    #[schemars(range(min = 1, max = 86_400))]
    pub schema_ttl_s: u64,
}

fn connect_timeout() -> u64 {
    3_000
}
fn timeout() -> u64 {
    30_000
}
fn max_answer() -> usize {
    16 << 20
}
fn max_in_flight() -> usize {
    8
}
fn max_waiting() -> usize {
    64
}
fn max_wait() -> u64 {
    10_000
}
fn schema_ttl() -> u64 {
    300
}

// By hand: a derived one would print the key.
impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("url", &self.url)
            .field("database", &self.database)
            .field("api_key", &self.api_key.as_ref().map(|_| ".."))
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}
