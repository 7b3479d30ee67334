//! How many connections there are.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Counts connections: those that are open, and all there ever were.
#[derive(Debug, Default)]
pub(super) struct Opened {
    open: Arc<AtomicUsize>,
    ever: AtomicU64,
}

/// One connection that counts as open until this is dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicUsize>);

impl Opened {
    /// Counts one more.
    pub(super) fn one(&self) -> Open {
        self.ever.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Open(Arc::clone(&self.open))
    }

    /// Those that are open now.
    pub(super) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// All that were ever opened.
    pub(super) fn ever(&self) -> u64 {
        self.ever.load(Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
