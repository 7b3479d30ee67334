//! A document of a provider, fetched when it is needed and refreshed before it
//! is too old.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use super::{
    provider_error::{ProviderError, ProviderUnavailable},
    single_flight::{PendingResult, SingleFlight},
};
use gatepost_base::sync::lock;

/// A value that is fetched on demand: one fetch at a time, in a task of its
/// own. `now` is the caller's time.
pub(crate) struct Refreshing<T> {
    /// How long to wait after a failed fetch, by the number of failures in a
    /// row and whether there is an older value to use meanwhile.
    retry_delay: fn(u32, bool) -> Duration,
    fetched: ArcSwapOption<Fetched<T>>,
    failures: Mutex<Failures>,
    fetches: SingleFlight<(), Result<Arc<T>, ProviderUnavailable>>,
}

/// The ages at which a value is treated differently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    /// From this age on it is refreshed in the background.
    pub(crate) refresh_after: Duration,
    /// From this age on callers wait for the refresh; if it fails, they get
    /// the old value.
    pub(crate) wait_after: Duration,
    /// From this age on it is not used any more.
    pub(crate) max_age: Duration,
}

struct Fetched<T> {
    value: Arc<T>,
    requested_at: Instant,
    lifetime: Lifetime,
}

/// The fetches that have failed since the last success.
#[derive(Default)]
struct Failures {
    count: u32,
    last: Option<(ProviderUnavailable, Instant)>,
}

impl<T: Send + Sync + 'static> Refreshing<T> {
    pub(crate) fn new(retry_delay: fn(u32, bool) -> Duration) -> Arc<Self> {
        Arc::new(Self {
            retry_delay,
            fetched: ArcSwapOption::empty(),
            failures: Mutex::default(),
            fetches: SingleFlight::default(),
        })
    }

    /// The value; fetched first if there is none or if it is too old.
    ///
    /// # Errors
    /// The error of the last fetch, if there is no value to use.
    pub(crate) async fn get(
        self: &Arc<Self>,
        fetch: impl Future<Output = Result<(T, Lifetime), ProviderUnavailable>> + Send + 'static,
        now: Instant,
    ) -> Result<Arc<T>, ProviderUnavailable> {
        let Some(held) = self.load(now) else {
            return self.fetch(fetch, now, || self.not_due(now)).await;
        };
        let age = held.age(now);
        if age >= held.lifetime.refresh_after {
            let flight = self.fetch(fetch, now, || self.not_due(now));
            if age >= held.lifetime.wait_after
                && let Ok(newer) = flight.await
            {
                return Ok(newer);
            }
        }
        Ok(Arc::clone(&held.value))
    }

    /// The value, if there is one that may be used.
    pub(crate) fn cached(&self, now: Instant) -> Option<Arc<T>> {
        self.load(now).map(|held| Arc::clone(&held.value))
    }

    /// How long ago the value was fetched.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        self.load(now).map(|held| held.age(now))
    }

    /// The fetch in flight.
    pub(crate) fn in_flight(&self) -> Option<PendingResult<Result<Arc<T>, ProviderUnavailable>>> {
        self.fetches.get(&())
    }

    /// Why the last fetch failed, if it did.
    pub(crate) fn last_error(&self) -> Option<ProviderUnavailable> {
        let failures = lock(&self.failures);
        failures.last.as_ref().map(|(why, _)| why.clone())
    }

    /// Removes the value.
    pub(crate) fn clear(&self) {
        self.fetched.store(None);
    }

    /// Joins the fetch in flight, or starts one, whatever the age of the value
    /// and however recent the last failure.
    pub(crate) fn fetch_now(
        self: &Arc<Self>,
        fetch: impl Future<Output = Result<(T, Lifetime), ProviderUnavailable>> + Send + 'static,
        now: Instant,
    ) -> PendingResult<Result<Arc<T>, ProviderUnavailable>> {
        self.fetch(fetch, now, || None)
    }

    fn fetch(
        self: &Arc<Self>,
        fetch: impl Future<Output = Result<(T, Lifetime), ProviderUnavailable>> + Send + 'static,
        now: Instant,
        not_due: impl FnOnce() -> Option<Result<Arc<T>, ProviderUnavailable>>,
    ) -> PendingResult<Result<Arc<T>, ProviderUnavailable>> {
        let (own, aborted) = (Arc::clone(self), Arc::clone(self));
        let work = async move {
            let fetched = fetch.await;
            own.record(fetched, now)
        };
        self.fetches.join_or_start((), not_due, work, move || {
            let why = ProviderError::Unreachable("the request was aborted".into());
            aborted.record(Err(why.into()), now)
        })
    }

    /// The answer without a fetch, if none is due: another caller may have
    /// fetched since, or the last fetch has just failed.
    fn not_due(&self, now: Instant) -> Option<Result<Arc<T>, ProviderUnavailable>> {
        let held = self.load(now);
        if let Some(held) = &held
            && held.age(now) < held.lifetime.refresh_after
        {
            return Some(Ok(Arc::clone(&held.value)));
        }
        match &lock(&self.failures).last {
            Some((why, retry_at)) if now < *retry_at => {
                Some(held.map_or_else(|| Err(why.clone()), |held| Ok(Arc::clone(&held.value))))
            }
            Some(_) | None => None,
        }
    }

    fn record(
        &self,
        fetched: Result<(T, Lifetime), ProviderUnavailable>,
        requested_at: Instant,
    ) -> Result<Arc<T>, ProviderUnavailable> {
        let mut failures = lock(&self.failures);
        match fetched {
            Ok((value, lifetime)) => {
                let value = Arc::new(value);
                self.fetched.store(Some(Arc::new(Fetched {
                    value: Arc::clone(&value),
                    requested_at,
                    lifetime,
                })));
                *failures = Failures::default();
                Ok(value)
            }
            Err(why) => {
                failures.count = failures.count.saturating_add(1);
                let has_value = self.load(requested_at).is_some();
                let delay = (self.retry_delay)(failures.count, has_value);
                // From the end of the fetch, which may have taken longer than the delay.
                let retry_at = requested_at.max(Instant::now()) + delay;
                failures.last = Some((why.clone(), retry_at));
                Err(why)
            }
        }
    }

    fn load(&self, now: Instant) -> Option<Arc<Fetched<T>>> {
        let held = self.fetched.load_full()?;
        (held.age(now) < held.lifetime.max_age).then_some(held)
    }
}

impl<T> Fetched<T> {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.requested_at)
    }
}
