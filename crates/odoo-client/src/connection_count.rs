//! How many connections there are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Counts connections: those that are open, and all there ever were.
#[derive(Debug, Default)]
pub(super) struct ConnectionCounter {
    open: Arc<AtomicUsize>,
    total: AtomicU64,
}

/// One connection that counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection(Arc<AtomicUsize>);

impl ConnectionCounter {
    /// Counts one more.
    pub(super) fn count_open(&self) -> OpenConnection {
        self.total.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        OpenConnection(Arc::clone(&self.open))
    }

    /// Those that are open now.
    pub(super) fn open_count(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// All that were ever opened.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
