//! `[facade]`: one client for all, where a provider lets none register.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use gatepost_base::ProviderName;

/// Shows a provider's metadata under our own name, and gives every client that
/// registers the one public client that the administrator made there. Off
/// unless it is configured.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facade {
    /// Our name as an authorization server: the origin of the public URLs, such
    /// as `https://mcp.example.com`.
    pub issuer: String,
    /// The provider.
    #[schemars(schema_with = "schema::provider_name")]
    pub provider: ProviderName,
    /// The public client that was made there: without a secret, with PKCE.
    pub client_id: String,
    /// Where codes may go: exactly these; one on `http://localhost` or
    /// `http://127.0.0.1` stands for every port.
    pub redirect_uris: Vec<String>,
    /// Registrations from one client address per minute. Default 10.
    #[serde(default = "registrations")]
    #[schemars(range(min = 1, max = 10_000))]
    pub registrations_per_minute: u32,
}

fn registrations() -> u32 {
    10
}
