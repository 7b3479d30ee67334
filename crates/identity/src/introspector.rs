//! Asks a provider about tokens, unless it is failing.

use std::{sync::Arc, time::Duration};

use gatepost_base::ProviderName;
use tracing::{error, warn};

use super::{
    ClientAuth, Now, TokenError,
    circuit_breaker::{BreakerPermit, CircuitBreaker, CircuitOpen},
    introspection::{IntrospectionRequest, IntrospectionResponse},
    jwks::KeySet,
    jwt::JwtRules,
    provider_endpoints::ProviderEndpoints,
    provider_error::{LastProviderError, ProviderError, ProviderUnavailable},
    provider_keys::ProviderKeys,
    strict_json::StrictObject,
};

/// A text that is no token: asking about it shows whether the provider answers
/// at all.
pub(super) const PROBE_TOKEN: &str = "gatepost-check-is-not-a-token";

/// How long no request is sent after the provider rejected our credentials:
/// more attempts could lock our account.
const CLIENT_REJECTED_BACKOFF: Duration = Duration::from_secs(30);

/// Asks one provider about tokens (RFC 7662).
pub(super) struct Introspector {
    /// For the log.
    pub(super) provider: ProviderName,
    pub(super) endpoints: Arc<ProviderEndpoints>,
    pub(super) keys: Arc<ProviderKeys>,
    pub(super) client_auth: Option<Arc<ClientAuth>>,
    /// Whether responses are signed (RFC 9701).
    pub(super) signed: bool,
    pub(super) jwt_rules: Arc<JwtRules>,
    pub(super) breaker: CircuitBreaker,
    /// How the last request failed, if it did.
    pub(super) last_error: LastProviderError,
}

impl Introspector {
    /// The claims of a token; `None` if the provider says that it is not
    /// active.
    ///
    /// # Errors
    /// Also without a request, while the circuit breaker is open.
    pub(super) async fn introspect(
        &self,
        token: &str,
        now: Now,
    ) -> Result<Option<StrictObject>, ProviderUnavailable> {
        let permit = self
            .breaker
            .acquire(now.monotonic)
            .map_err(|CircuitOpen(pause)| {
                ProviderError::CircuitOpen.with_retry_after(pause.as_secs().clamp(1, 5))
            })?;
        let mut claims = self.send(token, now).await;
        if let Err(unavailable) = &claims
            && should_probe_provider(&permit, unavailable)
            && self.send(PROBE_TOKEN, now).await.is_ok()
        {
            let why = unavailable.cause.to_string();
            claims = Err(ProviderError::RequestRejected(why.into()).into());
        }
        self.last_error.record(&claims);
        match &claims {
            Ok(_) => permit.record_success(),
            Err(unavailable) => self.record_failure(permit, unavailable, now),
        }
        claims
    }

    fn record_failure(
        &self,
        permit: BreakerPermit<'_>,
        unavailable: &ProviderUnavailable,
        now: Now,
    ) {
        let provider = &self.provider;
        match &unavailable.cause {
            // About this token or the configuration: a caller with such a token
            // must not lock out the others.
            ProviderError::Misconfigured(why) | ProviderError::RequestRejected(why) => {
                warn!(provider.name = %provider, error = %why, "Failed to introspect a token");
                permit.record_success();
            }
            ProviderError::ClientRejected(why) => {
                error!(
                    provider.name = %provider,
                    error = %why,
                    "The identity provider rejected the gateway's own credentials"
                );
                permit.record_failure(now.monotonic, Some(CLIENT_REJECTED_BACKOFF));
            }
            // The provider said when to retry.
            ProviderError::InvalidResponse(_) if asks_for_pause(unavailable) => {
                permit.record_failure(now.monotonic, Some(unavailable.retry_after));
            }
            ProviderError::InvalidResponse(why) | ProviderError::Unreachable(why) => {
                warn!(provider.name = %provider, error = %why, "Failed to introspect a token");
                permit.record_failure(now.monotonic, None);
            }
            ProviderError::CircuitOpen | ProviderError::TooManyLookups => {
                permit.record_failure(now.monotonic, None);
            }
        }
    }

    async fn send(
        &self,
        token: &str,
        now: Now,
    ) -> Result<Option<StrictObject>, ProviderUnavailable> {
        let endpoint = self.endpoints.introspection_url(now).await?;
        let auth = self.client_auth.as_ref().ok_or_else(|| {
            let why = "the gateway has no credentials for the provider; set `client_id` and a secret or key";
            ProviderError::Misconfigured(why.into())
        })?;
        let request = IntrospectionRequest {
            endpoint: &endpoint,
            auth,
            signed: self.signed,
        };
        let claims = match request.send(token, &self.endpoints.http, now.wall).await? {
            IntrospectionResponse::Json(claims) => claims,
            IntrospectionResponse::Jwt(response) => {
                let client_id = auth.client_id();
                let verify = |keys: &KeySet| {
                    self.jwt_rules
                        .verify_introspection(&response, client_id, keys, now.wall)
                };
                let claims = self.keys.verify_with(verify, now).await;
                claims.map_err(|error| match error {
                    TokenError::Rejected(why) => {
                        let why = format!("its signature is not valid: {}", why.reason());
                        ProviderError::InvalidResponse(why.into()).into()
                    }
                    TokenError::Unavailable(unavailable) => unavailable,
                })?
            }
        };
        match claims.boolean("active") {
            Ok(Some(active)) => Ok(active.then_some(claims)),
            // Treated neither as rejected nor as accepted.
            Ok(None) | Err(_) => {
                let why = "`active` is neither `true` nor `false`";
                Err(ProviderError::InvalidResponse(why.into()).into())
            }
        }
    }
}

/// Whether to ask about [`PROBE_TOKEN`] before the failure opens the circuit:
/// otherwise a caller with one odd token could lock out all others. If the
/// provider answers that, the token is the reason.
fn should_probe_provider(permit: &BreakerPermit<'_>, unavailable: &ProviderUnavailable) -> bool {
    match unavailable.cause {
        ProviderError::ClientRejected(_) => true,
        ProviderError::InvalidResponse(_) => !asks_for_pause(unavailable) && permit.would_open(),
        ProviderError::CircuitOpen
        | ProviderError::Misconfigured(_)
        | ProviderError::RequestRejected(_)
        | ProviderError::TooManyLookups
        | ProviderError::Unreachable(_) => false,
    }
}

/// Whether the pause is longer than the default: the provider asked for it.
fn asks_for_pause(unavailable: &ProviderUnavailable) -> bool {
    unavailable.retry_after > Duration::from_secs(2)
}
