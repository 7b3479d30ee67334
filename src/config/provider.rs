//! `[providers.NAME]`: an identity provider.

use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use super::{InlineSecret, schema};
use gatepost_identity::Validation;

/// An OIDC provider (an OAuth authorization server) whose tokens are accepted.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["issuer"]))]
pub struct ProviderConfig {
    /// The product, which sets the defaults of other keys. Default `other`.
    pub kind: ProviderKind,
    /// Its issuer, exactly as in its metadata and tokens, such as
    /// `https://id.example.com`. A trailing `/` matters.
    pub issuer: String,
    /// How tokens are validated: by introspection (RFC 7662), by signature, or by
    /// both. Default `introspection`; `jwt` for `auth0` and `entra`, which have no
    /// introspection, and for `authentik`; `jwt_then_introspection` for `canaille`,
    /// `lemonldap` and `rauthy`, whose introspection omits claims.
    pub validation: Option<Validation>,
    /// Zitadel: the id of the project for this Odoo. It sets the defaults of
    /// `audiences`, `challenge_scopes` and `role_claims`.
    pub project: Option<String>,
    /// The gateway's client there, for introspection. Zitadel's key file has it.
    pub client_id: Option<String>,
    /// How the gateway authenticates there. Default `client_secret_basic`, and with
    /// a `key_file` `private_key_jwt`.
    pub client_auth: Option<ClientAuthMethod>,
    /// The client's secret. Prefer `client_secret_file`.
    pub client_secret: Option<InlineSecret>,
    /// The file that holds only the client's secret.
    #[schemars(extend("format" = "path"))]
    pub client_secret_file: Option<PathBuf>,
    /// How id and secret are encoded in the header: as in RFC 6749 section 2.3.1,
    /// or `raw` for providers that do not decode. Default `rfc6749`.
    pub basic_encoding: BasicEncoding,
    /// The client's private key for `private_key_jwt`: Zitadel's key file as
    /// downloaded, a PEM, or a JWK.
    #[schemars(extend("format" = "path"))]
    pub key_file: Option<PathBuf>,
    /// The id (`kid`) of that key, if the file does not have it.
    pub key_id: Option<String>,
    /// The audience (`aud`) of client assertions. Default: the issuer.
    pub assertion_audience: Option<String>,
    /// The introspection endpoint. Default: from its metadata.
    pub introspection_url: Option<String>,
    /// The URL of its keys. Default: from its metadata.
    pub jwks_url: Option<String>,
    /// Whether it signs introspection responses (RFC 9701). Default `false`.
    pub signed_introspection: bool,
    /// The signature algorithms accepted.
    /// Default `["RS256", "PS256", "ES256", "EdDSA"]`; for `canaille` also `RS512`.
    pub algorithms: Option<Vec<String>>,
    /// Whether a JWT must be marked as an access token (`typ: at+jwt`, RFC 9068).
    /// Default `true` for `other` and `better-auth`, otherwise `false`.
    pub require_at_jwt: Option<bool>,
    /// Claims with roles or groups, as JSON pointers (RFC 6901) to an object of
    /// roles, a list, or words. The default depends on the kind.
    pub role_claims: Option<Vec<String>>,
    /// Claims with scopes, as JSON pointers. Default `["/scope", "/scp"]`.
    #[default(scope_claims())]
    pub scope_claims: Vec<String>,
    /// Whether another login can give a token more scopes. Default `scope`; for
    /// `zitadel`, which does not grant the gateway's scopes, `none`.
    pub step_up: Option<StepUp>,
    /// Whether tokens without expiry are accepted. Default `false`.
    pub allow_no_exp: bool,
    /// Whether the provider may omit the type of a token. Then refresh tokens may
    /// be accepted as access tokens. Default `false`.
    pub allow_missing_token_type: bool,
    /// Zitadel: whether personal access tokens are accepted; they pass the
    /// audience check of every project. Default `false`.
    pub allow_pat: bool,
    /// Hosts of its endpoints besides the issuer's own.
    pub endpoint_hosts: Vec<String>,
    /// Private networks in which it may be, such as `10.0.0.0/8`.
    #[schemars(schema_with = "schema::networks")]
    pub private_networks: Vec<IpNet>,
    /// PEM certificates to trust instead of the system's.
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take, in milliseconds. Default 1,000.
    #[default(1_000)]
    #[schemars(range(min = 10, max = 30_000))]
    pub connect_timeout_ms: u64,
    /// How long one request may take, in milliseconds. Default 3,000.
    #[default(3_000)]
    #[schemars(range(min = 10, max = 30_000))]
    pub timeout_ms: u64,
    /// Concurrent requests; a quarter is reserved for tokens that were valid
    /// before. Default 64.
    #[default(64)]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_in_flight: usize,
    /// How long a request may wait in the queue, in milliseconds. Default 250.
    #[default(250)]
    #[schemars(range(min = 0, max = 10_000))]
    pub max_wait_ms: u64,
    /// How long a valid token is cached, in seconds. A revoked token still works
    /// for that long. Default 60.
    #[default(60)]
    #[schemars(range(min = 0, max = 300))]
    pub cache_ttl_s: u64,
    /// How long an invalid token is cached, in seconds. Default 5.
    #[default(5)]
    #[schemars(range(min = 0, max = 30))]
    pub negative_ttl_s: u64,
    /// How long ago the token of a write may have been validated, in seconds.
    /// Default 10.
    #[default(10)]
    #[schemars(range(min = 0, max = 300))]
    pub write_max_age_s: u64,
    /// How much longer a cached token is accepted for reading while the provider is
    /// unavailable, in seconds. Default 0.
    #[schemars(range(min = 0, max = 60))]
    pub stale_if_error_s: u64,
    /// How far its clock may differ from the gateway's, in seconds. Default 5.
    #[default(5)]
    #[schemars(range(min = 0, max = 60))]
    pub clock_skew_s: u64,
}

/// The products with known defaults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Auth0.
    Auth0,
    /// authentik.
    Authentik,
    /// Better Auth, with its plugin `oauth-provider`.
    #[serde(rename = "better-auth")]
    BetterAuth,
    /// canaille.
    Canaille,
    /// Microsoft Entra ID.
    Entra,
    /// Kanidm.
    Kanidm,
    /// Keycloak.
    Keycloak,
    /// `LemonLDAP::NG`.
    Lemonldap,
    /// Any other that follows the standards.
    #[default]
    Other,
    /// Rauthy.
    Rauthy,
    /// Zitadel.
    Zitadel,
}

/// How the gateway authenticates to a provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMethod {
    /// With the secret in the header.
    ClientSecretBasic,
    /// With the secret in the body.
    ClientSecretPost,
    /// Not at all, at an endpoint on a private address.
    None,
    /// With an assertion signed by the client's key (RFC 7523).
    PrivateKeyJwt,
}

/// How id and secret are encoded in the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasicEncoding {
    /// Not at all.
    Raw,
    /// As in RFC 6749 section 2.3.1.
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

/// Zitadel's role claim for all projects.
const ZITADEL_ROLES: &str = "/urn:zitadel:iam:org:project:roles";

impl ProviderConfig {
    /// Whether it is a Zitadel, whatever `kind` says. There an audience proves
    /// nothing, so grants must require roles.
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

    /// How tokens are validated, with the default of the kind.
    pub fn validation(&self) -> Validation {
        self.validation.unwrap_or(match self.kind {
            // authentik omits the type of a token in introspection responses, so
            // refresh tokens could not be distinguished from access tokens.
            ProviderKind::Auth0 | ProviderKind::Authentik | ProviderKind::Entra => Validation::Jwt,
            // Their introspection responses lack an audience, a type, or roles.
            ProviderKind::Canaille | ProviderKind::Lemonldap | ProviderKind::Rauthy => {
                Validation::JwtThenIntrospection
            }
            ProviderKind::BetterAuth
            | ProviderKind::Kanidm
            | ProviderKind::Keycloak
            | ProviderKind::Other
            | ProviderKind::Zitadel => Validation::Introspection,
        })
    }

    /// How the gateway authenticates, with the default for the keys that are set.
    pub fn client_auth(&self) -> ClientAuthMethod {
        let default = match self.key_file {
            Some(_) => ClientAuthMethod::PrivateKeyJwt,
            None => ClientAuthMethod::ClientSecretBasic,
        };
        self.client_auth.unwrap_or(default)
    }

    /// Whether a JWT must be marked as an access token.
    pub fn require_at_jwt(&self) -> bool {
        self.require_at_jwt.unwrap_or_else(|| match self.kind {
            ProviderKind::BetterAuth => true,
            ProviderKind::Other => !self.is_zitadel(),
            ProviderKind::Auth0
            | ProviderKind::Authentik
            | ProviderKind::Canaille
            | ProviderKind::Entra
            | ProviderKind::Kanidm
            | ProviderKind::Keycloak
            | ProviderKind::Lemonldap
            | ProviderKind::Rauthy
            | ProviderKind::Zitadel => false,
        })
    }

    /// Claims with roles or groups, with the default of the kind.
    pub fn role_claims(&self) -> Vec<String> {
        if let Some(claims) = &self.role_claims {
            return claims.clone();
        }
        if self.is_zitadel() {
            // Only this project's roles, not those of other projects.
            return vec![self.project.as_ref().map_or_else(
                || ZITADEL_ROLES.to_owned(),
                |project| format!("/urn:zitadel:iam:org:project:{project}:roles"),
            )];
        }
        let claims: &[&str] = match self.kind {
            ProviderKind::Auth0 => &["/permissions"],
            ProviderKind::Authentik | ProviderKind::Canaille | ProviderKind::Lemonldap => {
                &["/groups"]
            }
            ProviderKind::BetterAuth => &["/roles"],
            ProviderKind::Entra => &["/roles"],
            ProviderKind::Keycloak => &["/realm_access/roles"],
            ProviderKind::Kanidm
            | ProviderKind::Other
            | ProviderKind::Rauthy
            | ProviderKind::Zitadel => &["/roles", "/groups"],
        };
        claims.iter().map(|claim| (*claim).to_owned()).collect()
    }

    /// Claims that name the client that a token was issued to.
    pub fn client_claims(&self) -> &'static [&'static str] {
        match self.kind {
            // authentik's `client_id` is the client that introspects: the gateway.
            ProviderKind::Authentik => &["azp"],
            ProviderKind::Auth0
            | ProviderKind::BetterAuth
            | ProviderKind::Canaille
            | ProviderKind::Entra
            | ProviderKind::Kanidm
            | ProviderKind::Keycloak
            | ProviderKind::Lemonldap
            | ProviderKind::Other
            | ProviderKind::Rauthy
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

    /// The scopes that a first login requests by default.
    pub fn challenge_scopes(&self) -> Vec<String> {
        if let Some(project) = &self.project {
            let audience = format!("urn:zitadel:iam:org:project:id:{project}:aud");
            return vec!["openid".to_owned(), "profile".to_owned(), audience];
        }
        let scopes: &[&str] = match self.kind {
            // The scope adds the groups.
            ProviderKind::Canaille | ProviderKind::Rauthy => &["openid", "profile", "groups"],
            // It refuses a login without scope.
            ProviderKind::Lemonldap => &["openid", "profile"],
            ProviderKind::Auth0
            | ProviderKind::Authentik
            | ProviderKind::BetterAuth
            | ProviderKind::Entra
            | ProviderKind::Kanidm
            | ProviderKind::Keycloak
            | ProviderKind::Other
            | ProviderKind::Zitadel => &[],
        };
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    /// The signature algorithms that are accepted, with the default of the kind.
    pub fn algorithms(&self) -> Vec<String> {
        self.algorithms.clone().unwrap_or_else(|| {
            let usual = ["RS256", "PS256", "ES256", "EdDSA"].into_iter();
            // Authlib signs with the strongest that its key allows.
            let more = (self.kind == ProviderKind::Canaille).then_some("RS512");
            usual.chain(more).map(str::to_owned).collect()
        })
    }
}

fn scope_claims() -> Vec<String> {
    ["/scope", "/scp"].map(str::to_owned).into()
}
