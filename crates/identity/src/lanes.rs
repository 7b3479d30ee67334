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
pub(super) struct Lanes {
    all: Semaphore,
    kept: Semaphore,
    wait: Duration,
}

impl Lanes {
    /// So many places, of which a quarter is kept, and how long one may wait.
    pub(super) fn new(places: usize, wait: Duration) -> Self {
        // Of one place none can be kept.
        let kept = if places > 1 { (places / 4).max(1) } else { 0 };
        Self {
            all: Semaphore::new(places.max(1) - kept),
            kept: Semaphore::new(kept),
            wait,
        }
    }

    /// A place, held until it is dropped; none when the wait is over.
    pub(super) async fn enter(&self, known: bool) -> Option<SemaphorePermit<'_>> {
        let place = async {
            if known {
                tokio::select! {
                    place = self.kept.acquire() => place,
                    place = self.all.acquire() => place,
                }
            } else {
                self.all.acquire().await
            }
        };
        timeout(self.wait, place).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Lanes;

    #[tokio::test]
    async fn known_ones_find_a_place_when_unknown_ones_have_taken_theirs() {
        let lanes = Lanes::new(4, Duration::ZERO);
        let mut taken = Vec::new();
        while let Some(place) = lanes.enter(false).await {
            taken.push(place);
        }
        assert_eq!(taken.len(), 3);
        assert!(lanes.enter(true).await.is_some());
    }
}
