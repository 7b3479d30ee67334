//! The cache of looked-up tokens.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac as _, digest::KeyInit};
use moka::sync::Cache;
use sha2::Sha256;

use super::{Now, Principal, TokenRejected};

/// The size of the cache of valid tokens in bytes: some ten thousand tokens.
const MAX_VALID_BYTES: u64 = 32 << 20;
/// How many rejected tokens are cached.
const MAX_REJECTED: u64 = 4_096;
/// How long an unused valid token is cached: its next lookup may use the
/// reserved slots.
const IDLE_TTL: Duration = Duration::from_mins(15);

/// A token's MAC under a key that only this process has. The token itself is not
/// stored, so that it appears in no core dump and no log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenKey([u8; 32]);

/// How long the results of token checks are cached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheTtls {
    /// A result that accepts the token.
    pub valid: Duration,
    /// A result that rejects it: short, because Zitadel also rejects tokens after
    /// internal errors of its own.
    pub rejected: Duration,
    /// How much longer an accepting result is used while the provider is unavailable.
    pub stale_if_error: Duration,
}

/// A bounded cache. Valid and rejected tokens are separate, so that a flood of
/// random tokens evicts no valid one.
pub(super) struct TokenCache {
    hmac_key: Hmac<Sha256>,
    ttls: CacheTtls,
    valid: Cache<TokenKey, CachedToken>,
    rejected: Cache<TokenKey, (TokenRejected, Instant)>,
}

/// A token that was valid when it was looked up.
#[derive(Clone, Debug)]
pub(super) struct CachedToken {
    pub(super) principal: Arc<Principal>,
    verified_at: Instant,
}

/// What the cache says about a token.
#[derive(Clone, Debug)]
pub(super) enum CachedVerdict {
    /// Nothing current; `previous` if it was valid before.
    Miss { previous: Option<CachedToken> },
    /// It was rejected a moment ago.
    Rejected(TokenRejected),
    /// It is valid. `refresh`: the entry expires soon and should be renewed.
    Valid { token: CachedToken, refresh: bool },
}

impl TokenCache {
    /// An empty cache.
    ///
    /// # Errors
    /// If the operating system provides no randomness.
    pub(super) fn new(ttls: CacheTtls) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 64];
        getrandom::fill(&mut secret)?;
        Ok(Self {
            hmac_key: <Hmac<Sha256> as KeyInit>::new(&secret.into()),
            ttls,
            valid: Cache::builder()
                .max_capacity(MAX_VALID_BYTES)
                .weigher(|_, token: &CachedToken| entry_bytes(&token.principal))
                .time_to_idle(IDLE_TTL)
                .build(),
            rejected: Cache::builder()
                .max_capacity(MAX_REJECTED)
                .time_to_live(Duration::from_mins(1))
                .build(),
        })
    }

    pub(super) fn key(&self, token: &str) -> TokenKey {
        let mut mac = self.hmac_key.clone();
        mac.update(token.as_bytes());
        TokenKey(mac.finalize().into_bytes().into())
    }

    /// The entry of a token that is at most `max_age` old.
    pub(super) fn get(&self, key: &TokenKey, max_age: Option<Duration>, now: Now) -> CachedVerdict {
        if let Some(token) = self.valid.get(key) {
            let ttl = max_age.map_or(self.ttls.valid, |age| age.min(self.ttls.valid));
            return if token.is_fresh(ttl, now) {
                let refresh = !token.is_fresh(self.ttls.valid.mul_f32(0.8), now);
                CachedVerdict::Valid { token, refresh }
            } else {
                CachedVerdict::Miss {
                    previous: Some(token),
                }
            };
        }
        match self.rejected.get(key) {
            Some((why, until)) if now.monotonic < until => CachedVerdict::Rejected(why),
            Some(_) | None => CachedVerdict::Miss { previous: None },
        }
    }

    /// Whether an expired entry may be used while the provider is unavailable.
    pub(super) fn is_usable_while_unavailable(&self, token: &CachedToken, now: Now) -> bool {
        !self.ttls.stale_if_error.is_zero()
            && token.is_fresh(self.ttls.valid + self.ttls.stale_if_error, now)
    }

    pub(super) fn insert_valid(&self, key: TokenKey, principal: &Arc<Principal>, now: Now) {
        self.rejected.invalidate(&key);
        self.valid.insert(
            key,
            CachedToken {
                principal: Arc::clone(principal),
                verified_at: now.monotonic,
            },
        );
    }

    pub(super) fn insert_rejected(&self, key: TokenKey, why: TokenRejected, now: Now) {
        self.valid.invalidate(&key);
        self.rejected
            .insert(key, (why, now.monotonic + self.ttls.rejected));
    }
}

impl CachedToken {
    fn is_fresh(&self, ttl: Duration, now: Now) -> bool {
        now.monotonic.saturating_duration_since(self.verified_at) < ttl
            && self
                .principal
                .expires
                .is_none_or(|expires| now.wall < expires)
    }
}

fn entry_bytes(principal: &Principal) -> u32 {
    let texts = principal.scopes.iter().map(|scope| scope.len() + 48);
    let audiences = principal.audiences.iter().map(|one| one.len() + 24);
    let roles = principal.roles.iter().map(|(role, organizations)| {
        role.len()
            + 64
            + organizations
                .iter()
                .map(|one| one.len() + 48)
                .sum::<usize>()
    });
    let bytes = 512 + texts.chain(audiences).chain(roles).sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

gatepost_base::opaque_debug!(TokenKey);

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{CacheTtls, CachedVerdict, MAX_REJECTED, TokenCache};
    use crate::{CallerKind, Now, Principal, TokenRejected};
    use gatepost_base::Subject;

    fn cache() -> TokenCache {
        TokenCache::new(CacheTtls {
            valid: Duration::from_mins(1),
            rejected: Duration::from_secs(5),
            stale_if_error: Duration::from_secs(30),
        })
        .unwrap()
    }

    fn alice(now: Now, seconds: u64) -> Arc<Principal> {
        Arc::new(Principal {
            issuer: "https://id.example.com".into(),
            kind: CallerKind::User,
            subject: Subject::verified("alice"),
            client_id: None,
            scopes: ["odoo:read".into()].into(),
            roles: [("reader".into(), ["acme".into()].into())].into(),
            audiences: vec!["production".into()],
            expires: Some(now.after(Duration::from_secs(seconds)).wall),
        })
    }

    fn verdict_label(verdict: &CachedVerdict) -> &'static str {
        match verdict {
            CachedVerdict::Valid { refresh: false, .. } => "valid",
            CachedVerdict::Valid { refresh: true, .. } => "refresh",
            CachedVerdict::Rejected(_) => "rejected",
            CachedVerdict::Miss { previous: Some(_) } => "previous",
            CachedVerdict::Miss { previous: None } => "unknown",
        }
    }

    #[test]
    fn valid_token_is_cached_and_refreshed_before_ttl_ends() {
        let (cache, now) = (cache(), Now::read());
        let key = cache.key("token");
        cache.insert_valid(key, &alice(now, 3_600), now);
        for (seconds, expected) in [
            (0, "valid"),
            (47, "valid"),
            (48, "refresh"),
            (60, "previous"),
        ] {
            let then = now.after(Duration::from_secs(seconds));
            assert_eq!(
                verdict_label(&cache.get(&key, None, then)),
                expected,
                "{seconds}"
            );
        }
        let write = Some(Duration::from_secs(10));
        let then = now.after(Duration::from_secs(10));
        assert_eq!(verdict_label(&cache.get(&key, write, then)), "previous");
        assert_eq!(
            verdict_label(&cache.get(&cache.key("other"), None, now)),
            "unknown"
        );
    }

    #[test]
    fn cached_token_does_not_outlive_its_expiry() {
        let (cache, now) = (cache(), Now::read());
        let key = cache.key("token");
        cache.insert_valid(key, &alice(now, 20), now);
        let then = now.after(Duration::from_secs(20));
        let CachedVerdict::Miss {
            previous: Some(known),
        } = cache.get(&key, None, then)
        else {
            panic!("it has expired");
        };
        assert!(!cache.is_usable_while_unavailable(&known, then));
    }

    #[test]
    fn stale_valid_token_is_usable_while_provider_is_unavailable() {
        let (cache, now) = (cache(), Now::read());
        let key = cache.key("token");
        cache.insert_valid(key, &alice(now, 3_600), now);
        for (seconds, holds) in [(89, true), (90, false)] {
            let then = now.after(Duration::from_secs(seconds));
            let CachedVerdict::Miss {
                previous: Some(known),
            } = cache.get(&key, None, then)
            else {
                panic!("it has expired");
            };
            assert_eq!(
                cache.is_usable_while_unavailable(&known, then),
                holds,
                "{seconds}"
            );
        }
    }

    #[test]
    fn rejection_is_cached_briefly_and_replaces_valid_entry() {
        let (cache, now) = (cache(), Now::read());
        let key = cache.key("token");
        cache.insert_valid(key, &alice(now, 3_600), now);
        cache.insert_rejected(key, TokenRejected::Inactive, now);
        assert_eq!(verdict_label(&cache.get(&key, None, now)), "rejected");
        let then = now.after(Duration::from_secs(5));
        assert_eq!(verdict_label(&cache.get(&key, None, then)), "unknown");
    }

    #[test]
    fn rejected_tokens_do_not_evict_valid_ones() {
        let (cache, now) = (cache(), Now::read());
        let key = cache.key("good");
        cache.insert_valid(key, &alice(now, 3_600), now);
        for number in 0..20_000 {
            cache.insert_rejected(cache.key(&number.to_string()), TokenRejected::Inactive, now);
        }
        cache.rejected.run_pending_tasks();
        assert_eq!(verdict_label(&cache.get(&key, None, now)), "valid");
        assert!(cache.rejected.entry_count() <= MAX_REJECTED);
    }
}
