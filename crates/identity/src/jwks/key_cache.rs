//! The last good keys of a provider, and when to fetch new ones.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use gatepost_base::{ProviderName, sync::lock};
use tracing::{debug, warn};

use super::KeySet;
use crate::{
    TokenError, TokenRejected,
    provider_error::{ProviderError, ProviderUnavailable},
    refreshing::{Lifetime, Refreshing},
};

/// Bounds of the time to live that `Cache-Control` sets; the lower one applies
/// without it too.
const TTL_BOUNDS: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(24));

/// Older keys are not used any more, even while the provider is unavailable.
const MAX_STALE_AGE: Duration = Duration::from_hours(24);

/// The delay after a failed fetch, and the shortest time between two fetches
/// for missing keys, whichever keys those are. One does not postpone the other:
/// keys may change right after they were fetched.
const MIN_REFETCH_INTERVAL: Duration = Duration::from_secs(30);

/// The delay after a failed fetch while there are no keys, so that no caller
/// can be admitted.
const MIN_REFETCH_INTERVAL_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// For how long a key id that the provider did not have causes no new fetch.
const MISSING_KEY_TTL: Duration = MIN_REFETCH_INTERVAL;

/// A token that is this much older than the keys was signed with a key that the
/// provider had already published, or never will.
const MIN_PUBLICATION_LEAD: Duration = Duration::from_mins(1);

/// How many such ids are stored; the oldest are dropped first.
const MAX_MISSING_KEY_IDS: usize = 256;

/// What a fetch returns: the body, and `max-age` of its `Cache-Control`.
pub(crate) type FetchedKeys = (Bytes, Option<Duration>);

/// The keys of one provider, fetched when they are needed.
///
/// A key that the provider withdraws stops working with the next fetch. `now`
/// is the caller's time. `fetch` is polled only if a fetch is due, and must end
/// by itself.
pub(crate) struct KeyCache {
    /// For the log.
    provider: ProviderName,
    pub(super) keys: Arc<Refreshing<KeySet>>,
    pub(super) missing: Mutex<MissingKeys>,
}

/// Key ids that the provider did not have.
#[derive(Default)]
pub(super) struct MissingKeys {
    /// When keys were last fetched because of a missing key.
    last_fetch: Option<Instant>,
    /// With the time of the fetch; the oldest first.
    pub(super) ids: VecDeque<(Box<str>, Instant)>,
}

impl KeyCache {
    /// A cache without keys.
    pub(crate) fn new(provider: ProviderName) -> Self {
        Self {
            provider,
            keys: Refreshing::new(|_, has_keys| {
                if has_keys {
                    MIN_REFETCH_INTERVAL
                } else {
                    MIN_REFETCH_INTERVAL_WITHOUT_KEYS
                }
            }),
            missing: Mutex::default(),
        }
    }

    /// The current keys.
    ///
    /// Waits for a fetch only if there are none or their time to live has passed.
    /// After half of that time they are refreshed in the background. If a fetch
    /// fails, the old keys stay in use for up to 24 hours.
    ///
    /// # Errors
    /// The error of the last fetch, if there are no keys.
    pub(crate) async fn keys(
        &self,
        fetch: impl Future<Output = Result<FetchedKeys, ProviderUnavailable>> + Send + 'static,
        now: Instant,
    ) -> Result<Arc<KeySet>, ProviderUnavailable> {
        self.keys.get(self.parsed(fetch), now).await
    }

    /// The keys, including one with this id: for a token signed with a key that
    /// the cached keys do not have. `token_age` is as the token says.
    ///
    /// Asks the provider at most once in 30 seconds for all ids.
    ///
    /// # Errors
    /// [`TokenRejected::UnknownKey`] if the provider does not have it, and
    /// [`ProviderUnavailable`] if it was asked for other keys a moment ago, so that
    /// it is not known whether it has this one.
    pub(crate) async fn keys_with_id(
        &self,
        id: &str,
        token_age: Option<Duration>,
        fetch: impl Future<Output = Result<FetchedKeys, ProviderUnavailable>> + Send + 'static,
        now: Instant,
    ) -> Result<Arc<KeySet>, TokenError> {
        let find = || self.keys.cached(now).filter(|keys| keys.contains(id));
        if let Some(keys) = find() {
            return Ok(keys);
        }
        let keys_age = self.keys.age(now);
        if token_age
            .is_some_and(|age| keys_age.is_some_and(|keys| age > keys + MIN_PUBLICATION_LEAD))
        {
            return Err(TokenRejected::UnknownKey.into());
        }
        let flight = {
            let mut missing = lock(&self.missing);
            if missing.contains(id, now) {
                return Err(TokenRejected::UnknownKey.into());
            }
            let last = missing.last_fetch;
            let age = last.map_or(MIN_REFETCH_INTERVAL, |last| {
                now.saturating_duration_since(last)
            });
            let wait = MIN_REFETCH_INTERVAL.saturating_sub(age);
            self.keys.in_flight().ok_or(wait).or_else(|wait| {
                if !wait.is_zero() {
                    return Err(wait);
                }
                missing.last_fetch = Some(now);
                Ok(self.keys.fetch_now(self.parsed(fetch), now))
            })
        };
        let error = match flight {
            Ok(flight) => flight.await.err(),
            Err(wait) => Some(self.keys.last_error().unwrap_or_else(|| {
                // A caller who makes up key ids must count for their address.
                let why = "the token's key is not among those that were fetched a moment ago";
                ProviderError::RequestRejected(why.into()).with_retry_after(wait.as_secs() + 1)
            })),
        };
        if let Some(keys) = find() {
            return Ok(keys);
        }
        if let Some(error) = error {
            return Err(error.into());
        }
        lock(&self.missing).insert(id, now);
        Err(TokenRejected::UnknownKey.into())
    }

    /// A fetch whose body is parsed: only a usable key set replaces the keys.
    fn parsed(
        &self,
        fetch: impl Future<Output = Result<FetchedKeys, ProviderUnavailable>> + Send + 'static,
    ) -> impl Future<Output = Result<(KeySet, Lifetime), ProviderUnavailable>> + Send + 'static
    {
        let provider = self.provider.clone();
        async move {
            let fetched = fetch.await.and_then(|(body, max_age)| {
                let keys = KeySet::parse(&body).map_err(|why| {
                    ProviderError::InvalidResponse(why.to_string().into()).with_retry_after(5)
                })?;
                Ok((keys, lifetime(max_age)))
            });
            match &fetched {
                Ok(_) => debug!(provider.name = %provider, "Fetched the keys of a provider"),
                // Logged here, because a background refresh has no caller.
                Err(error) => warn!(
                    provider.name = %provider,
                    error = %error.cause,
                    "Failed to fetch the keys of a provider"
                ),
            }
            fetched
        }
    }
}

fn lifetime(max_age: Option<Duration>) -> Lifetime {
    let (least, most) = TTL_BOUNDS;
    let ttl = max_age.unwrap_or(least).clamp(least, most);
    Lifetime {
        refresh_after: ttl / 2,
        wait_after: ttl,
        max_age: MAX_STALE_AGE,
    }
}

impl MissingKeys {
    fn contains(&self, id: &str, now: Instant) -> bool {
        // Linear; there are at most 256, and only for tokens with an unknown id.
        self.ids.iter().any(|(one, since)| {
            &**one == id && now.saturating_duration_since(*since) < MISSING_KEY_TTL
        })
    }

    fn insert(&mut self, id: &str, now: Instant) {
        self.ids.retain(|(one, since)| {
            &**one != id && now.saturating_duration_since(*since) < MISSING_KEY_TTL
        });
        if self.ids.len() >= MAX_MISSING_KEY_IDS {
            self.ids.pop_front();
        }
        self.ids.push_back((id.into(), now));
    }
}
