//! `[keys]`: the gateway's own API keys.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where the hashes of the gateway's own API keys are stored.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// The file that `gatepost key new` writes and `gatepost serve` reads.
    #[schemars(extend("format" = "path"))]
    pub file: Option<PathBuf>,
}
