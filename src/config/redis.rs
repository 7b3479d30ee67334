//! `[redis]`: what several replicas share.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use super::InlineSecret;
use gatepost_state::limits::LimiterFailureMode;

/// The Redis (or Valkey) that all replicas share, for the limits and the change
/// store. Without it each replica has its own.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["url"]))]
pub struct RedisConfig {
    /// Its URL without the password: `redis://user@host:6379/0`, `rediss://…` for
    /// TLS, `unix:///run/redis/redis.sock?db=0`.
    pub url: String,
    /// Its password. Prefer `password_file`.
    pub password: Option<InlineSecret>,
    /// The file that holds only the password.
    #[schemars(extend("format" = "path"))]
    pub password_file: Option<PathBuf>,
    /// PEM certificates to trust for `rediss://` instead of the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How long a limit check may take, in milliseconds. Default 50.
    #[default(50)]
    #[schemars(range(min = 1, max = 5_000))]
    pub timeout_ms: u64,
    /// The prefix of its keys. Default `gatepost:`.
    #[default("gatepost:".to_owned())]
    pub prefix: String,
    /// What limits allow while Redis is unavailable: `local` (each replica allows
    /// its share) or `fail_closed` (nothing). Default `local`.
    pub when_down: LimiterFailureMode,
    /// The number of replicas, for the share of each. Default 1.
    #[default(1)]
    #[schemars(range(min = 1, max = 1_000))]
    pub replicas: u32,
}
