//! `[keys]`: API keys of our own.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

/// Where our own API keys are kept, as hashes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The file that `gatepost key new` writes and `gatepost serve` reads.
    #[schemars(extend("format" = "path"))]
    pub file: Option<PathBuf>,
}
