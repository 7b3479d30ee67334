//! What a provider says of itself (RFC 8414, OpenID Connect Discovery 1.0).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::outbound::{Outbound, Unreachable};

/// Longer than any provider's metadata, in bytes.
const MAX_BYTES: usize = 256 << 10;
/// How long metadata is believed; after that it is asked for again, and what
/// was known holds until there is an answer.
const FRESH: Duration = Duration::from_hours(1);
/// After a failure it is asked again no sooner: first, and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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
pub enum Undiscovered {
    /// It did not answer, or not with metadata.
    #[error("the provider's metadata cannot be read: {0}")]
    Unavailable(Arc<str>),
    /// It says it is somebody else: only the administrator can mend that.
    #[error(
        "the provider calls itself `{told}`; set `issuer` to exactly that if it is the right one (`{configured}` is configured)"
    )]
    OtherIssuer {
        /// As it stands in the configuration.
        configured: Arc<str>,
        /// As it stands in the metadata.
        told: Box<str>,
    },
}

/// The metadata of one provider, asked for when it is needed first.
#[derive(Debug)]
pub(super) struct Discovery {
    issuer: Arc<str>,
    known: ArcSwapOption<Known>,
    asking: Arc<Mutex<Pause>>,
}

#[derive(Debug)]
struct Known {
    metadata: Arc<Metadata>,
    since: Instant,
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    length: Duration,
    why: Option<Undiscovered>,
}

impl Discovery {
    pub(super) fn new(issuer: Arc<str>) -> Self {
        Self {
            issuer,
            known: ArcSwapOption::empty(),
            asking: Arc::default(),
        }
    }

    /// What is known, without asking.
    pub(super) fn known(&self) -> Option<Arc<Metadata>> {
        let known = self.known.load_full()?;
        Some(Arc::clone(&known.metadata))
    }

    /// The metadata, asked for where it is not known. What is no longer fresh
    /// is asked for again behind the caller's back.
    ///
    /// # Errors
    /// [`Undiscovered`]; asked again only after a pause that grows.
    pub(super) async fn metadata(
        self: &Arc<Self>,
        outbound: &Arc<Outbound>,
        now: Instant,
    ) -> Result<Arc<Metadata>, Undiscovered> {
        if let Some(known) = self.fresh(now) {
            return Ok(known);
        }
        let Some(known) = self.known() else {
            let pause = Arc::clone(&self.asking).lock_owned().await;
            return self.ask(pause, outbound, now).await;
        };
        if let Ok(pause) = Arc::clone(&self.asking).try_lock_owned()
            && pause.until.is_none_or(|until| now >= until)
        {
            let (own, outbound) = (Arc::clone(self), Arc::clone(outbound));
            // A failure is in the log of whoever finds nothing known.
            drop(tokio::spawn(async move {
                drop(own.ask(pause, &outbound, now).await);
            }));
        }
        Ok(known)
    }

    async fn ask(
        &self,
        mut pause: OwnedMutexGuard<Pause>,
        outbound: &Outbound,
        now: Instant,
    ) -> Result<Arc<Metadata>, Undiscovered> {
        // Others may have asked for long.
        let now = now.max(Instant::now());
        // Somebody else may have asked in the meantime.
        if let Some(known) = self.fresh(now) {
            return Ok(known);
        }
        if let (Some(until), Some(why)) = (pause.until, &pause.why)
            && now < until
        {
            return self.known().ok_or_else(|| why.clone());
        }
        match fetch(&self.issuer, outbound).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                self.known.store(Some(Arc::new(Known {
                    metadata: Arc::clone(&metadata),
                    since: now,
                })));
                *pause = Pause::default();
                Ok(metadata)
            }
            Err(why) => {
                pause.length = (pause.length * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                // From the end of a question that may have taken longer than that.
                pause.until = Some(now.max(Instant::now()) + pause.length);
                pause.why = Some(why.clone());
                // Another issuer at the same address is not the one we knew.
                if matches!(why, Undiscovered::OtherIssuer { .. }) {
                    self.known.store(None);
                }
                self.known().ok_or(why)
            }
        }
    }

    fn fresh(&self, now: Instant) -> Option<Arc<Metadata>> {
        let known = self.known.load_full()?;
        let fresh = now.saturating_duration_since(known.since) < FRESH;
        fresh.then(|| Arc::clone(&known.metadata))
    }
}

/// Asks in both forms; the first good answer counts.
async fn fetch(issuer: &Arc<str>, outbound: &Outbound) -> Result<Metadata, Undiscovered> {
    let mut reasons = Vec::new();
    for url in addresses(issuer) {
        match read(&url, outbound).await {
            Ok(metadata) if metadata.issuer == **issuer => return Ok(metadata),
            Ok(metadata) => {
                return Err(Undiscovered::OtherIssuer {
                    configured: Arc::clone(issuer),
                    told: metadata.issuer.chars().take(200).collect(),
                });
            }
            Err(NoMetadata::Unreachable(why)) => {
                // The other form is at the same place.
                return Err(Undiscovered::Unavailable(why.into()));
            }
            Err(NoMetadata::Answer(why)) => reasons.push(format!("{}: {why}", url.path())),
        }
    }
    Err(Undiscovered::Unavailable(reasons.join("; ").into()))
}

/// Why there is no metadata at an address.
enum NoMetadata {
    /// Something else is there.
    Answer(String),
    /// Nobody answers.
    Unreachable(String),
}

async fn read(url: &Url, outbound: &Outbound) -> Result<Metadata, NoMetadata> {
    let answer = outbound.get(url, MAX_BYTES).await.map_err(|error| {
        let told = error.to_string();
        match error {
            Unreachable::TooLong(_) => NoMetadata::Answer(told),
            Unreachable::Failed(_) | Unreachable::OffLimits(_) => NoMetadata::Unreachable(told),
        }
    })?;
    if answer.status != http::StatusCode::OK {
        let told = format!("status {}", answer.status.as_u16());
        return Err(NoMetadata::Answer(told));
    }
    serde_json::from_slice(&answer.body)
        .map_err(|error| NoMetadata::Answer(format!("no metadata: {error}")))
}

/// Where an issuer's metadata is: OpenID Connect appends to the issuer's path,
/// RFC 8414 section 3.1 inserts before it.
fn addresses(issuer: &str) -> Vec<Url> {
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
    use super::addresses;

    #[test]
    fn members_of_an_odd_form_keep_nobody_out() {
        let text = r#"{"issuer":"x","scopes_supported":null,"grant_types_supported":"all","code_challenge_methods_supported":["S256",1],"authorization_response_iss_parameter_supported":"true","client_id_metadata_document_supported":"false"}"#;
        let metadata: super::Metadata = serde_json::from_str(text).unwrap();
        assert!(metadata.scopes_supported.is_empty() && metadata.grant_types_supported.is_empty());
        assert_eq!(metadata.code_challenge_methods_supported, ["S256"]);
        assert!(metadata.authorization_response_iss_parameter_supported);
        assert!(!metadata.client_id_metadata_document_supported);
    }

    #[test]
    fn metadata_is_looked_for_in_both_forms() {
        let told = |issuer| {
            let found = addresses(issuer).into_iter();
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
