//! The number of connections.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Counts open connections and all that were ever opened.
#[derive(Debug, Default)]
pub(super) struct ConnectionCounter {
    open: Arc<AtomicUsize>,
    total: AtomicU64,
}

/// A connection that counts as open until dropped.
#[derive(Debug)]
pub(super) struct OpenConnection(Arc<AtomicUsize>);

impl ConnectionCounter {
    /// Counts a new connection.
    pub(super) fn count_open(&self) -> OpenConnection {
        self.total.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        OpenConnection(Arc::clone(&self.open))
    }

    /// The connections open now.
    pub(super) fn open_count(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// All connections ever opened.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
