//! What is remembered of tokens that were looked up.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use hmac::{Hmac, Mac as _, digest::KeyInit};
use moka::sync::Cache;
use sha2::Sha256;

use super::{Now, Principal, TokenRejected};

/// Room for tokens that are good, in bytes: some ten thousand.
const MAX_VALID_BYTES: u64 = 32 << 20;
/// How many refused tokens are remembered.
const MAX_REJECTED: u64 = 4_096;
/// How long it is remembered that a token was good once, for the reserved lane.
const IDLE_TTL: Duration = Duration::from_mins(15);

/// What stands for a token: a hash under a key that only this process has. The
/// token itself is not kept, and neither a core dump nor a log tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenKey([u8; 32]);

/// How long things are believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct CacheTtls {
    /// That a token is good.
    pub(super) valid: Duration,
    /// That it is not: short, for Zitadel says so too when something in it fails.
    pub(super) rejected: Duration,
    /// That it is good, beyond the first, while the provider does not answer.
    pub(super) stale_if_error: Duration,
}

/// The answers about tokens, bounded: good and refused ones apart, so that a
/// flood of random tokens drives nobody out.
pub(super) struct TokenCache {
    hmac_key: Hmac<Sha256>,
    ttls: CacheTtls,
    valid: Cache<TokenKey, CachedToken>,
    rejected: Cache<TokenKey, (TokenRejected, Instant)>,
}

/// A token that was found good.
#[derive(Clone, Debug)]
pub(super) struct CachedToken {
    pub(super) principal: Arc<Principal>,
    verified_at: Instant,
}

/// What is remembered of a token.
#[derive(Clone, Debug)]
pub(super) enum CachedVerdict {
    /// It is good. `renew`: its time is nearly over, ask again while it holds.
    Valid { token: CachedToken, refresh: bool },
    /// It was refused a moment ago.
    Rejected(TokenRejected),
    /// Nothing that holds now; perhaps it was good once.
    Miss { previous: Option<CachedToken> },
}

impl TokenCache {
    /// An empty memory.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub(super) fn new(trust: CacheTtls) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 64];
        getrandom::fill(&mut secret)?;
        Ok(Self {
            hmac_key: <Hmac<Sha256> as KeyInit>::new(&secret.into()),
            ttls: trust,
            valid: Cache::builder()
                .max_capacity(MAX_VALID_BYTES)
                .weigher(|_, known: &CachedToken| entry_bytes(&known.principal))
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

    /// What is remembered; `oldest` is how old the answer may be at most.
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

    /// Whether what was known once still counts while the provider does not
    /// answer.
    pub(super) fn is_usable_while_unavailable(&self, known: &CachedToken, now: Now) -> bool {
        !self.ttls.stale_if_error.is_zero()
            && known.is_fresh(self.ttls.valid + self.ttls.stale_if_error, now)
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
    fn is_fresh(&self, trust: Duration, now: Now) -> bool {
        now.monotonic.saturating_duration_since(self.verified_at) < trust
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

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("trust", &self.ttls)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

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

    fn verdict_label(recalled: &CachedVerdict) -> &'static str {
        match recalled {
            CachedVerdict::Valid { refresh: false, .. } => "good",
            CachedVerdict::Valid { refresh: true, .. } => "renew",
            CachedVerdict::Rejected(_) => "refused",
            CachedVerdict::Miss { previous: Some(_) } => "once",
            CachedVerdict::Miss { previous: None } => "nothing",
        }
    }

    #[test]
    fn valid_token_is_cached_and_refreshed_before_ttl_ends() {
        let (memory, now) = (cache(), Now::read());
        let key = memory.key("token");
        memory.insert_valid(key, &alice(now, 3_600), now);
        for (seconds, expected) in [(0, "good"), (47, "good"), (48, "renew"), (60, "once")] {
            let then = now.after(Duration::from_secs(seconds));
            assert_eq!(
                verdict_label(&memory.get(&key, None, then)),
                expected,
                "{seconds}"
            );
        }
        let write = Some(Duration::from_secs(10));
        let then = now.after(Duration::from_secs(10));
        assert_eq!(verdict_label(&memory.get(&key, write, then)), "once");
        assert_eq!(
            verdict_label(&memory.get(&memory.key("other"), None, now)),
            "nothing"
        );
    }

    #[test]
    fn cached_token_does_not_outlive_its_expiry() {
        let (memory, now) = (cache(), Now::read());
        let key = memory.key("token");
        memory.insert_valid(key, &alice(now, 20), now);
        let then = now.after(Duration::from_secs(20));
        let CachedVerdict::Miss {
            previous: Some(known),
        } = memory.get(&key, None, then)
        else {
            panic!("it has ended");
        };
        assert!(!memory.is_usable_while_unavailable(&known, then));
    }

    #[test]
    fn stale_valid_token_is_usable_while_provider_is_unavailable() {
        let (memory, now) = (cache(), Now::read());
        let key = memory.key("token");
        memory.insert_valid(key, &alice(now, 3_600), now);
        for (seconds, holds) in [(89, true), (90, false)] {
            let then = now.after(Duration::from_secs(seconds));
            let CachedVerdict::Miss {
                previous: Some(known),
            } = memory.get(&key, None, then)
            else {
                panic!("its time is over");
            };
            assert_eq!(
                memory.is_usable_while_unavailable(&known, then),
                holds,
                "{seconds}"
            );
        }
    }

    #[test]
    fn rejection_is_cached_briefly_and_replaces_valid_entry() {
        let (memory, now) = (cache(), Now::read());
        let key = memory.key("token");
        memory.insert_valid(key, &alice(now, 3_600), now);
        memory.insert_rejected(key, TokenRejected::Inactive, now);
        assert_eq!(verdict_label(&memory.get(&key, None, now)), "refused");
        let then = now.after(Duration::from_secs(5));
        assert_eq!(verdict_label(&memory.get(&key, None, then)), "nothing");
    }

    #[test]
    fn rejected_tokens_do_not_evict_valid_ones() {
        let (memory, now) = (cache(), Now::read());
        let key = memory.key("good");
        memory.insert_valid(key, &alice(now, 3_600), now);
        for number in 0..20_000 {
            memory.insert_rejected(
                memory.key(&number.to_string()),
                TokenRejected::Inactive,
                now,
            );
        }
        memory.rejected.run_pending_tasks();
        assert_eq!(verdict_label(&memory.get(&key, None, now)), "good");
        assert!(memory.rejected.entry_count() <= MAX_REJECTED);
    }
}
