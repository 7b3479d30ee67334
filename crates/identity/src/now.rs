//! The time of one decision.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The moment at which something is decided, by both clocks: what a token says
/// is compared with the wall's, and how long something is believed is measured
/// with the one that no administrator sets back.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time of day.
    pub wall: Timestamp,
    /// The time that only goes on.
    pub monotonic: Instant,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        Self {
            wall: Timestamp::now(),
            monotonic: Instant::now(),
        }
    }

    /// A later moment.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self {
            wall: self.wall.saturating_add(duration).unwrap_or(Timestamp::MAX),
            monotonic: self.monotonic + duration,
        }
    }
}
