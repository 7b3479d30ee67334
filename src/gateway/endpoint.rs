//! One Odoo instance as clients reach it.

use std::{collections::BTreeSet, sync::Arc};

use crate::access::Instance;
use gatepost_base::text::without_hidden;
use gatepost_identity::{Bearer, ProtectedResource, Provider};

/// One Odoo instance as clients reach it.
#[derive(Debug)]
pub struct Endpoint {
    /// The instance.
    pub instance: Arc<Instance>,
    /// Which tokens it accepts.
    pub token_policy: TokenPolicy,
    /// Its public URLs; the first is its canonical one.
    pub public_urls: Vec<String>,
    /// Each public URL as an OAuth protected resource, in the same order. Empty
    /// if no identity provider is configured.
    pub protected_resources: Vec<ProtectedResource>,
}

/// Which tokens an instance accepts.
#[derive(Clone, Debug, Default)]
pub struct TokenPolicy {
    /// The accepted identity providers, in the order of the configuration.
    pub providers: Vec<Arc<Provider>>,
    /// The audiences, one of which a token must have.
    pub audiences: BTreeSet<String>,
}

/// The endpoint that a request is for, and the public URL that it used.
#[derive(Clone, Debug)]
pub(super) struct EndpointRoute {
    pub(super) endpoint: Arc<Endpoint>,
    /// The index in [`Endpoint::protected_resources`].
    pub(super) url_index: usize,
}

impl EndpointRoute {
    /// The endpoint under its canonical URL.
    pub(super) fn canonical(endpoint: &Arc<Endpoint>) -> Self {
        Self {
            endpoint: Arc::clone(endpoint),
            url_index: 0,
        }
    }

    /// The protected resource that challenges refer to.
    pub(super) fn resource(&self) -> Option<&ProtectedResource> {
        self.endpoint.protected_resources.get(self.url_index)
    }
}

impl Endpoint {
    /// Why a token with these audiences is not for this instance, and what would
    /// change that. For the log and the administrator.
    pub(crate) fn explain_audiences(&self, audiences: &[Box<str>]) -> String {
        let shown: Vec<String> = audiences.iter().take(5).map(|one| printable(one)).collect();
        if shown.is_empty() {
            return "neither the token nor the introspection response has an `aud`; if the token is a JWT, set `validation = \"jwt_then_introspection\"`".to_owned();
        }
        // ChatGPT and Claude Code request a token for the origin, or with a `/`.
        let near = self.public_urls.iter().find(|url| {
            let url = url.trim_end_matches('/');
            let path = url.split('/').skip(3).map(|part| part.len() + 1).sum();
            let origin = url.get(..url.len().saturating_sub(path)).unwrap_or(url);
            audiences
                .iter()
                .any(|one| [origin, url].contains(&one.trim_end_matches('/')))
        });
        let shown = shown.join("`, `");
        match near {
            Some(url) => format!(
                "the token is for `{shown}`, the origin of the public URL `{url}` or that URL with another ending; add it to `audiences` of the instance if no other instance has this origin"
            ),
            None => format!(
                "the token is for `{shown}`; make the client request the right audience, or set `audiences` of the instance"
            ),
        }
    }
}

/// Text of a token for one line of the log.
fn printable(text: &str) -> String {
    without_hidden(text)
        .filter(|char| *char != '\n')
        .take(120)
        .collect()
}

impl TokenPolicy {
    /// The provider to verify a token with: the one that the token names, or
    /// for a token that names none the first that introspects opaque tokens.
    pub fn provider_for(&self, bearer: Bearer<'_>) -> Option<&Arc<Provider>> {
        let providers = || self.providers.iter();
        match self.providers.as_slice() {
            [only] => Some(only),
            several => providers()
                .find(|provider| provider.could_be_issuer_of(bearer))
                .or_else(|| providers().find(|provider| provider.accepts_opaque()))
                .or_else(|| several.first()),
        }
    }
}
