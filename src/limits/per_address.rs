//! An allowance for each client address.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::gcra::{Allowance, Spent};

/// Addresses that are remembered; the longest unused is forgotten first.
const ADDRESSES: u64 = 50_000;

/// An allowance for each client address, such as that of failed logins: one is
/// set aside while a login is looked at and given back when it succeeds, so
/// that many at once gain nothing.
#[derive(Clone, Debug)]
pub struct PerAddress {
    allowance: Allowance,
    spent: Cache<IpAddr, Arc<Mutex<Spent>>>,
}

/// Nothing is left; there will be after this time, in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many from this address; try again in {} s", .0.as_secs())]
pub struct Exhausted(pub Duration);

/// One that is set aside. Dropped, it is spent.
#[derive(Debug)]
pub struct Reserved {
    allowance: Allowance,
    spent: Arc<Mutex<Spent>>,
}

impl PerAddress {
    /// So many for each address.
    pub fn new(allowance: Allowance) -> Self {
        Self {
            spent: Cache::builder()
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
            spent: old.spent.clone(),
            ..self
        }
    }

    /// Sets one aside.
    ///
    /// # Errors
    /// [`Exhausted`], in whole seconds.
    pub fn reserve(&self, address: Option<IpAddr>, now: Instant) -> Result<Reserved, Exhausted> {
        // Without an address: a Unix socket, or a peer that is gone already.
        let key = block(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        let spent = self.spent.get_with(key, Arc::default);
        self.allowance
            .spend(
                &mut spent.lock().unwrap_or_else(PoisonError::into_inner),
                now,
            )
            .map_err(|wait| Exhausted(Duration::from_secs(wait.as_secs() + 1)))?;
        Ok(Reserved {
            allowance: self.allowance,
            spent,
        })
    }
}

/// So many that nobody notices.
impl Default for PerAddress {
    fn default() -> Self {
        Self::new(Allowance::per_minute(u32::MAX, u32::MAX))
    }
}

impl Reserved {
    /// It was not used after all.
    pub fn give_back(self) {
        self.allowance
            .give_back(&mut self.spent.lock().unwrap_or_else(PoisonError::into_inner));
    }
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
    use std::{net::IpAddr, time::Instant};

    use super::{Allowance, PerAddress};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_allowance_and_a_network_of_ipv6_one() {
        let allowances = PerAddress::new(Allowance::per_minute(1, 2));
        let now = Instant::now();
        for _ in 0..2 {
            assert!(allowances.reserve(Some(address("192.0.2.1")), now).is_ok());
        }
        assert!(allowances.reserve(Some(address("192.0.2.1")), now).is_err());
        assert!(
            allowances
                .reserve(Some(address("::ffff:192.0.2.1")), now)
                .is_err()
        );
        assert!(allowances.reserve(Some(address("192.0.2.2")), now).is_ok());
        for host in 1..=2 {
            let one = address(&format!("2001:db8::{host}"));
            assert!(allowances.reserve(Some(one), now).is_ok());
        }
        assert!(
            allowances
                .reserve(Some(address("2001:db8::3")), now)
                .is_err()
        );
        assert!(
            allowances
                .reserve(Some(address("2001:db8:0:1::3")), now)
                .is_ok()
        );
    }

    #[test]
    fn what_does_not_fail_is_given_back() {
        let allowances = PerAddress::new(Allowance::per_minute(1, 1));
        let now = Instant::now();
        for _ in 0..100 {
            allowances
                .reserve(Some(address("192.0.2.1")), now)
                .unwrap()
                .give_back();
        }
        let spent = allowances.reserve(Some(address("192.0.2.1")), now).unwrap();
        assert!(allowances.reserve(Some(address("192.0.2.1")), now).is_err());
        drop(spent);
        assert!(allowances.reserve(Some(address("192.0.2.1")), now).is_err());
    }
}
