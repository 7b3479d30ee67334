//! Commands on a key and their replies.

use std::{fmt, time::Duration};

use bytes::Bytes;

use super::time::StoreTime;

/// An atomic command on one key.
#[derive(Clone)]
pub(super) enum StoreCommand {
    /// Deletes the expected value.
    CompareAndDelete(Bytes),
    /// Replaces the expected value (the first).
    CompareAndSwap(Bytes, Bytes, Duration),
    /// Returns the value.
    Get,
    /// Returns the value and deletes it.
    GetAndDelete,
    /// Stores a value unconditionally.
    Put(Bytes, Duration),
    /// Stores a value if the key is absent.
    PutIfAbsent(Bytes, Duration),
}

gatepost_base::words! {
    /// The operation of a command, for metrics.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub enum StoreOperation {
        /// [`StateStore::compare_and_delete`](super::StateStore::compare_and_delete).
        CompareAndDelete = "remove",
        /// [`StateStore::compare_and_swap`](super::StateStore::compare_and_swap).
        CompareAndSwap = "replace",
        /// [`StateStore::get`](super::StateStore::get).
        Get = "get",
        /// [`StateStore::get_and_delete`](super::StateStore::get_and_delete).
        GetAndDelete = "take",
        /// [`StateStore::put`](super::StateStore::put).
        Put = "put",
        /// [`StateStore::put_if_absent`](super::StateStore::put_if_absent).
        PutIfAbsent = "claim",
    }

    /// The value in metric labels.
    pub fn as_str(self);
}

/// The reply to a command.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct StoreReply {
    /// The old value, if the command returns it.
    pub(super) value: Option<Bytes>,
    /// Whether the command was applied.
    pub(super) applied: bool,
    /// When, by the clock of the store.
    pub(super) at: StoreTime,
    /// The size of all entries that cannot be evicted, afterwards.
    pub(super) pinned_bytes: u64,
}

/// The change that a command makes to its key.
pub(super) enum StoreMutation {
    Delete,
    None,
    Set(Bytes, Duration),
}

impl StoreCommand {
    /// The reply and the change for a stored value. `command.lua` does the same in
    /// Redis.
    pub(super) fn decide(self, stored: Option<Bytes>) -> (StoreReply, StoreMutation) {
        let reply = |applied| StoreReply {
            applied,
            ..StoreReply::default()
        };
        match (self, stored) {
            (Self::PutIfAbsent(value, ttl), None) => (reply(true), StoreMutation::Set(value, ttl)),
            (Self::PutIfAbsent(..) | Self::Get, found) => (
                StoreReply {
                    value: found,
                    ..StoreReply::default()
                },
                StoreMutation::None,
            ),
            (Self::Put(value, ttl), _) => (reply(true), StoreMutation::Set(value, ttl)),
            (Self::CompareAndDelete(expected), Some(stored)) if stored == expected => {
                (reply(true), StoreMutation::Delete)
            }
            (Self::CompareAndSwap(expected, value, ttl), Some(stored)) if stored == expected => {
                (reply(true), StoreMutation::Set(value, ttl))
            }
            (Self::CompareAndDelete(_) | Self::CompareAndSwap(..), _) => {
                (reply(false), StoreMutation::None)
            }
            (Self::GetAndDelete, found) => {
                let change = found
                    .as_ref()
                    .map_or(StoreMutation::None, |_| StoreMutation::Delete);
                let applied = found.is_some();
                (
                    StoreReply {
                        value: found,
                        applied,
                        ..StoreReply::default()
                    },
                    change,
                )
            }
        }
    }

    /// Whether it never changes anything.
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

    /// The size of the new value, in bytes.
    pub(super) fn value_size(&self) -> usize {
        match self {
            Self::PutIfAbsent(value, _)
            | Self::Put(value, _)
            | Self::CompareAndSwap(_, value, _) => value.len(),
            Self::Get | Self::CompareAndDelete(_) | Self::GetAndDelete => 0,
        }
    }
}

/// Without values, because they may contain data from records.
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
        f.debug_struct("StoreReply")
            .field("found_bytes", &self.value.as_ref().map(Bytes::len))
            .field("applied", &self.applied)
            .finish_non_exhaustive()
    }
}
