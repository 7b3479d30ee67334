//! The size of a store and its limit.

use super::key::StoreKeyKind;

/// The overhead of an entry: two keys, two rows, and the gaps between them. It
/// bounds the number of small entries.
const ENTRY_OVERHEAD_BYTES: u64 = 256;

/// The size of an entry with a value of this size, in bytes.
pub(super) fn entry_cost(value_bytes: usize) -> u64 {
    u64::try_from(value_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(ENTRY_OVERHEAD_BYTES)
}

/// The size of all entries and the limit, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quota {
    pub(super) max_bytes: u64,
    /// Entries that stay until they expire.
    pinned: u64,
    /// Entries that may be evicted.
    evictable: u64,
}

impl Quota {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            pinned: 0,
            evictable: 0,
        }
    }

    /// Whether an entry of this size fits instead of the one before, if everything
    /// evictable is evicted.
    pub(super) fn fits_after_eviction(&self, kind: StoreKeyKind, before: u64, wanted: u64) -> bool {
        let pinned = if kind.is_evictable() {
            self.pinned
        } else {
            self.pinned.saturating_sub(before)
        };
        pinned.saturating_add(wanted) <= self.max_bytes
    }

    /// Whether an entry of this size fits without eviction.
    pub(super) fn fits_now(&self, wanted: u64) -> bool {
        let used = self.pinned.saturating_add(self.evictable);
        used.saturating_add(wanted) <= self.max_bytes
    }

    pub(super) fn reserve(&mut self, kind: StoreKeyKind, cost: u64) {
        self.reserve_class(kind.is_evictable(), cost);
    }

    pub(super) fn reserve_class(&mut self, evictable: bool, cost: u64) {
        self.update_class(evictable, |sum| sum.saturating_add(cost));
    }

    pub(super) fn release(&mut self, kind: StoreKeyKind, cost: u64) {
        self.release_class(kind.is_evictable(), cost);
    }

    pub(super) fn release_class(&mut self, evictable: bool, cost: u64) {
        self.update_class(evictable, |sum| sum.saturating_sub(cost));
    }

    fn update_class(&mut self, evictable: bool, change: impl Fn(u64) -> u64) {
        let sum = if evictable {
            &mut self.evictable
        } else {
            &mut self.pinned
        };
        *sum = change(*sum);
    }
}
