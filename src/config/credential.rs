//! `[instances.NAME.credentials.NAME]`: one further Odoo user.

use std::{fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// The API key of an Odoo user that calls act as where a role says so.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// The API key. Better in a file.
    #[serde(default)]
    pub api_key: Option<String>,
    /// The file that holds the API key and nothing else.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub api_key_file: Option<PathBuf>,
}

// By hand: a derived one would print the key.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("api_key", &self.api_key.as_ref().map(|_| ".."))
            .field("api_key_file", &self.api_key_file)
            .finish()
    }
}
