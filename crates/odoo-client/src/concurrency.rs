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
pub(super) struct ConcurrencyLimit {
    permits: Semaphore,
    max_in_flight: usize,
    queued: AtomicUsize,
    max_queued: usize,
    max_wait: Duration,
}

impl ConcurrencyLimit {
    pub(super) fn new(max_in_flight: usize, max_queued: usize, max_wait: Duration) -> Self {
        let max_in_flight = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Semaphore::new(max_in_flight),
            max_in_flight,
            queued: AtomicUsize::new(0),
            max_queued,
            max_wait,
        }
    }

    /// Waits for a place; dropping what it gives back frees it, and so does
    /// dropping the wait.
    pub(super) async fn acquire(&self) -> Result<SemaphorePermit<'_>, CallError> {
        if let Ok(place) = self.permits.try_acquire() {
            return Ok(place);
        }
        let busy = || CallError::Busy {
            retry_after: self.max_wait.min(Duration::from_secs(5)),
        };
        let _waiting = QueuedCall::enter(&self.queued, self.max_queued).ok_or_else(busy)?;
        match timeout(self.max_wait, self.permits.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            // Nobody closes the semaphore; were it closed, there would be no place.
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Places that are taken now.
    pub(super) fn in_flight(&self) -> usize {
        self.max_in_flight
            .saturating_sub(self.permits.available_permits())
    }

    /// Calls that wait for a place now.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(SeqCst)
    }
}

/// One who waits; leaving the queue, however, counts down.
struct QueuedCall<'a>(&'a AtomicUsize);

impl<'a> QueuedCall<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let before = count.fetch_add(1, SeqCst);
        let waiting = Self(count);
        (before < max).then_some(waiting)
    }
}

impl Drop for QueuedCall<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ConcurrencyLimit;
    use crate::CallError;

    #[tokio::test]
    async fn calls_beyond_the_limit_queue_and_beyond_the_queue_are_rejected() {
        let turns = ConcurrencyLimit::new(1, 1, Duration::from_secs(30));
        let first = turns.acquire().await.unwrap();
        let mut second = Box::pin(turns.acquire());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(matches!(turns.acquire().await, Err(CallError::Busy { .. })));
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(turns.queued(), 0);
        let third = Box::pin(turns.acquire());
        drop(third);
        drop(second);
        drop(turns.acquire().await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn queued_call_times_out() {
        let turns = ConcurrencyLimit::new(1, 5, Duration::from_secs(2));
        let _first = turns.acquire().await.unwrap();
        let busy = turns.acquire().await.unwrap_err();
        assert!(matches!(busy, CallError::Busy { .. }));
        assert!(busy.to_string().ends_with("try again in 2 s"), "{busy}");
    }
}
