//! Limits the requests in flight to a provider.

use std::time::Duration;

use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::timeout,
};

/// What is known of the address that a token comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressStanding {
    /// A token from there was valid not long ago, or this one was, and none failed.
    Known,
    /// Nothing, or both a valid and a failed token.
    Unknown,
    /// A token from there failed not long ago.
    Suspect,
}

/// The slots for requests in flight to a provider. Some are reserved for tokens
/// and addresses that were valid before, and addresses with failed tokens have
/// few, so that a flood of unknown tokens locks out neither people at work nor
/// those who log in.
#[derive(Debug)]
pub(super) struct Bulkhead {
    shared: Semaphore,
    reserved: Semaphore,
    /// How many of the shared ones suspects may have.
    suspects: Semaphore,
    max_wait: Duration,
}

/// A slot, held until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    _slot: SemaphorePermit<'a>,
    _of_suspects: Option<SemaphorePermit<'a>>,
}

impl Bulkhead {
    /// This many slots, of which a quarter is reserved, and how long a request may
    /// wait for one.
    pub(super) fn new(slots: usize, max_wait: Duration) -> Self {
        // A single slot cannot be reserved.
        let reserved = if slots > 1 { (slots / 4).max(1) } else { 0 };
        let shared = slots.max(1) - reserved;
        Self {
            shared: Semaphore::new(shared),
            reserved: Semaphore::new(reserved),
            suspects: Semaphore::new((shared / 4).max(1)),
            max_wait,
        }
    }

    /// A slot; `None` after the longest wait.
    pub(super) async fn acquire(&self, standing: AddressStanding) -> Option<Slot<'_>> {
        let slot = async {
            let of_suspects = match standing {
                AddressStanding::Known | AddressStanding::Unknown => None,
                AddressStanding::Suspect => Some(self.suspects.acquire().await?),
            };
            let slot = match standing {
                AddressStanding::Known => tokio::select! {
                    slot = self.reserved.acquire() => slot,
                    slot = self.shared.acquire() => slot,
                },
                AddressStanding::Unknown | AddressStanding::Suspect => self.shared.acquire().await,
            };
            Ok::<_, AcquireError>(Slot {
                _slot: slot?,
                _of_suspects: of_suspects,
            })
        };
        timeout(self.max_wait, slot).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AddressStanding, Bulkhead, Slot};

    async fn take_all(bulkhead: &Bulkhead, standing: AddressStanding) -> Vec<Slot<'_>> {
        let mut taken = Vec::new();
        while let Some(slot) = bulkhead.acquire(standing).await {
            taken.push(slot);
        }
        taken
    }

    #[tokio::test]
    async fn known_token_gets_reserved_slot_when_shared_slots_are_full() {
        let bulkhead = Bulkhead::new(4, Duration::ZERO);
        let taken = take_all(&bulkhead, AddressStanding::Unknown).await;
        assert_eq!(taken.len(), 3);
        assert!(bulkhead.acquire(AddressStanding::Known).await.is_some());
    }

    #[tokio::test]
    async fn suspects_leave_slots_for_everybody_else() {
        let bulkhead = Bulkhead::new(64, Duration::ZERO);
        let suspects = take_all(&bulkhead, AddressStanding::Suspect).await;
        let others = take_all(&bulkhead, AddressStanding::Unknown).await;
        let known = take_all(&bulkhead, AddressStanding::Known).await;
        assert_eq!((suspects.len(), others.len(), known.len()), (12, 36, 16));
        drop(suspects);
        let suspects = take_all(&bulkhead, AddressStanding::Suspect).await;
        assert_eq!(suspects.len(), 12);
    }
}
