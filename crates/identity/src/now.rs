//! The time of one decision.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The time of a decision by both clocks: times in tokens are compared with the
/// wall clock, and ages are measured with the clock that is never set back.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time of day.
    pub wall: Timestamp,
    /// The time that only increases.
    pub monotonic: Instant,
}

impl Now {
    /// The current time.
    pub fn read() -> Self {
        Self {
            wall: Timestamp::now(),
            monotonic: Instant::now(),
        }
    }

    /// A later time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self {
            wall: self.wall.saturating_add(duration).unwrap_or(Timestamp::MAX),
            monotonic: self.monotonic + duration,
        }
    }
}
