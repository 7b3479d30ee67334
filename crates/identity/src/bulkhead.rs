//! Places for questions to a provider.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Places for questions to a provider that are under way. Some are kept for
/// tokens that were good before: a flood of unknown ones does not keep people
/// out who are at work.
#[derive(Debug)]
pub(super) struct Bulkhead {
    shared: Semaphore,
    reserved: Semaphore,
    max_wait: Duration,
}

impl Bulkhead {
    /// So many places, of which a quarter is kept, and how long one may wait.
    pub(super) fn new(places: usize, max_wait: Duration) -> Self {
        // Of one place none can be kept.
        let kept = if places > 1 { (places / 4).max(1) } else { 0 };
        Self {
            shared: Semaphore::new(places.max(1) - kept),
            reserved: Semaphore::new(kept),
            max_wait,
        }
    }

    /// A place, held until it is dropped; none when the wait is over.
    pub(super) async fn acquire(&self, known: bool) -> Option<SemaphorePermit<'_>> {
        let place = async {
            if known {
                tokio::select! {
                    place = self.reserved.acquire() => place,
                    place = self.shared.acquire() => place,
                }
            } else {
                self.shared.acquire().await
            }
        };
        timeout(self.max_wait, place).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Bulkhead;

    #[tokio::test]
    async fn known_token_gets_reserved_slot_when_shared_slots_are_full() {
        let lanes = Bulkhead::new(4, Duration::ZERO);
        let mut taken = Vec::new();
        while let Some(place) = lanes.acquire(false).await {
            taken.push(place);
        }
        assert_eq!(taken.len(), 3);
        assert!(lanes.acquire(true).await.is_some());
    }
}
