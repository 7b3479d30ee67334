//! The size of a store, its limit, and the share of each caller.

use std::collections::{BTreeSet, HashMap};

use super::{
    failure::StoreError,
    key::{StoreKey, StoreOwner},
};

/// The overhead of an entry: its keys, its rows, and the gaps between them. It
/// bounds the number of small entries.
const ENTRY_OVERHEAD_BYTES: u64 = 256;

/// The size of an entry with a value of this size, in bytes.
pub(super) fn entry_cost(value_bytes: usize) -> u64 {
    u64::try_from(value_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(ENTRY_OVERHEAD_BYTES)
}

/// The size of all entries and the limit, in bytes. `command.lua` counts in the same
/// way in Redis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Quota {
    pub(super) max_bytes: u64,
    /// Entries that stay until they expire.
    pinned: u64,
    /// Entries that may be evicted.
    evictable: u64,
    /// The pinned entries of each caller. Invariant: no zeros.
    by_owner: HashMap<StoreOwner, u64>,
    /// The evictable entries of each caller. Invariant: no zeros.
    evictable_by_owner: HashMap<StoreOwner, u64>,
    /// The same, by size.
    owners_by_evictable: BTreeSet<(u64, StoreOwner)>,
}

impl Quota {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            pinned: 0,
            evictable: 0,
            by_owner: HashMap::new(),
            evictable_by_owner: HashMap::new(),
            owners_by_evictable: BTreeSet::new(),
        }
    }

    /// Checks that an entry of this size fits instead of the one before, if everything
    /// evictable is evicted.
    ///
    /// A caller may use as much as it leaves free: the first one half of the store, the
    /// next one half of the rest, and so on. So there is always room for one more caller.
    /// What replaces an entry is not held against the share, because the end of a change
    /// must be stored.
    pub(super) fn check(&self, key: StoreKey, before: u64, wanted: u64) -> Result<(), StoreError> {
        if key.kind().is_evictable() {
            return if self.pinned.saturating_add(wanted) <= self.max_bytes {
                Ok(())
            } else {
                Err(StoreError::Full)
            };
        }
        let pinned = self.pinned.saturating_sub(before);
        if pinned.saturating_add(wanted) > self.max_bytes {
            return Err(StoreError::Full);
        }
        let used = key.owner().and_then(|owner| self.by_owner.get(&owner));
        let used = used.copied().unwrap_or_default().saturating_add(wanted);
        if before == 0 && key.owner().is_some() && used > self.max_bytes.saturating_sub(pinned) {
            return Err(StoreError::ShareUsed);
        }
        Ok(())
    }

    /// Whether an entry of this size fits without eviction.
    pub(super) fn fits_now(&self, wanted: u64) -> bool {
        let used = self.pinned.saturating_add(self.evictable);
        used.saturating_add(wanted) <= self.max_bytes
    }

    /// The caller with the most evictable entries, who loses the first of them when room is
    /// needed: so no caller can evict what others have, as long as it has more itself.
    pub(super) fn owner_to_evict(&self) -> Option<StoreOwner> {
        self.owners_by_evictable.last().map(|(_, owner)| *owner)
    }

    /// The size of the entries that stay until they expire.
    pub(super) fn pinned(&self) -> u64 {
        self.pinned
    }

    pub(super) fn reserve(&mut self, evictable: bool, owner: Option<StoreOwner>, cost: u64) {
        self.update(evictable, owner, |sum| sum.saturating_add(cost));
    }

    pub(super) fn release(&mut self, evictable: bool, owner: Option<StoreOwner>, cost: u64) {
        self.update(evictable, owner, |sum| sum.saturating_sub(cost));
    }

    fn update(&mut self, evictable: bool, owner: Option<StoreOwner>, change: impl Fn(u64) -> u64) {
        let (total, shares) = if evictable {
            (&mut self.evictable, &mut self.evictable_by_owner)
        } else {
            (&mut self.pinned, &mut self.by_owner)
        };
        *total = change(*total);
        let Some(owner) = owner else {
            return;
        };
        let share = shares.entry(owner).or_default();
        let (before, after) = (*share, change(*share));
        *share = after;
        if after == 0 {
            shares.remove(&owner);
        }
        if evictable {
            self.owners_by_evictable.remove(&(before, owner));
            if after > 0 {
                self.owners_by_evictable.insert((after, owner));
            }
        }
    }
}
