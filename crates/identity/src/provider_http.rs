//! HTTP to an identity provider: bounded in time and size, and only to allowed
//! addresses.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ipnet::IpNet;
use reqwest::{
    Client, RequestBuilder, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use rustls::ClientConfig;
use tokio::sync::Semaphore;

use gatepost_base::{AddressScope, error_chain, text::one_line};
use gatepost_tls::{HandshakeFailure, PeerProtocol};

use super::provider_error::UnreachableCause;

/// How many lookups of one provider may wait for a name server. Each blocks a thread,
/// as those of Odoo servers do, which are bounded in the same way.
const MAX_LOOKUPS: usize = 4;

/// Which addresses of a provider may be contacted, and how long that may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EgressPolicy {
    /// Hosts of endpoints besides the issuer's own, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Networks that are not public, but where the provider may be.
    pub allowed_networks: Vec<IpNet>,
    /// Limit of connecting.
    pub connect_timeout: Duration,
    /// Limit of one whole exchange.
    pub timeout: Duration,
}

/// An HTTP client for one provider.
pub(super) struct ProviderHttp {
    policy: EgressPolicy,
    issuer: Url,
    tls: ClientConfig,
    /// Created by the first request, on the runtime that serves it.
    client: OnceLock<Client>,
}

/// A provider's response.
#[derive(Debug)]
pub(super) struct ProviderResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A failed exchange with a provider. For the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderHttpError {
    /// The address is not allowed.
    #[error("{0}")]
    EgressDenied(String),
    /// No connection, no response in time, or an incomplete one.
    #[error("{}", http_failure(.0))]
    Failed(#[source] reqwest::Error),
    /// The response is longer than this limit.
    #[error("the response is longer than {0} bytes")]
    ResponseTooLarge(usize),
}

impl ProviderHttp {
    pub(super) fn new(issuer: Url, policy: EgressPolicy, tls: ClientConfig) -> Self {
        Self {
            policy,
            issuer,
            tls,
            client: OnceLock::new(),
        }
    }

    /// An endpoint from the provider's metadata, if it is at the issuer's own
    /// origin or at a configured host. Any other may belong to an attacker who
    /// wants our secret, or be a service that only we can reach.
    ///
    /// # Errors
    /// [`ProviderHttpError::EgressDenied`], with what the administrator can do.
    pub(super) fn validate_endpoint(
        &self,
        name: &str,
        text: &str,
    ) -> Result<Url, ProviderHttpError> {
        let denied = |why: &str| ProviderHttpError::EgressDenied(format!("its `{name}` {why}"));
        let url = Url::parse(text).map_err(|_not_a_url| denied("is not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(denied("contains a user name or a password"));
        }
        let secure = url.scheme() == "https";
        if !secure && (url.scheme() != "http" || self.issuer.scheme() == "https") {
            return Err(denied("is not `https://`"));
        }
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        if url.origin() != self.issuer.origin() && !self.policy.allowed_hosts.contains(&host) {
            return Err(denied(&format!(
                "is at `{}`, not at the issuer's own host; if that is intended, add `{host}` to `endpoint_hosts`",
                url.origin().ascii_serialization()
            )));
        }
        Ok(url)
    }

    /// Whether the issuer's host is in the public internet; `None` if it has no
    /// address.
    pub(super) async fn is_public(&self) -> Option<bool> {
        if let Some(address) = ip_literal(&self.issuer) {
            return Some(is_public(address));
        }
        let host = self.issuer.host_str()?;
        let mut found = tokio::net::lookup_host((host, 0)).await.ok()?;
        found
            .next()
            .map(|address| is_public(address.ip().to_canonical()))
    }

    /// Fetches a document.
    pub(super) async fn get(
        &self,
        url: &Url,
        limit: usize,
    ) -> Result<ProviderResponse, ProviderHttpError> {
        let request = self.client()?.get(url.clone());
        self.send(request, "application/json", limit).await
    }

    /// Posts a form.
    pub(super) async fn post(
        &self,
        url: &Url,
        form: &[(&str, &str)],
        authorization: Option<HeaderValue>,
        accept: &'static str,
        limit: usize,
    ) -> Result<ProviderResponse, ProviderHttpError> {
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = self
            .client()?
            .post(url.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some(mut authorization) = authorization {
            authorization.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.send(request, accept, limit).await
    }

    async fn send(
        &self,
        request: RequestBuilder,
        accept: &'static str,
        limit: usize,
    ) -> Result<ProviderResponse, ProviderHttpError> {
        let request = request
            .header(header::ACCEPT, accept)
            .header(header::ACCEPT_ENCODING, "identity")
            .build()
            .map_err(request_failed)?;
        // The resolver is not asked about IP addresses.
        if let Some(address) = ip_literal(request.url())
            && !self.policy.allows(address)
        {
            return Err(ProviderHttpError::EgressDenied(egress_denied_message(
                address,
            )));
        }
        let mut response = self
            .client()?
            .execute(request)
            .await
            .map_err(request_failed)?;
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(request_failed)? {
            if body.len() + part.len() > limit {
                return Err(ProviderHttpError::ResponseTooLarge(limit));
            }
            body.extend_from_slice(&part);
        }
        Ok(ProviderResponse {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: body.freeze(),
        })
    }

    fn client(&self) -> Result<Client, ProviderHttpError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            // A redirect must not pass the secret on.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(self.policy.connect_timeout)
            .timeout(self.policy.timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .dns_resolver(Arc::new(EgressResolver {
                policy: self.policy.clone(),
                lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            }))
            .user_agent(concat!("gatepost/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(request_failed)?;
        Ok(self.client.get_or_init(|| client).clone())
    }
}

impl ProviderResponse {
    /// The media type in lower case, without parameters.
    pub(super) fn media_type(&self) -> String {
        let value = self.headers.get(header::CONTENT_TYPE);
        let text = value.and_then(|value| value.to_str().ok());
        let media = text.unwrap_or_default().split(';').next();
        media.unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Its status for the administrator, with the target of a redirect.
    pub(super) fn describe_status(&self) -> String {
        let status = format!("status {}", self.status.as_u16());
        let location = self.headers.get(header::LOCATION);
        let location = location.filter(|_| self.status.is_redirection());
        match location.and_then(|value| value.to_str().ok()) {
            Some(target) => format!("{status}, which redirects to `{}`", one_line(target, 200)),
            None => status,
        }
    }

    /// `Retry-After` in seconds, clamped to 1 to 60; dates are ignored.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let value = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
        let seconds: u64 = value.trim().parse().ok()?;
        Some(Duration::from_secs(seconds.clamp(1, 60)))
    }

    /// `Cache-Control: max-age`.
    pub(super) fn max_age(&self) -> Option<Duration> {
        let value = self.headers.get(header::CACHE_CONTROL)?.to_str().ok()?;
        let seconds = value
            .split(',')
            .find_map(|part| part.trim().strip_prefix("max-age="))?;
        seconds.parse().ok().map(Duration::from_secs)
    }
}

impl EgressPolicy {
    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        is_public(address)
            || self
                .allowed_networks
                .iter()
                .any(|net| net.contains(&address))
    }
}

impl From<&ProviderHttpError> for UnreachableCause {
    fn from(error: &ProviderHttpError) -> Self {
        let handshake = match error {
            ProviderHttpError::Failed(error) => HandshakeFailure::find(error, PeerProtocol::Http),
            ProviderHttpError::EgressDenied(_) | ProviderHttpError::ResponseTooLarge(_) => None,
        };
        Self {
            handshake: handshake.map(Arc::new),
            ..Self::from(error.to_string())
        }
    }
}

fn request_failed(error: reqwest::Error) -> ProviderHttpError {
    ProviderHttpError::Failed(error.without_url())
}

fn egress_denied_message(address: IpAddr) -> String {
    format!(
        "`{address}` is not a public address; if the provider is inside your network, add its network to `private_networks`"
    )
}

/// The networks of the IP address in a URL, or of this machine for
/// `localhost`; none for other names.
pub(super) fn literal_networks(url: &Url) -> Vec<IpNet> {
    match ip_literal(url) {
        Some(address) => vec![IpNet::from(address)],
        None if url.host_str() == Some("localhost") => {
            let loopback = [
                IpAddr::from([127, 0, 0, 1]),
                IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1]),
            ];
            loopback.map(IpNet::from).into()
        }
        None => Vec::new(),
    }
}

/// The IP address in a URL.
fn ip_literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?
        .trim_matches(['[', ']'])
        .parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// Resolves names to allowed addresses only. The connection is made to a
/// checked address, so that an attacker gains nothing by changing the DNS
/// answer in between.
struct EgressResolver {
    policy: EgressPolicy,
    lookups: Arc<Semaphore>,
}

impl Resolve for EgressResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, lookups) = (self.policy.clone(), Arc::clone(&self.lookups));
        Box::pin(async move {
            let place = lookups.acquire_owned().await?;
            // In a task of its own: the place is taken until the thread is free, also when
            // the caller gives up.
            let lookup = tokio::spawn(async move {
                let found = tokio::net::lookup_host((name.as_str(), 0)).await;
                let found = found.map(Iterator::collect::<Vec<_>>);
                drop(place);
                found
            });
            let found = lookup.await??;
            let (allowed, denied): (Vec<SocketAddr>, Vec<SocketAddr>) = found
                .into_iter()
                .partition(|address| policy.allows(address.ip()));
            if let (true, Some(denied)) = (allowed.is_empty(), denied.first()) {
                return Err(io::Error::other(egress_denied_message(denied.ip())).into());
            }
            Ok::<Addrs, _>(Box::new(allowed.into_iter()))
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    AddressScope::of(address) == AddressScope::Public
}

/// Why an HTTP exchange failed, without its URL, which may contain a secret.
pub fn http_failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no response in time".to_owned();
    }
    match HandshakeFailure::find(error, PeerProtocol::Http) {
        Some(failure) => failure.to_string(),
        None => error_chain::sources(error).unwrap_or_else(|| "no response".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Url;
    use tokio::net::TcpListener;

    use super::{EgressPolicy, ProviderHttp, ProviderHttpError};

    fn http_client(issuer: &str, hosts: &[&str]) -> ProviderHttp {
        let policy = EgressPolicy {
            allowed_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
            allowed_networks: Vec::new(),
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
        };
        let tls = gatepost_tls::client_config(None).unwrap();
        ProviderHttp::new(Url::parse(issuer).unwrap(), policy, tls)
    }

    #[test]
    fn endpoint_must_be_at_issuer_origin_or_configured_host() {
        let out = http_client("https://id.example.com/tenant", &["keys.example.net"]);
        for good in [
            "https://id.example.com/introspect",
            "https://ID.example.com:443/x",
            "https://keys.example.net/jwks",
        ] {
            assert!(out.validate_endpoint("x", good).is_ok(), "{good}");
        }
        let errors = [
            "https://evil.example/x",
            "https://id.example.com.evil.example/x",
            "https://id.example.com:8443/x",
            "http://id.example.com/x",
            "http://169.254.169.254/latest",
            "https://[::1]/x",
            "https://u:p@id.example.com/x",
            "file:///etc/passwd",
            "id.example.com",
            "",
        ]
        .map(|bad| {
            let error = out.validate_endpoint("jwks_uri", bad).unwrap_err();
            assert!(matches!(error, ProviderHttpError::EgressDenied(_)), "{bad}");
            error.to_string()
        });
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[tokio::test]
    async fn failed_exchanges_say_what_is_wrong() {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = unused.local_addr().unwrap();
        drop(unused);
        let mut errors = vec![ProviderHttpError::ResponseTooLarge(65_536)];
        for networks in [Vec::new(), vec!["127.0.0.0/8".parse().unwrap()]] {
            let mut http = http_client("https://id.example.com", &[]);
            http.policy.allowed_networks = networks;
            let url = Url::parse(&format!("http://{address}/")).unwrap();
            errors.push(http.get(&url, 1).await.unwrap_err());
        }
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
