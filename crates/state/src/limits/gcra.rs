//! A smooth allowance: the generic cell rate algorithm.
//!
//! What was spent is kept as one moment, the one at which all of it will be
//! paid back; everything else follows from that and from now.

use std::time::{Duration, Instant};

/// How deep one may get into debt, in bursts: what a call will read is known
/// only afterwards.
const DEEPEST_DEBT: u64 = 10;

/// So many at once, and then one per so long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// How many come back in a minute; at least 1.
    per_minute: u32,
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
            per_minute: per_minute.max(1),
            burst: burst.max(1),
        }
    }

    /// How many come back in a minute.
    pub fn in_a_minute(self) -> u32 {
        self.per_minute
    }

    /// How many may come at once.
    pub fn at_once(self) -> u32 {
        self.burst
    }

    /// As much as either gives.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self {
            per_minute: self.per_minute.max(other.per_minute),
            burst: self.burst.max(other.burst),
        }
    }

    /// The part of one of so many replicas; at least one.
    pub(super) fn share(self, replicas: u32) -> Self {
        let replicas = replicas.max(1);
        Self::per_minute(self.per_minute / replicas, self.burst / replicas)
    }

    /// The time in which so many come back.
    pub(super) fn cost(self, weight: u64) -> Duration {
        let nanos = u128::from(weight) * 60_000_000_000 / u128::from(self.per_minute);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// What may be owed when one more is wanted.
    pub(super) fn most_owed(self) -> Duration {
        self.whole_after().saturating_sub(self.cost(1))
    }

    /// What can be owed at all.
    pub(super) fn deepest(self) -> Duration {
        self.cost(u64::from(self.burst) * DEEPEST_DEBT)
    }

    /// How long it takes until there is one; zero when there is.
    pub(super) fn wait(self, spent: Spent, now: Instant) -> Duration {
        self.owed(spent, now).saturating_sub(self.most_owed())
    }

    /// Spends so many, whether they are there or not.
    pub(super) fn charge(self, spent: &mut Spent, weight: u64, now: Instant) {
        let owed = self.owed(*spent, now).saturating_add(self.cost(weight));
        spent.0 = now.checked_add(owed.min(self.deepest()));
    }

    /// Spends one.
    ///
    /// # Errors
    /// The time after which there is one again; nothing is spent then.
    pub(super) fn spend(self, spent: &mut Spent, now: Instant) -> Result<(), Duration> {
        let wait = self.wait(*spent, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.charge(spent, 1, now);
        Ok(())
    }

    /// Whether there is one left when so many more may yet be spent.
    pub(super) fn has_room(self, spent: Spent, pending: u32, now: Instant) -> bool {
        let owed = self.owed(spent, now);
        owed.saturating_add(self.cost(u64::from(pending))) <= self.most_owed()
    }

    /// What is spent when one has to wait so long.
    pub(super) fn spent_for(self, wait: Duration, now: Instant) -> Spent {
        let owed = wait.saturating_add(self.most_owed()).min(self.deepest());
        Spent(now.checked_add(owed))
    }

    /// How long it takes until a spent allowance is whole again.
    pub(super) fn whole_after(self) -> Duration {
        self.cost(u64::from(self.burst))
    }

    fn owed(self, spent: Spent, now: Instant) -> Duration {
        let owed = spent
            .0
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        // What an allowance that was larger left behind, before a reload.
        owed.min(self.deepest())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

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
        assert!(!allowance.has_room(spent, 0, now + wait));
        let later = now + wait * 2;
        assert!(allowance.has_room(spent, 0, later) && !allowance.has_room(spent, 1, later));
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

    #[test]
    fn a_debt_is_waited_for_and_has_a_bottom() {
        let (allowance, now) = (Allowance::per_minute(60, 60), Instant::now());
        let mut spent = Spent::default();
        allowance.charge(&mut spent, 90, now);
        assert_eq!(allowance.wait(spent, now), Duration::from_secs(31));
        allowance.charge(&mut spent, u64::MAX, now);
        assert_eq!(allowance.wait(spent, now), Duration::from_secs(9 * 60 + 1));
    }

    proptest! {
        #[test]
        fn no_time_gives_more_than_the_burst_and_what_came_back(
            per_minute in 1_u32..10_000,
            burst in 1_u32..50,
            steps in prop::collection::vec(0_u64..5_000, 1..300),
        ) {
            let allowance = Allowance::per_minute(per_minute, burst);
            let (mut now, mut spent) = (Instant::now(), Spent::default());
            let (mut elapsed, mut through) = (Duration::ZERO, 0_u64);
            for step in steps {
                let step = Duration::from_millis(step);
                (now, elapsed) = (now + step, elapsed + step);
                match allowance.spend(&mut spent, now) {
                    Ok(()) => through += 1,
                    // What is told is enough, and no less would be.
                    Err(wait) => {
                        let early = now + wait.saturating_sub(Duration::from_nanos(1));
                        prop_assert!(allowance.spend(&mut spent.clone(), early).is_err());
                        prop_assert!(allowance.spend(&mut spent.clone(), now + wait).is_ok());
                    }
                }
                let back = elapsed.as_nanos() * u128::from(per_minute) / 60_000_000_000;
                prop_assert!(u128::from(through) <= u128::from(burst) + back + 1);
            }
        }
    }

    #[test]
    fn a_share_is_never_nothing() {
        let share = Allowance::per_minute(10, 3).share(4);
        assert_eq!(share, Allowance::per_minute(2, 1));
    }
}
