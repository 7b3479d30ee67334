//! `[instances.NAME.credentials.NAME]`: the API key of a further Odoo user.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// The API key of an Odoo user, used by calls whose role or grant names it.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The API key. Prefer `api_key_file`.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The file that holds only the API key.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub api_key_file: Option<PathBuf>,
}

// Not derived: that would print the key.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("api_key", &self.api_key.as_ref().map(|_| ".."))
            .field("api_key_file", &self.api_key_file)
            .finish()
    }
}
