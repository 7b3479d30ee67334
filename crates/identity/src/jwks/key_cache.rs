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

use super::{KeySet, UnusableKeys};

/// The shortest and the longest time that keys are good for, whatever
/// `Cache-Control` says; the shortest too where it says nothing.
const TIME_TO_LIVE: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(24));

/// From this age on no key is believed any more, though the provider be away.
const TOO_OLD: Duration = Duration::from_hours(24);

/// The least time between two fetches because their time is over, and between
/// two for keys that are not there, whichever those are. The one does not put
/// off the other: keys may change right after they were fetched.
const PAUSE: Duration = Duration::from_secs(30);

/// The same while there are no keys and nobody can be let in.
const PAUSE_WITHOUT_KEYS: Duration = Duration::from_secs(5);

/// For how long a key that the provider did not have makes nobody ask again.
const UNKNOWN_FOR: Duration = Duration::from_mins(2);

/// How many such keys are remembered; the oldest go first.
const MAX_UNKNOWN: usize = 256;

/// What a fetch gives: the body, and `max-age` of its `Cache-Control`.
pub(crate) type Fetched = (Bytes, Option<Duration>);

/// The keys of one provider, fetched when they are needed.
///
/// The provider may take a key back at any time; it stops working here with
/// the next fetch. The fetch runs in a task of its own: a caller who goes away
/// does not stop it for the others. `now` is the caller's, and `fetch` is only
/// called when it is time to; it must end by itself.
pub(crate) struct KeyCache<E> {
    /// For the log.
    provider: String,
    held: ArcSwapOption<Held>,
    // Locked for the time of a look, never while something is awaited.
    attempts: Mutex<Attempts<E>>,
}

struct Held {
    keys: Arc<KeySet>,
    /// When they were asked for.
    since: Instant,
    time_to_live: Duration,
}

struct Attempts<E> {
    last: Option<Instant>,
    /// The last for the sake of a key that was not there.
    last_for_key: Option<Instant>,
    /// Open while a fetch is under way.
    flight: Option<watch::Receiver<()>>,
    /// Why the last fetch gave no keys.
    failure: Option<Arc<KeysUnavailable<E>>>,
    /// Ids that no key had when they were asked for; the oldest first.
    unknown: VecDeque<(Box<str>, Instant)>,
}

/// Why keys are fetched.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// One is not there.
    Key,
    /// There are none, or their time is over; so long after the last fetch.
    Time(Duration),
}

/// Why there are no keys. The provider's fault or ours, never the caller's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysUnavailable<E> {
    /// The fetch ended without a word.
    #[error("the keys of the provider were not fetched")]
    Abandoned,
    /// The provider gave no answer, or not that one.
    #[error("the keys of the provider could not be fetched: {0}")]
    Unreachable(E),
    /// The provider gave what is no set of keys.
    #[error(transparent)]
    Unusable(UnusableKeys),
}

/// Why there is no key of an id.
#[derive(Debug)]
pub(crate) enum KeyUnknown<E> {
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
            held: ArcSwapOption::empty(),
            attempts: Mutex::new(Attempts {
                last: None,
                last_for_key: None,
                flight: None,
                failure: None,
                unknown: VecDeque::new(),
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
        Fut: Future<Output = Result<Fetched, E>> + Send + 'static,
    {
        let flight = match self.held(now) {
            None => self.fetch(fetch, now, Cause::Time(PAUSE_WITHOUT_KEYS)),
            Some(held) => {
                let age = now.saturating_duration_since(held.since);
                if age < held.time_to_live / 2 {
                    return Ok(Arc::clone(&held.keys));
                }
                let flight = self.fetch(fetch, now, Cause::Time(PAUSE));
                if age < held.time_to_live {
                    return Ok(Arc::clone(&held.keys));
                }
                flight
            }
        };
        landed(flight).await;
        match self.held(now) {
            Some(held) => Ok(Arc::clone(&held.keys)),
            None => Err(self.failure()),
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
    pub(crate) async fn keys_with<F, Fut>(
        self: &Arc<Self>,
        id: &str,
        fetch: F,
        now: Instant,
    ) -> Result<Arc<KeySet>, KeyUnknown<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fetched, E>> + Send + 'static,
    {
        let known = || self.held(now).filter(|held| held.keys.has(id));
        if let Some(held) = known() {
            return Ok(Arc::clone(&held.keys));
        }
        if self.attempts().is_unknown(id, now) {
            return Err(KeyUnknown::NoSuchKey);
        }
        let flight = self.fetch(fetch, now, Cause::Key);
        let asked = flight.is_some();
        landed(flight).await;
        if let Some(held) = known() {
            return Ok(Arc::clone(&held.keys));
        }
        let mut attempts = self.attempts();
        if let Some(failure) = &attempts.failure {
            return Err(KeyUnknown::Unavailable(Arc::clone(failure)));
        }
        if asked {
            attempts.remember_unknown(id, now);
        }
        Err(KeyUnknown::NoSuchKey)
    }

    /// Joins the fetch that is under way, or begins one if the last is long
    /// enough ago. `None` when it is not.
    fn fetch<F, Fut>(
        self: &Arc<Self>,
        fetch: F,
        now: Instant,
        cause: Cause,
    ) -> Option<watch::Receiver<()>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Fetched, E>> + Send + 'static,
    {
        let mut attempts = self.attempts();
        if let Some(flight) = &attempts.flight
            && flight.has_changed().is_ok()
        {
            return Some(flight.clone());
        }
        let (last, pause) = match cause {
            Cause::Key => (attempts.last_for_key, PAUSE),
            Cause::Time(pause) => (attempts.last, pause),
        };
        if last.is_some_and(|last| now.saturating_duration_since(last) < pause) {
            return None;
        }
        if matches!(cause, Cause::Key) {
            attempts.last_for_key = Some(now);
        }
        // It lands when its end is dropped, even by a panic; what it brought
        // is in its place before.
        let (under_way, flight) = watch::channel(());
        attempts.last = Some(now);
        attempts.flight = Some(flight.clone());
        attempts.failure = Some(Arc::new(KeysUnavailable::Abandoned));
        drop(attempts);

        let cache = Arc::clone(self);
        drop(tokio::spawn(async move {
            let answer = fetch().await;
            cache.take(answer, now);
            drop(under_way);
        }));
        Some(flight)
    }

    /// Takes in what a fetch brought. Only good keys replace keys.
    fn take(&self, answer: Result<Fetched, E>, asked: Instant) {
        let taken = answer
            .map_err(KeysUnavailable::Unreachable)
            .and_then(|(body, max_age)| match KeySet::parse(&body) {
                Ok(keys) => Ok((keys, max_age)),
                Err(unusable) => Err(KeysUnavailable::Unusable(unusable)),
            });
        match taken {
            Ok((keys, max_age)) => {
                let (least, most) = TIME_TO_LIVE;
                self.held.store(Some(Arc::new(Held {
                    keys: Arc::new(keys),
                    since: asked,
                    time_to_live: max_age.unwrap_or(least).clamp(least, most),
                })));
                self.attempts().failure = None;
                debug!(provider.name = %self.provider, "Fetched the keys of a provider");
            }
            Err(failure) => {
                // Here, because nobody waits for a fetch in the background.
                warn!(
                    provider.name = %self.provider,
                    error = %failure,
                    "Failed to fetch the keys of a provider"
                );
                self.attempts().failure = Some(Arc::new(failure));
            }
        }
    }

    /// What there is, unless it is too old.
    fn held(&self, now: Instant) -> Option<Arc<Held>> {
        self.held
            .load_full()
            .filter(|held| now.saturating_duration_since(held.since) < TOO_OLD)
    }

    fn failure(&self) -> Arc<KeysUnavailable<E>> {
        match &self.attempts().failure {
            Some(failure) => Arc::clone(failure),
            // The last fetch went well, and that was a day ago.
            None => Arc::new(KeysUnavailable::Abandoned),
        }
    }

    /// The fetch that is under way, or was.
    #[cfg(test)]
    pub(super) fn flight(&self) -> Option<watch::Receiver<()>> {
        self.attempts().flight.clone()
    }

    /// How many ids are remembered.
    #[cfg(test)]
    pub(super) fn unknown_ids(&self) -> usize {
        self.attempts().unknown.len()
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts<E>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Attempts<E> {
    fn is_unknown(&self, id: &str, now: Instant) -> bool {
        // Linear; there are at most 256, and only for tokens with a strange id.
        self.unknown
            .iter()
            .any(|(one, since)| &**one == id && now.saturating_duration_since(*since) < UNKNOWN_FOR)
    }

    fn remember_unknown(&mut self, id: &str, now: Instant) {
        self.unknown.retain(|(one, since)| {
            &**one != id && now.saturating_duration_since(*since) < UNKNOWN_FOR
        });
        if self.unknown.len() >= MAX_UNKNOWN {
            self.unknown.pop_front();
        }
        self.unknown.push_back((id.into(), now));
    }
}

/// Waits until a fetch is over, however it ended.
pub(super) async fn landed(flight: Option<watch::Receiver<()>>) {
    if let Some(mut flight) = flight {
        // Nothing is ever sent: it fails when the other end is dropped.
        while flight.changed().await.is_ok() {}
    }
}
