//! What anybody may ask before they are somebody: where to log in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use tracing::warn;

use super::{Head, HttpResponse, RequestError, routes::normalized_host};
use gatepost_identity::{
    AUTHORIZATION_SERVER_PATH, CheckResult, Facade, Metadata, Now, ProtectedResource, Provider,
    ProviderUnavailable, REGISTER_PATH,
};
use gatepost_state::limits::AddressLimiter;

/// The optional facade, with the provider behind it.
#[derive(Debug)]
pub struct RegistrationFacade {
    facade: Facade,
    provider: Arc<Provider>,
    registration_limiter: AddressLimiter,
    /// Whether it was said that the facade is off.
    logged_disabled: AtomicBool,
}

/// What a request without a caller asks for.
#[derive(Debug)]
pub(super) enum PublicRoute<'a> {
    /// The metadata of a protected resource.
    Resource(&'a ProtectedResource),
    /// The facade's metadata.
    AuthorizationServer(&'a RegistrationFacade),
    /// To be registered by the facade.
    Register(&'a RegistrationFacade),
}

impl RegistrationFacade {
    /// A facade in front of this provider, with an allowance of registrations.
    pub fn new(
        facade: Facade,
        provider: Arc<Provider>,
        registration_limiter: AddressLimiter,
    ) -> Self {
        Self {
            facade,
            provider,
            registration_limiter,
            logged_disabled: AtomicBool::new(false),
        }
    }

    /// What the facade has at this host and path.
    pub(super) fn public_route(&self, head: &Head) -> Option<PublicRoute<'_>> {
        let host = self.facade.issuer.split_once("://")?.1;
        let here = head.host.as_deref().map(normalized_host) == Some(normalized_host(host));
        match head.path.as_str() {
            AUTHORIZATION_SERVER_PATH if here => Some(PublicRoute::AuthorizationServer(self)),
            REGISTER_PATH if here => Some(PublicRoute::Register(self)),
            _ => None,
        }
    }

    /// The metadata to show; none where the provider must be shown itself.
    ///
    /// # Errors
    /// [`Unavailable`].
    async fn advertised_metadata(
        &self,
        now: Now,
    ) -> Result<Option<serde_json::Value>, ProviderUnavailable> {
        let metadata: Arc<Metadata> = self.provider.metadata(now).await?;
        match self.facade.metadata(&metadata) {
            Ok(shown) => {
                self.logged_disabled.store(false, Ordering::Relaxed);
                Ok(Some(shown))
            }
            Err(why) => {
                if !self.logged_disabled.swap(true, Ordering::Relaxed) {
                    warn!(error = %why, "Switched the facade off");
                }
                Ok(None)
            }
        }
    }

    /// Whether clients see the facade, for the administrator.
    pub async fn check(&self, provider: &Provider, now: Now) -> Vec<CheckResult> {
        if provider.name() != self.provider.name() {
            return Vec::new();
        }
        let Ok(metadata) = self.provider.metadata(now).await else {
            return Vec::new();
        };
        vec![match self.facade.metadata(&metadata) {
            Ok(_) => CheckResult::warn(
                format!(
                    "clients are sent to the facade at `{}`, as far as its metadata tell",
                    self.facade.issuer
                ),
                "log in once and look whether `iss` comes back with the code: then clients refuse it, and the facade must be removed",
            ),
            Err(why) => CheckResult::fail(
                format!("the facade is off: {why}"),
                "remove `[facade]`, and paste a client id or have clients register at the provider",
            ),
        }]
    }

    /// Answers a registration.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) async fn register(
        &self,
        body: &[u8],
        now: Now,
    ) -> Result<HttpResponse, RequestError> {
        if self.advertised_metadata(now).await?.is_none() {
            return Err(RequestError::NoRoute);
        }
        Ok(match self.facade.register(body) {
            Ok(client) => json_document(StatusCode::CREATED, client.to_string()).with_no_store(),
            Err(refused) => {
                let told = json!({"error": refused.error_code(), "error_description": refused.to_string()});
                json_document(StatusCode::BAD_REQUEST, told.to_string()).with_no_store()
            }
        })
    }

    /// Whether one more may register from there.
    ///
    /// # Errors
    /// [`Refusal::Exhausted`].
    pub(super) fn check_rate_limit(
        &self,
        client: Option<std::net::IpAddr>,
        now: Now,
    ) -> Result<(), RequestError> {
        self.registration_limiter
            .try_spend(client, now.monotonic)
            .map_err(RequestError::AddressRateLimited)
    }
}

/// Answers a question for metadata: every page may read it.
///
/// # Errors
/// [`Refusal`].
pub(super) async fn serve_metadata(
    errand: &PublicRoute<'_>,
    facade: Option<&RegistrationFacade>,
    head: &Head,
    now: Now,
) -> Result<HttpResponse, RequestError> {
    let methods = match errand {
        PublicRoute::AuthorizationServer(_) | PublicRoute::Resource(_) => "GET, HEAD, OPTIONS",
        PublicRoute::Register(_) => "POST, OPTIONS",
    };
    if head.method == Method::OPTIONS {
        return Ok(HttpResponse::empty(StatusCode::NO_CONTENT)
            .with_header(
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static(methods),
            )
            .with_header(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("mcp-protocol-version, content-type, accept"),
            ));
    }
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(RequestError::MethodNotAllowed(methods));
    }
    let text = match errand {
        PublicRoute::Resource(resource) => {
            let facade = match facade {
                Some(desk) => desk.advertised_metadata(now).await?.is_some(),
                None => false,
            };
            resource.document(facade).to_owned()
        }
        PublicRoute::AuthorizationServer(desk) => {
            let shown = desk
                .advertised_metadata(now)
                .await?
                .ok_or(RequestError::NoRoute)?;
            shown.to_string()
        }
        PublicRoute::Register(_) => return Err(RequestError::MethodNotAllowed(methods)),
    };
    let keep = HeaderValue::from_static("public, max-age=300");
    Ok(json_document(StatusCode::OK, text).with_header(header::CACHE_CONTROL, keep))
}

fn json_document(status: StatusCode, text: String) -> HttpResponse {
    HttpResponse::json(status, Bytes::from(text))
}
