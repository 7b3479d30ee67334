//! Writes that were sent to Odoo and have not finished.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use tokio::sync::watch;

use super::OperationError;
use gatepost_base::sync::lock;
use gatepost_identity::{ApiKeyStore, Caller, CallerKind};

/// Counts the writes that were sent to Odoo and have not finished, whether or
/// not their client still waits: the process must not exit before they finish.
///
/// Survives a reload, and knows which API keys it revoked.
#[derive(Debug, Default)]
pub struct InFlightWrites {
    count: watch::Sender<usize>,
    /// The API keys of the last reload; `None` before the first one.
    reloaded_keys: Mutex<Option<ApiKeyStore>>,
}

/// One write in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlightWrite(Arc<InFlightWrites>);

impl InFlightWrites {
    pub(super) fn begin(self: &Arc<Self>) -> InFlightWrite {
        self.count
            .send_modify(|count| *count = count.saturating_add(1));
        InFlightWrite(Arc::clone(self))
    }

    /// Applies the API keys of a reload to calls that began before it.
    pub fn set_keys(&self, keys: Option<ApiKeyStore>) {
        *lock(&self.reloaded_keys) = Some(keys.unwrap_or_default());
    }

    /// Checks right before a write is sent that a reload has not revoked the API key of
    /// its caller, which was checked when the call began.
    pub(super) fn check_caller(&self, caller: &Caller) -> Result<(), OperationError> {
        if caller.kind != CallerKind::ApiKey {
            return Ok(());
        }
        let keys = lock(&self.reloaded_keys);
        let now = Timestamp::now();
        let is_active = keys.as_ref().is_none_or(|keys| {
            let mut all = keys.iter();
            all.any(|(id, key)| id.as_str() == caller.subject.as_str() && key.is_active(now))
        });
        if is_active {
            Ok(())
        } else {
            Err(OperationError::NotApproved(
                "the API key of this call was revoked while the call was prepared. Nothing was sent. Retrying will not help; ask the administrator for a new key".to_owned(),
            ))
        }
    }

    /// The number of writes in flight.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Waits until no write is in flight.
    pub async fn wait_until_none(&self) {
        let mut watched = self.count.subscribe();
        // The sender lives as long as `self`: waiting cannot fail.
        drop(watched.wait_for(|count| *count == 0).await);
    }
}

impl Drop for InFlightWrite {
    fn drop(&mut self) {
        let counter = &self.0.count;
        counter.send_modify(|count| *count = count.saturating_sub(1));
    }
}
