//! Stops requests to a provider that does not answer.

use gatepost_base::sync::lock;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Failures in a row that open the circuit.
const FAILURE_THRESHOLD: u32 = 5;
/// For how long it stays open then.
const OPEN_DURATION: Duration = Duration::from_secs(5);

/// Counts failures in a row. After some of them, no request is sent for a while;
/// then a single probe decides whether the others may follow.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    open_until: Option<Instant>,
    probing: bool,
}

/// No request may be sent until this time has passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CircuitOpen(pub(super) Duration);

/// Permission for one request. Dropped without a result, it does not count.
#[derive(Debug)]
pub(super) struct BreakerPermit<'a> {
    breaker: &'a CircuitBreaker,
    is_probe: bool,
}

impl CircuitBreaker {
    /// Asks for permission to send one request.
    pub(super) fn acquire(&self, now: Instant) -> Result<BreakerPermit<'_>, CircuitOpen> {
        let mut state = lock(&self.0);
        let is_probe = match state.open_until {
            None => false,
            Some(until) if now < until => return Err(CircuitOpen(until - now)),
            Some(_) if state.probing => return Err(CircuitOpen(Duration::from_secs(1))),
            Some(_) => {
                state.probing = true;
                true
            }
        };
        Ok(BreakerPermit {
            breaker: self,
            is_probe,
        })
    }
}

impl BreakerPermit<'_> {
    /// Whether one more failure opens the circuit.
    pub(super) fn would_open(&self) -> bool {
        self.is_probe || lock(&self.breaker.0).failures + 1 >= FAILURE_THRESHOLD
    }

    /// The provider answered.
    pub(super) fn record_success(self) {
        let mut state = lock(&self.breaker.0);
        // A response to a request sent before the circuit opened says nothing about now.
        if self.is_probe || state.open_until.is_none() {
            state.failures = 0;
            state.open_until = None;
        }
    }

    /// The request failed. A `pause`, which the provider asked for or which is
    /// wise, opens the circuit at once.
    pub(super) fn record_failure(self, now: Instant, pause: Option<Duration>) {
        let mut state = lock(&self.breaker.0);
        state.failures = state.failures.saturating_add(1);
        if let Some(pause) = pause {
            state.open_until = Some(now + pause);
        } else if self.is_probe || state.failures >= FAILURE_THRESHOLD {
            state.open_until = Some(now + OPEN_DURATION);
        }
    }
}

impl Drop for BreakerPermit<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            lock(&self.breaker.0).probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{CircuitBreaker, CircuitOpen, FAILURE_THRESHOLD, OPEN_DURATION};

    #[test]
    fn circuit_opens_after_threshold_and_admits_one_probe() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        for _ in 0..FAILURE_THRESHOLD {
            breaker.acquire(now).unwrap().record_failure(now, None);
        }
        assert_eq!(
            breaker.acquire(now).unwrap_err(),
            CircuitOpen(OPEN_DURATION)
        );
        let later = now + OPEN_DURATION;
        let first = breaker.acquire(later).unwrap();
        assert!(breaker.acquire(later).is_err(), "one at a time");
        first.record_failure(later, None);
        assert_eq!(
            breaker.acquire(later).unwrap_err(),
            CircuitOpen(OPEN_DURATION)
        );
        let later = later + OPEN_DURATION;
        breaker.acquire(later).unwrap().record_success();
        assert!(breaker.acquire(later).is_ok());
    }

    #[test]
    fn success_resets_failure_count() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        for _ in 0..20 {
            breaker.acquire(now).unwrap().record_failure(now, None);
            breaker.acquire(now).unwrap().record_success();
        }
        assert!(breaker.acquire(now).is_ok());
    }

    #[test]
    fn provider_requested_pause_opens_circuit_for_that_long() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let early = breaker.acquire(now).unwrap();
        let pause = Duration::from_secs(30);
        breaker
            .acquire(now)
            .unwrap()
            .record_failure(now, Some(pause));
        early.record_success();
        assert_eq!(breaker.acquire(now).unwrap_err(), CircuitOpen(pause));
    }

    #[test]
    fn dropped_probe_allows_next_probe() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        breaker
            .acquire(now)
            .unwrap()
            .record_failure(now, Some(OPEN_DURATION));
        let later = now + OPEN_DURATION;
        drop(breaker.acquire(later).unwrap());
        assert!(breaker.acquire(later).is_ok());
    }
}
