//! `[redis]`: where several replicas count together.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// The Redis (or Valkey) in which all replicas count together what `[limits]`
/// allows. Without it each counts by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is: `redis://user@host:6379/0`, `rediss://…` for TLS,
    /// `unix:///run/redis/redis.sock?db=0`. Without the password.
    pub url: String,
    /// Its password. Better in a file.
    #[serde(default)]
    pub password: Option<String>,
    /// The file that holds the password and nothing else.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
    /// PEM certificates to trust for `rediss://` instead of the system's.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How long one decision may take, in milliseconds. Default 50.
    #[serde(default = "timeout")]
    #[schemars(range(min = 1, max = 5_000))]
    pub timeout_ms: u64,
    /// What its keys begin with. Default `gatepost:`.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// What happens while it is away: `local` (each replica allows its share) or
    /// `fail_closed` (nothing is allowed). Default `local`.
    #[serde(default)]
    pub when_down: OnRedisFailure,
    /// How many replicas there are, for the share of each. Default 1.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 1_000))]
    pub replicas: u32,
}

/// What happens while Redis is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnRedisFailure {
    /// Nothing is allowed.
    FailClosed,
    /// Each replica allows its share.
    #[default]
    Local,
}

fn timeout() -> u64 {
    50
}

fn prefix() -> String {
    "gatepost:".to_owned()
}

fn replicas() -> u32 {
    1
}
