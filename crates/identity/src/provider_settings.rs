//! What an identity provider is configured with.

use std::{sync::Arc, time::Duration};

use gatepost_base::ProviderName;
use rustls::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ClientAuth, claims::ClaimRules, provider_http::EgressPolicy, token_cache::CacheTtls};

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
#[derive(PartialEq, Debug)]
pub struct ProviderSettings {
    /// Its name in the configuration.
    pub name: ProviderName,
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
    /// What its claims must be like.
    pub claims: ClaimRules,
    /// Whether a new login can give a token more scopes.
    pub step_up: bool,
    /// Where and how long it may be contacted.
    pub egress: EgressPolicy,
    /// The certificates that are trusted for it.
    pub trust: ProviderTrust,
    /// Introspection requests at once.
    pub max_in_flight: usize,
    /// How long a request may wait for its slot.
    pub max_wait: Duration,
    /// How long answers are cached.
    pub cache: CacheTtls,
    /// How old a cached answer may be for a call that writes.
    pub write_max_age: Duration,
}

/// The certificates that are trusted for a provider. Equal if they are read from
/// the same text.
#[derive(Clone, Debug)]
pub struct ProviderTrust {
    /// How its certificate is verified.
    pub tls: ClientConfig,
    /// The text of its `ca_file`; `None` for the system's certificates.
    pub authorities: Option<Vec<u8>>,
}

impl PartialEq for ProviderTrust {
    fn eq(&self, other: &Self) -> bool {
        self.authorities == other.authorities
    }
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
    #[error("`{0}` is not a URL; write it in full, such as `https://id.example.com`")]
    Url(String),
}

#[cfg(test)]
mod tests {
    use super::InvalidProvider;

    #[test]
    fn invalid_settings_say_what_would_be_right() {
        let errors = [
            InvalidProvider::Algorithm("HS256".to_owned()),
            InvalidProvider::NoRandomness(getrandom::Error::UNSUPPORTED),
            InvalidProvider::Url("id.example.com".to_owned()),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
    }
}
