//! `[providers.NAME]`: an identity provider.

use std::{fmt, path::PathBuf};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;

/// An OIDC provider (an OAuth authorization server) whose tokens are taken.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What it is: sets the defaults of other keys. Default `other`.
    #[serde(default)]
    pub kind: ProviderKind,
    /// Its own name, exactly as it stands in its metadata and tokens, such as
    /// `https://id.example.com`. A `/` at the end counts.
    pub issuer: String,
    /// How tokens are proved to be good: by asking the provider (RFC 7662), by
    /// its signature, or both. Default `introspection`; `jwt` for `auth0` and
    /// `entra`, which cannot be asked, and for `authentik`.
    #[serde(default)]
    pub validation: Option<Validation>,
    /// Zitadel: the id of the project that stands for Odoo. It gives the
    /// defaults of `audiences`, `challenge_scopes` and `role_claims`.
    #[serde(default)]
    pub project: Option<String>,
    /// Our client there, which asks about tokens. Zitadel's key file has it.
    #[serde(default)]
    pub client_id: Option<String>,
    /// How we prove who we are. Default `client_secret_basic`, and with a
    /// `key_file` `private_key_jwt`.
    #[serde(default)]
    pub client_auth: Option<ClientAuth>,
    /// Our secret there. Better in a file.
    #[serde(default)]
    pub client_secret: Option<String>,
    /// The file that holds our secret and nothing else.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub client_secret_file: Option<PathBuf>,
    /// How id and secret stand in the header: encoded as RFC 6749 section
    /// 2.3.1 says, or `raw` for providers that do not decode. Default `rfc6749`.
    #[serde(default)]
    pub basic_encoding: BasicEncoding,
    /// Our private key for `private_key_jwt`: Zitadel's key file as it was
    /// downloaded, a PEM, or a JWK.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub key_file: Option<PathBuf>,
    /// The id (`kid`) of that key, where the file does not have it.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Whom our assertions are for (`aud`). Default: the issuer.
    #[serde(default)]
    pub assertion_audience: Option<String>,
    /// Where to ask about tokens. Default: where its metadata says.
    #[serde(default)]
    pub introspection_url: Option<String>,
    /// Where its keys are. Default: where its metadata says.
    #[serde(default)]
    pub jwks_url: Option<String>,
    /// Whether it signs its answers about tokens (RFC 9701). Default `false`.
    #[serde(default)]
    pub signed_introspection: bool,
    /// The algorithms that may sign a token.
    /// Default `["RS256", "PS256", "ES256", "EdDSA"]`.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// Whether a JWT must call itself an access token (`typ: at+jwt`, RFC
    /// 9068). Default `true` for `other`, and else `false`.
    #[serde(default)]
    pub require_at_jwt: Option<bool>,
    /// Where roles or groups are in a token, as JSON pointers (RFC 6901): an
    /// object of roles, a list, or words. The default depends on the kind.
    #[serde(default)]
    pub role_claims: Option<Vec<String>>,
    /// Where scopes are. Default `["/scope", "/scp"]`.
    #[serde(default = "scope_claims")]
    pub scope_claims: Vec<String>,
    /// Whether another login can give a token more scopes. Default `scope`;
    /// for `zitadel`, which grants no scopes of ours, `none`.
    #[serde(default)]
    pub step_up: Option<StepUp>,
    /// Whether a token may be without an end. Default `false`.
    #[serde(default)]
    pub allow_no_exp: bool,
    /// Whether the provider may leave out what type a token has. Then refresh
    /// tokens may pass for access tokens. Default `false`.
    #[serde(default)]
    pub allow_missing_token_type: bool,
    /// Zitadel: whether personal access tokens are taken; they pass the
    /// audience check of every project. Default `false`.
    #[serde(default)]
    pub allow_pat: bool,
    /// Hosts of its endpoints besides the issuer's own.
    #[serde(default)]
    pub endpoint_hosts: Vec<String>,
    /// Networks in which it may be though they are not public, such as
    /// `10.0.0.0/8`.
    #[serde(default)]
    #[schemars(schema_with = "schema::networks")]
    pub private_networks: Vec<IpNet>,
    /// PEM certificates to trust instead of the system's.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, in milliseconds. Default 1,000.
    #[serde(default = "connect_timeout")]
    #[schemars(range(min = 10, max = 30_000))]
    pub connect_timeout_ms: u64,
    /// How long one question may take in all, in milliseconds. Default 3,000.
    #[serde(default = "timeout")]
    #[schemars(range(min = 10, max = 30_000))]
    pub timeout_ms: u64,
    /// Questions at once; a quarter of them is kept for tokens that were good
    /// before. Default 64.
    #[serde(default = "max_in_flight")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_in_flight: usize,
    /// How long a question waits for its place, in milliseconds. Default 250.
    #[serde(default = "max_wait")]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_wait_ms: u64,
    /// How long it is believed that a token is good, in seconds: so long does a
    /// revoked one still work. Default 60.
    #[serde(default = "cache_ttl")]
    #[schemars(range(min = 0, max = 300))]
    pub cache_ttl_s: u64,
    /// How long it is believed that a token is not good, in seconds. Default 5.
    #[serde(default = "negative_ttl")]
    #[schemars(range(min = 0, max = 30))]
    pub negative_ttl_s: u64,
    /// How old the answer about a token may be for a call that changes
    /// something, in seconds. Default 10.
    #[serde(default = "write_max_age")]
    #[schemars(range(min = 0, max = 300))]
    pub write_max_age_s: u64,
    /// How much longer a good token counts for reading while the provider does
    /// not answer, in seconds. Default 0: not at all.
    #[serde(default)]
    #[schemars(range(min = 0, max = 60))]
    pub stale_if_error_s: u64,
    /// How far its clock may be from ours, in seconds. Default 5.
    #[serde(default = "clock_skew")]
    #[schemars(range(min = 0, max = 60))]
    pub clock_skew_s: u64,
}

/// Providers whose ways are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Auth0.
    Auth0,
    /// authentik.
    Authentik,
    /// Microsoft Entra ID.
    Entra,
    /// Keycloak.
    Keycloak,
    /// Any that follows the standards.
    #[default]
    Other,
    /// Zitadel.
    Zitadel,
}

/// How tokens are proved to be good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// By asking the provider.
    Introspection,
    /// By its signature.
    Jwt,
    /// By its signature, and then by asking.
    JwtThenIntrospection,
}

/// How we prove to a provider who we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// With the secret in the header.
    ClientSecretBasic,
    /// With the secret in the body.
    ClientSecretPost,
    /// With an assertion that our key signs (RFC 7523).
    PrivateKeyJwt,
}

/// How id and secret stand in the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasicEncoding {
    /// As they are.
    Raw,
    /// As RFC 6749 section 2.3.1 says.
    #[default]
    Rfc6749,
}

/// Whether another login can give a token more scopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepUp {
    /// It cannot.
    None,
    /// It can.
    Scope,
}

/// What Zitadel's role claim is called, without and with the project.
const ZITADEL_ROLES: &str = "/urn:zitadel:iam:org:project:roles";

impl Provider {
    /// Whether it is a Zitadel, whatever `kind` says: there, an audience proves
    /// nothing, and roles must be asked for.
    pub fn is_zitadel(&self) -> bool {
        let host = self.issuer.split('/').nth(2).unwrap_or_default();
        let ends_with = |url: &Option<String>, end| {
            let url = url.as_deref().unwrap_or_default();
            url.trim_end_matches('/').ends_with(end)
        };
        self.kind == ProviderKind::Zitadel
            || self.project.is_some()
            || ends_with(&self.introspection_url, "/oauth/v2/introspect")
            || ends_with(&self.jwks_url, "/oauth/v2/keys")
            || host.ends_with(".zitadel.cloud")
    }

    /// How tokens are proved to be good.
    pub fn validation(&self) -> Validation {
        self.validation.unwrap_or(match self.kind {
            // authentik leaves the type of a token out of its answers, so that
            // refresh tokens could not be told from access tokens.
            ProviderKind::Auth0 | ProviderKind::Authentik | ProviderKind::Entra => Validation::Jwt,
            ProviderKind::Keycloak | ProviderKind::Other | ProviderKind::Zitadel => {
                Validation::Introspection
            }
        })
    }

    /// How we prove who we are.
    pub fn client_auth(&self) -> ClientAuth {
        let by_key = self.key_file.is_some();
        self.client_auth.unwrap_or(if by_key {
            ClientAuth::PrivateKeyJwt
        } else {
            ClientAuth::ClientSecretBasic
        })
    }

    /// Whether a JWT must call itself an access token.
    pub fn require_at_jwt(&self) -> bool {
        self.require_at_jwt
            .unwrap_or_else(|| self.kind == ProviderKind::Other && !self.is_zitadel())
    }

    /// Where roles or groups are.
    pub fn role_claims(&self) -> Vec<String> {
        if let Some(claims) = &self.role_claims {
            return claims.clone();
        }
        if self.is_zitadel() {
            // The one with the project: another project's roles are not ours.
            return vec![self.project.as_ref().map_or_else(
                || ZITADEL_ROLES.to_owned(),
                |project| format!("/urn:zitadel:iam:org:project:{project}:roles"),
            )];
        }
        let claims: &[&str] = match self.kind {
            ProviderKind::Auth0 => &["/permissions"],
            ProviderKind::Authentik => &["/groups"],
            ProviderKind::Entra => &["/roles"],
            ProviderKind::Keycloak => &["/realm_access/roles"],
            ProviderKind::Other | ProviderKind::Zitadel => &["/roles", "/groups"],
        };
        claims.iter().map(|claim| (*claim).to_owned()).collect()
    }

    /// Claims that name the client a token was issued to.
    pub fn client_claims(&self) -> &'static [&'static str] {
        match self.kind {
            // There, `client_id` in an answer is the client that asks: ours.
            ProviderKind::Authentik => &["azp"],
            ProviderKind::Auth0
            | ProviderKind::Entra
            | ProviderKind::Keycloak
            | ProviderKind::Other
            | ProviderKind::Zitadel => &["client_id", "azp", "appid", "cid"],
        }
    }

    /// Whether another login can give a token more scopes.
    pub fn supports_step_up(&self) -> bool {
        match self.step_up {
            Some(StepUp::Scope) => true,
            Some(StepUp::None) => false,
            None => !self.is_zitadel(),
        }
    }

    /// The scopes that a first login should ask for, where nothing else is said.
    pub fn challenge_scopes(&self) -> Vec<String> {
        self.project.as_ref().map_or_else(Vec::new, |project| {
            vec![
                "openid".to_owned(),
                "profile".to_owned(),
                format!("urn:zitadel:iam:org:project:id:{project}:aud"),
            ]
        })
    }
}

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"]
        .map(str::to_owned)
        .into()
}
fn scope_claims() -> Vec<String> {
    ["/scope", "/scp"].map(str::to_owned).into()
}
fn connect_timeout() -> u64 {
    1_000
}
fn timeout() -> u64 {
    3_000
}
fn max_in_flight() -> usize {
    64
}
fn max_wait() -> u64 {
    250
}
fn cache_ttl() -> u64 {
    60
}
fn negative_ttl() -> u64 {
    5
}
fn write_max_age() -> u64 {
    10
}
fn clock_skew() -> u64 {
    5
}

// By hand: a derived one would print the secret.
impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("kind", &self.kind)
            .field("issuer", &self.issuer)
            .field("validation", &self.validation())
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret.as_ref().map(|_| ".."))
            .finish_non_exhaustive()
    }
}
