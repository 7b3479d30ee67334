//! What one request cost Odoo.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How many calls went to Odoo for one request, and how long they took.
#[derive(Debug, Default)]
pub struct Tally {
    calls: AtomicU32,
    micros: AtomicU64,
}

impl Tally {
    /// Adds one call.
    pub fn count(&self, took: Duration) {
        self.calls.fetch_add(1, Relaxed);
        self.micros
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// The calls so far.
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// The time they took, together; those side by side count twice.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.micros.load(Relaxed))
    }
}
