//! Allowances that this process remembers by itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{
    gcra::RateUsage,
    request::{LimitKey, LimitScope, RateRequest},
};

/// Addresses, and callers with their kinds of calls, that are remembered at
/// once. Beyond it those that come often stay.
const MAX_KEYS: u64 = 50_000;

/// After so long without any use a key is forgotten. What is owed then is rare:
/// a default allowance is whole again after a minute.
const IDLE_TTL: Duration = Duration::from_hours(1);

/// What was spent, by key.
#[derive(Debug)]
pub(super) struct LocalLimiter {
    /// Anybody makes these keys up, so they push out only each other.
    addresses: Cache<LimitKey, RateUsageCell>,
    /// Those of callers who proved to be somebody, and of instances.
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

    /// Takes all that is claimed, or nothing.
    ///
    /// # Errors
    /// What has to be waited for longest, and how long.
    pub(super) fn decide(
        &self,
        claims: &[RateRequest],
        now: Instant,
    ) -> Result<(), (LimitScope, Duration)> {
        let entries = self.entries(claims);
        // Sorted by key, so that two decisions never wait for each other.
        let mut held: Vec<_> = entries
            .iter()
            .map(|(claim, entry)| (claim, entry.lock().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        let longest = held
            .iter()
            .filter(|(claim, _)| claim.cost.can_be_rejected())
            .map(|(claim, spent)| (claim.key.scope, claim.rate.wait_time(**spent, now)))
            .filter(|(_, wait)| !wait.is_zero())
            .max_by_key(|(_, wait)| *wait);
        if let Some(longest) = longest {
            return Err(longest);
        }
        for (claim, spent) in &mut held {
            claim.rate.charge(spent, claim.cost.amount(), now);
        }
        Ok(())
    }

    /// What [`Memory::decide`] would say; nothing is taken.
    ///
    /// # Errors
    /// The same.
    pub(super) fn check(
        &self,
        claims: &[RateRequest],
        now: Instant,
    ) -> Result<(), (LimitScope, Duration)> {
        let waits = claims
            .iter()
            .filter(|claim| claim.cost.can_be_rejected())
            .map(|claim| {
                let spent = self.cache(&claim.key).get(&claim.key);
                let spent = spent.map_or_else(RateUsage::default, |entry| {
                    *entry.lock().unwrap_or_else(PoisonError::into_inner)
                });
                (claim.key.scope, claim.rate.wait_time(spent, now))
            });
        match waits.max_by_key(|(_, wait)| *wait) {
            Some((dimension, wait)) if !wait.is_zero() => Err((dimension, wait)),
            Some(_) | None => Ok(()),
        }
    }

    /// Spends what is claimed, whether it is there or not.
    pub(super) fn charge(&self, claims: &[RateRequest], now: Instant) {
        for (claim, entry) in self.entries(claims) {
            let mut spent = entry.lock().unwrap_or_else(PoisonError::into_inner);
            claim.rate.charge(&mut spent, claim.cost.amount(), now);
        }
    }

    /// Remembers that somebody else said to wait so long.
    pub(super) fn set_wait(&self, claim: &RateRequest, wait: Duration, now: Instant) {
        let entry = self.cache(&claim.key).get_with(claim.key, Arc::default);
        *entry.lock().unwrap_or_else(PoisonError::into_inner) =
            claim.rate.usage_for_wait(wait, now);
    }

    /// The addresses that are remembered.
    #[cfg(test)]
    pub(super) fn address_count(&self) -> u64 {
        self.addresses.run_pending_tasks();
        self.addresses.entry_count()
    }

    fn entries<'a>(&self, claims: &'a [RateRequest]) -> Vec<(&'a RateRequest, RateUsageCell)> {
        let mut entries: Vec<_> = claims
            .iter()
            .map(|claim| {
                let entry = self.cache(&claim.key).get_with(claim.key, Arc::default);
                (claim, entry)
            })
            .collect();
        entries.sort_by_key(|(claim, _)| claim.key);
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
