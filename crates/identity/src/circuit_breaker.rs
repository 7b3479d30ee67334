//! Stops requests to a provider that does not answer.

use gatepost_base::sync::lock;
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Failures in a row that open the circuit.
const FAILURE_THRESHOLD: u32 = 5;
/// For how long it stays open then: the shortest, doubled after each failed probe,
/// and the longest. A provider that is back soon is not left alone for long.
const OPEN_DURATION: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Counts failures in a row. After some of them, no request is sent for a while;
/// then a single probe decides whether the others may follow.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    open_until: Option<Instant>,
    /// Whether the provider asked for the pause.
    requested: bool,
    /// How often it has opened since the last success.
    openings: u32,
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
    /// Asks for permission to send one request. A pause that the provider asked
    /// for, because of other tokens, does not apply to a token that `was_valid`.
    pub(super) fn acquire(
        &self,
        was_valid: bool,
        now: Instant,
    ) -> Result<BreakerPermit<'_>, CircuitOpen> {
        let mut state = lock(&self.0);
        let is_probe = match state.open_until {
            None => false,
            Some(until) if now < until && was_valid && state.requested => false,
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
    /// The provider answered.
    pub(super) fn record_success(self) {
        let mut state = lock(&self.breaker.0);
        // A response to a request sent before the circuit opened says nothing about now.
        if self.is_probe || state.open_until.is_none() {
            *state = BreakerState {
                probing: state.probing,
                ..BreakerState::default()
            };
        }
    }

    /// The request failed. A `pause`, which the provider asked for or which is
    /// wise, opens the circuit at once.
    pub(super) fn record_failure(self, now: Instant, pause: Option<Duration>) {
        let mut state = lock(&self.breaker.0);
        state.failures = state.failures.saturating_add(1);
        if let Some(pause) = pause {
            (state.open_until, state.requested) = (Some(now + pause), true);
        } else if self.is_probe
            || (state.failures >= FAILURE_THRESHOLD && state.open_until.is_none())
        {
            let (least, most) = OPEN_DURATION;
            let doubled = least.saturating_mul(1 << state.openings.min(16));
            (state.open_until, state.requested) = (Some(now + doubled.min(most)), false);
            state.openings += 1;
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

    fn open(breaker: &CircuitBreaker, now: Instant) {
        for _ in 0..FAILURE_THRESHOLD {
            let permit = breaker.acquire(false, now).unwrap();
            permit.record_failure(now, None);
        }
    }

    #[test]
    fn circuit_opens_after_threshold_and_admits_one_probe() {
        let (breaker, mut now) = (CircuitBreaker::default(), Instant::now());
        open(&breaker, now);
        for duration in [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000].map(Duration::from_millis) {
            let refused = breaker.acquire(false, now).unwrap_err();
            assert_eq!(refused, CircuitOpen(duration));
            now += duration;
            let probe = breaker.acquire(false, now).unwrap();
            assert!(breaker.acquire(false, now).is_err(), "one at a time");
            probe.record_failure(now, None);
        }
        now += OPEN_DURATION.1;
        breaker.acquire(false, now).unwrap().record_success();
        assert!(breaker.acquire(false, now).is_ok());
        open(&breaker, now);
        let refused = breaker.acquire(false, now).unwrap_err();
        assert_eq!(refused, CircuitOpen(OPEN_DURATION.0));
    }

    // A provider that answers every other second, and five logins each second.
    #[test]
    fn flapping_provider_admits_most_of_what_it_would_answer() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        let (mut admitted, mut answerable) = (0, 0);
        for tick in 0..300_u32 {
            let now = start + tick * Duration::from_millis(200);
            let is_up = (tick / 5) % 2 == 0;
            answerable += u32::from(is_up);
            match breaker.acquire(false, now) {
                Ok(permit) if is_up => {
                    permit.record_success();
                    admitted += 1;
                }
                Ok(permit) => permit.record_failure(now, None),
                Err(_) => {}
            }
        }
        assert!(
            admitted * 10 >= answerable * 7,
            "{admitted} of {answerable}"
        );
    }

    #[test]
    fn success_resets_failure_count() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        for _ in 0..20 {
            breaker
                .acquire(false, now)
                .unwrap()
                .record_failure(now, None);
            breaker.acquire(false, now).unwrap().record_success();
        }
        assert!(breaker.acquire(false, now).is_ok());
    }

    #[test]
    fn provider_requested_pause_applies_to_unknown_tokens_for_that_long() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let early = breaker.acquire(false, now).unwrap();
        let pause = Duration::from_secs(30);
        let permit = breaker.acquire(false, now).unwrap();
        permit.record_failure(now, Some(pause));
        early.record_success();
        assert_eq!(breaker.acquire(false, now).unwrap_err(), CircuitOpen(pause));
        breaker.acquire(true, now).unwrap().record_success();
        assert_eq!(breaker.acquire(false, now).unwrap_err(), CircuitOpen(pause));
    }

    #[test]
    fn outage_applies_to_tokens_that_were_valid_too() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        open(&breaker, now);
        assert!(breaker.acquire(true, now).is_err());
    }

    #[test]
    fn dropped_probe_allows_next_probe() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        open(&breaker, now);
        let later = now + OPEN_DURATION.0;
        drop(breaker.acquire(false, later).unwrap());
        assert!(breaker.acquire(false, later).is_ok());
    }
}
