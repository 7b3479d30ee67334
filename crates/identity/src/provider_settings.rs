//! What an identity provider is configured with.

use std::{sync::Arc, time::Duration};

use gatepost_base::ProviderName;
use rustls::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::ClientAuth;

/// How tokens are validated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// By asking the provider (RFC 7662).
    Introspection,
    /// By the provider's signature, locally.
    Jwt,
    /// By the signature and then by asking, so that revoked tokens are
    /// rejected; tokens that are not JWTs by asking alone.
    JwtThenIntrospection,
}

/// What an identity provider is configured with.
#[derive(Debug)]
pub struct ProviderSettings {
    /// Its name in the configuration.
    pub name: ProviderName,
    /// Its own name, compared byte for byte.
    pub issuer: Arc<str>,
    /// Whether it is a Zitadel: there an audience proves nothing, and grants
    /// ask for roles.
    pub is_zitadel: bool,
    /// How tokens are validated.
    pub validation: Validation,
    /// How the gateway authenticates to it; `None` only if tokens are never
    /// introspected.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// Where tokens are introspected, if not where its metadata says.
    pub introspection_url: Option<String>,
    /// Where its keys are, if not where its metadata says.
    pub jwks_url: Option<String>,
    /// Whether it signs introspection responses (RFC 9701).
    pub signed_introspection: bool,
    /// Signature algorithms that are accepted, such as `RS256`.
    pub algorithms: Vec<String>,
    /// Whether the type of a JWT must be access token (RFC 9068).
    pub require_at_jwt: bool,
    /// Audiences of all instances that use this provider.
    pub audiences: Vec<String>,
    /// JSON pointers to roles or groups.
    pub role_claims: Vec<String>,
    /// JSON pointers to scopes.
    pub scope_claims: Vec<String>,
    /// Claims that name the client a token was issued to.
    pub client_claims: &'static [&'static str],
    /// Whether a token without `exp` is accepted.
    pub allow_no_exp: bool,
    /// Whether an introspection response without `token_type` is accepted.
    pub allow_missing_token_type: bool,
    /// Whether a token without a client is accepted.
    pub allow_no_client: bool,
    /// Whether a new login can give a token more scopes.
    pub step_up: bool,
    /// Hosts of its endpoints besides the issuer's own.
    pub endpoint_hosts: Vec<String>,
    /// Networks that are not public, but where it may be reached.
    pub private_networks: Vec<ipnet::IpNet>,
    /// The certificates that are trusted for it.
    pub tls: ClientConfig,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long one request may take in all.
    pub timeout: Duration,
    /// Introspection requests at once.
    pub max_in_flight: usize,
    /// How long a request may wait for its slot.
    pub max_wait: Duration,
    /// How long a valid token is cached.
    pub cache_ttl: Duration,
    /// How long a rejected token is cached.
    pub negative_ttl: Duration,
    /// How old a cached answer may be for a call that writes.
    pub write_max_age: Duration,
    /// How much longer a valid token is accepted while the provider is
    /// unavailable.
    pub stale_if_error: Duration,
    /// How far its clock may differ from ours.
    pub clock_skew: Duration,
}

/// Settings that do not describe a provider.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProvider {
    /// A name that is not a signature algorithm, or not an acceptable one.
    #[error(
        "`{0}` is not an algorithm that tokens may be signed with; use RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA"
    )]
    Algorithm(String),
    /// The operating system provides no randomness.
    #[error("the operating system provides no randomness: {0}")]
    NoRandomness(#[from] getrandom::Error),
    /// A text that is not a URL.
    #[error("`{0}` is not a URL")]
    Url(String),
}
