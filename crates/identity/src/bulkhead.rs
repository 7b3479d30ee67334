//! Limits the requests in flight to a provider.

use std::{net::IpAddr, time::Duration};

use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::timeout,
};

use super::network_turns::{NetworkTurn, NetworkTurns};

/// What is known of the address that a token comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddressStanding {
    /// A token from there was valid not long ago, or this one was, and none failed.
    Known,
    /// Both a valid and a failed token came from there.
    Mixed,
    /// A token from there failed not long ago.
    Suspect,
    /// Nothing. Of an address that is known as such, the /64 and the /48 around it; an
    /// IPv4 address is both.
    Unknown(Option<[IpAddr; 2]>),
}

/// The slots for requests in flight to a provider. Some are reserved for tokens
/// and addresses that were valid before, addresses with failed tokens have few, and
/// each network of which nothing is known has its turn, so that a flood of unknown
/// tokens locks out neither people at work nor those who log in.
#[derive(Debug)]
pub(super) struct Bulkhead {
    shared: Semaphore,
    reserved: Semaphore,
    /// How many of the shared ones suspects may have.
    suspects: Semaphore,
    /// How many of the shared ones a network of which nothing is known may have.
    newcomers: NetworkTurns,
    max_wait: Duration,
}

/// A slot, held until it is dropped.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    _held: SemaphorePermit<'a>,
    _suspects: Option<SemaphorePermit<'a>>,
    _networks: [Option<NetworkTurn<'a>>; 2],
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
            newcomers: NetworkTurns::new((shared / 8).max(1)),
            max_wait,
        }
    }

    /// A slot; `None` after the longest wait.
    pub(super) async fn acquire(&self, standing: AddressStanding) -> Option<Slot<'_>> {
        let slot = async {
            let of_suspects = match standing {
                AddressStanding::Suspect => Some(self.suspects.acquire().await?),
                AddressStanding::Known | AddressStanding::Mixed | AddressStanding::Unknown(_) => {
                    None
                }
            };
            // Before the queue of all, so that a network has few places in it.
            let of_networks = match standing {
                AddressStanding::Unknown(Some(networks)) => self.newcomers.take(networks).await?,
                AddressStanding::Known
                | AddressStanding::Mixed
                | AddressStanding::Suspect
                | AddressStanding::Unknown(None) => [None, None],
            };
            let slot = match standing {
                AddressStanding::Known => tokio::select! {
                    slot = self.reserved.acquire() => slot,
                    slot = self.shared.acquire() => slot,
                },
                AddressStanding::Mixed | AddressStanding::Suspect | AddressStanding::Unknown(_) => {
                    self.shared.acquire().await
                }
            };
            Ok::<_, AcquireError>(Slot {
                _held: slot?,
                _suspects: of_suspects,
                _networks: of_networks,
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
        let taken = take_all(&bulkhead, AddressStanding::Unknown(None)).await;
        assert_eq!(taken.len(), 3);
        assert!(bulkhead.acquire(AddressStanding::Known).await.is_some());
    }

    #[tokio::test]
    async fn suspects_leave_slots_for_everybody_else() {
        let bulkhead = Bulkhead::new(64, Duration::ZERO);
        let suspects = take_all(&bulkhead, AddressStanding::Suspect).await;
        let others = take_all(&bulkhead, AddressStanding::Unknown(None)).await;
        let known = take_all(&bulkhead, AddressStanding::Known).await;
        assert_eq!((suspects.len(), others.len(), known.len()), (12, 36, 16));
        drop(suspects);
        let suspects = take_all(&bulkhead, AddressStanding::Suspect).await;
        assert_eq!(suspects.len(), 12);
    }

    #[tokio::test]
    async fn newcomers_of_one_network_leave_slots_for_other_newcomers() {
        let bulkhead = Bulkhead::new(64, Duration::ZERO);
        let from = |text: &str, around: &str| {
            AddressStanding::Unknown(Some([text, around].map(|text| text.parse().unwrap())))
        };
        let single = from("192.0.2.1", "192.0.2.1");
        let one = take_all(&bulkhead, single).await;
        // The /64 that begins a /48 has the same address.
        let first = take_all(&bulkhead, from("2001:db8:7::", "2001:db8:7::")).await;
        let second = take_all(&bulkhead, from("2001:db8:7:1::", "2001:db8:7::")).await;
        let third = take_all(&bulkhead, from("2001:db8:7:2::", "2001:db8:7::")).await;
        let taken = (one.len(), first.len(), second.len(), third.len());
        assert_eq!(taken, (6, 6, 6, 0));
        let other = from("192.0.2.2", "192.0.2.2");
        assert!(bulkhead.acquire(other).await.is_some());
        // An office whose tokens were valid and failed is no newcomer.
        let mixed = take_all(&bulkhead, AddressStanding::Mixed).await;
        assert_eq!(mixed.len(), 30);
        drop((one, first, second, third, mixed));
        assert!(bulkhead.newcomers.is_empty());
        assert_eq!(take_all(&bulkhead, single).await.len(), 6);
    }
}
