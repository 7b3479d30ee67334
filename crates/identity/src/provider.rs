//! One identity provider.

use std::{fmt, sync::Arc, time::Duration};

use gatepost_base::ProviderName;

use super::{
    InvalidProvider, Metadata, Now, Principal, ProviderError, ProviderSettings,
    ProviderUnavailable, TokenError, TokenRejected, Validation,
    bulkhead::{AddressStanding, Bulkhead},
    circuit_breaker::CircuitBreaker,
    claims::ClaimsSource,
    introspector::{Introspector, ObservedBehaviour},
    jwks::{KeyCache, KeySet},
    jwt::{self, JwtRules},
    provider_endpoints::ProviderEndpoints,
    provider_error::LastProviderError,
    provider_keys::ProviderKeys,
    single_flight::SingleFlight,
    strict_json::StrictObject,
    token_cache::{TokenCache, TokenKey},
};

/// One identity provider, with a cache of its tokens.
pub struct Provider {
    pub(super) settings: ProviderSettings,
    pub(super) endpoints: Arc<ProviderEndpoints>,
    pub(super) keys: Arc<ProviderKeys>,
    pub(super) introspector: Introspector,
    pub(super) jwt_rules: Arc<JwtRules>,
    bulkhead: Bulkhead,
    pub(super) cache: TokenCache,
    pub(super) lookups: SingleFlight<TokenKey, LookupResult>,
}

/// What a lookup returns to all who wait for it.
pub(super) type LookupResult = Result<Arc<Principal>, TokenError>;

impl Provider {
    /// A provider with these settings. No request is sent yet, so the gateway
    /// starts while the provider is down.
    ///
    /// # Errors
    /// [`InvalidProvider`].
    pub fn new(settings: ProviderSettings) -> Result<Self, InvalidProvider> {
        let endpoints = Arc::new(ProviderEndpoints::new(&settings)?);
        let algorithms = settings.algorithms.iter().map(|name| {
            jwt::parse_algorithm(name).ok_or_else(|| InvalidProvider::Algorithm(name.clone()))
        });
        let jwt_rules = Arc::new(JwtRules {
            claims: settings.claims.clone(),
            audiences: settings.audiences.iter().cloned().collect(),
            algorithms: algorithms.collect::<Result<_, _>>()?,
            require_at_jwt: settings.require_at_jwt,
        });
        let keys = ProviderKeys::new(Arc::clone(&endpoints), KeyCache::new(settings.name.clone()));
        Ok(Self {
            introspector: Introspector {
                provider: settings.name.clone(),
                endpoints: Arc::clone(&endpoints),
                keys: Arc::clone(&keys),
                client_auth: settings.client_auth.clone(),
                signed: settings.signed_introspection,
                jwt_rules: Arc::clone(&jwt_rules),
                breaker: CircuitBreaker::default(),
                last_error: LastProviderError::default(),
                observed: ObservedBehaviour::default(),
            },
            endpoints,
            keys,
            jwt_rules,
            cache: TokenCache::new(settings.cache)?,
            bulkhead: Bulkhead::new(settings.max_in_flight, settings.max_wait),
            lookups: SingleFlight::default(),
            settings,
        })
    }

    /// Whether it was created with these settings: then it can be used further,
    /// with all that it knows of tokens.
    pub fn has_settings(&self, settings: &ProviderSettings) -> bool {
        self.settings == *settings
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        &self.settings.name
    }

    /// Its own name.
    pub fn issuer(&self) -> &str {
        &self.settings.claims.issuer
    }

    /// How old a cached answer may be for a call that writes.
    pub fn write_max_age(&self) -> Duration {
        self.settings.write_max_age
    }

    /// Whether a new login can give a token more scopes.
    pub fn supports_step_up(&self) -> bool {
        self.settings.step_up
    }

    /// Whether tokens that are not JWTs can be validated.
    pub fn accepts_opaque(&self) -> bool {
        match self.settings.validation {
            Validation::Introspection | Validation::JwtThenIntrospection => true,
            Validation::Jwt => false,
        }
    }

    /// The provider's metadata, fetched if it is not known.
    ///
    /// # Errors
    /// [`ProviderUnavailable`].
    pub async fn metadata(&self, now: Now) -> Result<Arc<Metadata>, ProviderUnavailable> {
        self.endpoints.metadata(now).await
    }

    /// Whether it can be asked, as far as is known, for `/readyz`.
    ///
    /// # Errors
    /// Why not.
    pub async fn readiness(&self, now: Now) -> Result<(), String> {
        if !self.endpoints.are_configured() {
            let metadata = self.metadata(now).await;
            metadata.map_err(|unavailable| unavailable.cause.to_string())?;
        }
        let error = self.introspector.last_error.message();
        let error = error.or_else(|| self.keys.last_error.message());
        error.map_or(Ok(()), Err)
    }

    /// Validates a token in the configured way. `was_valid` gives it access to
    /// the reserved slots.
    pub(super) async fn verify_token(
        &self,
        token: &str,
        was_valid: bool,
        standing: AddressStanding,
        now: Now,
    ) -> LookupResult {
        let by_signature = match self.settings.validation {
            Validation::Introspection => false,
            Validation::Jwt => true,
            Validation::JwtThenIntrospection => jwt::unverified_claims(token).is_some(),
        };
        let rules = &self.settings.claims;
        let mut signed = None;
        if by_signature {
            let (claims, source) = self.verify_jwt(token, now).await?;
            if self.settings.validation == Validation::Jwt {
                return Ok(Arc::new(rules.validate(&claims, source, now.wall)?));
            }
            signed = Some((claims, source));
        }
        let standing = if was_valid {
            AddressStanding::Known
        } else {
            standing
        };
        let slot = self.bulkhead.acquire(standing).await;
        let _slot = slot.ok_or_else(|| ProviderUnavailable::from(ProviderError::TooManyLookups))?;
        let response = self.introspector.introspect(token, was_valid, now).await?;
        let response = response.ok_or(TokenRejected::Inactive)?;
        Ok(Arc::new(match signed {
            Some((signed, source)) => rules.validate_both(&signed, source, response, now.wall)?,
            None => rules.validate(&response, ClaimsSource::Introspection, now.wall)?,
        }))
    }

    /// The claims of a JWT with a valid signature.
    async fn verify_jwt(
        &self,
        token: &str,
        now: Now,
    ) -> Result<(StrictObject, ClaimsSource), TokenError> {
        let claims = jwt::unverified_claims(token);
        let issued = claims.and_then(|claims| claims.seconds("iat").ok().flatten());
        let verify = |keys: &KeySet| self.jwt_rules.verify(token, keys, now.wall);
        self.keys.verify_with(verify, issued, now).await
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
