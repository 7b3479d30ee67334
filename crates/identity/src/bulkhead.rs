//! Limits the requests in flight to a provider.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// The slots for requests in flight to a provider. Some are reserved for tokens
/// that were valid before, so that a flood of unknown tokens does not lock out
/// people at work.
#[derive(Debug)]
pub(super) struct Bulkhead {
    shared: Semaphore,
    reserved: Semaphore,
    max_wait: Duration,
}

impl Bulkhead {
    /// This many slots, of which a quarter is reserved, and how long a request may
    /// wait for one.
    pub(super) fn new(slots: usize, max_wait: Duration) -> Self {
        // A single slot cannot be reserved.
        let reserved = if slots > 1 { (slots / 4).max(1) } else { 0 };
        Self {
            shared: Semaphore::new(slots.max(1) - reserved),
            reserved: Semaphore::new(reserved),
            max_wait,
        }
    }

    /// A slot, held until it is dropped; `None` after the longest wait.
    pub(super) async fn acquire(&self, was_valid: bool) -> Option<SemaphorePermit<'_>> {
        let slot = async {
            if was_valid {
                tokio::select! {
                    slot = self.reserved.acquire() => slot,
                    slot = self.shared.acquire() => slot,
                }
            } else {
                self.shared.acquire().await
            }
        };
        timeout(self.max_wait, slot).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Bulkhead;

    #[tokio::test]
    async fn known_token_gets_reserved_slot_when_shared_slots_are_full() {
        let bulkhead = Bulkhead::new(4, Duration::ZERO);
        let mut taken = Vec::new();
        while let Some(slot) = bulkhead.acquire(false).await {
            taken.push(slot);
        }
        assert_eq!(taken.len(), 3);
        assert!(bulkhead.acquire(true).await.is_some());
    }
}
