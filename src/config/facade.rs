//! `[facade]`: client registration for providers without it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;
use gatepost_base::ProviderName;

/// Serves a provider's metadata under the gateway's own name, and gives every
/// client that registers the one public client that the administrator created
/// at the provider. Off unless configured.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FacadeConfig {
    /// The gateway's name as an authorization server: the origin of the public
    /// URLs, such as `https://mcp.example.com`.
    pub issuer: String,
    /// The provider.
    #[schemars(schema_with = "schema::provider_name")]
    pub provider: ProviderName,
    /// The public client at the provider: without a secret, with PKCE.
    pub client_id: String,
    /// The redirect URIs allowed, compared exactly; one on `http://localhost` or
    /// `http://127.0.0.1` matches every port.
    pub redirect_uris: Vec<String>,
    /// Registrations from one client address per minute. Default 10.
    #[serde(default = "registrations_per_minute")]
    #[schemars(range(min = 1, max = 10_000))]
    pub registrations_per_minute: u32,
}

fn registrations_per_minute() -> u32 {
    10
}
