//! The endpoints of a provider: configured, or discovered from its metadata.

use std::sync::Arc;

use reqwest::Url;

use super::{
    InvalidProvider, Metadata, Now, ProviderSettings, Validation,
    discovery::{Discovery, NeededEndpoints},
    provider_error::{ProviderError, ProviderUnavailable},
    provider_http::{self, ProviderHttp},
};

/// The introspection path of every Zitadel.
const ZITADEL_INTROSPECTION_PATH: &str = "/oauth/v2/introspect";

/// Where a provider is, and the HTTP client that reaches it.
pub(super) struct ProviderEndpoints {
    pub(super) http: Arc<ProviderHttp>,
    discovery: Discovery,
    introspection_url: Option<Url>,
    jwks_url: Option<Url>,
    is_zitadel: bool,
}

impl ProviderEndpoints {
    /// The endpoints of a provider; no request is sent yet.
    ///
    /// # Errors
    /// [`InvalidProvider::Url`].
    pub(super) fn new(settings: &ProviderSettings) -> Result<Self, InvalidProvider> {
        let parse = |text: &str| {
            Url::parse(text).map_err(|_not_a_url| InvalidProvider::Url(text.to_owned()))
        };
        let parse_optional = |text: &Option<String>| text.as_deref().map(parse).transpose();
        let issuer = parse(&settings.claims.issuer)?;
        let introspection_url = parse_optional(&settings.introspection_url)?;
        let jwks_url = parse_optional(&settings.jwks_url)?;
        // The administrator intends the addresses in configured URLs.
        let mut policy = settings.egress.clone();
        for url in [Some(&issuer), introspection_url.as_ref(), jwks_url.as_ref()] {
            let networks = &mut policy.allowed_networks;
            networks.extend(url.into_iter().flat_map(provider_http::literal_networks));
        }
        let validation = settings.validation;
        let needed = NeededEndpoints {
            introspection: introspection_url.is_none() && validation != Validation::Jwt,
            keys: jwks_url.is_none()
                && (validation != Validation::Introspection || settings.signed_introspection),
        };
        Ok(Self {
            http: Arc::new(ProviderHttp::new(
                issuer,
                policy,
                settings.trust.tls.clone(),
            )),
            discovery: Discovery::new(Arc::clone(&settings.claims.issuer), needed),
            introspection_url,
            jwks_url,
            is_zitadel: settings.is_zitadel,
        })
    }

    /// The provider's metadata, fetched if it is not known.
    pub(super) async fn metadata(&self, now: Now) -> Result<Arc<Metadata>, ProviderUnavailable> {
        let metadata = self.discovery.metadata(&self.http, now.monotonic).await?;
        let endpoint = metadata.introspection_endpoint.as_deref();
        if endpoint.is_some_and(|url| url.ends_with(ZITADEL_INTROSPECTION_PATH)) && !self.is_zitadel
        {
            let why = "the provider is a Zitadel, where every user can get a token for every project; set its `kind = \"zitadel\"` and `project`, and grant by `provider_role`";
            return Err(ProviderError::Misconfigured(why.into()).into());
        }
        Ok(metadata)
    }

    /// Reads the metadata where clients do, in their order (MCP, "Authorization
    /// Server Metadata Discovery"), and returns the URL that has it.
    ///
    /// # Errors
    /// The result of each step, if a client may stop before it finds metadata: clients
    /// continue after a 404 only.
    pub(super) async fn walk_client_discovery(&self) -> Result<Url, String> {
        self.discovery.walk_like_clients(&self.http).await
    }

    /// Where tokens are introspected.
    pub(super) async fn introspection_url(&self, now: Now) -> Result<Url, ProviderUnavailable> {
        if let Some(url) = &self.introspection_url {
            return Ok(url.clone());
        }
        let metadata = self.metadata(now).await?;
        let published = metadata.introspection_endpoint.as_deref();
        self.validate("introspection_endpoint", published, "introspection_url")
    }

    /// Where the provider's keys are.
    pub(super) async fn jwks_url(&self, now: Now) -> Result<Url, ProviderUnavailable> {
        if let Some(url) = &self.jwks_url {
            return Ok(url.clone());
        }
        let metadata = self.metadata(now).await?;
        self.validate("jwks_uri", metadata.jwks_uri.as_deref(), "jwks_url")
    }

    /// Whether requests can do without the metadata.
    pub(super) fn are_configured(&self) -> bool {
        self.introspection_url.is_some() && self.jwks_url.is_some()
    }

    fn validate(
        &self,
        member: &str,
        published: Option<&str>,
        setting: &str,
    ) -> Result<Url, ProviderUnavailable> {
        let why = match published.map(|url| self.http.validate_endpoint(member, url)) {
            Some(Ok(url)) => return Ok(url),
            Some(Err(error)) => format!("the provider's metadata: {error}; or set `{setting}`"),
            None => format!(
                "the provider's metadata has no `{member}`; set `{setting}`, or another `validation`"
            ),
        };
        Err(ProviderError::Misconfigured(why.into()).into())
    }
}
