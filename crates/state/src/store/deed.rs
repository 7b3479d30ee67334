//! What can be done with a key, and what comes of it.

use std::{fmt, time::Duration};

use bytes::Bytes;

/// What is done with one key, at one moment.
#[derive(Clone)]
pub(super) enum Deed {
    /// Sets it if nothing is there.
    Claim(Bytes, Duration),
    /// Looks what is there.
    Get,
    /// Sets it, whatever is there.
    Put(Bytes, Duration),
    /// Deletes it if this is there.
    Remove(Bytes),
    /// Sets it if the first is there.
    Replace(Bytes, Bytes, Duration),
    /// Looks what is there, and deletes it.
    Take,
}

/// What is done, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// [`Ledger::claim`](super::Ledger::claim).
    Claim,
    /// [`Ledger::get`](super::Ledger::get).
    Get,
    /// [`Ledger::put`](super::Ledger::put).
    Put,
    /// [`Ledger::remove`](super::Ledger::remove).
    Remove,
    /// [`Ledger::replace`](super::Ledger::replace).
    Replace,
    /// [`Ledger::take`](super::Ledger::take).
    Take,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// What was there, where that is told.
    pub(super) found: Option<Bytes>,
    /// Whether it was done.
    pub(super) done: bool,
}

/// What is to become of the key.
pub(super) enum Change {
    Delete,
    None,
    Set(Bytes, Duration),
}

impl Deed {
    /// What comes of it where this is there. Redis has its own way to say the
    /// same, in `deed.lua`.
    pub(super) fn decide(self, there: Option<Bytes>) -> (Told, Change) {
        let told = |done| Told { found: None, done };
        match (self, there) {
            (Self::Claim(value, ttl), None) => (told(true), Change::Set(value, ttl)),
            (Self::Claim(..) | Self::Get, found) => (Told { found, done: false }, Change::None),
            (Self::Put(value, ttl), _) => (told(true), Change::Set(value, ttl)),
            (Self::Remove(expected), Some(there)) if there == expected => {
                (told(true), Change::Delete)
            }
            (Self::Replace(expected, value, ttl), Some(there)) if there == expected => {
                (told(true), Change::Set(value, ttl))
            }
            (Self::Remove(_) | Self::Replace(..), _) => (told(false), Change::None),
            (Self::Take, found) => {
                let change = found.as_ref().map_or(Change::None, |_| Change::Delete);
                let done = found.is_some();
                (Told { found, done }, change)
            }
        }
    }

    /// Whether it changes nothing, whatever is there.
    pub(super) fn only_looks(&self) -> bool {
        self.operation() == Operation::Get
    }

    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Claim(..) => Operation::Claim,
            Self::Get => Operation::Get,
            Self::Put(..) => Operation::Put,
            Self::Remove(_) => Operation::Remove,
            Self::Replace(..) => Operation::Replace,
            Self::Take => Operation::Take,
        }
    }

    /// The size of the value that it sets, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Claim(value, _) | Self::Put(value, _) | Self::Replace(_, value, _) => value.len(),
            Self::Get | Self::Remove(_) | Self::Take => 0,
        }
    }
}

impl Operation {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Get => "get",
            Self::Put => "put",
            Self::Remove => "remove",
            Self::Replace => "replace",
            Self::Take => "take",
        }
    }
}

/// Never values: they may hold what stands in records.
impl fmt::Debug for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.operation().as_str(), self.size())
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told")
            .field("found_bytes", &self.found.as_ref().map(Bytes::len))
            .field("done", &self.done)
            .finish()
    }
}
