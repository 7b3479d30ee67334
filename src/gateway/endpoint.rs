//! One Odoo instance as clients reach it.

use std::{collections::BTreeSet, sync::Arc};

use crate::access::Instance;
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
