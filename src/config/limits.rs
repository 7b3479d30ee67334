//! `[limits]`: how much.

use schemars::JsonSchema;
use serde::Deserialize;

/// How much anybody may.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Tokens from one client address that a provider may be asked about in
    /// vain, per minute. What comes without a token never counts. Default 60.
    #[schemars(range(min = 1, max = 100_000))]
    pub failed_logins_per_minute: u32,
    /// So many of them at once. Default 60.
    #[schemars(range(min = 1, max = 100_000))]
    pub failed_logins_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failed_logins_per_minute: 60,
            failed_logins_burst: 60,
        }
    }
}
