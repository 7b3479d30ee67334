//! Lines that repeat: the first of a minute are logged, the others are counted.
//!
//! Anyone can send requests without a token, thousands in a second. Each is counted
//! in the metrics, but a line for each would fill disks and hide the others.

use std::{
    collections::HashMap,
    mem,
    net::{IpAddr, Ipv6Addr},
    sync::Mutex,
    time::Duration,
};

use tracing::info;

use gatepost_base::sync::lock;
use gatepost_state::limits::network_of;

/// How long lines are counted before the sum is logged.
pub(crate) const REPETITION_PERIOD: Duration = Duration::from_mins(1);

/// Lines for each address and reason in one period.
const MAX_LINES: u64 = 10;

/// Addresses and reasons that are counted separately; the rest is counted as one.
const MAX_ENTRIES: usize = 1_024;

/// The refused requests of callers that are not authenticated, by address (IPv6:
/// /64) and reason.
#[derive(Debug, Default)]
pub(crate) struct Repetitions(Mutex<HashMap<(IpAddr, &'static str), u64>>);

impl Repetitions {
    /// Counts a refused request, and returns whether it gets a line of its own.
    pub(crate) fn count(&self, address: Option<IpAddr>, kind: &'static str) -> bool {
        let unknown = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let key = (address.map_or(unknown, network_of), kind);
        let mut counts = lock(&self.0);
        let key = if counts.len() < MAX_ENTRIES || counts.contains_key(&key) {
            key
        } else {
            (unknown, kind)
        };
        let count = counts.entry(key).or_default();
        *count = count.saturating_add(1);
        *count <= MAX_LINES
    }

    /// Logs the sums and starts a new period.
    pub(crate) fn report(&self) {
        let counts = mem::take(&mut *lock(&self.0));
        for ((address, kind), count) in counts {
            let more = count.saturating_sub(MAX_LINES);
            if more > 0 {
                info!(
                    client.address =
                        (!address.is_unspecified()).then(|| tracing::field::display(address)),
                    refusal.kind = kind,
                    requests = more,
                    "Refused more requests without an authenticated caller"
                );
            }
        }
    }

    /// Logs the sums of each period; never returns.
    pub(crate) async fn report_regularly(&self) {
        // Not at once.
        let start = tokio::time::Instant::now() + REPETITION_PERIOD;
        let mut periods = tokio::time::interval_at(start, REPETITION_PERIOD);
        loop {
            periods.tick().await;
            self.report();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{MAX_ENTRIES, MAX_LINES, Repetitions};

    fn sum(repetitions: &Repetitions) -> u64 {
        repetitions.0.lock().unwrap().values().sum()
    }

    #[test]
    fn first_requests_of_each_address_and_kind_get_lines() {
        let repetitions = Repetitions::default();
        for address in ["192.0.2.1", "192.0.2.2", "2001:db8::1"] {
            for kind in ["unauthenticated", "no_route"] {
                let address = Some(address.parse::<IpAddr>().unwrap());
                let lines = (0..100)
                    .filter(|_| repetitions.count(address, kind))
                    .count();
                assert_eq!(u64::try_from(lines).unwrap(), MAX_LINES);
            }
        }
        assert!(!repetitions.count(Some("2001:db8::2".parse().unwrap()), "no_route"));
        assert_eq!(sum(&repetitions), 601);
        repetitions.report();
        assert!(repetitions.count(Some("192.0.2.1".parse().unwrap()), "no_route"));
    }

    #[test]
    fn flood_from_many_addresses_is_bounded() {
        let repetitions = Repetitions::default();
        let lines = (0..50_000_u32)
            .filter(|number| repetitions.count(Some(IpAddr::from(number.to_be_bytes())), "host"))
            .count();
        assert!(lines <= MAX_ENTRIES + 10, "{lines}");
        assert_eq!(sum(&repetitions), 50_000);
    }
}
