//! The clock of a store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest step of a store's clock between two readings of the clock behind it.
/// A longer one is a jump, or a time in which no gateway was there.
pub(super) const MAX_STEP: Duration = Duration::from_secs(10);

/// A time by the clock of a store, in milliseconds.
///
/// All replicas that share the store share its clock. It has no date: it never goes
/// back and never jumps, whatever happens to the clocks of the replicas and of Redis,
/// and it hardly advances while no gateway runs. So a time that has passed by this
/// clock has passed, and decisions about changes use no other clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreTime(u64);

impl StoreTime {
    /// The time at this number of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The number of milliseconds.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// How long after `earlier` it is; zero if it is not later.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// The time that is this much later.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
