//! What is known of client addresses from the tokens that came from there.

use std::{net::IpAddr, time::Duration};

use gatepost_identity::AddressStanding;
use gatepost_state::limits::{network_of, network_of_length};
use moka::sync::Cache;

/// The most networks that are stored of either kind.
const MAX_NETWORKS: u64 = 50_000;
/// For how long a valid token speaks for its address.
const VALID_FOR: Duration = Duration::from_hours(8);
/// For how long a failed token speaks against its address.
const SUSPECT_FOR: Duration = Duration::from_mins(5);

/// The networks of valid and of failed tokens. IPv6 counts by /64, and a failure
/// also for the /48 around it, which one attacker may own.
#[derive(Clone, Debug)]
pub(crate) struct AddressStandings {
    valid: Cache<IpAddr, ()>,
    failed: Cache<IpAddr, ()>,
}

impl Default for AddressStandings {
    fn default() -> Self {
        let networks = |ttl| {
            Cache::builder()
                .max_capacity(MAX_NETWORKS)
                .time_to_live(ttl)
                .build()
        };
        Self {
            valid: networks(VALID_FOR),
            failed: networks(SUSPECT_FOR),
        }
    }
}

impl AddressStandings {
    /// The standing of an address; one that is not known has none.
    pub(super) fn of(&self, address: Option<IpAddr>) -> AddressStanding {
        let Some(address) = address else {
            return AddressStanding::Unknown(None);
        };
        let failed = [48, 64]
            .iter()
            .any(|bits| self.failed.contains_key(&network_of_length(address, *bits)));
        match (self.valid.contains_key(&network_of(address)), failed) {
            (true, false) => AddressStanding::Known,
            (false, true) => AddressStanding::Suspect,
            (true, true) => AddressStanding::Mixed,
            (false, false) => {
                let networks = [64, 48].map(|bits| network_of_length(address, bits));
                AddressStanding::Unknown(Some(networks))
            }
        }
    }

    /// Records that a token from an address was valid, or failed.
    pub(super) fn record(&self, address: Option<IpAddr>, was_valid: bool) {
        let Some(address) = address else { return };
        if was_valid {
            self.valid.insert(network_of(address), ());
        } else {
            self.failed.insert(network_of(address), ());
            self.failed.insert(network_of_length(address, 48), ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressStanding, AddressStandings};

    #[test]
    fn addresses_are_judged_by_their_tokens_and_networks() {
        let standings = AddressStandings::default();
        let of = |text: &str| standings.of(text.parse().ok());
        let unknown = |small: &str, large: &str| {
            AddressStanding::Unknown(Some([small, large].map(|text| text.parse().unwrap())))
        };
        let record = |text: &str, was_valid| standings.record(text.parse().ok(), was_valid);
        record("192.0.2.1", true);
        record("192.0.2.2", false);
        record("192.0.2.3", true);
        record("192.0.2.3", false);
        record("2001:db8:1:2::3", true);
        record("2001:db8:5:6::7", false);
        for (address, standing) in [
            ("192.0.2.1", AddressStanding::Known),
            ("::ffff:192.0.2.1", AddressStanding::Known),
            ("192.0.2.2", AddressStanding::Suspect),
            ("192.0.2.3", AddressStanding::Mixed),
            ("192.0.2.4", unknown("192.0.2.4", "192.0.2.4")),
            ("2001:db8:1:2::ffff", AddressStanding::Known),
            ("2001:db8:1:3::1", unknown("2001:db8:1:3::", "2001:db8:1::")),
            ("2001:db8:5:6::1", AddressStanding::Suspect),
            ("2001:db8:5:ffff::1", AddressStanding::Suspect),
            ("2001:db8:6::1", unknown("2001:db8:6::", "2001:db8:6::")),
        ] {
            assert_eq!(of(address), standing, "{address}");
        }
        assert_eq!(standings.of(None), AddressStanding::Unknown(None));
    }
}
