//! The keys of the changes that this process is making.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use super::key::StoreKey;
use gatepost_base::sync::lock;

/// The keys of the changes in flight in this process. A store that loses its data
/// does not know of them.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlightKeys(Arc<Mutex<HashSet<StoreKey>>>);

/// One key in flight, until it is dropped.
#[derive(Debug)]
pub struct InFlightKey {
    keys: InFlightKeys,
    key: StoreKey,
}

impl InFlightKeys {
    /// Adds a key; `None` if it is in flight already.
    pub(super) fn add(&self, key: StoreKey) -> Option<InFlightKey> {
        if !lock(&self.0).insert(key) {
            return None;
        }
        Some(InFlightKey {
            keys: self.clone(),
            key,
        })
    }

    /// Whether a key is in flight.
    pub(super) fn contains(&self, key: &StoreKey) -> bool {
        lock(&self.0).contains(key)
    }
}

impl Drop for InFlightKey {
    fn drop(&mut self) {
        lock(&self.keys.0).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::{InFlightKeys, StoreKey};

    #[test]
    fn key_is_in_flight_once_until_it_is_dropped() {
        let keys = InFlightKeys::default();
        let key = StoreKey::idempotency(&["a"]);
        let first = keys.add(key).unwrap();
        assert!(keys.add(key).is_none() && keys.contains(&key));
        assert!(!keys.contains(&StoreKey::idempotency(&["b"])));
        drop(first);
        assert!(!keys.contains(&key) && keys.add(key).is_some());
    }
}
