//! Fetches the metadata of a provider.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Url;

use super::{
    Metadata,
    provider_error::{ProviderError, ProviderUnavailable, UnreachableCause},
    provider_http::{ProviderHttp, ProviderHttpError},
    refreshing::{Lifetime, Refreshing},
};

/// The longest metadata that is read, in bytes.
const MAX_METADATA_BYTES: usize = 256 << 10;
/// Older metadata is refreshed in the background, and is used until that
/// succeeds.
const LIFETIME: Lifetime = Lifetime {
    refresh_after: Duration::from_hours(1),
    wait_after: Duration::MAX,
    max_age: Duration::MAX,
};
/// Metadata without a usable endpoint is as good as none: it is read again soon.
const UNUSABLE_LIFETIME: Lifetime = Lifetime {
    refresh_after: Duration::from_secs(2),
    wait_after: Duration::from_secs(2),
    max_age: Duration::MAX,
};
/// The shortest and the longest delay after a failure, in seconds.
const RETRY_DELAY_S: (u64, u64) = (1, 30);

/// The metadata of one provider.
pub(super) struct Discovery {
    issuer: Arc<str>,
    needed: NeededEndpoints,
    metadata: Arc<Refreshing<Metadata>>,
}

/// The endpoints that the metadata must name, because they are not configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct NeededEndpoints {
    pub(super) introspection: bool,
    pub(super) keys: bool,
}

impl Discovery {
    pub(super) fn new(issuer: Arc<str>, needed: NeededEndpoints) -> Self {
        Self {
            issuer,
            needed,
            metadata: Refreshing::new(|failures, _| {
                let (least, most) = RETRY_DELAY_S;
                let doubled = least << (failures - 1).min(u64::BITS - 1);
                Duration::from_secs(doubled.clamp(least, most))
            }),
        }
    }

    /// The metadata, fetched if it is not known.
    ///
    /// # Errors
    /// Also without a fetch, shortly after one has failed.
    pub(super) async fn metadata(
        &self,
        http: &Arc<ProviderHttp>,
        now: Instant,
    ) -> Result<Arc<Metadata>, ProviderUnavailable> {
        let (issuer, http) = (Arc::clone(&self.issuer), Arc::clone(http));
        let (known, needed) = (Arc::clone(&self.metadata), self.needed);
        let fetch = async move {
            let fetched = fetch_metadata(&issuer, &http).await;
            // Another issuer at the same address is not the one we knew.
            if let Err(ProviderError::Misconfigured(_)) = fetched {
                known.clear();
            }
            let metadata = fetched?;
            let lifetime = if needed.are_in(&metadata, &http) {
                LIFETIME
            } else {
                UNUSABLE_LIFETIME
            };
            Ok((metadata, lifetime))
        };
        self.metadata.get(fetch, now).await
    }
}

impl Discovery {
    /// As [`walk_client_discovery`](super::provider_endpoints::ProviderEndpoints::walk_client_discovery).
    pub(super) async fn walk_like_clients(&self, http: &ProviderHttp) -> Result<Url, String> {
        let mut steps = Vec::new();
        let mut stops = false;
        for url in client_metadata_urls(&self.issuer) {
            let found = match http.get(&url, MAX_METADATA_BYTES).await {
                Err(error) => error.to_string(),
                Ok(response) if response.status != http::StatusCode::OK => {
                    stops |= !response.status.is_client_error();
                    format!("status {}", response.status.as_u16())
                }
                Ok(response) => match serde_json::from_slice::<Metadata>(&response.body) {
                    Ok(metadata) if metadata.issuer == *self.issuer && !stops => return Ok(url),
                    Ok(metadata) if metadata.issuer == *self.issuer => "the metadata".to_owned(),
                    Ok(_) => {
                        stops = true;
                        "the metadata of another issuer".to_owned()
                    }
                    Err(_) => {
                        stops = true;
                        format!("`{}`, not metadata", response.media_type())
                    }
                },
            };
            steps.push(format!("`{}` gives {found}", url.path()));
        }
        Err(steps.join(", "))
    }
}

/// The locations of metadata in the order of MCP clients.
fn client_metadata_urls(issuer: &str) -> Vec<Url> {
    let Ok(url) = Url::parse(issuer) else {
        return Vec::new();
    };
    let path = url.path().trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    let at = |path: &String| {
        let mut url = url.clone();
        url.set_path(path);
        url
    };
    paths.iter().map(at).collect()
}

impl NeededEndpoints {
    fn are_in(self, metadata: &Metadata, http: &ProviderHttp) -> bool {
        let is_usable = |url: &Option<String>| {
            let url = url.as_deref();
            url.is_some_and(|url| http.validate_endpoint("", url).is_ok())
        };
        (!self.introspection || is_usable(&metadata.introspection_endpoint))
            && (!self.keys || is_usable(&metadata.jwks_uri))
    }
}

/// Tries both locations; the first that has metadata counts.
async fn fetch_metadata(issuer: &Arc<str>, http: &ProviderHttp) -> Result<Metadata, ProviderError> {
    let mut reasons = Vec::new();
    for url in metadata_urls(issuer) {
        let response = match http.get(&url, MAX_METADATA_BYTES).await {
            Ok(response) => response,
            Err(error @ ProviderHttpError::ResponseTooLarge(_)) => {
                reasons.push(format!("{}: {error}", url.path()));
                continue;
            }
            // The other location is at the same host.
            Err(error @ (ProviderHttpError::Failed(_) | ProviderHttpError::EgressDenied(_))) => {
                let cause = UnreachableCause::from(&error);
                return Err(ProviderError::Unreachable(UnreachableCause {
                    text: format!("the provider's metadata cannot be read: {error}").into(),
                    ..cause
                }));
            }
        };
        let status = response.status;
        if status != http::StatusCode::OK {
            reasons.push(format!("{}: {}", url.path(), response.describe_status()));
            continue;
        }
        match serde_json::from_slice::<Metadata>(&response.body) {
            Ok(metadata) if metadata.issuer == **issuer => return Ok(metadata),
            Ok(metadata) => {
                return Err(issuer_mismatch(issuer, &metadata.issuer));
            }
            Err(error) => reasons.push(format!("{}: not metadata: {error}", url.path())),
        }
    }
    Err(unreadable(&reasons.join("; ")))
}

/// It did not answer, or not with metadata.
fn unreadable(why: &str) -> ProviderError {
    ProviderError::Unreachable(format!("the provider's metadata cannot be read: {why}").into())
}

/// Another issuer publishes it: only the administrator can fix that.
fn issuer_mismatch(configured: &str, published: &str) -> ProviderError {
    let published: String = published.chars().take(200).collect();
    let why = format!(
        "the provider calls itself `{published}`; set `issuer` to exactly that if it is the right provider (`{configured}` is configured)"
    );
    ProviderError::Misconfigured(why.into())
}

/// The locations of an issuer's metadata: OpenID Connect appends to the
/// issuer's path, RFC 8414 section 3.1 inserts before it.
fn metadata_urls(issuer: &str) -> Vec<Url> {
    let Ok(url) = Url::parse(issuer) else {
        return Vec::new();
    };
    let path = url.path().trim_end_matches('/');
    let forms = [
        format!("{path}/.well-known/openid-configuration"),
        format!("/.well-known/oauth-authorization-server{path}"),
    ];
    let at = |path: &String| {
        let mut url = url.clone();
        url.set_path(path);
        url
    };
    forms.iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::{issuer_mismatch, metadata_urls, unreadable};

    #[test]
    fn discovery_errors_say_what_is_wrong() {
        let mismatch = issuer_mismatch("https://id.example.com", "https://id.example.com/");
        insta::assert_snapshot!(mismatch, @"the provider calls itself `https://id.example.com/`; set `issuer` to exactly that if it is the right provider (`https://id.example.com` is configured)");
        insta::assert_snapshot!(unreadable("status 500"), @"the provider cannot be reached: the provider's metadata cannot be read: status 500");
    }

    #[test]
    fn metadata_urls_cover_oidc_and_rfc8414_forms() {
        let urls = |issuer| {
            let found = metadata_urls(issuer).into_iter();
            found.map(|url| url.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            urls("https://id.example.com/realms/acme"),
            [
                "https://id.example.com/realms/acme/.well-known/openid-configuration",
                "https://id.example.com/.well-known/oauth-authorization-server/realms/acme",
            ]
        );
        assert_eq!(
            urls("https://tenant.auth0.com/"),
            [
                "https://tenant.auth0.com/.well-known/openid-configuration",
                "https://tenant.auth0.com/.well-known/oauth-authorization-server",
            ]
        );
    }
}
