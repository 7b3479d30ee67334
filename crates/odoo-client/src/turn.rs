//! Whose turn it is.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::CallError;

/// A bounded number of places, and a bounded, fair queue for them.
///
/// Odoo's prefork server has a short listen queue (eight for each worker);
/// beyond it every caller waits seconds for a lost SYN. So we wait here
/// instead, in order, and say so when it takes too long.
#[derive(Debug)]
pub(super) struct Turns {
    places: Semaphore,
    all: usize,
    waiting: AtomicUsize,
    max_waiting: usize,
    max_wait: Duration,
}

impl Turns {
    pub(super) fn new(max_in_flight: usize, max_waiting: usize, max_wait: Duration) -> Self {
        let all = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            places: Semaphore::new(all),
            all,
            waiting: AtomicUsize::new(0),
            max_waiting,
            max_wait,
        }
    }

    /// Waits for a place; dropping what it gives back frees it, and so does
    /// dropping the wait.
    pub(super) async fn take(&self) -> Result<SemaphorePermit<'_>, CallError> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let busy = || CallError::Busy {
            retry_after: self.max_wait.min(Duration::from_secs(5)),
        };
        let _waiting = Waiting::begin(&self.waiting, self.max_waiting).ok_or_else(busy)?;
        match timeout(self.max_wait, self.places.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            // Nobody closes the semaphore; were it closed, there would be no place.
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Places that are taken now.
    pub(super) fn taken(&self) -> usize {
        self.all.saturating_sub(self.places.available_permits())
    }

    /// Calls that wait for a place now.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }
}

/// One who waits; leaving the queue, however, counts down.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let before = count.fetch_add(1, SeqCst);
        let waiting = Self(count);
        (before < max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Turns;
    use crate::CallError;

    #[tokio::test]
    async fn beyond_the_places_there_is_a_queue_and_beyond_the_queue_a_clear_no() {
        let turns = Turns::new(1, 1, Duration::from_secs(30));
        let first = turns.take().await.unwrap();
        let mut second = Box::pin(turns.take());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(matches!(turns.take().await, Err(CallError::Busy { .. })));
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(turns.waiting(), 0);
        let third = Box::pin(turns.take());
        drop(third);
        drop(second);
        drop(turns.take().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let turns = Turns::new(1, 5, Duration::from_secs(2));
        let _first = turns.take().await.unwrap();
        let busy = turns.take().await.unwrap_err();
        assert!(matches!(busy, CallError::Busy { .. }));
        assert!(busy.to_string().ends_with("try again in 2 s"), "{busy}");
    }
}
