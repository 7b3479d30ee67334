//! The last good keys of a provider, and when to ask for new ones.

use std::{
    collections::VecDeque,
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::{InvalidKeySet, KeySet};

/// The shortest and the longest time that keys are good for, whatever
/// `Cache-Control` says; the shortest too where it says nothing.
const TTL_BOUNDS: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(24));

/// From this age on no key is believed any more, though the provider be away.
const MAX_STALE_AGE: Duration = Duration::from_hours(24);

/// The least time between two fetches because their time is over, and between
/// two for keys that are not there, whichever those are. The one does not put
/// off the other: keys may change right after they were fetched.
const MIN_REFETCH_INTERVAL: Duration = Duration::from_secs(30);

/// The same while there are no keys and nobody can be let in.
const MIN_REFETCH_INTERVAL_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// For how long a key that the provider did not have makes nobody ask again.
const MISSING_KEY_TTL: Duration = Duration::from_mins(2);

/// How many such keys are remembered; the oldest go first.
const MAX_MISSING_KEY_IDS: usize = 256;

/// What a fetch gives: the body, and `max-age` of its `Cache-Control`.
pub(crate) type FetchedKeys = (Bytes, Option<Duration>);

/// The keys of one provider, fetched when they are needed.
///
/// The provider may take a key back at any time; it stops working here with
/// the next fetch. The fetch runs in a task of its own: a caller who goes away
/// does not stop it for the others. `now` is the caller's, and `fetch` is only
/// called when it is time to; it must end by itself.
pub(crate) struct KeyCache<E> {
    /// For the log.
    provider: String,
    cached: ArcSwapOption<CachedKeys>,
    // Locked for the time of a look, never while something is awaited.
    fetch_state: Mutex<FetchState<E>>,
}

struct CachedKeys {
    keys: Arc<KeySet>,
    /// When they were asked for.
    requested_at: Instant,
    time_to_live: Duration,
}

struct FetchState<E> {
    last_fetch: Option<Instant>,
    /// The last for the sake of a key that was not there.
    last_missing_key_fetch: Option<Instant>,
    /// Open while a fetch is under way.
    in_flight: Option<watch::Receiver<()>>,
    /// Why the last fetch gave no keys.
    last_error: Option<Arc<KeysUnavailable<E>>>,
    /// Ids that no key had when they were asked for; the oldest first.
    missing_key_ids: VecDeque<(Box<str>, Instant)>,
}

/// Why keys are fetched.
#[derive(Clone, Copy, Debug)]
enum FetchReason {
    /// One is not there.
    MissingKey,
    /// There are none, or their time is over; so long after the last fetch.
    Expired(Duration),
}

/// Why there are no keys. The provider's fault or ours, never the caller's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysUnavailable<E> {
    /// The fetch ended without a word.
    #[error("the keys of the provider were not fetched")]
    FetchAborted,
    /// The provider gave no answer, or not that one.
    #[error("the keys of the provider could not be fetched: {0}")]
    Unreachable(E),
    /// The provider gave what is no set of keys.
    #[error(transparent)]
    InvalidKeySet(InvalidKeySet),
}

/// Why there is no key of an id.
#[derive(Debug)]
pub(crate) enum KeyLookupError<E> {
    /// The provider does not have it, or was asked a moment ago.
    NoSuchKey,
    /// The provider could not be asked; it may have it.
    Unavailable(Arc<KeysUnavailable<E>>),
}

impl<E: Display + Send + Sync + 'static> KeyCache<E> {
    /// A cache without keys. `provider` is its name, for the log.
    pub(crate) fn new(provider: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            provider: provider.into(),
            cached: ArcSwapOption::empty(),
            fetch_state: Mutex::new(FetchState {
                last_fetch: None,
                last_missing_key_fetch: None,
                in_flight: None,
                last_error: None,
                missing_key_ids: VecDeque::new(),
            }),
        })
    }

    /// The keys as they are known.
    ///
    /// It waits for a fetch only when there are none, or when the time of
    /// those there are is over. After half of that time it has new ones fetched
    /// behind the caller's back. Where a fetch fails, the old ones stay, for
    /// 24 hours at most.
    ///
    /// # Errors
    /// The last fetch's, when there are no keys.
    pub(crate) async fn keys<F, Fut>(
        self: &Arc<Self>,
        fetch: F,
        now: Instant,
    ) -> Result<Arc<KeySet>, Arc<KeysUnavailable<E>>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<FetchedKeys, E>> + Send + 'static,
    {
        let flight = match self.cached(now) {
            None => self.start_or_join_fetch(
                fetch,
                now,
                FetchReason::Expired(MIN_REFETCH_INTERVAL_WITHOUT_KEYS),
            ),
            Some(held) => {
                let age = now.saturating_duration_since(held.requested_at);
                if age < held.time_to_live / 2 {
                    return Ok(Arc::clone(&held.keys));
                }
                let flight = self.start_or_join_fetch(
                    fetch,
                    now,
                    FetchReason::Expired(MIN_REFETCH_INTERVAL),
                );
                if age < held.time_to_live {
                    return Ok(Arc::clone(&held.keys));
                }
                flight
            }
        };
        wait_for_fetch(flight).await;
        match self.cached(now) {
            Some(held) => Ok(Arc::clone(&held.keys)),
            None => Err(self.last_error()),
        }
    }

    /// The keys, with one of this id among them: for a token that was signed
    /// with a key that the keys from before did not have.
    ///
    /// It asks the provider at most once in 30 seconds, whatever ids there
    /// are, and once in two minutes for one id.
    ///
    /// # Errors
    /// [`KeyUnknown`].
    pub(crate) async fn keys_with_id<F, Fut>(
        self: &Arc<Self>,
        id: &str,
        fetch: F,
        now: Instant,
    ) -> Result<Arc<KeySet>, KeyLookupError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<FetchedKeys, E>> + Send + 'static,
    {
        let known = || self.cached(now).filter(|held| held.keys.contains(id));
        if let Some(held) = known() {
            return Ok(Arc::clone(&held.keys));
        }
        if self.lock_state().is_known_missing(id, now) {
            return Err(KeyLookupError::NoSuchKey);
        }
        let flight = self.start_or_join_fetch(fetch, now, FetchReason::MissingKey);
        let asked = flight.is_some();
        wait_for_fetch(flight).await;
        if let Some(held) = known() {
            return Ok(Arc::clone(&held.keys));
        }
        let mut attempts = self.lock_state();
        if let Some(failure) = &attempts.last_error {
            return Err(KeyLookupError::Unavailable(Arc::clone(failure)));
        }
        if asked {
            attempts.record_missing(id, now);
        }
        Err(KeyLookupError::NoSuchKey)
    }

    /// Joins the fetch that is under way, or begins one if the last is long
    /// enough ago. `None` when it is not.
    fn start_or_join_fetch<F, Fut>(
        self: &Arc<Self>,
        fetch: F,
        now: Instant,
        cause: FetchReason,
    ) -> Option<watch::Receiver<()>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<FetchedKeys, E>> + Send + 'static,
    {
        let mut attempts = self.lock_state();
        if let Some(flight) = &attempts.in_flight
            && flight.has_changed().is_ok()
        {
            return Some(flight.clone());
        }
        let (last, pause) = match cause {
            FetchReason::MissingKey => (attempts.last_missing_key_fetch, MIN_REFETCH_INTERVAL),
            FetchReason::Expired(pause) => (attempts.last_fetch, pause),
        };
        if last.is_some_and(|last| now.saturating_duration_since(last) < pause) {
            return None;
        }
        if matches!(cause, FetchReason::MissingKey) {
            attempts.last_missing_key_fetch = Some(now);
        }
        // It lands when its end is dropped, even by a panic; what it brought
        // is in its place before.
        let (under_way, flight) = watch::channel(());
        attempts.last_fetch = Some(now);
        attempts.in_flight = Some(flight.clone());
        attempts.last_error = Some(Arc::new(KeysUnavailable::FetchAborted));
        drop(attempts);

        let cache = Arc::clone(self);
        drop(tokio::spawn(async move {
            let answer = fetch().await;
            cache.store_fetched(answer, now);
            drop(under_way);
        }));
        Some(flight)
    }

    /// Takes in what a fetch brought. Only good keys replace keys.
    fn store_fetched(&self, answer: Result<FetchedKeys, E>, asked: Instant) {
        let taken = answer
            .map_err(KeysUnavailable::Unreachable)
            .and_then(|(body, max_age)| match KeySet::parse(&body) {
                Ok(keys) => Ok((keys, max_age)),
                Err(unusable) => Err(KeysUnavailable::InvalidKeySet(unusable)),
            });
        match taken {
            Ok((keys, max_age)) => {
                let (least, most) = TTL_BOUNDS;
                self.cached.store(Some(Arc::new(CachedKeys {
                    keys: Arc::new(keys),
                    requested_at: asked,
                    time_to_live: max_age.unwrap_or(least).clamp(least, most),
                })));
                self.lock_state().last_error = None;
                debug!(provider.name = %self.provider, "Fetched the keys of a provider");
            }
            Err(failure) => {
                // Here, because nobody waits for a fetch in the background.
                warn!(
                    provider.name = %self.provider,
                    error = %failure,
                    "Failed to fetch the keys of a provider"
                );
                self.lock_state().last_error = Some(Arc::new(failure));
            }
        }
    }

    /// What there is, unless it is too old.
    fn cached(&self, now: Instant) -> Option<Arc<CachedKeys>> {
        self.cached
            .load_full()
            .filter(|held| now.saturating_duration_since(held.requested_at) < MAX_STALE_AGE)
    }

    fn last_error(&self) -> Arc<KeysUnavailable<E>> {
        match &self.lock_state().last_error {
            Some(failure) => Arc::clone(failure),
            // The last fetch went well, and that was a day ago.
            None => Arc::new(KeysUnavailable::FetchAborted),
        }
    }

    /// The fetch that is under way, or was.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> Option<watch::Receiver<()>> {
        self.lock_state().in_flight.clone()
    }

    /// How many ids are remembered.
    #[cfg(test)]
    pub(super) fn missing_key_count(&self) -> usize {
        self.lock_state().missing_key_ids.len()
    }

    fn lock_state(&self) -> MutexGuard<'_, FetchState<E>> {
        self.fetch_state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> FetchState<E> {
    fn is_known_missing(&self, id: &str, now: Instant) -> bool {
        // Linear; there are at most 256, and only for tokens with a strange id.
        self.missing_key_ids.iter().any(|(one, since)| {
            &**one == id && now.saturating_duration_since(*since) < MISSING_KEY_TTL
        })
    }

    fn record_missing(&mut self, id: &str, now: Instant) {
        self.missing_key_ids.retain(|(one, since)| {
            &**one != id && now.saturating_duration_since(*since) < MISSING_KEY_TTL
        });
        if self.missing_key_ids.len() >= MAX_MISSING_KEY_IDS {
            self.missing_key_ids.pop_front();
        }
        self.missing_key_ids.push_back((id.into(), now));
    }
}

/// Waits until a fetch is over, however it ended.
pub(super) async fn wait_for_fetch(flight: Option<watch::Receiver<()>>) {
    if let Some(mut flight) = flight {
        // Nothing is ever sent: it fails when the other end is dropped.
        while flight.changed().await.is_ok() {}
    }
}
