//! `[keys]`: API keys of our own.

use std::path::PathBuf;

use serde::Deserialize;

/// Where our own API keys are kept, as hashes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The file that `gatepost key new` writes and `gatepost serve` reads.
    pub file: Option<PathBuf>,
}
