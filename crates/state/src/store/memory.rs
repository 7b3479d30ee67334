//! The store in memory.

use gatepost_base::sync::lock;
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    sync::Mutex,
    time::Instant,
};

use bytes::Bytes;

use super::{
    command::{StoreCommand, StoreMutation, StoreReply},
    failure::StoreError,
    key::{StoreKey, StoreOwner},
    quota::{Quota, entry_cost},
    time::StoreTime,
};

/// Entries in memory, lost when the process ends.
#[derive(Debug)]
pub(super) struct MemoryStore(Mutex<MemoryEntries>);

#[derive(Debug)]
struct MemoryEntries {
    by_key: HashMap<StoreKey, MemoryEntry>,
    /// Invariant: each entry is either here or in `evictable`.
    by_expiry: BTreeSet<(Instant, StoreKey)>,
    /// Entries that may be evicted.
    evictable: BTreeSet<(Instant, StoreKey)>,
    /// The same by caller. Invariant: no empty sets.
    evictable_of: HashMap<StoreOwner, BTreeSet<(Instant, StoreKey)>>,
    quota: Quota,
    /// When its clock showed [`CLOCK_AT_OPEN`].
    opened_at: Instant,
}

#[derive(Debug)]
struct MemoryEntry {
    value: Bytes,
    expires_at: Instant,
}

impl MemoryStore {
    /// A store of at most this size.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self(Mutex::new(MemoryEntries {
            by_key: HashMap::new(),
            by_expiry: BTreeSet::new(),
            evictable: BTreeSet::new(),
            evictable_of: HashMap::new(),
            quota: Quota::new(max_bytes),
            opened_at: Instant::now(),
        }))
    }

    /// Changes the size limit; existing entries stay.
    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        let mut entries = lock(&self.0);
        entries.quota.max_bytes = max_bytes;
    }

    pub(super) fn execute(
        &self,
        key: StoreKey,
        command: StoreCommand,
        now: Instant,
    ) -> Result<StoreReply, StoreError> {
        let mut entries = lock(&self.0);
        entries.purge_expired(now);
        let stored = entries.by_key.get(&key).map(|entry| entry.value.clone());
        let before = stored.as_ref().map_or(0, |value| entry_cost(value.len()));
        let (reply, change) = command.decide(stored);
        match change {
            StoreMutation::None => {}
            StoreMutation::Delete => entries.delete(key),
            StoreMutation::Set(value, ttl) => {
                let wanted = entry_cost(value.len());
                entries.quota.check(key, before, wanted)?;
                entries.delete(key);
                while let Some(oldest) = entries.next_to_evict(wanted) {
                    entries.delete(oldest);
                }
                // Beyond the end of the clock a century is as good.
                let expires_at = now.checked_add(ttl).unwrap_or_else(|| now + CENTURY);
                entries.set(key, MemoryEntry { value, expires_at });
            }
        }
        let ran = now.saturating_duration_since(entries.opened_at);
        Ok(StoreReply {
            at: CLOCK_AT_OPEN.saturating_add(ran),
            pinned_bytes: entries.quota.pinned(),
            ..reply
        })
    }
}

/// Not 0, so that there is time before it, as in other stores.
const CLOCK_AT_OPEN: StoreTime = StoreTime::from_millis(24 * 3_600_000);

/// Longer than any process runs.
const CENTURY: std::time::Duration = std::time::Duration::from_hours(100 * 366 * 24);

impl MemoryEntries {
    /// Deletes expired entries.
    fn purge_expired(&mut self, now: Instant) {
        let ended = |(ends, _): &&(Instant, StoreKey)| *ends <= now;
        let first =
            |all: &BTreeSet<(Instant, StoreKey)>| all.first().filter(ended).map(|(_, key)| *key);
        while let Some(key) = first(&self.by_expiry).or_else(|| first(&self.evictable)) {
            self.delete(key);
        }
    }

    /// The entry to evict for this size, if needed.
    fn next_to_evict(&self, wanted: u64) -> Option<StoreKey> {
        if self.quota.fits_now(wanted) {
            return None;
        }
        let owner = self.quota.owner_to_evict();
        let own = owner.and_then(|owner| self.evictable_of.get(&owner));
        let first = own.unwrap_or(&self.evictable).first();
        first.map(|(_, key)| *key)
    }

    fn set(&mut self, key: StoreKey, entry: MemoryEntry) {
        let cost = entry_cost(entry.value.len());
        self.quota
            .reserve(key.kind().is_evictable(), key.owner(), cost);
        self.expiry_index(key).insert((entry.expires_at, key));
        if let (true, Some(owner)) = (key.kind().is_evictable(), key.owner()) {
            let own = self.evictable_of.entry(owner).or_default();
            own.insert((entry.expires_at, key));
        }
        self.by_key.insert(key, entry);
    }

    fn delete(&mut self, key: StoreKey) {
        if let Some(entry) = self.by_key.remove(&key) {
            let cost = entry_cost(entry.value.len());
            self.quota
                .release(key.kind().is_evictable(), key.owner(), cost);
            self.expiry_index(key).remove(&(entry.expires_at, key));
            if let (true, Some(owner)) = (key.kind().is_evictable(), key.owner())
                && let Entry::Occupied(mut own) = self.evictable_of.entry(owner)
            {
                own.get_mut().remove(&(entry.expires_at, key));
                if own.get().is_empty() {
                    own.remove();
                }
            }
        }
    }

    fn expiry_index(&mut self, key: StoreKey) -> &mut BTreeSet<(Instant, StoreKey)> {
        if key.kind().is_evictable() {
            &mut self.evictable
        } else {
            &mut self.by_expiry
        }
    }
}
