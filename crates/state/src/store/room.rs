//! How much is kept, and how much may be.

use super::key::Kind;

/// What an entry costs besides its value: two keys, two rows, and the gaps
/// between them. So that many small ones are bounded too.
const OVERHEAD: u64 = 256;

/// What a value of this size costs, in bytes.
pub(super) fn cost(value_bytes: usize) -> u64 {
    u64::try_from(value_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(OVERHEAD)
}

/// How much is kept, in bytes, and how much may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Room {
    pub(super) max_bytes: u64,
    /// What stays until its time.
    firm: u64,
    /// What may go early.
    early: u64,
}

impl Room {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            firm: 0,
            early: 0,
        }
    }

    /// Whether so much fits in the place of what is there under its key, once all
    /// that may go early is gone.
    pub(super) fn can_hold(&self, kind: Kind, before: u64, wanted: u64) -> bool {
        let firm = if kind.may_go_early() {
            self.firm
        } else {
            self.firm.saturating_sub(before)
        };
        firm.saturating_add(wanted) <= self.max_bytes
    }

    /// Whether so much fits as it is.
    pub(super) fn has(&self, wanted: u64) -> bool {
        let used = self.firm.saturating_add(self.early);
        used.saturating_add(wanted) <= self.max_bytes
    }

    pub(super) fn take(&mut self, kind: Kind, cost: u64) {
        self.take_class(kind.may_go_early(), cost);
    }

    pub(super) fn take_class(&mut self, early: bool, cost: u64) {
        self.of(early, |sum| sum.saturating_add(cost));
    }

    pub(super) fn free(&mut self, kind: Kind, cost: u64) {
        self.free_class(kind.may_go_early(), cost);
    }

    pub(super) fn free_class(&mut self, early: bool, cost: u64) {
        self.of(early, |sum| sum.saturating_sub(cost));
    }

    fn of(&mut self, early: bool, change: impl Fn(u64) -> u64) {
        let sum = if early {
            &mut self.early
        } else {
            &mut self.firm
        };
        *sum = change(*sum);
    }
}
