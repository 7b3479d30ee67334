//! A rate limit for each client address.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use moka::sync::Cache;
use tokio::{sync::Notify, time::timeout};

use super::{
    RateLimited,
    gcra::{Rate, RateUsage},
    request::LimitScope,
};
use gatepost_base::sync::lock;

/// The most addresses that are stored; the longest unused is evicted first.
const MAX_ADDRESSES: u64 = 50_000;

/// How long to wait for pending reservations of the same address.
const RESERVE_TIMEOUT: Duration = Duration::from_secs(2);

/// A rate limit for each client address, such as for failed logins.
///
/// A login reserves one unit while it is checked and spends it only if it fails.
/// When all remaining units are reserved, the next login waits for the outcome of
/// the others; so concurrency neither evades the limit nor costs valid logins.
#[derive(Clone, Debug)]
pub struct AddressLimiter {
    rate: Rate,
    addresses: Cache<IpAddr, Arc<AddressState>>,
}

/// The state of one address.
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

/// A reserved unit. Dropping it spends the unit.
#[derive(Debug)]
pub struct AddressReservation {
    rate: Rate,
    state: Arc<AddressState>,
    reserved_at: Instant,
    charge_on_drop: bool,
}

impl AddressLimiter {
    /// A limiter with this rate for each address.
    pub fn new(rate: Rate) -> Self {
        Self {
            addresses: Cache::builder()
                .max_capacity(MAX_ADDRESSES)
                .time_to_idle(rate.full_refill_time())
                .build(),
            rate,
        }
    }

    /// The same limiter with the usage of the old one.
    #[must_use]
    pub fn with_state_of(self, old: &Self) -> Self {
        Self {
            addresses: old.addresses.clone(),
            ..self
        }
    }

    /// Spends one unit.
    ///
    /// # Errors
    /// [`RateLimited`]; nothing is spent.
    pub fn try_spend(&self, address: Option<IpAddr>, now: Instant) -> Result<(), RateLimited> {
        let state = self.state_of(address);
        let mut usage = lock(&state.usage);
        self.rate
            .try_spend(&mut usage.spent, now)
            .map_err(rate_limited)
    }

    /// Reserves one unit; waits briefly if pending reservations decide.
    ///
    /// # Errors
    /// [`RateLimited`].
    pub async fn reserve(
        &self,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<AddressReservation, RateLimited> {
        let state = self.state_of(address);
        let waiting = async {
            loop {
                // Registered before the check, so that no release is missed.
                let freed = state.released.notified();
                if let Some(decision) = self.try_reserve(&state, now) {
                    return decision;
                }
                freed.await;
            }
        };
        timeout(RESERVE_TIMEOUT, waiting)
            .await
            .unwrap_or_else(|_elapsed| Err(rate_limited(Duration::ZERO)))
    }

    /// `None` if pending reservations decide.
    fn try_reserve(
        &self,
        state: &Arc<AddressState>,
        now: Instant,
    ) -> Option<Result<AddressReservation, RateLimited>> {
        let mut usage = lock(&state.usage);
        if self.rate.has_capacity(usage.spent, usage.reserved, now) {
            usage.reserved += 1;
            return Some(Ok(AddressReservation {
                rate: self.rate,
                state: Arc::clone(state),
                reserved_at: now,
                charge_on_drop: true,
            }));
        }
        // On a copy, only to compute the wait.
        let mut spent = usage.spent;
        let wait = self.rate.try_spend(&mut spent, now).err()?;
        Some(Err(rate_limited(wait)))
    }

    fn state_of(&self, address: Option<IpAddr>) -> Arc<AddressState> {
        // Without an address: a Unix socket, or a peer that has disconnected.
        let key = network_of(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        self.addresses.get_with(key, Arc::default)
    }
}

/// A limiter that never limits.
impl Default for AddressLimiter {
    fn default() -> Self {
        Self::new(Rate::per_minute(u32::MAX, u32::MAX))
    }
}

impl AddressReservation {
    /// Returns the unit unspent.
    pub fn release(mut self) {
        self.charge_on_drop = false;
    }
}

impl Drop for AddressReservation {
    fn drop(&mut self) {
        let mut usage = lock(&self.state.usage);
        usage.reserved = usage.reserved.saturating_sub(1);
        if self.charge_on_drop {
            self.rate.charge(&mut usage.spent, 1, self.reserved_at);
        }
        drop(usage);
        self.state.released.notify_waiters();
    }
}

fn rate_limited(wait: Duration) -> RateLimited {
    RateLimited::exceeded(LimitScope::Address, wait)
}

/// The address, or the /64 network for IPv6: customers get at least that much.
pub fn network_of(address: IpAddr) -> IpAddr {
    network_of_length(address, 64)
}

/// The network of an IPv6 address with this length, 1 to 128; an IPv4 address itself.
pub fn network_of_length(address: IpAddr, bits: u32) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(
            v6.to_bits() & (u128::MAX << (128 - bits)),
        )),
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
