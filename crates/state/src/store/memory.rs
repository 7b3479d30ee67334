//! What this process remembers by itself.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;

use super::{
    deed::{Change, Deed, Told},
    failure::LedgerError,
    key::Key,
    room::{Room, cost},
};

/// What is remembered, by key. Gone with the process.
#[derive(Debug)]
pub(super) struct Memory(Mutex<Entries>);

#[derive(Debug)]
struct Entries {
    by_key: HashMap<Key, Entry>,
    /// Invariant: one of each entry, here or below.
    ends: BTreeSet<(Instant, Key)>,
    /// Those that may go early.
    early: BTreeSet<(Instant, Key)>,
    room: Room,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    ends: Instant,
}

impl Memory {
    /// One that keeps at most so many bytes.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self(Mutex::new(Entries {
            by_key: HashMap::new(),
            ends: BTreeSet::new(),
            early: BTreeSet::new(),
            room: Room::new(max_bytes),
        }))
    }

    /// Keeps at most so many bytes from now on; what is there stays.
    pub(super) fn adjust(&self, max_bytes: u64) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.room.max_bytes = max_bytes;
    }

    pub(super) fn run(&self, key: Key, deed: Deed, now: Instant) -> Result<Told, LedgerError> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.purge(now);
        let there = entries.by_key.get(&key).map(|entry| entry.value.clone());
        let before = there.as_ref().map_or(0, |value| cost(value.len()));
        let (told, change) = deed.decide(there);
        match change {
            Change::None => {}
            Change::Delete => entries.delete(key),
            Change::Set(value, ttl) => {
                let wanted = cost(value.len());
                if !entries.room.can_hold(key.kind(), before, wanted) {
                    return Err(LedgerError::Full);
                }
                entries.delete(key);
                while let Some(oldest) = entries.oldest_to_go(wanted) {
                    entries.delete(oldest);
                }
                // A time beyond the clock's end does not come; a century is as good.
                let ends = now.checked_add(ttl).unwrap_or_else(|| now + CENTURY);
                entries.set(key, Entry { value, ends });
            }
        }
        Ok(told)
    }
}

/// Longer than any process runs.
const CENTURY: std::time::Duration = std::time::Duration::from_hours(100 * 366 * 24);

impl Entries {
    /// Forgets what has ended.
    fn purge(&mut self, now: Instant) {
        let ended = |(ends, _): &&(Instant, Key)| *ends <= now;
        let first = |all: &BTreeSet<(Instant, Key)>| all.first().filter(ended).map(|(_, key)| *key);
        while let Some(key) = first(&self.ends).or_else(|| first(&self.early)) {
            self.delete(key);
        }
    }

    /// What has to go for so many bytes, if there is any need.
    fn oldest_to_go(&self, wanted: u64) -> Option<Key> {
        if self.room.has(wanted) {
            return None;
        }
        self.early.first().map(|(_, key)| *key)
    }

    fn set(&mut self, key: Key, entry: Entry) {
        self.room.take(key.kind(), cost(entry.value.len()));
        self.list_of(key).insert((entry.ends, key));
        self.by_key.insert(key, entry);
    }

    fn delete(&mut self, key: Key) {
        if let Some(entry) = self.by_key.remove(&key) {
            self.room.free(key.kind(), cost(entry.value.len()));
            self.list_of(key).remove(&(entry.ends, key));
        }
    }

    fn list_of(&mut self, key: Key) -> &mut BTreeSet<(Instant, Key)> {
        if key.kind().may_go_early() {
            &mut self.early
        } else {
            &mut self.ends
        }
    }
}
