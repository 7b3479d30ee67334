//! Allowances that this process remembers by itself.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{
    claim::{Claim, Dimension, Key},
    gcra::Spent,
};

/// Addresses, and callers with their kinds of calls, that are remembered at
/// once. Beyond it those that come often stay.
const KEYS: u64 = 50_000;

/// After so long without any use a key is forgotten. What is owed then is rare:
/// a default allowance is whole again after a minute.
const IDLE: Duration = Duration::from_hours(1);

/// What was spent, by key.
#[derive(Debug)]
pub(super) struct Memory {
    /// Anybody makes these keys up, so they push out only each other.
    addresses: Cache<Key, Entry>,
    /// Those of callers who proved to be somebody, and of instances.
    known: Cache<Key, Entry>,
}

type Entry = Arc<Mutex<Spent>>;

impl Memory {
    pub(super) fn new() -> Self {
        let cache = || {
            Cache::builder()
                .max_capacity(KEYS)
                .time_to_idle(IDLE)
                .build()
        };
        Self {
            addresses: cache(),
            known: cache(),
        }
    }

    /// Takes all that is claimed, or nothing.
    ///
    /// # Errors
    /// What has to be waited for longest, and how long.
    pub(super) fn decide(
        &self,
        claims: &[Claim],
        now: Instant,
    ) -> Result<(), (Dimension, Duration)> {
        let entries = self.entries(claims);
        // Sorted by key, so that two decisions never wait for each other.
        let mut held: Vec<_> = entries
            .iter()
            .map(|(claim, entry)| (claim, entry.lock().unwrap_or_else(PoisonError::into_inner)))
            .collect();
        let longest = held
            .iter()
            .filter(|(claim, _)| claim.take.asks())
            .map(|(claim, spent)| (claim.key.dimension, claim.allowance.wait(**spent, now)))
            .filter(|(_, wait)| !wait.is_zero())
            .max_by_key(|(_, wait)| *wait);
        if let Some(longest) = longest {
            return Err(longest);
        }
        for (claim, spent) in &mut held {
            claim.allowance.charge(spent, claim.take.weight(), now);
        }
        Ok(())
    }

    /// What [`Memory::decide`] would say; nothing is taken.
    ///
    /// # Errors
    /// The same.
    pub(super) fn look(&self, claims: &[Claim], now: Instant) -> Result<(), (Dimension, Duration)> {
        let waits = claims
            .iter()
            .filter(|claim| claim.take.asks())
            .map(|claim| {
                let spent = self.cache(&claim.key).get(&claim.key);
                let spent = spent.map_or_else(Spent::default, |entry| {
                    *entry.lock().unwrap_or_else(PoisonError::into_inner)
                });
                (claim.key.dimension, claim.allowance.wait(spent, now))
            });
        match waits.max_by_key(|(_, wait)| *wait) {
            Some((dimension, wait)) if !wait.is_zero() => Err((dimension, wait)),
            Some(_) | None => Ok(()),
        }
    }

    /// Spends what is claimed, whether it is there or not.
    pub(super) fn charge(&self, claims: &[Claim], now: Instant) {
        for (claim, entry) in self.entries(claims) {
            let mut spent = entry.lock().unwrap_or_else(PoisonError::into_inner);
            claim.allowance.charge(&mut spent, claim.take.weight(), now);
        }
    }

    /// Remembers that somebody else said to wait so long.
    pub(super) fn hold_off(&self, claim: &Claim, wait: Duration, now: Instant) {
        let entry = self.cache(&claim.key).get_with(claim.key, Arc::default);
        *entry.lock().unwrap_or_else(PoisonError::into_inner) =
            claim.allowance.spent_for(wait, now);
    }

    /// The addresses that are remembered.
    #[cfg(test)]
    pub(super) fn addresses(&self) -> u64 {
        self.addresses.run_pending_tasks();
        self.addresses.entry_count()
    }

    fn entries<'a>(&self, claims: &'a [Claim]) -> Vec<(&'a Claim, Entry)> {
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

    fn cache(&self, key: &Key) -> &Cache<Key, Entry> {
        match key.dimension {
            Dimension::Address => &self.addresses,
            Dimension::Bytes
            | Dimension::Caller
            | Dimension::Instance
            | Dimension::Rows
            | Dimension::Tool(_) => &self.known,
        }
    }
}
