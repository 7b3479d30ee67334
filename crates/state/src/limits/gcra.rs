//! The generic cell rate algorithm (GCRA).
//!
//! Usage is stored as a single instant: the time at which all of it will be
//! refilled. Everything else follows from that instant and the current time.

use std::time::{Duration, Instant};

/// The largest debt, in bursts. Debt exists because the size of a read is known
/// only afterwards.
const MAX_DEBT_BURSTS: u64 = 10;

/// A rate: a burst, refilled at a constant pace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Units refilled per minute; at least 1.
    per_minute: u32,
    /// Units available at once; at least 1.
    burst: u32,
}

/// The time at which all usage will be refilled. `None` or a past time is no usage.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RateUsage(Option<Instant>);

impl Rate {
    /// A rate of `per_minute` in the long run and `burst` at once; each at least 1.
    pub fn per_minute(per_minute: u32, burst: u32) -> Self {
        Self {
            per_minute: per_minute.max(1),
            burst: burst.max(1),
        }
    }

    /// Units refilled per minute.
    pub fn refill_per_minute(self) -> u32 {
        self.per_minute
    }

    /// Units available at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The larger rate and burst of both.
    #[must_use]
    pub fn more_generous(self, other: Self) -> Self {
        Self {
            per_minute: self.per_minute.max(other.per_minute),
            burst: self.burst.max(other.burst),
        }
    }

    /// The share of one of this number of replicas; at least one.
    pub(super) fn replica_share(self, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        Self::per_minute(self.per_minute / replicas, self.burst / replicas)
    }

    /// The time in which this amount is refilled.
    pub(super) fn cost(self, amount: u64) -> Duration {
        let nanos = u128::from(amount) * 60_000_000_000 / u128::from(self.per_minute);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The largest debt at which one more unit is allowed.
    pub(super) fn burst_tolerance(self) -> Duration {
        self.full_refill_time().saturating_sub(self.cost(1))
    }

    /// The largest possible debt.
    pub(super) fn max_debt(self) -> Duration {
        self.cost(u64::from(self.burst) * MAX_DEBT_BURSTS)
    }

    /// How long until one unit is available; zero if it is.
    pub(super) fn wait_time(self, usage: RateUsage, now: Instant) -> Duration {
        self.debt(usage, now).saturating_sub(self.burst_tolerance())
    }

    /// Spends an amount, even if it is not available.
    pub(super) fn charge(self, usage: &mut RateUsage, amount: u64, now: Instant) {
        let debt = self.debt(*usage, now).saturating_add(self.cost(amount));
        usage.0 = now.checked_add(debt.min(self.max_debt()));
    }

    /// Spends one unit.
    ///
    /// # Errors
    /// The time until one is available; nothing is spent.
    pub(super) fn try_spend(self, usage: &mut RateUsage, now: Instant) -> Result<(), Duration> {
        let wait = self.wait_time(*usage, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.charge(usage, 1, now);
        Ok(())
    }

    /// Whether one unit is left if `pending` more are spent.
    pub(super) fn has_capacity(self, usage: RateUsage, pending: u32, now: Instant) -> bool {
        let debt = self.debt(usage, now);
        debt.saturating_add(self.cost(u64::from(pending))) <= self.burst_tolerance()
    }

    /// The usage that makes callers wait this long.
    pub(super) fn usage_for_wait(self, wait: Duration, now: Instant) -> RateUsage {
        let debt = wait
            .saturating_add(self.burst_tolerance())
            .min(self.max_debt());
        RateUsage(now.checked_add(debt))
    }

    /// The time to refill the whole burst.
    pub(super) fn full_refill_time(self) -> Duration {
        self.cost(u64::from(self.burst))
    }

    fn debt(self, usage: RateUsage, now: Instant) -> Duration {
        let debt = usage
            .0
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        // A reload may have reduced the rate.
        debt.min(self.max_debt())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Rate, RateUsage};

    #[test]
    fn burst_passes_then_one_per_interval() {
        let (rate, now) = (Rate::per_minute(30, 3), Instant::now());
        let mut usage = RateUsage::default();
        for _ in 0..3 {
            assert_eq!(rate.try_spend(&mut usage, now), Ok(()));
        }
        let wait = Duration::from_secs(2);
        assert_eq!(rate.try_spend(&mut usage, now), Err(wait));
        assert_eq!(rate.try_spend(&mut usage, now + wait), Ok(()));
        assert_eq!(rate.try_spend(&mut usage, now + wait), Err(wait));
        assert!(!rate.has_capacity(usage, 0, now + wait));
        let later = now + wait * 2;
        assert!(rate.has_capacity(usage, 0, later) && !rate.has_capacity(usage, 1, later));
    }

    #[test]
    fn idle_time_refills_at_most_the_burst() {
        let (rate, now) = (Rate::per_minute(60, 2), Instant::now());
        let mut usage = RateUsage::default();
        assert_eq!(rate.try_spend(&mut usage, now), Ok(()));
        let later = now + Duration::from_hours(1);
        assert_eq!(rate.try_spend(&mut usage, later), Ok(()));
        assert_eq!(rate.try_spend(&mut usage, later), Ok(()));
        assert!(rate.try_spend(&mut usage, later).is_err());
    }

    #[test]
    fn debt_delays_requests_and_is_capped() {
        let (rate, now) = (Rate::per_minute(60, 60), Instant::now());
        let mut usage = RateUsage::default();
        rate.charge(&mut usage, 90, now);
        assert_eq!(rate.wait_time(usage, now), Duration::from_secs(31));
        rate.charge(&mut usage, u64::MAX, now);
        assert_eq!(rate.wait_time(usage, now), Duration::from_secs(9 * 60 + 1));
    }

    proptest! {
        #[test]
        fn never_allows_more_than_the_burst_plus_the_refill(
            per_minute in 1_u32..10_000,
            burst in 1_u32..50,
            steps in prop::collection::vec(0_u64..5_000, 1..300),
        ) {
            let rate = Rate::per_minute(per_minute, burst);
            let (mut now, mut usage) = (Instant::now(), RateUsage::default());
            let (mut elapsed, mut through) = (Duration::ZERO, 0_u64);
            for step in steps {
                let step = Duration::from_millis(step);
                (now, elapsed) = (now + step, elapsed + step);
                match rate.try_spend(&mut usage, now) {
                    Ok(()) => through += 1,
                    // The reported wait is sufficient, and no shorter one is.
                    Err(wait) => {
                        let early = now + wait.saturating_sub(Duration::from_nanos(1));
                        prop_assert!(rate.try_spend(&mut usage.clone(), early).is_err());
                        prop_assert!(rate.try_spend(&mut usage.clone(), now + wait).is_ok());
                    }
                }
                let back = elapsed.as_nanos() * u128::from(per_minute) / 60_000_000_000;
                prop_assert!(u128::from(through) <= u128::from(burst) + back + 1);
            }
        }
    }

    #[test]
    fn replica_share_is_at_least_one() {
        let share = Rate::per_minute(10, 3).replica_share(4);
        assert_eq!(share, Rate::per_minute(2, 1));
    }
}
