//! A smooth allowance: the generic cell rate algorithm.

use std::time::{Duration, Instant};

/// So many at once, and then one per so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// The time one costs.
    interval: Duration,
    /// How many may come at once; at least 1.
    burst: u32,
}

/// When everything that was spent will be paid back; past or never is a whole
/// allowance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent(Option<Instant>);

impl Allowance {
    /// `per_minute` in the long run, `burst` at once. Of neither less than 1.
    pub fn per_minute(per_minute: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_mins(1) / per_minute.max(1),
            burst: burst.max(1),
        }
    }

    /// Spends one.
    ///
    /// # Errors
    /// The time after which there is one again; nothing is spent then.
    pub(super) fn spend(&self, spent: &mut Spent, now: Instant) -> Result<(), Duration> {
        let owed = spent
            .0
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let most = self.interval * (self.burst - 1);
        if let Some(wait) = owed.checked_sub(most).filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        spent.0 = Some(now + owed + self.interval);
        Ok(())
    }

    /// Whether there is one left when so many more may yet be spent.
    pub(super) fn has_room(&self, spent: &Spent, pending: u32, now: Instant) -> bool {
        let owed = spent
            .0
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let pending = self.interval.saturating_mul(pending);
        owed.saturating_add(pending) <= self.interval * (self.burst - 1)
    }

    /// Spends one that was kept for this: there is one.
    pub(super) fn spend_kept(&self, spent: &mut Spent, now: Instant) {
        let from = spent.0.map_or(now, |until| until.max(now));
        spent.0 = Some(from + self.interval);
    }

    /// How long it takes until a spent allowance is whole again.
    pub(super) fn whole_after(&self) -> Duration {
        self.interval * self.burst
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Allowance, Spent};

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let (allowance, now) = (Allowance::per_minute(30, 3), Instant::now());
        let mut spent = Spent::default();
        for _ in 0..3 {
            assert_eq!(allowance.spend(&mut spent, now), Ok(()));
        }
        let wait = Duration::from_secs(2);
        assert_eq!(allowance.spend(&mut spent, now), Err(wait));
        assert_eq!(allowance.spend(&mut spent, now + wait), Ok(()));
        assert_eq!(allowance.spend(&mut spent, now + wait), Err(wait));
        assert!(!allowance.has_room(&spent, 0, now + wait));
        let later = now + wait * 2;
        assert!(allowance.has_room(&spent, 0, later) && !allowance.has_room(&spent, 1, later));
    }

    #[test]
    fn a_rest_gives_no_more_than_the_burst() {
        let (allowance, now) = (Allowance::per_minute(60, 2), Instant::now());
        let mut spent = Spent::default();
        assert_eq!(allowance.spend(&mut spent, now), Ok(()));
        let later = now + Duration::from_hours(1);
        assert_eq!(allowance.spend(&mut spent, later), Ok(()));
        assert_eq!(allowance.spend(&mut spent, later), Ok(()));
        assert!(allowance.spend(&mut spent, later).is_err());
    }
}
