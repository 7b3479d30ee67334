//! One identity provider, with what is remembered of its tokens.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture, Shared},
};
use reqwest::Url;
use rustls::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::{error, warn};

use super::{
    Bearer, ClientAuth, Metadata, Now, Principal, ProviderError, ProviderUnavailable,
    TokenRejected,
    bulkhead::Bulkhead,
    circuit_breaker::{BreakerPermit, CircuitBreaker, CircuitOpen},
    claims::{ClaimRules, ClaimsSource},
    discovery::Discovery,
    introspection::{CLIENT_REJECTED_BACKOFF, IntrospectionRequest, IntrospectionResponse},
    jwks::{self, KeyCache, KeyLookupError, KeySet, KeysUnavailable},
    jwt::{self, JwtRules, UnverifiedJwt},
    provider_error::LastProviderError,
    provider_http::{self, EgressPolicy, ProviderHttp},
    strict_json::StrictObject,
    token_cache::{CacheTtls, CachedToken, CachedVerdict, TokenCache, TokenKey},
};
use gatepost_base::ProviderName;

/// Where every Zitadel is asked about tokens.
const ZITADEL_INTROSPECTION_PATH: &str = "/oauth/v2/introspect";

/// Nobody gives shorter tokens: RFC 6749 section 10.10 wants them not to be
/// guessed, and 16 letters of base 64 are 96 bits.
const MIN_TOKEN_BYTES: usize = 16;

/// A token that nobody gave: asking about it shows whether we may ask.
pub(super) const PROBE_TOKEN: &str = "gatepost-check-is-not-a-token";

/// The longest set of keys that is read, in bytes.
const MAX_KEYS_BYTES: usize = 256 << 10;

/// How tokens are proved to be good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Validation {
    /// By asking the provider (RFC 7662).
    Introspection,
    /// By the signature of the provider, here.
    Jwt,
    /// By the signature, and then by asking, so that one that was revoked is
    /// refused; tokens that are no JWT by asking alone.
    JwtThenIntrospection,
}

/// What a provider is made of.
#[derive(Debug)]
pub struct ProviderSettings {
    /// Our name for it.
    pub name: ProviderName,
    /// Its own name, compared byte for byte.
    pub issuer: Arc<str>,
    /// Whether it is a Zitadel: there an audience proves nothing, and grants
    /// ask for roles.
    pub is_zitadel: bool,
    /// How tokens are proved to be good.
    pub validation: Validation,
    /// How we prove who we are; none only where nobody is asked.
    pub client_auth: Option<Arc<ClientAuth>>,
    /// Where to ask, if not where its metadata says.
    pub introspection_url: Option<String>,
    /// Where its keys are, if not where its metadata says.
    pub jwks_url: Option<String>,
    /// Whether it signs its answers (RFC 9701).
    pub signed_introspection: bool,
    /// Signature algorithms that are accepted, such as `RS256`.
    pub algorithms: Vec<String>,
    /// Whether a JWT must call itself an access token (RFC 9068).
    pub require_at_jwt: bool,
    /// Audiences of all instances that ask this provider.
    pub audiences: Vec<String>,
    /// JSON pointers to roles or groups.
    pub role_claims: Vec<String>,
    /// JSON pointers to scopes.
    pub scope_claims: Vec<String>,
    /// Claims that name the client a token was issued to.
    pub client_claims: &'static [&'static str],
    /// Whether a token may be without an end.
    pub allow_no_exp: bool,
    /// Whether an answer may leave the token's type out.
    pub allow_missing_token_type: bool,
    /// Whether a token may be without a client.
    pub allow_no_client: bool,
    /// Whether another login can give a token more scopes.
    pub step_up: bool,
    /// Hosts of its endpoints besides the issuer's own.
    pub endpoint_hosts: Vec<String>,
    /// Networks that are not public and where it may be all the same.
    pub private_networks: Vec<ipnet::IpNet>,
    /// Whom to believe to be it.
    pub tls: ClientConfig,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one question may take in all.
    pub timeout: Duration,
    /// Questions at once.
    pub max_in_flight: usize,
    /// How long a question waits for its place.
    pub max_wait: Duration,
    /// How long it is believed that a token is good.
    pub cache_ttl: Duration,
    /// How long it is believed that it is not.
    pub negative_ttl: Duration,
    /// How old an answer may be for a call that changes something.
    pub write_max_age: Duration,
    /// How much longer a good token counts while the provider does not answer.
    pub stale_if_error: Duration,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
}

/// Settings that no provider can be made of.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProvider {
    /// A URL that is none.
    #[error("`{0}` is no URL")]
    Url(String),
    /// An algorithm that is none, or none that may be accepted.
    #[error(
        "`{0}` is no algorithm that a token may be signed with; there are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and EdDSA"
    )]
    Algorithm(String),
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    NoRandomness(#[from] getrandom::Error),
}

/// One identity provider.
pub struct Provider {
    settings: ProviderSettings,
    http: Arc<ProviderHttp>,
    discovery: Arc<Discovery>,
    claim_rules: ClaimRules,
    jwt_rules: JwtRules,
    keys: Arc<KeyCache<ProviderUnavailable>>,
    cache: TokenCache,
    breaker: CircuitBreaker,
    bulkhead: Bulkhead,
    in_flight: Mutex<HashMap<TokenKey, InFlightLookup>>,
    /// How the last question ended, if badly.
    last_introspection_error: LastProviderError,
    /// How the last fetch of its keys ended, if badly.
    last_key_error: LastProviderError,
}

/// Why a token does not let in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not good, or not for us.
    #[error(transparent)]
    Rejected(#[from] TokenRejected),
    /// Nobody can say.
    #[error(transparent)]
    Unavailable(#[from] ProviderUnavailable),
}

/// What is known of a token without asking anybody.
#[derive(Debug)]
pub enum TokenCacheLookup {
    /// It is good, and whose it is.
    Valid(Arc<Principal>),
    /// It is not good.
    Rejected(TokenRejected),
    /// The provider must be asked ([`Provider::look_up`]).
    Miss(TokenCacheMiss),
}

/// What a look-up found.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Whose the token is.
    pub principal: Arc<Principal>,
    /// Whether that is an old answer, because there is no new one.
    pub stale: bool,
}

/// A token about which the provider must be asked.
#[derive(Debug)]
pub struct TokenCacheMiss {
    key: TokenKey,
    previous: Option<CachedToken>,
    max_age: Option<Duration>,
}

impl TokenCacheMiss {
    /// Whether the token was good not long ago.
    pub fn was_valid(&self) -> bool {
        self.previous.is_some()
    }
}

/// A look-up under way: whoever asks about the same token waits for the same
/// one, and it goes on whoever leaves.
type InFlightLookup = Shared<BoxFuture<'static, Result<Arc<Principal>, TokenError>>>;

impl Provider {
    /// A provider with these settings; nobody is asked yet, so that we start
    /// while it is away.
    ///
    /// # Errors
    /// [`InvalidProvider`].
    pub fn new(settings: ProviderSettings) -> Result<Self, InvalidProvider> {
        let issuer = Arc::clone(&settings.issuer);
        let url =
            |text: &str| Url::parse(text).map_err(|_no_url| InvalidProvider::Url(text.to_owned()));
        let own = url(&issuer)?;
        // What the administrator wrote as an address is meant as one.
        let mut networks = settings.private_networks.clone();
        let configured = [&settings.introspection_url, &settings.jwks_url];
        let configured = configured.into_iter().flatten().map(|text| url(text));
        let configured = configured.collect::<Result<Vec<_>, _>>()?;
        for place in configured.iter().chain([&own]) {
            networks.extend(provider_http::literal_networks(place));
        }
        let outbound = ProviderHttp::new(
            own,
            EgressPolicy {
                allowed_hosts: settings.endpoint_hosts.clone(),
                allowed_networks: networks,
                connect_timeout: settings.connect_timeout,
                timeout: settings.timeout,
            },
            settings.tls.clone(),
        );
        let algorithms = settings.algorithms.iter().map(|name| {
            jwt::parse_algorithm(name).ok_or_else(|| InvalidProvider::Algorithm(name.clone()))
        });
        let recipe = JwtRules {
            issuer: issuer.to_string(),
            audiences: settings.audiences.iter().cloned().collect(),
            algorithms: algorithms.collect::<Result<_, _>>()?,
            require_at_jwt: settings.require_at_jwt,
            clock_skew: settings.clock_skew,
        };
        Ok(Self {
            http: Arc::new(outbound),
            discovery: Arc::new(Discovery::new(Arc::clone(&issuer))),
            claim_rules: ClaimRules {
                issuer,
                skew: settings.clock_skew,
                allow_no_exp: settings.allow_no_exp,
                allow_missing_token_type: settings.allow_missing_token_type,
                allow_no_client: settings.allow_no_client,
                client_claims: settings.client_claims,
                role_claims: settings.role_claims.clone(),
                scope_claims: settings.scope_claims.clone(),
            },
            jwt_rules: recipe,
            keys: KeyCache::new(settings.name.as_str()),
            cache: TokenCache::new(CacheTtls {
                valid: settings.cache_ttl,
                rejected: settings.negative_ttl,
                stale_if_error: settings.stale_if_error,
            })?,
            breaker: CircuitBreaker::default(),
            bulkhead: Bulkhead::new(settings.max_in_flight, settings.max_wait),
            in_flight: Mutex::default(),
            last_introspection_error: LastProviderError::default(),
            last_key_error: LastProviderError::default(),
            settings,
        })
    }

    /// Our name for it.
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// Its own name.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// How old an answer may be for a call that changes something.
    pub fn write_max_age(&self) -> Duration {
        self.settings.write_max_age
    }

    /// Whether another login can give a token more scopes.
    pub fn supports_step_up(&self) -> bool {
        self.settings.step_up
    }

    /// Whether it can say something of tokens that are no JWT.
    pub fn accepts_opaque(&self) -> bool {
        match self.settings.validation {
            Validation::Introspection | Validation::JwtThenIntrospection => true,
            Validation::Jwt => false,
        }
    }

    /// What is known of a token without asking anybody; `oldest` is how old
    /// the answer may be. A good one whose time is nearly over is looked up
    /// again in the background.
    pub fn cached(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        oldest: Option<Duration>,
        now: Now,
    ) -> TokenCacheLookup {
        let key = self.cache.key(bearer.reveal());
        match self.cache.get(&key, oldest, now) {
            CachedVerdict::Valid {
                known,
                refresh: renew,
            } => {
                if renew {
                    drop(self.join_or_start_lookup(key, bearer, None, now));
                }
                TokenCacheLookup::Valid(known.principal)
            }
            CachedVerdict::Rejected(why) => TokenCacheLookup::Rejected(why),
            CachedVerdict::Miss { once } => match self.precheck(bearer, now) {
                Some(why) => TokenCacheLookup::Rejected(why),
                None => TokenCacheLookup::Miss(TokenCacheMiss {
                    key,
                    previous: once,
                    max_age: oldest,
                }),
            },
        }
    }

    /// What is plainly wrong with a token, seen without proof: enough to
    /// refuse it, never to accept it.
    fn precheck(&self, bearer: Bearer<'_>, now: Now) -> Option<TokenRejected> {
        if bearer.reveal().len() < MIN_TOKEN_BYTES {
            return Some(TokenRejected::NotVerified("too_short"));
        }
        match UnverifiedJwt::parse(bearer.reveal()) {
            Some(token) => self
                .jwt_rules
                .precheck(&token, now.wall)
                .err()
                .map(|why| TokenRejected::NotVerified(why.reason())),
            None if !self.accepts_opaque() => Some(TokenRejected::NotVerified("no_jwt")),
            None => None,
        }
    }

    /// Whether a token says that it is this provider's.
    pub fn could_be_issuer_of(&self, bearer: Bearer<'_>) -> bool {
        UnverifiedJwt::parse(bearer.reveal())
            .and_then(|token| token.issuer)
            .is_some_and(|issuer| issuer == self.issuer())
    }

    /// Whether the provider is being asked about the token already, so that one
    /// more who shows it costs no question.
    pub fn is_lookup_in_flight(&self, unknown: &TokenCacheMiss) -> bool {
        self.lock_in_flight().contains_key(&unknown.key)
    }

    /// Asks the provider, or waits for who asked already.
    ///
    /// # Errors
    /// [`Unproven`].
    pub async fn look_up(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        unknown: &TokenCacheMiss,
        now: Now,
    ) -> Result<VerifiedToken, TokenError> {
        let flight = self.join_or_start_lookup(unknown.key, bearer, Some(unknown), now);
        match (flight.await, &unknown.previous) {
            // Only where nothing is changed: then `oldest` is not said.
            (Err(TokenError::Unavailable(why)), Some(known))
                if unknown.max_age.is_none()
                    && self.cache.is_usable_while_unavailable(known, now) =>
            {
                warn!(
                    provider.name = %self.name(),
                    error = %why.cause,
                    "Let a caller in on an old answer of the identity provider"
                );
                Ok(VerifiedToken {
                    principal: Arc::clone(&known.principal),
                    stale: true,
                })
            }
            (told, _) => Ok(VerifiedToken {
                principal: told?,
                stale: false,
            }),
        }
    }

    /// The look-up of a token, begun if nobody has. It is a task of its own: a
    /// caller who leaves takes nobody else's answer away. Without an `unknown`
    /// it is a token that is good and looked up again.
    fn join_or_start_lookup(
        self: &Arc<Self>,
        key: TokenKey,
        bearer: Bearer<'_>,
        unknown: Option<&TokenCacheMiss>,
        now: Now,
    ) -> InFlightLookup {
        let mut flights = self.lock_in_flight();
        if let Some(flight) = flights.get(&key) {
            return flight.clone();
        }
        // It may have landed since the caller looked: an answer is in the
        // memory before its flight is gone from here.
        let landed = unknown.and_then(|unknown| self.finished_lookup(unknown, now));
        if let Some(told) = landed {
            return future::ready(told).boxed().shared();
        }
        let known = unknown.is_none_or(TokenCacheMiss::was_valid);
        let provider = Arc::clone(self);
        let token = bearer.into_owned();
        let task = tokio::spawn(async move {
            let landing = InFlightGuard {
                provider: &provider,
                key,
            };
            let told = provider
                .verify_token(token.as_bearer().reveal(), known, now)
                .await;
            match &told {
                Ok(principal) => provider.cache.insert_valid(key, principal, now),
                Err(TokenError::Rejected(why)) => provider.cache.insert_rejected(key, *why, now),
                // Nothing is known of the token then.
                Err(TokenError::Unavailable(_)) => {}
            }
            drop(landing);
            told
        });
        let flight = async {
            task.await.unwrap_or_else(|panicked| {
                error!(error = %panicked, "Failed to look a token up");
                Err(
                    ProviderError::InvalidResponse("the look-up broke off".into())
                        .with_retry_after(1)
                        .into(),
                )
            })
        };
        let flight = flight.boxed().shared();
        flights.insert(key, flight.clone());
        flight
    }

    /// What was learned of a token after somebody found it unknown.
    fn finished_lookup(
        &self,
        unknown: &TokenCacheMiss,
        now: Now,
    ) -> Option<Result<Arc<Principal>, TokenError>> {
        match self.cache.get(&unknown.key, unknown.max_age, now) {
            CachedVerdict::Valid { known, .. } => Some(Ok(known.principal)),
            CachedVerdict::Rejected(why) => Some(Err(why.into())),
            CachedVerdict::Miss { .. } => None,
        }
    }

    fn lock_in_flight(&self) -> MutexGuard<'_, HashMap<TokenKey, InFlightLookup>> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn verify_token(
        self: &Arc<Self>,
        token: &str,
        known: bool,
        now: Now,
    ) -> Result<Arc<Principal>, TokenError> {
        let by_signature = match self.settings.validation {
            Validation::Introspection => false,
            Validation::Jwt => true,
            Validation::JwtThenIntrospection => UnverifiedJwt::parse(token).is_some(),
        };
        let mut signed = None;
        if by_signature {
            let claims = self.verify_jwt(token, now).await?;
            if self.settings.validation == Validation::Jwt {
                let principal = self
                    .claim_rules
                    .validate(&claims, ClaimsSource::Jwt, now.wall)?;
                return Ok(Arc::new(principal));
            }
            signed = Some(claims.texts("aud").map_err(TokenRejected::from)?);
        }
        let place = self.bulkhead.acquire(known).await;
        let _place = place.ok_or_else(|| ProviderError::TooManyLookups.with_retry_after(1))?;
        let claims = self.introspect_guarded(token, now).await?;
        let claims = claims.ok_or(TokenRejected::Inactive)?;
        let mut principal =
            self.claim_rules
                .validate(&claims, ClaimsSource::Introspection, now.wall)?;
        // What was signed is not widened by what is said later.
        if let Some(signed) = signed {
            principal.audiences.retain(|one| signed.contains(one));
        }
        Ok(Arc::new(principal))
    }

    /// The claims of a JWT whose signature holds.
    async fn verify_jwt(
        self: &Arc<Self>,
        token: &str,
        now: Now,
    ) -> Result<StrictObject, TokenError> {
        let verify = |keys: &KeySet| self.jwt_rules.verify(token, keys, now.wall);
        self.verify_with_keys(verify, now)
            .await?
            .map_err(jwt_rejected)
    }

    /// What `verify` says with the provider's keys; with newer ones, where it
    /// needs one that is not there.
    async fn verify_with_keys(
        self: &Arc<Self>,
        verify: impl Fn(&KeySet) -> Result<StrictObject, jwt::JwtError>,
        now: Now,
    ) -> Result<Result<StrictObject, jwt::JwtRejected>, ProviderUnavailable> {
        let fetch = || {
            let provider = Arc::clone(self);
            move || async move { provider.fetch_keys(now).await }
        };
        let keys = self.keys.keys(fetch(), now.monotonic).await;
        let needed = match verify(&*keys.map_err(|why| keys_unavailable(&why))?) {
            Ok(payload) => return Ok(Ok(payload)),
            Err(jwt::JwtError::Rejected(why)) => return Ok(Err(why)),
            Err(jwt::JwtError::NeedsKey(needed)) => needed,
        };
        let unknown = Ok(Err(jwt::JwtRejected::UnknownKey));
        match self
            .keys
            .keys_with_id(&needed, fetch(), now.monotonic)
            .await
        {
            Ok(keys) => match verify(&keys) {
                Ok(payload) => Ok(Ok(payload)),
                Err(jwt::JwtError::Rejected(why)) => Ok(Err(why)),
                Err(jwt::JwtError::NeedsKey(_)) => unknown,
            },
            Err(KeyLookupError::NoSuchKey) => unknown,
            Err(KeyLookupError::Unavailable(why)) => Err(keys_unavailable(&why)),
        }
    }

    async fn fetch_keys(&self, now: Now) -> Result<jwks::FetchedKeys, ProviderUnavailable> {
        let fetched = self.fetch_keys_once(now).await;
        self.last_key_error.record(&fetched);
        fetched
    }

    async fn fetch_keys_once(&self, now: Now) -> Result<jwks::FetchedKeys, ProviderUnavailable> {
        let url = self.jwks_endpoint(now).await?;
        let answer = self.http.get(&url, MAX_KEYS_BYTES).await;
        let answer = answer.map_err(|error| {
            ProviderError::Unreachable(error.to_string().into()).with_retry_after(2)
        })?;
        if answer.status != http::StatusCode::OK {
            let told = format!("its keys: status {}", answer.status.as_u16());
            return Err(ProviderError::InvalidResponse(told.into()).with_retry_after(2));
        }
        let max_age = answer.max_age();
        Ok((answer.body, max_age))
    }

    /// Asks about a token, if the provider is not left alone at the moment.
    async fn introspect_guarded(
        self: &Arc<Self>,
        token: &str,
        now: Now,
    ) -> Result<Option<StrictObject>, ProviderUnavailable> {
        let leave = self
            .breaker
            .acquire(now.monotonic)
            .map_err(|CircuitOpen(rest)| {
                ProviderError::CircuitOpen.with_retry_after(rest.as_secs().clamp(1, 5))
            })?;
        let told = self.introspect(token, now).await;
        let told = match told {
            Err(unavailable) if Self::should_probe_provider(&leave, &unavailable) => {
                match self.introspect(PROBE_TOKEN, now).await {
                    Ok(_) => Err(ProviderError::RequestRejected(
                        unavailable.cause.to_string().into(),
                    )
                    .with_retry_after(5)),
                    Err(_) => Err(unavailable),
                }
            }
            told => told,
        };
        self.last_introspection_error.record(&told);
        match &told {
            Ok(_) => leave.record_success(),
            // About this token or this configuration: whoever shows such a
            // token must not keep others out.
            Err(ProviderUnavailable {
                cause: ProviderError::Misconfigured(why) | ProviderError::RequestRejected(why),
                ..
            }) => {
                warn!(
                    provider.name = %self.name(),
                    error = %why,
                    "Failed to ask the identity provider"
                );
                leave.record_success();
            }
            Err(unavailable) => {
                let rest = match &unavailable.cause {
                    ProviderError::ClientRejected(why) => {
                        error!(
                            provider.name = %self.name(),
                            error = %why,
                            "The identity provider refused our own credentials"
                        );
                        Some(CLIENT_REJECTED_BACKOFF)
                    }
                    // It said itself when to come again.
                    ProviderError::InvalidResponse(_)
                        if unavailable.retry_after > Duration::from_secs(2) =>
                    {
                        Some(unavailable.retry_after)
                    }
                    ProviderError::InvalidResponse(why) | ProviderError::Unreachable(why) => {
                        warn!(
                            provider.name = %self.name(),
                            error = %why,
                            "Failed to ask the identity provider"
                        );
                        None
                    }
                    ProviderError::TooManyLookups
                    | ProviderError::Misconfigured(_)
                    | ProviderError::RequestRejected(_)
                    | ProviderError::CircuitOpen => None,
                };
                leave.record_failure(now.monotonic, rest);
            }
        }
        told
    }

    /// Whether somebody could keep all others out with one token: before the
    /// provider is left alone for a bad answer, it is asked about a token that
    /// nobody gave. If it can answer that, the first token is to blame.
    fn should_probe_provider(leave: &BreakerPermit<'_>, unavailable: &ProviderUnavailable) -> bool {
        match unavailable.cause {
            ProviderError::ClientRejected(_) => true,
            ProviderError::InvalidResponse(_) => {
                unavailable.retry_after <= Duration::from_secs(2) && leave.would_open()
            }
            ProviderError::TooManyLookups
            | ProviderError::Misconfigured(_)
            | ProviderError::RequestRejected(_)
            | ProviderError::CircuitOpen
            | ProviderError::Unreachable(_) => false,
        }
    }

    async fn introspect(
        self: &Arc<Self>,
        token: &str,
        now: Now,
    ) -> Result<Option<StrictObject>, ProviderUnavailable> {
        let endpoint = self.introspection_endpoint(now).await?;
        let Some(auth) = &self.settings.client_auth else {
            let why =
                "we have no credentials for the provider; set `client_id` and a secret or key";
            return Err(ProviderError::Misconfigured(why.into()).with_retry_after(5));
        };
        let question = IntrospectionRequest {
            endpoint: &endpoint,
            auth,
            signed: self.settings.signed_introspection,
        };
        let bad = |why: &str| ProviderError::InvalidResponse(why.into()).with_retry_after(2);
        let members = match question.send(token, &self.http, now.wall).await? {
            IntrospectionResponse::Json(members) => members,
            IntrospectionResponse::Jwt(answer) => {
                let verify = |keys: &KeySet| {
                    let client_id = auth.client_id();
                    self.jwt_rules
                        .verify_introspection(&answer, client_id, keys, now.wall)
                };
                let inner = self.verify_with_keys(verify, now).await?;
                inner
                    .map_err(|why| bad(&format!("its signature does not hold: {}", why.reason())))?
            }
        };
        match members.boolean("active") {
            Ok(Some(active)) => Ok(active.then_some(members)),
            // Never taken for a "no", nor for a "yes".
            Ok(None) | Err(_) => Err(bad("`active` is not `true` or `false`")),
        }
    }

    async fn introspection_endpoint(&self, now: Now) -> Result<Url, ProviderUnavailable> {
        if let Some(url) = configured_url(self.settings.introspection_url.as_deref()) {
            return Ok(url);
        }
        let metadata = self.metadata(now).await?;
        let told = metadata.introspection_endpoint.as_deref();
        self.metadata_endpoint("introspection_endpoint", told, "introspection_url")
    }

    /// The provider's metadata, asked for where it is not known.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn metadata(&self, now: Now) -> Result<Arc<Metadata>, ProviderUnavailable> {
        let metadata = self.discovery.metadata(&self.http, now.monotonic).await?;
        let endpoint = metadata.introspection_endpoint.as_deref();
        if endpoint.is_some_and(|url| url.ends_with(ZITADEL_INTROSPECTION_PATH))
            && !self.settings.is_zitadel
        {
            let why = "the provider is a Zitadel, where every user can get a token for every project; set its `kind = \"zitadel\"` and `project`, and grant by `provider_role`";
            return Err(ProviderError::Misconfigured(why.into()).with_retry_after(5));
        }
        Ok(metadata)
    }

    async fn jwks_endpoint(&self, now: Now) -> Result<Url, ProviderUnavailable> {
        if let Some(url) = configured_url(self.settings.jwks_url.as_deref()) {
            return Ok(url);
        }
        let metadata = self.metadata(now).await?;
        self.metadata_endpoint("jwks_uri", metadata.jwks_uri.as_deref(), "jwks_url")
    }

    fn metadata_endpoint(
        &self,
        name: &str,
        told: Option<&str>,
        key: &str,
    ) -> Result<Url, ProviderUnavailable> {
        let wrong = |why: String| ProviderError::Misconfigured(why.into()).with_retry_after(5);
        let told = told.ok_or_else(|| {
            wrong(format!(
                "the provider's metadata has no `{name}`; set `{key}`, or another `validation`"
            ))
        })?;
        self.http
            .validate_endpoint(name, told)
            .map_err(|error| wrong(format!("the provider's metadata: {error}; or set `{key}`")))
    }
}

/// What only an examination asks.
impl Provider {
    pub(super) async fn ensure_keys(self: &Arc<Self>, now: Now) -> Result<(), ProviderUnavailable> {
        let provider = Arc::clone(self);
        let fetch = move || async move { provider.fetch_keys(now).await };
        let keys = self.keys.keys(fetch, now.monotonic).await;
        keys.map(|_| ()).map_err(|why| keys_unavailable(&why))
    }

    /// Asks about a text, past the memory.
    pub(super) async fn introspect_uncached(
        self: &Arc<Self>,
        token: &str,
        now: Now,
    ) -> Result<(), TokenError> {
        let claims = self.introspect_guarded(token, now).await?;
        let claims = claims.ok_or(TokenRejected::Inactive)?;
        self.claim_rules
            .validate(&claims, ClaimsSource::Introspection, now.wall)?;
        Ok(())
    }

    pub(super) fn uses_keys(&self) -> bool {
        self.settings.validation != Validation::Introspection || self.settings.signed_introspection
    }

    pub(super) fn requires_at_jwt(&self) -> bool {
        self.settings.require_at_jwt
    }

    pub(super) fn audiences(&self) -> &[String] {
        &self.settings.audiences
    }

    pub(super) fn auth_method(&self) -> Option<&'static str> {
        self.settings.client_auth.as_deref().map(ClientAuth::method)
    }

    /// Whether its own host is in the public internet; none if it has no
    /// address.
    pub(super) async fn is_public(&self) -> Option<bool> {
        self.http.is_public().await
    }

    /// Whether it can be asked, as far as that is known, for `/readyz`.
    pub async fn readiness(&self, now: Now) -> Result<(), String> {
        if self.settings.introspection_url.is_none() || self.settings.jwks_url.is_none() {
            let known = self.metadata(now).await;
            known.map_err(|unavailable| unavailable.cause.to_string())?;
        }
        let told = self
            .last_introspection_error
            .message()
            .or_else(|| self.last_key_error.message());
        told.map_or(Ok(()), Err)
    }
}

/// A URL of the settings; that it is one was seen at the start.
fn configured_url(text: Option<&str>) -> Option<Url> {
    text.and_then(|text| Url::parse(text).ok())
}

fn jwt_rejected(why: jwt::JwtRejected) -> TokenError {
    TokenRejected::NotVerified(why.reason()).into()
}

fn keys_unavailable(why: &KeysUnavailable<ProviderUnavailable>) -> ProviderUnavailable {
    match why {
        KeysUnavailable::Unreachable(unavailable) => unavailable.clone(),
        KeysUnavailable::FetchAborted => {
            ProviderError::Unreachable(why.to_string().into()).with_retry_after(2)
        }
        KeysUnavailable::InvalidKeySet(_) => {
            ProviderError::InvalidResponse(why.to_string().into()).with_retry_after(5)
        }
    }
}

/// Takes a look-up out of those that are under way, however it ends.
struct InFlightGuard<'a> {
    provider: &'a Provider,
    key: TokenKey,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        drop(self.provider.lock_in_flight().remove(&self.key));
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider")
            .field("name", &self.settings.name)
            .field("issuer", &self.issuer())
            .finish_non_exhaustive()
    }
}
