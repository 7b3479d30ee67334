//! What can go wrong.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::command::StoreOperation;
use crate::redis::RedisUnavailable;

/// Why something is not remembered, or not known. `Display` is for the model,
/// and true of a change that has not been sent; the cause is for the
/// administrator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room, and nothing that may be forgotten. Nothing was done.
    #[error(
        "the gateway has no room left to remember changes by, so nothing is changed; nothing was sent, try again in an hour, and tell the administrator"
    )]
    Full,
    /// The value is larger than [`MAX_VALUE_BYTES`](super::MAX_VALUE_BYTES).
    /// Nothing was done.
    #[error(
        "this change has {size_bytes} bytes to remember it by, and the gateway keeps at most {max_bytes}; make several smaller changes"
    )]
    TooLarge {
        /// Its size.
        size_bytes: usize,
        /// The most that is kept.
        max_bytes: usize,
    },
    /// It cannot be reached or written now. What was wanted may have been done or
    /// not.
    #[error(
        "the gateway cannot reach what it remembers changes by, so nothing is changed; nothing was sent, try again in a minute, then tell the administrator"
    )]
    Unavailable(#[source] StoreUnavailable),
}

/// Why it cannot be reached or written. For the administrator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreUnavailable(pub(super) String);

/// Why an operation failed, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum StoreErrorReason {
    /// [`LedgerError::Full`].
    Full,
    /// [`LedgerError::TooLarge`].
    TooLarge,
    /// [`LedgerError::Unavailable`].
    Unavailable,
}

/// How often what failed, and why.
#[derive(Debug, Default)]
pub(super) struct StoreFailureCounts(Mutex<BTreeMap<(StoreOperation, StoreErrorReason), u64>>);

impl StoreError {
    /// Why, in one word.
    pub fn reason(&self) -> StoreErrorReason {
        match self {
            Self::Full => StoreErrorReason::Full,
            Self::TooLarge { .. } => StoreErrorReason::TooLarge,
            Self::Unavailable(_) => StoreErrorReason::Unavailable,
        }
    }

    pub(super) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable(StoreUnavailable(why.into()))
    }
}

impl StoreErrorReason {
    /// The word for it in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }
}

impl StoreFailureCounts {
    pub(super) fn record(&self, operation: StoreOperation, error: &StoreError) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((operation, error.reason())).or_default() += 1;
    }

    pub(super) fn snapshot(&self) -> Vec<(StoreOperation, StoreErrorReason, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.iter();
        all.map(|((operation, reason), count)| (*operation, *reason, *count))
            .collect()
    }
}

impl From<RedisUnavailable> for StoreError {
    fn from(away: RedisUnavailable) -> Self {
        Self::unavailable(format!("redis: {away}"))
    }
}
