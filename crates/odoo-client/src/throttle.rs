//! When a call to an instance may be sent.

use std::{sync::Mutex, time::Duration};

use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep_until},
};

use super::{CallError, concurrency::ConcurrencyLimit};
use gatepost_base::sync::lock;

/// Limits the calls to one instance: so many at once, so many a second, and none while
/// the server asks for a pause.
#[derive(Debug)]
pub(super) struct Throttle {
    pub(super) limits: ThrottleLimits,
    pub(super) concurrency: ConcurrencyLimit,
    schedule: Mutex<Schedule>,
}

/// The limits of an instance. While they are the same, a reload retains the throttle and its calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ThrottleLimits {
    /// The URL of the instance.
    pub(super) url: String,
    /// The most calls in flight.
    pub(super) max_in_flight: usize,
    /// The most calls in the queue.
    pub(super) max_waiting: usize,
    /// How long a call may wait for its turn.
    pub(super) max_wait: Duration,
    /// The most calls that start in a second; `None` means any number.
    pub(super) max_per_second: Option<u32>,
}

#[derive(Debug)]
struct Schedule {
    /// When the next call may start.
    next: Instant,
    paused_until: Instant,
}

impl Throttle {
    pub(super) fn new(limits: ThrottleLimits) -> Self {
        let now = Instant::now();
        Self {
            concurrency: ConcurrencyLimit::new(limits.max_in_flight, limits.max_waiting),
            schedule: Mutex::new(Schedule {
                next: now,
                paused_until: now,
            }),
            limits,
        }
    }

    /// Waits for a turn, which ends when the permit is dropped.
    ///
    /// # Errors
    /// [`CallError::Busy`] or [`CallError::Paused`], if there is none before the
    /// deadline.
    pub(super) async fn take(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, CallError> {
        let wait = deadline.saturating_duration_since(Instant::now());
        // At once if the pause is longer, so that the queue does not fill.
        self.check_pause(deadline)?;
        let permit = self.concurrency.acquire(wait).await?;
        let start = self.reserve_start(deadline)?;
        if start > Instant::now() {
            sleep_until(start).await;
        }
        // A pause may have begun since.
        loop {
            let paused = self.check_pause(deadline)?;
            let Some(until) = paused else {
                return Ok(permit);
            };
            sleep_until(until).await;
        }
    }

    /// Sends no call for this long, because the server asks for that.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut schedule = lock(&self.schedule);
        schedule.paused_until = schedule.paused_until.max(until);
    }

    /// Until when the instance is paused.
    fn check_pause(&self, deadline: Instant) -> Result<Option<Instant>, CallError> {
        let until = lock(&self.schedule).paused_until;
        let now = Instant::now();
        if until > deadline {
            let retry_after = until.saturating_duration_since(now);
            return Err(CallError::Paused { retry_after });
        }
        Ok((until > now).then_some(until))
    }

    /// When this call may start, at the pace of the instance.
    fn reserve_start(&self, deadline: Instant) -> Result<Instant, CallError> {
        let now = Instant::now();
        let mut schedule = lock(&self.schedule);
        let start = now.max(schedule.next).max(schedule.paused_until);
        if start > deadline {
            let retry_after = start.saturating_duration_since(now);
            return Err(CallError::Busy { retry_after });
        }
        if let Some(rate) = self.limits.max_per_second {
            schedule.next = start + Duration::from_secs(1) / rate.max(1);
        }
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Throttle, ThrottleLimits};
    use crate::CallError;

    fn throttle(max_per_second: Option<u32>) -> Throttle {
        Throttle::new(ThrottleLimits {
            url: "http://odoo".to_owned(),
            max_in_flight: 100,
            max_waiting: 0,
            max_wait: Duration::from_secs(10),
            max_per_second,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn calls_start_at_the_pace_of_the_instance() {
        let throttle = throttle(Some(2));
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(10);
        for _ in 0..5 {
            drop(throttle.take(deadline).await.unwrap());
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
        let soon = Instant::now() + Duration::from_millis(100);
        let late = throttle.take(soon).await;
        assert!(matches!(late, Err(CallError::Busy { .. })), "{late:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn pause_delays_calls_and_a_long_one_rejects_them_at_once() {
        let throttle = throttle(None);
        let begun = Instant::now();
        throttle.pause(Duration::from_secs(7));
        // A shorter one does not end it.
        throttle.pause(Duration::from_secs(1));
        drop(
            throttle
                .take(begun + Duration::from_secs(10))
                .await
                .unwrap(),
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(7));
        throttle.pause(Duration::from_secs(20));
        let rejected = throttle
            .take(Instant::now() + Duration::from_secs(10))
            .await;
        let Err(CallError::Paused { retry_after }) = rejected else {
            panic!("{rejected:?}");
        };
        assert_eq!(retry_after, Duration::from_secs(20));
        assert_eq!(begun.elapsed(), Duration::from_secs(7));
    }
}
