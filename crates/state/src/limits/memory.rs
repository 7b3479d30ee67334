//! Rate limits counted in this process.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{
    gcra::RateUsage,
    request::{LimitKey, LimitScope, RateRequest},
};
use gatepost_base::sync::lock;

/// The most keys that are stored. Beyond that, rarely used ones are evicted.
const MAX_KEYS: u64 = 50_000;

/// The time without use after which a key is removed. By then a default rate is
/// long refilled.
const IDLE_TTL: Duration = Duration::from_hours(1);

/// Usage by key.
#[derive(Debug)]
pub(super) struct LocalLimiter {
    /// Any client can create these keys, so they only evict each other.
    addresses: Cache<LimitKey, RateUsageCell>,
    /// The keys of authenticated callers and of instances.
    authenticated: Cache<LimitKey, RateUsageCell>,
}

type RateUsageCell = Arc<Mutex<RateUsage>>;

impl LocalLimiter {
    pub(super) fn new() -> Self {
        let cache = || {
            Cache::builder()
                .max_capacity(MAX_KEYS)
                .time_to_idle(IDLE_TTL)
                .build()
        };
        Self {
            addresses: cache(),
            authenticated: cache(),
        }
    }

    /// Charges all requests or none.
    ///
    /// # Errors
    /// The limit with the longest wait, and that wait.
    pub(super) fn decide(
        &self,
        requests: &[RateRequest],
        now: Instant,
    ) -> Result<(), (LimitScope, Duration)> {
        let entries = self.entries(requests);
        // Locked in key order, so that two decisions cannot deadlock.
        let mut held: Vec<_> = entries
            .iter()
            .map(|(request, entry)| (request, lock(entry)))
            .collect();
        let longest = held
            .iter()
            .filter(|(request, _)| request.cost.can_be_rejected())
            .map(|(request, usage)| (request.key.scope, request.rate.wait_time(**usage, now)))
            .filter(|(_, wait)| !wait.is_zero())
            .max_by_key(|(_, wait)| *wait);
        if let Some(longest) = longest {
            return Err(longest);
        }
        for (request, usage) in &mut held {
            request.rate.charge(usage, request.cost.amount(), now);
        }
        Ok(())
    }

    /// Decides like [`decide`](Self::decide), without charging.
    ///
    /// # Errors
    /// The same.
    pub(super) fn check(
        &self,
        requests: &[RateRequest],
        now: Instant,
    ) -> Result<(), (LimitScope, Duration)> {
        let waits = requests
            .iter()
            .filter(|request| request.cost.can_be_rejected())
            .map(|request| {
                let usage = self.cache(&request.key).get(&request.key);
                let usage = usage.map_or_else(RateUsage::default, |entry| *lock(&entry));
                (request.key.scope, request.rate.wait_time(usage, now))
            });
        match waits.max_by_key(|(_, wait)| *wait) {
            Some((scope, wait)) if !wait.is_zero() => Err((scope, wait)),
            Some(_) | None => Ok(()),
        }
    }

    /// Charges all requests, even over the limit.
    pub(super) fn charge(&self, requests: &[RateRequest], now: Instant) {
        for (request, entry) in self.entries(requests) {
            let mut usage = lock(&entry);
            request.rate.charge(&mut usage, request.cost.amount(), now);
        }
    }

    /// Stores the wait that Redis reported.
    pub(super) fn set_wait(&self, request: &RateRequest, wait: Duration, now: Instant) {
        let entry = self.cache(&request.key).get_with(request.key, Arc::default);
        *lock(&entry) = request.rate.usage_for_wait(wait, now);
    }

    /// The number of stored addresses.
    #[cfg(test)]
    pub(super) fn address_count(&self) -> u64 {
        self.addresses.run_pending_tasks();
        self.addresses.entry_count()
    }

    fn entries<'a>(&self, requests: &'a [RateRequest]) -> Vec<(&'a RateRequest, RateUsageCell)> {
        let mut entries: Vec<_> = requests
            .iter()
            .map(|request| {
                let entry = self.cache(&request.key).get_with(request.key, Arc::default);
                (request, entry)
            })
            .collect();
        entries.sort_by_key(|(request, _)| request.key);
        entries
    }

    fn cache(&self, key: &LimitKey) -> &Cache<LimitKey, RateUsageCell> {
        match key.scope {
            LimitScope::Address => &self.addresses,
            LimitScope::Bytes
            | LimitScope::Caller
            | LimitScope::Instance
            | LimitScope::Rows
            | LimitScope::Tool(_) => &self.authenticated,
        }
    }
}
