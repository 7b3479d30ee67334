//! Endpoints served without authentication: OAuth metadata and client registration.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{StatusCode, header};
use serde_json::json;
use tracing::warn;

use super::{HttpResponse, RequestError, endpoint::EndpointRoute, routes::normalized_host};
use gatepost_identity::{CheckResult, Facade, Now, Provider, ProviderUnavailable};
use gatepost_state::limits::AddressLimiter;

/// Registers OAuth clients at a provider that does not let them register
/// themselves. Optional.
#[derive(Debug)]
pub struct RegistrationFacade {
    facade: Facade,
    provider: Arc<Provider>,
    registration_limiter: AddressLimiter,
    /// Whether it was logged that the provider rules the facade out.
    logged_disabled: AtomicBool,
}

impl RegistrationFacade {
    /// A facade for this provider, with a limit on registrations.
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

    /// Whether this host is the facade's issuer.
    pub(super) fn is_served_at(&self, host: Option<&str>) -> bool {
        let issuer = self.facade.issuer.split_once("://");
        issuer.is_some_and(|(_, own)| host.map(normalized_host) == Some(normalized_host(own)))
    }

    /// The metadata to publish; `None` if the provider rules the facade out, so
    /// that clients must use the provider's own.
    async fn advertised_metadata(
        &self,
        now: Now,
    ) -> Result<Option<serde_json::Value>, ProviderUnavailable> {
        let metadata = self.provider.metadata(now).await?;
        match self.facade.metadata(&metadata) {
            Ok(advertised) => {
                self.logged_disabled.store(false, Ordering::Relaxed);
                Ok(Some(advertised))
            }
            Err(why) => {
                if !self.logged_disabled.swap(true, Ordering::Relaxed) {
                    warn!(error = %why, "Disabled the registration facade");
                }
                Ok(None)
            }
        }
    }

    /// The metadata document (RFC 8414).
    pub(super) async fn metadata_document(&self, now: Now) -> Result<HttpResponse, RequestError> {
        let metadata = self.advertised_metadata(now).await?;
        let metadata = metadata.ok_or(RequestError::NoRoute)?;
        Ok(cacheable_document(metadata.to_string()))
    }

    /// Reports whether clients use the facade, for `gatepost check --live`.
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
                    "clients use the facade at `{}`, as far as the provider's metadata shows",
                    self.facade.issuer
                ),
                "log in once and check whether the redirect has `iss`; if it does, clients reject the login, so remove the facade",
            ),
            Err(why) => CheckResult::fail(
                format!("the facade is disabled: {why}"),
                "remove `[facade]`, and give clients a client id or let them register at the provider",
            ),
        }]
    }

    /// Registers a client (RFC 7591).
    pub(super) async fn register(
        &self,
        body: &[u8],
        now: Now,
    ) -> Result<HttpResponse, RequestError> {
        if self.advertised_metadata(now).await?.is_none() {
            return Err(RequestError::NoRoute);
        }
        let (status, document) = match self.facade.register(body) {
            Ok(client) => (StatusCode::CREATED, client),
            Err(error) => (
                StatusCode::BAD_REQUEST,
                json!({"error": error.error_code(), "error_description": error.to_string()}),
            ),
        };
        Ok(HttpResponse::json(status, document.to_string().into()).with_no_store())
    }

    /// Counts a registration against the limit of its address.
    ///
    /// # Errors
    /// [`RequestError::AddressRateLimited`].
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

/// The metadata document of a protected resource (RFC 9728), which names the
/// facade as authorization server while it is advertised.
pub(super) async fn resource_document(
    route: &EndpointRoute,
    facade: Option<&RegistrationFacade>,
    now: Now,
) -> Result<HttpResponse, RequestError> {
    let resource = route.resource().ok_or(RequestError::NoRoute)?;
    let names_facade = match facade {
        Some(facade) => facade.advertised_metadata(now).await?.is_some(),
        None => false,
    };
    Ok(cacheable_document(
        resource.document(names_facade).to_owned(),
    ))
}

fn cacheable_document(text: String) -> HttpResponse {
    HttpResponse::json(StatusCode::OK, text.into())
        .with_static(header::CACHE_CONTROL, "public, max-age=300")
}
