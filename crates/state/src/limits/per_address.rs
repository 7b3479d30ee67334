//! An allowance for each client address.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tokio::{sync::Notify, time::timeout};

use super::gcra::{Rate, RateUsage};

/// Addresses that are remembered; the longest unused is forgotten first.
const MAX_ADDRESSES: u64 = 50_000;

/// How long one waits for others of the same address whose end is not known.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);

/// An allowance for each client address, such as that of failed logins.
///
/// One is set aside while a login is looked at and spent only if it fails. Many
/// at once gain nothing, and many good ones lose nothing: who comes when all that
/// is left is set aside, waits for how the others end.
#[derive(Clone, Debug)]
pub struct AddressLimiter {
    rate: Rate,
    addresses: Cache<IpAddr, Arc<AddressState>>,
}

/// What is known of one address.
#[derive(Debug, Default)]
struct AddressState {
    usage: Mutex<AddressUsage>,
    released: Notify,
}

#[derive(Debug, Default)]
struct AddressUsage {
    spent: RateUsage,
    reserved: u32,
}

/// Nothing is left; there will be after this time, in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many from this address; try again in {} s", .0.as_secs())]
pub struct AddressRateLimited(pub Duration);

/// One that is set aside. Dropped, it is spent.
#[derive(Debug)]
pub struct AddressReservation {
    rate: Rate,
    state: Arc<AddressState>,
    reserved_at: Instant,
    charge_on_drop: bool,
}

impl AddressLimiter {
    /// So many for each address.
    pub fn new(rate: Rate) -> Self {
        Self {
            addresses: Cache::builder()
                .max_capacity(MAX_ADDRESSES)
                .time_to_idle(rate.full_refill_time())
                .build(),
            rate,
        }
    }

    /// The same allowance, with what was spent of the old one.
    #[must_use]
    pub fn with_state_of(self, old: &Self) -> Self {
        Self {
            addresses: old.addresses.clone(),
            ..self
        }
    }

    /// Spends one.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is spent then.
    pub fn try_spend(
        &self,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), AddressRateLimited> {
        let place = self.state_of(address);
        let mut account = place.lock_usage();
        self.rate
            .try_spend(&mut account.spent, now)
            .map_err(address_rate_limited)
    }

    /// Sets one aside; waits a moment where it depends on others.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub async fn reserve(
        &self,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<AddressReservation, AddressRateLimited> {
        let place = self.state_of(address);
        let waiting = async {
            loop {
                // Before the look, so that nobody is missed who ends in between.
                let freed = place.released.notified();
                if let Some(told) = self.try_reserve(&place, now) {
                    return told;
                }
                freed.await;
            }
        };
        timeout(RESERVE_TIMEOUT, waiting)
            .await
            .unwrap_or(Err(AddressRateLimited(Duration::from_secs(1))))
    }

    /// None where it depends on how others end.
    fn try_reserve(
        &self,
        place: &Arc<AddressState>,
        now: Instant,
    ) -> Option<Result<AddressReservation, AddressRateLimited>> {
        let mut account = place.lock_usage();
        if self.rate.has_capacity(account.spent, account.reserved, now) {
            account.reserved += 1;
            return Some(Ok(AddressReservation {
                rate: self.rate,
                state: Arc::clone(place),
                reserved_at: now,
                charge_on_drop: true,
            }));
        }
        // On a copy: only to know how long.
        let mut spent = account.spent;
        let exhausted = self.rate.try_spend(&mut spent, now).err()?;
        Some(Err(address_rate_limited(exhausted)))
    }

    fn state_of(&self, address: Option<IpAddr>) -> Arc<AddressState> {
        // Without an address: a Unix socket, or a peer that is gone already.
        let key = network_of(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        self.addresses.get_with(key, Arc::default)
    }
}

/// So many that nobody notices.
impl Default for AddressLimiter {
    fn default() -> Self {
        Self::new(Rate::per_minute(u32::MAX, u32::MAX))
    }
}

impl AddressState {
    fn lock_usage(&self) -> MutexGuard<'_, AddressUsage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AddressReservation {
    /// It was not used after all.
    pub fn release(mut self) {
        self.charge_on_drop = false;
    }
}

impl Drop for AddressReservation {
    fn drop(&mut self) {
        let mut account = self.state.lock_usage();
        account.reserved = account.reserved.saturating_sub(1);
        if self.charge_on_drop {
            self.rate.charge(&mut account.spent, 1, self.reserved_at);
        }
        drop(account);
        self.state.released.notify_waiters();
    }
}

fn address_rate_limited(wait: Duration) -> AddressRateLimited {
    AddressRateLimited(Duration::from_secs(wait.as_secs() + 1))
}

/// An IPv6 customer has a whole /64 at least.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc, time::Instant};

    use super::{AddressLimiter, Rate};

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn addresses_are_limited_separately_and_ipv6_by_network() {
        let allowances = AddressLimiter::new(Rate::per_minute(1, 2));
        let now = Instant::now();
        let spend = |text| allowances.try_spend(address(text), now).is_ok();
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
    async fn released_reservation_is_free_and_dropped_one_is_spent() {
        let allowances = AddressLimiter::new(Rate::per_minute(1, 1));
        let (now, from) = (Instant::now(), address("192.0.2.1"));
        for _ in 0..100 {
            allowances.reserve(from, now).await.unwrap().release();
        }
        drop(allowances.reserve(from, now).await.unwrap());
        assert!(allowances.reserve(from, now).await.is_err());
    }

    #[tokio::test]
    async fn concurrent_successes_all_pass_and_failures_are_limited() {
        let allowances = Arc::new(AddressLimiter::new(Rate::per_minute(1, 3)));
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
                                reserved.release();
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
