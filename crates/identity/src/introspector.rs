//! Asks a provider about tokens, unless it is failing.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gatepost_base::{ProviderName, sync::lock};
use tracing::{error, warn};

use super::{
    ClientAuth, Now, TokenError, TokenRejected,
    circuit_breaker::{BreakerPermit, CircuitBreaker, CircuitOpen},
    introspection_request::{IntrospectionRefusal, IntrospectionRequest, IntrospectionResponse},
    jwks::KeySet,
    jwt::{self, JwtRules},
    provider_endpoints::ProviderEndpoints,
    provider_error::{LastProviderError, ProviderError, ProviderUnavailable},
    provider_keys::ProviderKeys,
    strict_json::StrictObject,
};

/// A text that is no token, and that no caller gave: asking about it shows whether
/// the provider answers at all.
const PROBE_TOKEN: &str = "gatepost-check-is-not-a-token";

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
    pub(super) observed: ObservedBehaviour,
}

/// What the provider's responses have proved.
#[derive(Debug, Default)]
pub(super) struct ObservedBehaviour {
    known: Mutex<Observations>,
    /// Held while the provider is asked about [`PROBE_TOKEN`]: those who wait use
    /// the same response.
    probe: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Observations {
    /// When the provider last said whether a token is active.
    answered_at: Option<Instant>,
    /// Whether it has ever said so of a made-up token, so that a refusal of that
    /// question is not about the token.
    answers_probes: bool,
    /// Whether it has accepted our credentials: it reported a token as active, or
    /// refused an invented secret.
    accepts_client: bool,
    /// Whether it has answered an invented secret like ours.
    ignores_secret: bool,
}

/// What a response says.
pub(super) enum IntrospectionAnswer {
    /// The claims of an active token.
    Active(StrictObject),
    /// The token is not active.
    Inactive,
    /// The request was refused.
    Refused(IntrospectionRefusal),
}

/// What a refusal is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RefusalCause {
    /// Our credentials, which is proved.
    Client,
    /// The token.
    Token,
    /// Our credentials or the token.
    Unproved,
}

impl Introspector {
    /// The claims of a token; `None` if the provider says that it is not
    /// active. `was_valid`: it was not long ago.
    ///
    /// If the request fails, questions about a made-up token, or with an invented
    /// secret, show whether the token, our credentials or the provider is the
    /// reason: a caller with an odd token must not lock out the others.
    ///
    /// # Errors
    /// Also without a request, while the circuit breaker is open.
    pub(super) async fn introspect(
        &self,
        token: &str,
        was_valid: bool,
        now: Now,
    ) -> Result<Option<StrictObject>, TokenError> {
        let permit =
            self.breaker
                .acquire(was_valid, now.monotonic)
                .map_err(|CircuitOpen(pause)| {
                    ProviderError::CircuitOpen.with_retry_after(pause.as_secs().clamp(1, 5))
                })?;
        let asked_at = Instant::now();
        match self.ask(token, now).await {
            Ok(IntrospectionAnswer::Active(claims)) => {
                lock(&self.observed.known).accepts_client = true;
                self.record_answer(permit);
                Ok(Some(claims))
            }
            Ok(IntrospectionAnswer::Inactive) => {
                self.record_answer(permit);
                Ok(None)
            }
            Ok(IntrospectionAnswer::Refused(refusal)) => {
                self.explain_refusal(&refusal, permit, now).await
            }
            Err(failure) => {
                self.explain_failure(failure, token, asked_at, permit, now)
                    .await
            }
        }
    }

    fn record_answer(&self, permit: BreakerPermit<'_>) {
        lock(&self.observed.known).answered_at = Some(Instant::now());
        self.last_error.clear();
        permit.record_success();
    }

    async fn explain_refusal(
        &self,
        refusal: &IntrospectionRefusal,
        permit: BreakerPermit<'_>,
        now: Now,
    ) -> Result<Option<StrictObject>, TokenError> {
        let cause = match self.probe(now).await {
            Ok(probe) => self.refusal_cause(refusal, &probe, now).await,
            Err(failure) => Err(failure),
        };
        let cause = match cause {
            Ok(cause) => cause,
            Err(failure) => return Err(self.record_failure(permit, failure, now).into()),
        };
        let received = Arc::clone(&refusal.received);
        let error = match cause {
            RefusalCause::Token => {
                self.record_answer(permit);
                return Ok(None);
            }
            RefusalCause::Client => {
                permit.record_failure(now.monotonic, Some(CLIENT_REJECTED_BACKOFF));
                let error = ProviderError::ClientRejected(received);
                error!(
                    provider.name = %self.provider,
                    error = %error,
                    "Failed to authenticate to the identity provider, which rejected the gateway's own credentials"
                );
                error
            }
            // Counts neither as an answer nor as a failure.
            RefusalCause::Unproved => {
                drop(permit);
                let error = ProviderError::ClientUnproved(received);
                error!(
                    provider.name = %self.provider,
                    error = %error,
                    "Failed to find out whether the identity provider accepts the gateway's own credentials"
                );
                error
            }
        };
        Err(self.last_error.set(error.into()).into())
    }

    /// Whether a refusal is about our credentials or the token, where `probe` is
    /// the answer about a made-up token.
    ///
    /// # Errors
    /// If the provider does not answer.
    pub(super) async fn refusal_cause(
        &self,
        refusal: &IntrospectionRefusal,
        probe: &IntrospectionAnswer,
        now: Now,
    ) -> Result<RefusalCause, ProviderUnavailable> {
        if refusal.blames_token {
            return Ok(RefusalCause::Token);
        }
        let known = *lock(&self.observed.known);
        let IntrospectionAnswer::Refused(of_probe) = probe else {
            // It answers questions about made-up tokens. Rauthy does so before it
            // checks credentials.
            let proved = if known.accepts_client {
                !refusal.blames_client
            } else {
                self.checks_secret(probe, now).await?
            };
            return Ok(if proved {
                RefusalCause::Token
            } else {
                RefusalCause::Unproved
            });
        };
        // Kanidm refuses questions about every token that it does not know.
        Ok(
            match (
                known.answers_probes,
                known.accepts_client,
                of_probe.blames_client,
            ) {
                (true, _, _) | (false, false, true) => RefusalCause::Client,
                (false, true, true) => RefusalCause::Unproved,
                (false, true, false) => RefusalCause::Token,
                (false, false, false) if self.checks_secret(probe, now).await? => {
                    RefusalCause::Token
                }
                (false, false, false) if refusal.is_unauthorized => RefusalCause::Token,
                (false, false, false) => RefusalCause::Unproved,
            },
        )
    }

    /// Whether the provider answers an invented secret otherwise than ours, in a
    /// question about a made-up token.
    ///
    /// # Errors
    /// If the provider does not answer.
    pub(super) async fn checks_secret(
        &self,
        of_ours: &IntrospectionAnswer,
        now: Now,
    ) -> Result<bool, ProviderUnavailable> {
        let known = *lock(&self.observed.known);
        if known.accepts_client || known.ignores_secret {
            return Ok(known.accepts_client);
        }
        let Some(auth) = &self.client_auth else {
            return Ok(false);
        };
        let invented = auth.with_invented_secret().map_err(|error| {
            ProviderError::Misconfigured(format!("no randomness: {error}").into())
        })?;
        let Some(invented) = invented else {
            return Ok(true);
        };
        let of_invented = self.send(PROBE_TOKEN, &invented, now).await?;
        let checks = match (of_ours, &of_invented) {
            (IntrospectionAnswer::Refused(ours), IntrospectionAnswer::Refused(invented)) => {
                ours != invented
            }
            (IntrospectionAnswer::Refused(_), _) => false,
            (_, IntrospectionAnswer::Refused(_)) => true,
            (_, _) => false,
        };
        let mut known = lock(&self.observed.known);
        known.accepts_client |= checks;
        known.ignores_secret = !checks;
        Ok(checks)
    }

    /// Asks about a made-up token.
    ///
    /// # Errors
    /// If the provider does not answer.
    pub(super) async fn probe(&self, now: Now) -> Result<IntrospectionAnswer, ProviderUnavailable> {
        let answer = self.ask(PROBE_TOKEN, now).await?;
        if !matches!(answer, IntrospectionAnswer::Refused(_)) {
            let mut known = lock(&self.observed.known);
            known.answers_probes = true;
            known.answered_at = Some(Instant::now());
        }
        Ok(answer)
    }

    async fn explain_failure(
        &self,
        failure: ProviderUnavailable,
        token: &str,
        asked_at: Instant,
        permit: BreakerPermit<'_>,
        now: Now,
    ) -> Result<Option<StrictObject>, TokenError> {
        let why = match &failure.cause {
            ProviderError::InvalidResponse(why) => {
                // Better Auth fails at JWTs that it did not sign.
                if let Some(rejected) = self.signature_fault(token, now).await {
                    drop(permit);
                    return Err(rejected.into());
                }
                Arc::clone(why)
            }
            ProviderError::Unreachable(why) => Arc::clone(&why.text),
            ProviderError::CircuitOpen
            | ProviderError::ClientRejected(_)
            | ProviderError::ClientUnproved(_)
            | ProviderError::Misconfigured(_)
            | ProviderError::RequestRejected(_)
            | ProviderError::TooManyLookups => {
                return Err(self.record_failure(permit, failure, now).into());
            }
        };
        if !self.has_answered_since(asked_at, now).await {
            return Err(self.record_failure(permit, failure, now).into());
        }
        // It answers about other tokens, so this one is the reason.
        warn!(provider.name = %self.provider, error = %why, "Failed to introspect a token");
        self.record_answer(permit);
        Err(ProviderUnavailable {
            cause: ProviderError::RequestRejected(why),
            ..failure
        }
        .into())
    }

    /// Whether the provider has answered any question since then; if none was
    /// asked, this asks about a made-up token.
    async fn has_answered_since(&self, then: Instant, now: Now) -> bool {
        let answered = || lock(&self.observed.known).answered_at >= Some(then);
        let _turn = self.observed.probe.lock().await;
        answered() || (self.probe(now).await.is_ok() && answered())
    }

    /// What is wrong with the signature of a JWT; `None` also if that is not
    /// known.
    async fn signature_fault(&self, token: &str, now: Now) -> Option<TokenRejected> {
        let claims = jwt::unverified_claims(token)?;
        let verify = |keys: &KeySet| jwt::verify_signature(token, keys);
        match self
            .keys
            .verify_with(verify, claims.seconds("iat").ok()?, now)
            .await
        {
            Err(TokenError::Rejected(why)) => Some(why),
            Ok(()) | Err(TokenError::Unavailable(_)) => None,
        }
    }

    /// Records a failure that is not the token's fault.
    fn record_failure(
        &self,
        permit: BreakerPermit<'_>,
        failure: ProviderUnavailable,
        now: Now,
    ) -> ProviderUnavailable {
        warn!(provider.name = %self.provider, error = %failure.cause, "Failed to introspect a token");
        match &failure.cause {
            // About this token or the configuration: a caller with such a token
            // must not lock out the others.
            ProviderError::Misconfigured(_) | ProviderError::RequestRejected(_) => {
                permit.record_success();
            }
            ProviderError::InvalidResponse(_) | ProviderError::Unreachable(_) => {
                // Longer than the default: the provider said when to retry.
                let names_pause = failure.retry_after > Duration::from_secs(2);
                let pause = names_pause.then_some(failure.retry_after);
                permit.record_failure(now.monotonic, pause);
            }
            ProviderError::CircuitOpen
            | ProviderError::ClientRejected(_)
            | ProviderError::ClientUnproved(_)
            | ProviderError::TooManyLookups => permit.record_failure(now.monotonic, None),
        }
        self.last_error.set(failure)
    }

    /// Asks about a token, with our credentials.
    async fn ask(&self, token: &str, now: Now) -> Result<IntrospectionAnswer, ProviderUnavailable> {
        let auth = self.client_auth.as_ref().ok_or_else(|| {
            let why = "the gateway has no credentials for the provider; set `client_id` and a secret or key";
            ProviderError::Misconfigured(why.into())
        })?;
        self.send(token, auth, now).await
    }

    async fn send(
        &self,
        token: &str,
        auth: &ClientAuth,
        now: Now,
    ) -> Result<IntrospectionAnswer, ProviderUnavailable> {
        let endpoint = self.endpoints.introspection_url(now).await?;
        let request = IntrospectionRequest {
            endpoint: &endpoint,
            auth,
            signed: self.signed,
        };
        let claims = match request.send(token, &self.endpoints.http, now.wall).await? {
            IntrospectionResponse::Json(claims) => claims,
            IntrospectionResponse::Refused(refusal) => {
                return Ok(IntrospectionAnswer::Refused(refusal));
            }
            IntrospectionResponse::Jwt(response) => {
                let client_id = auth.client_id();
                let verify = |keys: &KeySet| {
                    self.jwt_rules
                        .verify_introspection(&response, client_id, keys, now.wall)
                };
                let claims = self.keys.verify_with(verify, None, now).await;
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
            Ok(Some(true)) => Ok(IntrospectionAnswer::Active(claims)),
            Ok(Some(false)) => Ok(IntrospectionAnswer::Inactive),
            // Treated neither as rejected nor as accepted.
            Ok(None) | Err(_) => {
                let why = "`active` is neither `true` nor `false`";
                Err(ProviderError::InvalidResponse(why.into()).into())
            }
        }
    }
}
