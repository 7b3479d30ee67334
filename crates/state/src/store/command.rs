//! What can be done with a key, and what comes of it.

use std::{fmt, time::Duration};

use bytes::Bytes;

/// What is done with one key, at one moment.
#[derive(Clone)]
pub(super) enum StoreCommand {
    /// Sets it if nothing is there.
    PutIfAbsent(Bytes, Duration),
    /// Looks what is there.
    Get,
    /// Sets it, whatever is there.
    Put(Bytes, Duration),
    /// Deletes it if this is there.
    CompareAndDelete(Bytes),
    /// Sets it if the first is there.
    CompareAndSwap(Bytes, Bytes, Duration),
    /// Looks what is there, and deletes it.
    GetAndDelete,
}

/// What is done, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StoreOperation {
    /// [`Ledger::claim`](super::Ledger::claim).
    PutIfAbsent,
    /// [`Ledger::get`](super::Ledger::get).
    Get,
    /// [`Ledger::put`](super::Ledger::put).
    Put,
    /// [`Ledger::remove`](super::Ledger::remove).
    CompareAndDelete,
    /// [`Ledger::replace`](super::Ledger::replace).
    CompareAndSwap,
    /// [`Ledger::take`](super::Ledger::take).
    GetAndDelete,
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct StoreReply {
    /// What was there, where that is told.
    pub(super) value: Option<Bytes>,
    /// Whether it was done.
    pub(super) applied: bool,
}

/// What is to become of the key.
pub(super) enum StoreMutation {
    Delete,
    None,
    Set(Bytes, Duration),
}

impl StoreCommand {
    /// What comes of it where this is there. Redis has its own way to say the
    /// same, in `deed.lua`.
    pub(super) fn decide(self, there: Option<Bytes>) -> (StoreReply, StoreMutation) {
        let told = |done| StoreReply {
            value: None,
            applied: done,
        };
        match (self, there) {
            (Self::PutIfAbsent(value, ttl), None) => (told(true), StoreMutation::Set(value, ttl)),
            (Self::PutIfAbsent(..) | Self::Get, found) => (
                StoreReply {
                    value: found,
                    applied: false,
                },
                StoreMutation::None,
            ),
            (Self::Put(value, ttl), _) => (told(true), StoreMutation::Set(value, ttl)),
            (Self::CompareAndDelete(expected), Some(there)) if there == expected => {
                (told(true), StoreMutation::Delete)
            }
            (Self::CompareAndSwap(expected, value, ttl), Some(there)) if there == expected => {
                (told(true), StoreMutation::Set(value, ttl))
            }
            (Self::CompareAndDelete(_) | Self::CompareAndSwap(..), _) => {
                (told(false), StoreMutation::None)
            }
            (Self::GetAndDelete, found) => {
                let change = found
                    .as_ref()
                    .map_or(StoreMutation::None, |_| StoreMutation::Delete);
                let done = found.is_some();
                (
                    StoreReply {
                        value: found,
                        applied: done,
                    },
                    change,
                )
            }
        }
    }

    /// Whether it changes nothing, whatever is there.
    pub(super) fn is_read_only(&self) -> bool {
        self.operation() == StoreOperation::Get
    }

    pub(super) fn operation(&self) -> StoreOperation {
        match self {
            Self::PutIfAbsent(..) => StoreOperation::PutIfAbsent,
            Self::Get => StoreOperation::Get,
            Self::Put(..) => StoreOperation::Put,
            Self::CompareAndDelete(_) => StoreOperation::CompareAndDelete,
            Self::CompareAndSwap(..) => StoreOperation::CompareAndSwap,
            Self::GetAndDelete => StoreOperation::GetAndDelete,
        }
    }

    /// The size of the value that it sets, in bytes.
    pub(super) fn value_size(&self) -> usize {
        match self {
            Self::PutIfAbsent(value, _)
            | Self::Put(value, _)
            | Self::CompareAndSwap(_, value, _) => value.len(),
            Self::Get | Self::CompareAndDelete(_) | Self::GetAndDelete => 0,
        }
    }
}

impl StoreOperation {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PutIfAbsent => "claim",
            Self::Get => "get",
            Self::Put => "put",
            Self::CompareAndDelete => "remove",
            Self::CompareAndSwap => "replace",
            Self::GetAndDelete => "take",
        }
    }
}

/// Never values: they may hold what stands in records.
impl fmt::Debug for StoreCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} bytes",
            self.operation().as_str(),
            self.value_size()
        )
    }
}

impl fmt::Debug for StoreReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told")
            .field("found_bytes", &self.value.as_ref().map(Bytes::len))
            .field("done", &self.applied)
            .finish()
    }
}
