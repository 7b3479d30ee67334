//! `[instances.NAME]`: one Odoo database.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use super::{Approval, CredentialConfig, InlineSecret, Writes, schema};
use gatepost_base::{CredentialName, ProviderName};

/// One Odoo database and how to reach it.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["url"]))]
pub struct InstanceConfig {
    /// The URL of the server, such as `http://odoo:8069`.
    pub url: String,
    /// The database; required if the server has more than one.
    pub database: Option<String>,
    /// The API key of the Odoo user that calls act as if nothing names a
    /// credential: the service key. Prefer `api_key_file`.
    pub api_key: Option<InlineSecret>,
    /// The file that holds only the API key.
    #[schemars(extend("format" = "path"))]
    pub api_key_file: Option<PathBuf>,
    /// Whether calls with the service key may write what policy allows. Default
    /// `false`: they only read.
    pub service_key_writes: bool,
    /// Which writes are allowed: `read_only` (none), `confirm` (a change is
    /// previewed first) or `direct` (at once). Default `read_only`.
    pub writes: Writes,
    /// Who confirms a previewed change: `client` (with a second call) or `human`
    /// (the user is asked, also with `direct`). Default `client`.
    pub approval: Approval,
    /// Further Odoo users by name, for roles and grants that name them; policy
    /// decides what calls as one of them may write.
    #[schemars(extend("propertyNames" = { "format": "credential-name" }))]
    pub credentials: BTreeMap<CredentialName, CredentialConfig>,
    /// The identity providers whose tokens are accepted; clients log in at the
    /// first. Default: all.
    #[schemars(schema_with = "schema::provider_names")]
    pub providers: Option<Vec<ProviderName>>,
    /// The audiences (`aud`) of which a token must have one. Default: the
    /// provider's `project`, and without one the public URLs.
    pub audiences: Option<Vec<String>>,
    /// The scopes that a first login requests. Default: those for the provider's
    /// `project`, and without one none.
    pub challenge_scopes: Option<Vec<String>>,
    /// The URLs that clients use for this instance, such as
    /// `https://mcp.example.com/production/mcp` or `https://production.example.com/mcp`.
    pub public_urls: Vec<String>,
    /// The address of Odoo's web client, for links in responses. Default: `url`.
    pub web_url: Option<String>,
    /// PEM certificates to trust for `https://` instead of the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, in milliseconds. Default 3,000.
    #[default(3_000)]
    #[schemars(range(min = 10, max = 120_000))]
    pub connect_timeout_ms: u64,
    /// How long Odoo may take to answer, in milliseconds. Default 30,000.
    #[default(30_000)]
    #[schemars(range(min = 100, max = 3_600_000))]
    pub timeout_ms: u64,
    /// The largest response read from Odoo, in bytes. Default 16 MiB.
    #[default(16_777_216)]
    #[schemars(range(min = 1_024, max = 1_073_741_824))]
    pub max_answer_bytes: usize,
    /// Concurrent calls: about four for each of Odoo's workers, and at most eight,
    /// the share of its listen queue. Default 8.
    #[default(8)]
    #[schemars(range(min = 1, max = 256))]
    pub max_in_flight: usize,
    /// Calls that may wait in the queue. Default 64.
    #[default(64)]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_waiting: usize,
    /// How long a call may wait in the queue, in milliseconds. Default 10,000.
    #[default(10_000)]
    #[schemars(range(min = 1, max = 600_000))]
    pub max_wait_ms: u64,
    /// Calls that start in a second at most, where the server limits them: Odoo
    /// Online allows about one. Default: any number.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_calls_per_second: Option<u32>,
    /// How long descriptions of models and fields are cached, in seconds.
    /// Default 300.
    #[default(300)]
    #[schemars(range(min = 1, max = 86_400))]
    pub schema_ttl_s: u64,
}
