//! Errors of the store and their counters.

use std::{collections::BTreeMap, sync::Mutex};

use super::command::StoreOperation;
use crate::redis::RedisUnavailable;
use gatepost_base::sync::lock;

/// A failed operation of the store. `Display` is for the model and assumes that
/// the change was not sent; the source is for the administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is full and nothing can be evicted. Nothing was stored.
    #[error(
        "the gateway's change store is full, so changes are refused. Nothing was sent; try again in an hour and tell the administrator"
    )]
    Full,
    /// The caller has used its share of the store. Nothing was stored.
    #[error(
        "the gateway stores as much about earlier changes of this caller as one caller may use, so changes with an `idempotency_key` or an approval are refused. Nothing was sent; try again in an hour and tell the administrator"
    )]
    ShareUsed,
    /// The value is larger than [`MAX_VALUE_BYTES`](super::MAX_VALUE_BYTES).
    /// Nothing was stored.
    #[error(
        "the gateway would have to store {size_bytes} bytes for this change, more than its limit of {max_bytes}. Nothing was sent; make several smaller changes"
    )]
    TooLarge {
        /// The size of the value.
        size_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The store cannot be reached or written. The operation may have been applied or
    /// not.
    #[error(
        "the gateway's change store is unavailable, so changes are refused. Nothing was sent; try again in a minute, then tell the administrator"
    )]
    Unavailable(#[source] StoreUnavailable),
}

/// The reason why the store cannot be reached or written, for the administrator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreUnavailable(pub(super) String);

gatepost_base::words! {
    /// The kind of a [`StoreError`], for metrics.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
    pub enum StoreErrorReason {
        /// The store had forgotten a change that has ended since, because its data was
        /// deleted; its outcome was written again.
        Forgotten = "forgotten",
        /// [`StoreError::Full`].
        Full = "full",
        /// [`StoreError::ShareUsed`].
        ShareUsed = "share_used",
        /// [`StoreError::TooLarge`].
        TooLarge = "too_large",
        /// [`StoreError::Unavailable`].
        Unavailable = "unavailable",
    }

    /// The value in metric labels.
    pub fn as_str(self);
}

/// The number of failures by operation and reason.
#[derive(Debug, Default)]
pub(super) struct StoreFailureCounts(Mutex<BTreeMap<(StoreOperation, StoreErrorReason), u64>>);

impl StoreError {
    /// The kind of error, for metrics.
    pub fn reason(&self) -> StoreErrorReason {
        match self {
            Self::Full => StoreErrorReason::Full,
            Self::ShareUsed => StoreErrorReason::ShareUsed,
            Self::TooLarge { .. } => StoreErrorReason::TooLarge,
            Self::Unavailable(_) => StoreErrorReason::Unavailable,
        }
    }

    pub(super) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(StoreUnavailable(why.into()))
    }
}

impl StoreFailureCounts {
    pub(super) fn record(&self, operation: StoreOperation, reason: StoreErrorReason) {
        let mut counts = lock(&self.0);
        *counts.entry((operation, reason)).or_default() += 1;
    }

    pub(super) fn snapshot(&self) -> Vec<(StoreOperation, StoreErrorReason, u64)> {
        let counts = lock(&self.0);
        let all = counts.iter();
        all.map(|((operation, reason), count)| (*operation, *reason, *count))
            .collect()
    }
}

impl From<RedisUnavailable> for StoreError {
    fn from(error: RedisUnavailable) -> Self {
        Self::unavailable(format!("redis: {error}"))
    }
}
