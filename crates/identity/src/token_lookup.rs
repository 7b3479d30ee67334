//! Looks up tokens: in the cache, or at the provider.

use std::{sync::Arc, time::Duration};

use tracing::warn;

use super::{
    AddressStanding, Bearer, Now, Principal, Provider, ProviderError, TokenError, TokenRejected,
    jwt,
    provider::LookupResult,
    single_flight::PendingResult,
    token_cache::{CachedToken, CachedVerdict, TokenKey},
};

/// Opaque tokens are at least this long: RFC 6749 section 10.10 wants them
/// unguessable, and 16 letters of base 64 are 96 bits.
const MIN_TOKEN_BYTES: usize = 16;

/// What the cache knows of a token.
#[derive(Debug)]
pub enum TokenCacheLookup {
    /// The provider must be asked ([`Provider::look_up`]).
    Miss(TokenCacheMiss),
    /// It is not valid.
    Rejected(TokenRejected),
    /// It is valid, and whose it is.
    Valid(Arc<Principal>),
}

/// A token about which the provider must be asked.
#[derive(Debug)]
pub struct TokenCacheMiss {
    key: TokenKey,
    previous: Option<CachedToken>,
    max_age: Option<Duration>,
}

/// The result of a lookup.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// Whose the token is.
    pub principal: Arc<Principal>,
    /// Whether this is an expired cache entry, because the provider is
    /// unavailable.
    pub stale: bool,
}

impl TokenCacheMiss {
    /// Whether the token was valid not long ago.
    pub fn was_valid(&self) -> bool {
        self.previous.is_some()
    }
}

impl Provider {
    /// What is known of a token without asking the provider; `max_age` is how
    /// old the answer may be. A valid token whose cache entry is about to
    /// expire is looked up again in the background.
    pub fn cached(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        max_age: Option<Duration>,
        now: Now,
    ) -> TokenCacheLookup {
        let key = self.cache.key(bearer.reveal());
        match self.cache.get(&key, max_age, now) {
            CachedVerdict::Valid { token, refresh } => {
                if refresh {
                    drop(self.join_or_start_lookup(key, bearer, None, AddressStanding::Known, now));
                }
                TokenCacheLookup::Valid(token.principal)
            }
            CachedVerdict::Rejected(why) => TokenCacheLookup::Rejected(why),
            CachedVerdict::Miss { previous } => match self.precheck(bearer, now) {
                Some(why) => TokenCacheLookup::Rejected(why),
                None => TokenCacheLookup::Miss(TokenCacheMiss {
                    key,
                    previous,
                    max_age,
                }),
            },
        }
    }

    /// What is wrong with a token at first sight: a reason to reject it, never
    /// to accept it.
    fn precheck(&self, bearer: Bearer<'_>, now: Now) -> Option<TokenRejected> {
        if bearer.reveal().len() < MIN_TOKEN_BYTES {
            return Some(TokenRejected::TooShort);
        }
        match jwt::unverified_claims(bearer.reveal()) {
            Some(claims) => self.jwt_rules.precheck(&claims, now.wall).err(),
            None if !self.accepts_opaque() => Some(TokenRejected::NotJwt),
            None => None,
        }
    }

    /// Whether a token names this provider as its issuer.
    pub fn could_be_issuer_of(&self, bearer: Bearer<'_>) -> bool {
        jwt::unverified_claims(bearer.reveal())
            .is_some_and(|claims| claims.text("iss") == Ok(Some(self.issuer())))
    }

    /// The audiences in a JWT, which anyone may have written.
    pub fn unverified_audiences(bearer: Bearer<'_>) -> Vec<Box<str>> {
        let claims = jwt::unverified_claims(bearer.reveal());
        let audiences = claims.and_then(|claims| claims.texts("aud").ok());
        audiences.unwrap_or_default()
    }

    /// Whether the provider is being asked about the token already, so that
    /// another caller with the same token causes no request.
    pub fn is_lookup_in_flight(&self, miss: &TokenCacheMiss) -> bool {
        self.lookups.get(&miss.key).is_some()
    }

    /// Asks the provider, or waits for the request in flight. `standing` is that of
    /// the caller's address.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn look_up(
        self: &Arc<Self>,
        bearer: Bearer<'_>,
        miss: &TokenCacheMiss,
        standing: AddressStanding,
        now: Now,
    ) -> Result<VerifiedToken, TokenError> {
        let lookup = self.join_or_start_lookup(miss.key, bearer, Some(miss), standing, now);
        match (lookup.await, &miss.previous) {
            // Never for writes, which set a `max_age`.
            (Err(TokenError::Unavailable(why)), Some(previous))
                if miss.max_age.is_none()
                    && self.cache.is_usable_while_unavailable(previous, now) =>
            {
                warn!(
                    provider.name = %self.name(),
                    error = %why.cause,
                    "Accepted a token from an expired cache entry, because its identity provider is unavailable"
                );
                Ok(VerifiedToken {
                    principal: Arc::clone(&previous.principal),
                    stale: true,
                })
            }
            (result, _) => Ok(VerifiedToken {
                principal: result?,
                stale: false,
            }),
        }
    }

    /// The lookup of a token, started if none is in flight. Without a `miss`,
    /// the token is valid and refreshed.
    fn join_or_start_lookup(
        self: &Arc<Self>,
        key: TokenKey,
        bearer: Bearer<'_>,
        miss: Option<&TokenCacheMiss>,
        standing: AddressStanding,
        now: Now,
    ) -> PendingResult<LookupResult> {
        let was_valid = miss.is_none_or(TokenCacheMiss::was_valid);
        let (provider, token) = (Arc::clone(self), bearer.into_owned());
        let work = async move {
            let token = token.as_bearer().reveal();
            let result = provider.verify_token(token, was_valid, standing, now).await;
            match &result {
                Ok(principal) => provider.cache.insert_valid(key, principal, now),
                Err(TokenError::Rejected(why)) => provider.cache.insert_rejected(key, *why, now),
                // Nothing is known of the token then.
                Err(TokenError::Unavailable(_)) => {}
            }
            result
        };
        let finished = || miss.and_then(|miss| self.finished_lookup(miss, now));
        self.lookups.join_or_start(key, finished, work, || {
            let why = ProviderError::InvalidResponse("the lookup was aborted".into());
            Err(why.with_retry_after(1).into())
        })
    }

    /// The result of a lookup that ended after the cache miss.
    fn finished_lookup(&self, miss: &TokenCacheMiss, now: Now) -> Option<LookupResult> {
        match self.cache.get(&miss.key, miss.max_age, now) {
            CachedVerdict::Valid { token, .. } => Some(Ok(token.principal)),
            CachedVerdict::Rejected(why) => Some(Err(why.into())),
            CachedVerdict::Miss { .. } => None,
        }
    }
}
