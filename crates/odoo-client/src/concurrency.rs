//! The limit of concurrent calls, with a fair queue.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::CallError;

/// A limit of concurrent calls, with a bounded, fair queue.
///
/// Odoo's prefork server has a short listen queue (eight per worker); beyond it a
/// caller waits seconds for a lost SYN. So calls wait here instead, in order, and
/// fail if that takes too long.
#[derive(Debug)]
pub(super) struct ConcurrencyLimit {
    permits: Semaphore,
    max_in_flight: usize,
    queued: AtomicUsize,
    max_queued: usize,
}

impl ConcurrencyLimit {
    pub(super) fn new(max_in_flight: usize, max_queued: usize) -> Self {
        let max_in_flight = max_in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            permits: Semaphore::new(max_in_flight),
            max_in_flight,
            queued: AtomicUsize::new(0),
            max_queued,
        }
    }

    /// Waits for a permit, which is released when dropped.
    pub(super) async fn acquire(
        &self,
        max_wait: Duration,
    ) -> Result<SemaphorePermit<'_>, CallError> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Ok(permit);
        }
        let busy = || CallError::Busy {
            retry_after: max_wait.min(Duration::from_secs(5)),
        };
        let _waiting = QueuedCall::enter(&self.queued, self.max_queued).ok_or_else(busy)?;
        match timeout(max_wait, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// Calls in flight now.
    pub(super) fn in_flight(&self) -> usize {
        self.max_in_flight
            .saturating_sub(self.permits.available_permits())
    }

    /// Calls in the queue now.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(SeqCst)
    }
}

/// A call in the queue; dropping it leaves the queue.
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

    const WAIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn calls_beyond_the_limit_queue_and_beyond_the_queue_are_rejected() {
        let limit = ConcurrencyLimit::new(1, 1);
        let first = limit.acquire(WAIT).await.unwrap();
        let mut second = Box::pin(limit.acquire(WAIT));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(matches!(
            limit.acquire(WAIT).await,
            Err(CallError::Busy { .. })
        ));
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(limit.queued(), 0);
        let third = Box::pin(limit.acquire(WAIT));
        drop(third);
        drop(second);
        drop(limit.acquire(WAIT).await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn queued_call_times_out() {
        let limit = ConcurrencyLimit::new(1, 5);
        let _first = limit.acquire(WAIT).await.unwrap();
        let busy = limit.acquire(Duration::from_secs(2)).await.unwrap_err();
        let CallError::Busy { retry_after } = busy else {
            panic!("{busy}");
        };
        assert_eq!(retry_after, Duration::from_secs(2));
    }
}
