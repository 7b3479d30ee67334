//! The requests in flight: how many each caller and each address has, and how much
//! memory their bodies take.
//!
//! Rates bound how often a client asks, not how much of the gateway it holds at
//! once: a client that sends a thousand bodies slowly holds a thousand of them.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use super::RequestError;
use gatepost_base::sync::lock;
use gatepost_identity::Caller;
use gatepost_state::limits::network_of;

/// The part of each body that needs no room in the budget, in bytes. It is
/// bounded by the number of connections, and lets small requests through while
/// large ones use up the budget.
const FREE_BODY_BYTES: usize = 16 << 10;

/// How much may be in flight at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InFlightLimits {
    /// Requests of one caller.
    pub per_caller: usize,
    /// Requests from one address, or from one /64 of IPv6.
    pub per_address: usize,
    /// Bytes of all request bodies, of which one caller or one address has at most
    /// a quarter.
    pub body_bytes: usize,
}

/// The requests in flight in this process.
#[derive(Debug, Default)]
pub struct InFlightRequests(Mutex<InFlightTable>);

#[derive(Debug, Default)]
struct InFlightTable {
    by_address: HashMap<IpAddr, InFlightUse>,
    by_caller: HashMap<CallerKey, InFlightUse>,
    body_bytes: usize,
}

/// What one caller or one address has in flight.
#[derive(Clone, Copy, Debug, Default)]
struct InFlightUse {
    requests: usize,
    body_bytes: usize,
}

/// What identifies a caller ([`Caller::identity`]).
type CallerKey = Arc<[Box<str>; 3]>;

/// One request in flight, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct InFlightRequest {
    requests: Arc<InFlightRequests>,
    /// `None` over stdin, which has no limits.
    limits: Option<InFlightLimits>,
    address: Option<IpAddr>,
    caller: Option<CallerKey>,
    body: Mutex<BodySize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct BodySize {
    received: usize,
    /// Those of them that were taken from the budget.
    budgeted: usize,
}

/// The bodies in flight leave no room for more of this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyBodies;

impl InFlightRequests {
    /// Starts a request from an address; without one it counts for no address.
    ///
    /// # Errors
    /// [`RequestError::TooManyInFlight`].
    pub(super) fn start(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: InFlightLimits,
    ) -> Result<InFlightRequest, RequestError> {
        let address = address.map(network_of);
        if let Some(address) = address {
            let mut table = lock(&self.0);
            count(&mut table.by_address, address, limits.per_address)
                .map_err(|()| RequestError::TooManyInFlight("from this address"))?;
        }
        Ok(InFlightRequest {
            requests: Arc::clone(self),
            limits: Some(limits),
            address,
            caller: None,
            body: Mutex::default(),
        })
    }
}

impl InFlightRequest {
    /// Counts the request for its caller as well.
    ///
    /// # Errors
    /// [`RequestError::TooManyInFlight`].
    pub(super) fn authenticated(&mut self, caller: &Caller) -> Result<(), RequestError> {
        let Some(limits) = self.limits else {
            return Ok(());
        };
        let key: CallerKey = Arc::new(caller.identity().map(Into::into));
        let mut table = lock(&self.requests.0);
        count(&mut table.by_caller, Arc::clone(&key), limits.per_caller)
            .map_err(|()| RequestError::TooManyInFlight("of this caller"))?;
        drop(table);
        self.caller = Some(key);
        Ok(())
    }

    /// Takes room for more bytes of the body, which is given up with the request.
    ///
    /// # Errors
    /// [`TooManyBodies`].
    pub(super) fn reserve_body(&self, bytes: usize) -> Result<(), TooManyBodies> {
        let Some(limits) = self.limits else {
            return Ok(());
        };
        let mut body = lock(&self.body);
        let received = body.received.saturating_add(bytes);
        let budgeted = received.saturating_sub(FREE_BODY_BYTES);
        let more = budgeted.saturating_sub(body.budgeted);
        if more > 0 {
            let share = limits.body_bytes / 4;
            let mut table = lock(&self.requests.0);
            let table = &mut *table;
            let of_address = self.address.as_ref();
            let of_address = of_address.and_then(|address| table.by_address.get_mut(address));
            let of_caller = self.caller.as_ref();
            let of_caller = of_caller.and_then(|caller| table.by_caller.get_mut(caller));
            // A share has room for one body of the largest size: that is checked.
            let total = table.body_bytes.saturating_add(more);
            let fits = |used: &InFlightUse| used.body_bytes.saturating_add(more) <= share;
            let mut shares: Vec<&mut InFlightUse> =
                of_address.into_iter().chain(of_caller).collect();
            if total > limits.body_bytes || !shares.iter().all(|used| fits(used)) {
                return Err(TooManyBodies);
            }
            table.body_bytes = total;
            for used in &mut shares {
                used.body_bytes = used.body_bytes.saturating_add(more);
            }
        }
        *body = BodySize { received, budgeted };
        Ok(())
    }
}

impl Drop for InFlightRequest {
    fn drop(&mut self) {
        let bytes = lock(&self.body).budgeted;
        let mut table = lock(&self.requests.0);
        table.body_bytes = table.body_bytes.saturating_sub(bytes);
        if let Some(address) = self.address {
            discount(&mut table.by_address, address, bytes);
        }
        if let Some(caller) = self.caller.take() {
            discount(&mut table.by_caller, caller, bytes);
        }
    }
}

/// Counts one more request, unless there are as many as allowed.
fn count<K: Eq + Hash>(table: &mut HashMap<K, InFlightUse>, key: K, most: usize) -> Result<(), ()> {
    let used = table.entry(key).or_default();
    if used.requests >= most {
        return Err(());
    }
    used.requests = used.requests.saturating_add(1);
    Ok(())
}

fn discount<K: Eq + Hash>(table: &mut HashMap<K, InFlightUse>, key: K, bytes: usize) {
    if let Entry::Occupied(mut entry) = table.entry(key) {
        let used = entry.get_mut();
        used.requests = used.requests.saturating_sub(1);
        used.body_bytes = used.body_bytes.saturating_sub(bytes);
        if used.requests == 0 {
            entry.remove();
        }
    }
}

impl Default for InFlightLimits {
    fn default() -> Self {
        Self {
            per_caller: usize::MAX,
            per_address: usize::MAX,
            body_bytes: usize::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, Ipv4Addr},
        sync::Arc,
    };

    use super::{FREE_BODY_BYTES, InFlightLimits, InFlightRequests, TooManyBodies};
    use gatepost_base::Subject;
    use gatepost_identity::{Caller, CallerKind};

    const LIMITS: InFlightLimits = InFlightLimits {
        per_caller: 2,
        per_address: 3,
        body_bytes: 4_000,
    };

    fn caller(subject: &'static str) -> Caller {
        Caller {
            issuer: "gatepost".to_owned(),
            kind: CallerKind::ApiKey,
            subject: Subject::verified(subject),
            name: None,
            roles: Vec::new(),
            credential: None,
        }
    }

    const fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    #[test]
    fn callers_and_addresses_are_limited_separately_and_ended_requests_do_not_count() {
        let all = Arc::new(InFlightRequests::default());
        let mut held = Vec::new();
        for subject in ["one", "one", "two"] {
            let mut request = all.start(Some(address(1)), LIMITS).unwrap();
            request.authenticated(&caller(subject)).unwrap();
            held.push(request);
        }
        all.start(Some(address(1)), LIMITS).unwrap_err();
        let mut elsewhere = all.start(Some(address(2)), LIMITS).unwrap();
        elsewhere.authenticated(&caller("one")).unwrap_err();
        elsewhere.authenticated(&caller("two")).unwrap();
        drop((held, elsewhere));
        let table = all.0.lock().unwrap();
        assert!(table.by_address.is_empty() && table.by_caller.is_empty());
    }

    #[test]
    fn bodies_share_the_budget_and_small_ones_always_fit() {
        let all = Arc::new(InFlightRequests::default());
        let start = |host| all.start(Some(address(host)), LIMITS).unwrap();
        let held: Vec<_> = (0..4)
            .map(|host| {
                let request = start(host);
                request.reserve_body(FREE_BODY_BYTES + 400).unwrap();
                request.reserve_body(600).unwrap();
                // Its quarter is full.
                assert_eq!(request.reserve_body(1), Err(TooManyBodies));
                request
            })
            .collect();
        let other = start(9);
        assert_eq!(other.reserve_body(FREE_BODY_BYTES + 1), Err(TooManyBodies));
        assert_eq!(other.reserve_body(FREE_BODY_BYTES), Ok(()));
        drop(held);
        assert_eq!(other.reserve_body(1_000), Ok(()));
        drop(other);
        assert_eq!(all.0.lock().unwrap().body_bytes, 0);
    }
}
