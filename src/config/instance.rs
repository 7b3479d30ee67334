//! `[instances.NAME]`: one Odoo database.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Approval, Credential, Writes, default_value, schema};
use gatepost_base::{CredentialName, ProviderName};

/// One Odoo database and how to reach it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The URL of the server, such as `http://odoo:8069`.
    pub url: String,
    /// The database; required if the server has more than one.
    #[serde(default)]
    pub database: Option<String>,
    /// The API key of the Odoo user that calls act as if nothing names a
    /// credential: the service key. Prefer `api_key_file`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The file that holds only the API key.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub api_key_file: Option<PathBuf>,
    /// Whether calls with the service key may write what policy allows. Default
    /// `false`: they only read.
    #[serde(default)]
    pub service_key_writes: bool,
    /// Which writes are allowed: `read_only` (none), `confirm` (a change is
    /// previewed first) or `direct` (at once). Default `read_only`.
    #[serde(default)]
    pub writes: Writes,
    /// Who confirms a previewed change: `client` (with a second call) or `human`
    /// (the user is asked, also with `direct`). Default `client`.
    #[serde(default)]
    pub approval: Approval,
    /// Further Odoo users by name, for roles and grants that name them; policy
    /// decides what calls as one of them may write.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "format": "credential-name" }))]
    pub credentials: BTreeMap<CredentialName, Credential>,
    /// The identity providers whose tokens are accepted; clients log in at the
    /// first. Default: all.
    #[serde(default)]
    #[schemars(schema_with = "schema::provider_names")]
    pub providers: Option<Vec<ProviderName>>,
    /// The audiences (`aud`) of which a token must have one. Default: the
    /// provider's `project`, and without one the public URLs.
    #[serde(default)]
    pub audiences: Option<Vec<String>>,
    /// The scopes that a first login requests. Default: those for the provider's
    /// `project`, and without one none.
    #[serde(default)]
    pub challenge_scopes: Option<Vec<String>>,
    /// The URLs that clients use for this instance, such as
    /// `https://mcp.example.com/production/mcp` or `https://production.example.com/mcp`.
    #[serde(default)]
    pub public_urls: Vec<String>,
    /// The address of Odoo's web client, for links in responses. Default: `url`.
    #[serde(default)]
    pub web_url: Option<String>,
    /// PEM certificates to trust for `https://` instead of the system's.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, in milliseconds. Default 3,000.
    #[serde(default = "default_value::u64::<3_000>")]
    #[schemars(range(min = 10, max = 120_000))]
    pub connect_timeout_ms: u64,
    /// How long Odoo may take to answer, in milliseconds. Default 30,000.
    #[serde(default = "default_value::u64::<30_000>")]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub timeout_ms: u64,
    /// The largest response read from Odoo, in bytes. Default 16 MiB.
    #[serde(default = "default_value::usize::<16_777_216>")]
    #[schemars(range(min = 1_024, max = 1_073_741_824))]
    pub max_answer_bytes: usize,
    /// Concurrent calls: about four for each of Odoo's workers, and at most eight,
    /// the share of its listen queue. Default 8.
    #[serde(default = "default_value::usize::<8>")]
    #[schemars(range(min = 1, max = 256))]
    pub max_in_flight: usize,
    /// Calls that may wait in the queue. Default 64.
    #[serde(default = "default_value::usize::<64>")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_waiting: usize,
    /// How long a call may wait in the queue, in milliseconds. Default 10,000.
    #[serde(default = "default_value::u64::<10_000>")]
    #[schemars(range(min = 1, max = 600_000))]
    pub max_wait_ms: u64,
    /// How long descriptions of models and fields are cached, in seconds.
    /// Default 300.
    #[serde(default = "default_value::u64::<300>")]
    #[schemars(range(min = 1, max = 86_400))]
    pub schema_ttl_s: u64,
}

// Not derived: that would print the key.
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
