//! What a provider says of itself (RFC 8414, OpenID Connect Discovery 1.0).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::provider_http::{ProviderHttp, ProviderHttpError};

/// Longer than any provider's metadata, in bytes.
const MAX_METADATA_BYTES: usize = 256 << 10;
/// How long metadata is believed; after that it is asked for again, and what
/// was known holds until there is an answer.
const METADATA_TTL: Duration = Duration::from_hours(1);
/// After a failure it is asked again no sooner: first, and at most.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The members of a provider's metadata that matter to us or to an
/// administrator.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Metadata {
    /// Who it says it is.
    pub issuer: String,
    /// Where tokens are asked about (RFC 7662).
    pub introspection_endpoint: Option<String>,
    /// How a client may prove itself there.
    #[serde(default, deserialize_with = "lenient::list")]
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// Where its keys are.
    pub jwks_uri: Option<String>,
    /// Where people log in.
    pub authorization_endpoint: Option<String>,
    /// Where clients get tokens.
    pub token_endpoint: Option<String>,
    /// How a client may prove itself there; `none` is a public client.
    #[serde(default, deserialize_with = "lenient::list")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Where clients hand tokens back (RFC 7009).
    pub revocation_endpoint: Option<String>,
    /// Where clients register themselves (RFC 7591).
    pub registration_endpoint: Option<String>,
    /// Whether a client may be named by the URL of its metadata.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub client_id_metadata_document_supported: bool,
    /// Ways of PKCE; clients of MCP insist on `S256`.
    #[serde(default, deserialize_with = "lenient::list")]
    pub code_challenge_methods_supported: Vec<String>,
    /// Whether it names itself in what comes back from a login (RFC 9207).
    #[serde(default, deserialize_with = "lenient::flag")]
    pub authorization_response_iss_parameter_supported: bool,
    /// Scopes it knows.
    #[serde(default, deserialize_with = "lenient::list")]
    pub scopes_supported: Vec<String>,
    /// What may come back from a login.
    #[serde(default, deserialize_with = "lenient::list")]
    pub response_types_supported: Vec<String>,
    /// How it may come back.
    #[serde(default, deserialize_with = "lenient::list")]
    pub response_modes_supported: Vec<String>,
    /// Ways to get a token.
    #[serde(default, deserialize_with = "lenient::list")]
    pub grant_types_supported: Vec<String>,
    /// Kinds of subjects; `pairwise` ones differ per client.
    #[serde(default, deserialize_with = "lenient::list")]
    pub subject_types_supported: Vec<String>,
}

/// Members that an administrator may read about are no reason not to log in:
/// what they should not be is read as nothing, and what may switch something
/// off as "yes".
mod lenient {
    use serde::{Deserialize, Deserializer};
    use serde_json::Value;

    pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        let value = Value::deserialize(from)?;
        let no = matches!(&value, Value::Null | Value::Bool(false)) || value == "false";
        Ok(!no)
    }

    pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
        let value = Value::deserialize(from)?;
        let items = value.as_array().into_iter().flatten();
        Ok(items
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect())
    }
}

/// Why a provider's metadata is not known. For the log and the administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// It did not answer, or not with metadata.
    #[error("the provider's metadata cannot be read: {0}")]
    Unavailable(Arc<str>),
    /// It says it is somebody else: only the administrator can mend that.
    #[error(
        "the provider calls itself `{published}`; set `issuer` to exactly that if it is the right one (`{configured}` is configured)"
    )]
    IssuerMismatch {
        /// As it stands in the configuration.
        configured: Arc<str>,
        /// As it stands in the metadata.
        published: Box<str>,
    },
}

/// The metadata of one provider, asked for when it is needed first.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: Arc<str>,
    cached: ArcSwapOption<CachedMetadata>,
    backoff: Arc<Mutex<DiscoveryBackoff>>,
}

#[derive(Debug)]
struct CachedMetadata {
    metadata: Arc<Metadata>,
    fetched_at: Instant,
}

#[derive(Debug, Default)]
struct DiscoveryBackoff {
    until: Option<Instant>,
    delay: Duration,
    last_error: Option<DiscoveryError>,
}

impl Discovery {
    pub(super) fn new(issuer: Arc<str>) -> Self {
        Self {
            issuer,
            cached: ArcSwapOption::empty(),
            backoff: Arc::default(),
        }
    }

    /// What is known, without asking.
    pub(super) fn cached(&self) -> Option<Arc<Metadata>> {
        let known = self.cached.load_full()?;
        Some(Arc::clone(&known.metadata))
    }

    /// The metadata, asked for where it is not known. What is no longer fresh
    /// is asked for again behind the caller's back.
    ///
    /// # Errors
    /// [`Undiscovered`]; asked again only after a pause that grows.
    pub(super) async fn metadata(
        self: &Arc<Self>,
        outbound: &Arc<ProviderHttp>,
        now: Instant,
    ) -> Result<Arc<Metadata>, DiscoveryError> {
        if let Some(known) = self.cached_if_fresh(now) {
            return Ok(known);
        }
        let Some(known) = self.cached() else {
            let pause = Arc::clone(&self.backoff).lock_owned().await;
            return self.refresh(pause, outbound, now).await;
        };
        if let Ok(pause) = Arc::clone(&self.backoff).try_lock_owned()
            && pause.until.is_none_or(|until| now >= until)
        {
            let (own, outbound) = (Arc::clone(self), Arc::clone(outbound));
            // A failure is in the log of whoever finds nothing known.
            drop(tokio::spawn(async move {
                drop(own.refresh(pause, &outbound, now).await);
            }));
        }
        Ok(known)
    }

    async fn refresh(
        &self,
        mut pause: OwnedMutexGuard<DiscoveryBackoff>,
        outbound: &ProviderHttp,
        now: Instant,
    ) -> Result<Arc<Metadata>, DiscoveryError> {
        // Others may have asked for long.
        let now = now.max(Instant::now());
        // Somebody else may have asked in the meantime.
        if let Some(known) = self.cached_if_fresh(now) {
            return Ok(known);
        }
        if let (Some(until), Some(why)) = (pause.until, &pause.last_error)
            && now < until
        {
            return self.cached().ok_or_else(|| why.clone());
        }
        match fetch_metadata(&self.issuer, outbound).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                self.cached.store(Some(Arc::new(CachedMetadata {
                    metadata: Arc::clone(&metadata),
                    fetched_at: now,
                })));
                *pause = DiscoveryBackoff::default();
                Ok(metadata)
            }
            Err(why) => {
                pause.delay = (pause.delay * 2).clamp(MIN_BACKOFF, MAX_BACKOFF);
                // From the end of a question that may have taken longer than that.
                pause.until = Some(now.max(Instant::now()) + pause.delay);
                pause.last_error = Some(why.clone());
                // Another issuer at the same address is not the one we knew.
                if matches!(why, DiscoveryError::IssuerMismatch { .. }) {
                    self.cached.store(None);
                }
                self.cached().ok_or(why)
            }
        }
    }

    fn cached_if_fresh(&self, now: Instant) -> Option<Arc<Metadata>> {
        let known = self.cached.load_full()?;
        let fresh = now.saturating_duration_since(known.fetched_at) < METADATA_TTL;
        fresh.then(|| Arc::clone(&known.metadata))
    }
}

/// Asks in both forms; the first good answer counts.
async fn fetch_metadata(
    issuer: &Arc<str>,
    outbound: &ProviderHttp,
) -> Result<Metadata, DiscoveryError> {
    let mut reasons = Vec::new();
    for url in metadata_urls(issuer) {
        match fetch_document(&url, outbound).await {
            Ok(metadata) if metadata.issuer == **issuer => return Ok(metadata),
            Ok(metadata) => {
                return Err(DiscoveryError::IssuerMismatch {
                    configured: Arc::clone(issuer),
                    published: metadata.issuer.chars().take(200).collect(),
                });
            }
            Err(MetadataFetchError::Unreachable(why)) => {
                // The other form is at the same place.
                return Err(DiscoveryError::Unavailable(why.into()));
            }
            Err(MetadataFetchError::InvalidResponse(why)) => {
                reasons.push(format!("{}: {why}", url.path()))
            }
        }
    }
    Err(DiscoveryError::Unavailable(reasons.join("; ").into()))
}

/// Why there is no metadata at an address.
enum MetadataFetchError {
    /// Something else is there.
    InvalidResponse(String),
    /// Nobody answers.
    Unreachable(String),
}

async fn fetch_document(
    url: &Url,
    outbound: &ProviderHttp,
) -> Result<Metadata, MetadataFetchError> {
    let answer = outbound
        .get(url, MAX_METADATA_BYTES)
        .await
        .map_err(|error| {
            let told = error.to_string();
            match error {
                ProviderHttpError::ResponseTooLarge(_) => MetadataFetchError::InvalidResponse(told),
                ProviderHttpError::Failed(_) | ProviderHttpError::EgressDenied(_) => {
                    MetadataFetchError::Unreachable(told)
                }
            }
        })?;
    if answer.status != http::StatusCode::OK {
        let told = format!("status {}", answer.status.as_u16());
        return Err(MetadataFetchError::InvalidResponse(told));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| MetadataFetchError::InvalidResponse(format!("no metadata: {error}")))
}

/// Where an issuer's metadata is: OpenID Connect appends to the issuer's path,
/// RFC 8414 section 3.1 inserts before it.
fn metadata_urls(issuer: &str) -> Vec<Url> {
    let Ok(url) = Url::parse(issuer) else {
        return Vec::new();
    };
    let path = url.path().trim_end_matches('/');
    let forms = [
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    forms
        .iter()
        .map(|path| {
            let mut url = url.clone();
            url.set_path(path);
            url
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::metadata_urls;

    #[test]
    fn metadata_members_of_wrong_type_are_tolerated() {
        let text = r#"{"issuer":"x","scopes_supported":null,"grant_types_supported":"all","code_challenge_methods_supported":["S256",1],"authorization_response_iss_parameter_supported":"true","client_id_metadata_document_supported":"false"}"#;
        let metadata: super::Metadata = serde_json::from_str(text).unwrap();
        assert!(metadata.scopes_supported.is_empty() && metadata.grant_types_supported.is_empty());
        assert_eq!(metadata.code_challenge_methods_supported, ["S256"]);
        assert!(metadata.authorization_response_iss_parameter_supported);
        assert!(!metadata.client_id_metadata_document_supported);
    }

    #[test]
    fn metadata_urls_cover_oidc_and_rfc8414_forms() {
        let told = |issuer| {
            let found = metadata_urls(issuer).into_iter();
            found.map(|url| url.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            told("https://id.example.com/realms/acme"),
            [
                "https://id.example.com/realms/acme/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server/realms/acme",
            ]
        );
        assert_eq!(
            told("https://tenant.auth0.com/"),
            [
                "https://tenant.auth0.com/.well-known/openid-configuration",
                "https://tenant.auth0.com/.well-known/oauth-authorization-server",
            ]
        );
    }
}
