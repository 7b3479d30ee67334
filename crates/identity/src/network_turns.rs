//! Turns of networks, so that no one of them takes all slots.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use gatepost_base::sync::lock;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A network, and whether it is the larger of the two around an address: the first
/// /64 of a /48 has the same address.
type NetworkKey = (bool, IpAddr);

/// The turns of networks, of which each has a few at once.
#[derive(Debug)]
pub(super) struct NetworkTurns {
    /// How many a small network has; a large one has twice as many.
    most: usize,
    /// Invariant: only networks with a [`NetworkTurn`].
    turns: Mutex<HashMap<NetworkKey, Arc<Semaphore>>>,
}

/// A turn of a network, or its place in the queue for one, until it is dropped.
#[derive(Debug)]
pub(super) struct NetworkTurn<'a> {
    of: &'a NetworkTurns,
    network: NetworkKey,
    turn: Option<OwnedSemaphorePermit>,
}

impl NetworkTurns {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            turns: Mutex::default(),
        }
    }

    /// Waits for a turn of both networks around an address, of which the second is the
    /// larger one, if it is another.
    ///
    /// # Errors
    /// Never: the turns are not closed.
    pub(super) async fn take(
        &self,
        [small, large]: [IpAddr; 2],
    ) -> Result<[Option<NetworkTurn<'_>>; 2], AcquireError> {
        let small = self.take_one((false, small), self.most).await?;
        let large = match large {
            IpAddr::V4(_) => None,
            IpAddr::V6(_) => Some(self.take_one((true, large), 2 * self.most).await?),
        };
        Ok([Some(small), large])
    }

    async fn take_one(
        &self,
        network: NetworkKey,
        most: usize,
    ) -> Result<NetworkTurn<'_>, AcquireError> {
        let turns = Arc::clone(
            lock(&self.turns)
                .entry(network)
                .or_insert_with(|| Arc::new(Semaphore::new(most))),
        );
        // Made before the wait, because the caller may give up.
        let mut taken = NetworkTurn {
            of: self,
            network,
            turn: None,
        };
        taken.turn = Some(turns.acquire_owned().await?);
        Ok(taken)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.turns).is_empty()
    }
}

impl Drop for NetworkTurn<'_> {
    fn drop(&mut self) {
        let mut turns = lock(&self.of.turns);
        self.turn = None;
        // Others with a turn, or in the queue, have a reference of their own.
        let is_last = |turns: &Arc<Semaphore>| Arc::strong_count(turns) == 1;
        if turns.get(&self.network).is_some_and(is_last) {
            turns.remove(&self.network);
        }
    }
}
