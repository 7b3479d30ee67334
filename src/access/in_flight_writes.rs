//! Writes that were sent to Odoo and have not finished.

use std::sync::Arc;

use tokio::sync::watch;

/// Counts the writes that were sent to Odoo and have not finished, whether or
/// not their client still waits: the process must not exit before they finish.
#[derive(Debug, Default)]
pub struct InFlightWrites(watch::Sender<usize>);

/// One write in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlightWrite(Arc<InFlightWrites>);

impl InFlightWrites {
    pub(super) fn begin(self: &Arc<Self>) -> InFlightWrite {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        InFlightWrite(Arc::clone(self))
    }

    /// The number of writes in flight.
    pub fn count(&self) -> usize {
        *self.0.borrow()
    }

    /// Waits until no write is in flight.
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
