//! `[instances.NAME.credentials.NAME]`: the API key of a further Odoo user.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::InlineSecret;

/// The API key of an Odoo user, used by calls whose role or grant names it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CredentialConfig {
    /// The API key. Prefer `api_key_file`.
    pub api_key: Option<InlineSecret>,
    /// The file that holds only the API key.
    #[schemars(extend("format" = "path"))]
    pub api_key_file: Option<PathBuf>,
}
