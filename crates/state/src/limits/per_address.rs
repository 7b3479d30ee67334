//! An allowance for each client address.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tokio::{sync::Notify, time::timeout};

use super::gcra::{Allowance, Spent};

/// Addresses that are remembered; the longest unused is forgotten first.
const ADDRESSES: u64 = 50_000;

/// How long one waits for others of the same address whose end is not known.
const WAIT: Duration = Duration::from_secs(2);

/// An allowance for each client address, such as that of failed logins.
///
/// One is set aside while a login is looked at and spent only if it fails. Many
/// at once gain nothing, and many good ones lose nothing: who comes when all that
/// is left is set aside, waits for how the others end.
#[derive(Clone, Debug)]
pub struct PerAddress {
    allowance: Allowance,
    places: Cache<IpAddr, Arc<Place>>,
}

/// What is known of one address.
#[derive(Debug, Default)]
struct Place {
    account: Mutex<Account>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Account {
    spent: Spent,
    set_aside: u32,
}

/// Nothing is left; there will be after this time, in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many from this address; try again in {} s", .0.as_secs())]
pub struct Exhausted(pub Duration);

/// One that is set aside. Dropped, it is spent.
#[derive(Debug)]
pub struct Reserved {
    allowance: Allowance,
    place: Arc<Place>,
    now: Instant,
    used: bool,
}

impl PerAddress {
    /// So many for each address.
    pub fn new(allowance: Allowance) -> Self {
        Self {
            places: Cache::builder()
                .max_capacity(ADDRESSES)
                .time_to_idle(allowance.whole_after())
                .build(),
            allowance,
        }
    }

    /// The same allowance, with what was spent of the old one.
    #[must_use]
    pub fn after(self, old: &Self) -> Self {
        Self {
            places: old.places.clone(),
            ..self
        }
    }

    /// Spends one.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is spent then.
    pub fn spend(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Exhausted> {
        let place = self.place(address);
        let mut account = place.account();
        self.allowance
            .spend(&mut account.spent, now)
            .map_err(whole_seconds)
    }

    /// Sets one aside; waits a moment where it depends on others.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub async fn reserve(
        &self,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<Reserved, Exhausted> {
        let place = self.place(address);
        let waiting = async {
            loop {
                // Before the look, so that nobody is missed who ends in between.
                let freed = place.freed.notified();
                if let Some(told) = self.try_reserve(&place, now) {
                    return told;
                }
                freed.await;
            }
        };
        timeout(WAIT, waiting)
            .await
            .unwrap_or(Err(Exhausted(Duration::from_secs(1))))
    }

    /// None where it depends on how others end.
    fn try_reserve(&self, place: &Arc<Place>, now: Instant) -> Option<Result<Reserved, Exhausted>> {
        let mut account = place.account();
        if self
            .allowance
            .has_room(account.spent, account.set_aside, now)
        {
            account.set_aside += 1;
            return Some(Ok(Reserved {
                allowance: self.allowance,
                place: Arc::clone(place),
                now,
                used: true,
            }));
        }
        // On a copy: only to know how long.
        let mut spent = account.spent;
        let exhausted = self.allowance.spend(&mut spent, now).err()?;
        Some(Err(whole_seconds(exhausted)))
    }

    fn place(&self, address: Option<IpAddr>) -> Arc<Place> {
        // Without an address: a Unix socket, or a peer that is gone already.
        let key = block(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        self.places.get_with(key, Arc::default)
    }
}

/// So many that nobody notices.
impl Default for PerAddress {
    fn default() -> Self {
        Self::new(Allowance::per_minute(u32::MAX, u32::MAX))
    }
}

impl Place {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reserved {
    /// It was not used after all.
    pub fn give_back(mut self) {
        self.used = false;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut account = self.place.account();
        account.set_aside = account.set_aside.saturating_sub(1);
        if self.used {
            self.allowance.charge(&mut account.spent, 1, self.now);
        }
        drop(account);
        self.place.freed.notify_waiters();
    }
}

fn whole_seconds(wait: Duration) -> Exhausted {
    Exhausted(Duration::from_secs(wait.as_secs() + 1))
}

/// An IPv6 customer has a whole /64 at least.
pub(super) fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc, time::Instant};

    use super::{Allowance, PerAddress};

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn each_address_has_its_own_allowance_and_a_network_of_ipv6_one() {
        let allowances = PerAddress::new(Allowance::per_minute(1, 2));
        let now = Instant::now();
        let spend = |text| allowances.spend(address(text), now).is_ok();
        for _ in 0..2 {
            assert!(spend("192.0.2.1"));
        }
        assert!(!spend("192.0.2.1") && !spend("::ffff:192.0.2.1"));
        assert!(spend("192.0.2.2"));
        assert!(spend("2001:db8::1") && spend("2001:db8::2"));
        assert!(!spend("2001:db8::3"));
        assert!(spend("2001:db8:0:1::3"));
    }

    #[tokio::test]
    async fn what_does_not_fail_is_given_back_and_what_fails_is_spent() {
        let allowances = PerAddress::new(Allowance::per_minute(1, 1));
        let (now, from) = (Instant::now(), address("192.0.2.1"));
        for _ in 0..100 {
            allowances.reserve(from, now).await.unwrap().give_back();
        }
        drop(allowances.reserve(from, now).await.unwrap());
        assert!(allowances.reserve(from, now).await.is_err());
    }

    #[tokio::test]
    async fn many_good_ones_at_once_all_pass_and_no_bad_one_more_than_is_allowed() {
        let allowances = Arc::new(PerAddress::new(Allowance::per_minute(1, 3)));
        let (now, from) = (Instant::now(), address("192.0.2.1"));
        let all = |good: bool| {
            let allowances = Arc::clone(&allowances);
            async move {
                let one = || async {
                    let reserved = allowances.reserve(from, now).await;
                    tokio::task::yield_now().await;
                    reserved
                        .map(|reserved| {
                            if good {
                                reserved.give_back();
                            } else {
                                drop(reserved);
                            }
                        })
                        .is_ok()
                };
                let passed = futures_util::future::join_all((0..100).map(|_| one())).await;
                passed.into_iter().filter(|passed| *passed).count()
            }
        };
        assert_eq!(all(true).await, 100);
        assert_eq!(all(false).await, 3);
    }
}
