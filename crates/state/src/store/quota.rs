//! How much is kept, and how much may be.

use super::key::StoreKeyKind;

/// What an entry costs besides its value: two keys, two rows, and the gaps
/// between them. So that many small ones are bounded too.
const ENTRY_OVERHEAD_BYTES: u64 = 256;

/// What a value of this size costs, in bytes.
pub(super) fn entry_cost(value_bytes: usize) -> u64 {
    u64::try_from(value_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(ENTRY_OVERHEAD_BYTES)
}

/// How much is kept, in bytes, and how much may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quota {
    pub(super) max_bytes: u64,
    /// What stays until its time.
    pinned: u64,
    /// What may go early.
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

    /// Whether so much fits in the place of what is there under its key, once all
    /// that may go early is gone.
    pub(super) fn fits_after_eviction(&self, kind: StoreKeyKind, before: u64, wanted: u64) -> bool {
        let firm = if kind.is_evictable() {
            self.pinned
        } else {
            self.pinned.saturating_sub(before)
        };
        firm.saturating_add(wanted) <= self.max_bytes
    }

    /// Whether so much fits as it is.
    pub(super) fn fits_now(&self, wanted: u64) -> bool {
        let used = self.pinned.saturating_add(self.evictable);
        used.saturating_add(wanted) <= self.max_bytes
    }

    pub(super) fn reserve(&mut self, kind: StoreKeyKind, cost: u64) {
        self.reserve_class(kind.is_evictable(), cost);
    }

    pub(super) fn reserve_class(&mut self, early: bool, cost: u64) {
        self.update_class(early, |sum| sum.saturating_add(cost));
    }

    pub(super) fn release(&mut self, kind: StoreKeyKind, cost: u64) {
        self.release_class(kind.is_evictable(), cost);
    }

    pub(super) fn release_class(&mut self, early: bool, cost: u64) {
        self.update_class(early, |sum| sum.saturating_sub(cost));
    }

    fn update_class(&mut self, early: bool, change: impl Fn(u64) -> u64) {
        let sum = if early {
            &mut self.evictable
        } else {
            &mut self.pinned
        };
        *sum = change(*sum);
    }
}
