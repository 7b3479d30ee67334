//! Changes that were sent and have not come to their end.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts changes that were sent and have not come to their end, whether
/// anybody waits for them or not: the process must not end before they do.
#[derive(Debug, Default)]
pub struct InFlightWrites(watch::Sender<usize>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlightWrite(Arc<InFlightWrites>);

impl InFlightWrites {
    pub(super) fn begin(self: &Arc<Self>) -> InFlightWrite {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        InFlightWrite(Arc::clone(self))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Returns when there are none.
    pub async fn wait_until_none(&self) {
        let mut watched = self.0.subscribe();
        // The sender lives as long as `self`: waiting cannot fail.
        drop(watched.wait_for(|count| *count == 0).await);
    }
}

impl Drop for InFlightWrite {
    fn drop(&mut self) {
        let counter = &self.0.0;
        counter.send_modify(|count| *count = count.saturating_sub(1));
    }
}
