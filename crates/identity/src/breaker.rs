//! Leaving a provider alone that does not answer.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Failures in a row after which it is left alone.
const PATIENCE: u32 = 5;
/// For how long, then.
const REST: Duration = Duration::from_secs(5);

/// Counts failures in a row. After some, requests are refused at once for a
/// while; then one is let through to see, and the others wait for what it says.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rests_until: Option<Instant>,
    probing: bool,
}

/// The provider is left alone; ask again after this time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Resting(pub(super) Duration);

/// Leave to ask the provider once. Dropped without a word, it is as if nobody
/// had asked.
#[derive(Debug)]
pub(super) struct Leave<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Breaker {
    /// Asks for leave.
    ///
    /// # Errors
    /// [`Resting`].
    pub(super) fn leave(&self, now: Instant) -> Result<Leave<'_>, Resting> {
        let mut state = self.state();
        let probe = match state.rests_until {
            None => false,
            Some(until) if now < until => return Err(Resting(until - now)),
            Some(_) if state.probing => return Err(Resting(Duration::from_secs(1))),
            Some(_) => {
                state.probing = true;
                true
            }
        };
        Ok(Leave {
            breaker: self,
            probe,
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leave<'_> {
    /// Whether one more failure means a rest.
    pub(super) fn would_rest(&self) -> bool {
        self.probe || self.breaker.state().failures + 1 >= PATIENCE
    }

    /// The provider answered.
    pub(super) fn answered(self) {
        let mut state = self.breaker.state();
        // An answer to a question from before a longer rest says nothing of now.
        if self.probe || state.rests_until.is_none() {
            state.failures = 0;
            state.rests_until = None;
        }
    }

    /// It did not, or nothing of use. `rest` is how long it asked to be left
    /// alone, or how long that is wise; then it counts at once.
    pub(super) fn failed(self, now: Instant, rest: Option<Duration>) {
        let mut state = self.breaker.state();
        state.failures = state.failures.saturating_add(1);
        if let Some(rest) = rest {
            state.rests_until = Some(now + rest);
        } else if self.probe || state.failures >= PATIENCE {
            state.rests_until = Some(now + REST);
        }
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Breaker, PATIENCE, REST, Resting};

    #[test]
    fn after_some_failures_it_rests_and_one_goes_first() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..PATIENCE {
            breaker.leave(now).unwrap().failed(now, None);
        }
        assert_eq!(breaker.leave(now).unwrap_err(), Resting(REST));
        let later = now + REST;
        let first = breaker.leave(later).unwrap();
        assert!(breaker.leave(later).is_err(), "one at a time");
        first.failed(later, None);
        assert_eq!(breaker.leave(later).unwrap_err(), Resting(REST));
        let later = later + REST;
        breaker.leave(later).unwrap().answered();
        assert!(breaker.leave(later).is_ok());
    }

    #[test]
    fn an_answer_forgets_the_failures_before_it() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..20 {
            breaker.leave(now).unwrap().failed(now, None);
            breaker.leave(now).unwrap().answered();
        }
        assert!(breaker.leave(now).is_ok());
    }

    #[test]
    fn who_asks_to_be_left_alone_is() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        let early = breaker.leave(now).unwrap();
        let rest = Duration::from_secs(30);
        breaker.leave(now).unwrap().failed(now, Some(rest));
        early.answered();
        assert_eq!(breaker.leave(now).unwrap_err(), Resting(rest));
    }

    #[test]
    fn a_probe_that_was_dropped_makes_way_for_the_next() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        breaker.leave(now).unwrap().failed(now, Some(REST));
        let later = now + REST;
        drop(breaker.leave(later).unwrap());
        assert!(breaker.leave(later).is_ok());
    }
}
