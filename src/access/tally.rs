//! What one request cost Odoo.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::de::IgnoredAny;

/// How many calls went to Odoo for one request, how long they took, and what
/// came of them.
#[derive(Debug, Default)]
pub struct Tally {
    calls: AtomicU32,
    micros: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Tally {
    /// Adds one call.
    pub fn count(&self, took: Duration) {
        self.calls.fetch_add(1, Relaxed);
        self.micros
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Adds what the caller read with one call: the JSON of what it returned.
    pub fn read(&self, answer: &[u8]) {
        let bytes = u64::try_from(answer.len()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Relaxed);
        // A list is one of records or groups; nothing of them is kept here.
        let rows = serde_json::from_slice::<Vec<IgnoredAny>>(answer).map_or(0, |rows| rows.len());
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.rows.fetch_add(rows, Relaxed);
    }

    /// The rows that were read so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// The bytes that were read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
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

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn rows_and_bytes_of_answers_add_up() {
        let tally = Tally::default();
        for answer in [r#"[{"id":1},{"id":2}]"#, "7", "[]", "{}"] {
            tally.read(answer.as_bytes());
        }
        assert_eq!((tally.rows(), tally.bytes()), (2, 24));
    }
}
