//! A smooth allowance: the generic cell rate algorithm.
//!
//! What was spent is kept as one moment, the one at which all of it will be
//! paid back; everything else follows from that and from now.

use std::time::{Duration, Instant};

/// How deep one may get into debt, in bursts: what a call will read is known
/// only afterwards.
const MAX_DEBT_BURSTS: u64 = 10;

/// So many at once, and then one per so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// How many come back in a minute; at least 1.
    per_minute: u32,
    /// How many may come at once; at least 1.
    burst: u32,
}

/// When everything that was spent will be paid back; past or never is a whole
/// allowance.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RateUsage(Option<Instant>);

impl Rate {
    /// `per_minute` in the long run, `burst` at once. Of neither less than 1.
    pub fn per_minute(per_minute: u32, burst: u32) -> Self {
        Self {
            per_minute: per_minute.max(1),
            burst: burst.max(1),
        }
    }

    /// How many come back in a minute.
    pub fn refill_per_minute(self) -> u32 {
        self.per_minute
    }

    /// How many may come at once.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// As much as either gives.
    #[must_use]
    pub fn more_generous(self, other: Self) -> Self {
        Self {
            per_minute: self.per_minute.max(other.per_minute),
            burst: self.burst.max(other.burst),
        }
    }

    /// The part of one of so many replicas; at least one.
    pub(super) fn replica_share(self, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        Self::per_minute(self.per_minute / replicas, self.burst / replicas)
    }

    /// The time in which so many come back.
    pub(super) fn cost(self, weight: u64) -> Duration {
        let nanos = u128::from(weight) * 60_000_000_000 / u128::from(self.per_minute);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// What may be owed when one more is wanted.
    pub(super) fn burst_tolerance(self) -> Duration {
        self.full_refill_time().saturating_sub(self.cost(1))
    }

    /// What can be owed at all.
    pub(super) fn max_debt(self) -> Duration {
        self.cost(u64::from(self.burst) * MAX_DEBT_BURSTS)
    }

    /// How long it takes until there is one; zero when there is.
    pub(super) fn wait_time(self, spent: RateUsage, now: Instant) -> Duration {
        self.debt(spent, now).saturating_sub(self.burst_tolerance())
    }

    /// Spends so many, whether they are there or not.
    pub(super) fn charge(self, spent: &mut RateUsage, weight: u64, now: Instant) {
        let owed = self.debt(*spent, now).saturating_add(self.cost(weight));
        spent.0 = now.checked_add(owed.min(self.max_debt()));
    }

    /// Spends one.
    ///
    /// # Errors
    /// The time after which there is one again; nothing is spent then.
    pub(super) fn try_spend(self, spent: &mut RateUsage, now: Instant) -> Result<(), Duration> {
        let wait = self.wait_time(*spent, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.charge(spent, 1, now);
        Ok(())
    }

    /// Whether there is one left when so many more may yet be spent.
    pub(super) fn has_capacity(self, spent: RateUsage, pending: u32, now: Instant) -> bool {
        let owed = self.debt(spent, now);
        owed.saturating_add(self.cost(u64::from(pending))) <= self.burst_tolerance()
    }

    /// What is spent when one has to wait so long.
    pub(super) fn usage_for_wait(self, wait: Duration, now: Instant) -> RateUsage {
        let owed = wait
            .saturating_add(self.burst_tolerance())
            .min(self.max_debt());
        RateUsage(now.checked_add(owed))
    }

    /// How long it takes until a spent allowance is whole again.
    pub(super) fn full_refill_time(self) -> Duration {
        self.cost(u64::from(self.burst))
    }

    fn debt(self, spent: RateUsage, now: Instant) -> Duration {
        let owed = spent
            .0
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        // What an allowance that was larger left behind, before a reload.
        owed.min(self.max_debt())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Rate, RateUsage};

    #[test]
    fn burst_passes_then_one_per_interval() {
        let (allowance, now) = (Rate::per_minute(30, 3), Instant::now());
        let mut spent = RateUsage::default();
        for _ in 0..3 {
            assert_eq!(allowance.try_spend(&mut spent, now), Ok(()));
        }
        let wait = Duration::from_secs(2);
        assert_eq!(allowance.try_spend(&mut spent, now), Err(wait));
        assert_eq!(allowance.try_spend(&mut spent, now + wait), Ok(()));
        assert_eq!(allowance.try_spend(&mut spent, now + wait), Err(wait));
        assert!(!allowance.has_capacity(spent, 0, now + wait));
        let later = now + wait * 2;
        assert!(
            allowance.has_capacity(spent, 0, later) && !allowance.has_capacity(spent, 1, later)
        );
    }

    #[test]
    fn idle_time_refills_at_most_the_burst() {
        let (allowance, now) = (Rate::per_minute(60, 2), Instant::now());
        let mut spent = RateUsage::default();
        assert_eq!(allowance.try_spend(&mut spent, now), Ok(()));
        let later = now + Duration::from_hours(1);
        assert_eq!(allowance.try_spend(&mut spent, later), Ok(()));
        assert_eq!(allowance.try_spend(&mut spent, later), Ok(()));
        assert!(allowance.try_spend(&mut spent, later).is_err());
    }

    #[test]
    fn debt_delays_requests_and_is_capped() {
        let (allowance, now) = (Rate::per_minute(60, 60), Instant::now());
        let mut spent = RateUsage::default();
        allowance.charge(&mut spent, 90, now);
        assert_eq!(allowance.wait_time(spent, now), Duration::from_secs(31));
        allowance.charge(&mut spent, u64::MAX, now);
        assert_eq!(
            allowance.wait_time(spent, now),
            Duration::from_secs(9 * 60 + 1)
        );
    }

    proptest! {
        #[test]
        fn never_allows_more_than_the_burst_plus_the_refill(
            per_minute in 1_u32..10_000,
            burst in 1_u32..50,
            steps in prop::collection::vec(0_u64..5_000, 1..300),
        ) {
            let allowance = Rate::per_minute(per_minute, burst);
            let (mut now, mut spent) = (Instant::now(), RateUsage::default());
            let (mut elapsed, mut through) = (Duration::ZERO, 0_u64);
            for step in steps {
                let step = Duration::from_millis(step);
                (now, elapsed) = (now + step, elapsed + step);
                match allowance.try_spend(&mut spent, now) {
                    Ok(()) => through += 1,
                    // What is told is enough, and no less would be.
                    Err(wait) => {
                        let early = now + wait.saturating_sub(Duration::from_nanos(1));
                        prop_assert!(allowance.try_spend(&mut spent.clone(), early).is_err());
                        prop_assert!(allowance.try_spend(&mut spent.clone(), now + wait).is_ok());
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
