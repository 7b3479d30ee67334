//! Where a store is, and how long its entries live.

use std::{path::PathBuf, time::Duration};

use crate::redis::RedisSettings;

/// The settings of a store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Where it is.
    pub location: StoreLocation,
    /// How long entries live.
    pub retention: Retention,
}

/// Where a store is.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// A file, for this process only.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The most that it stores, in bytes.
        max_bytes: u64,
    },
    /// The memory of this process.
    Memory {
        /// The most that it stores, in bytes.
        max_bytes: u64,
    },
    /// A Redis that all replicas share.
    Redis {
        /// The Redis. The timeout of these settings is not used: changes wait longer than
        /// rate limits.
        settings: RedisSettings,
        /// The most that it stores, in bytes.
        max_bytes: u64,
    },
}

/// How long entries live, and how large they may be. Callers of the store apply it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// How long idempotency keys are stored.
    pub idempotency_ttl: Duration,
    /// How long a change can be undone.
    pub undo_ttl: Duration,
    /// How long a change may wait for its approval.
    pub approval_ttl: Duration,
    /// The most that is stored to undo one change, in bytes.
    pub max_undo_bytes: usize,
}

impl StoreLocation {
    /// The most that the store there may store, in bytes.
    pub(super) fn max_bytes(&self) -> u64 {
        match self {
            Self::File { max_bytes, .. }
            | Self::Memory { max_bytes }
            | Self::Redis { max_bytes, .. } => *max_bytes,
        }
    }
}

/// One day for idempotency keys, three days to undo, ten minutes to approve, 256 KiB.
impl Default for Retention {
    fn default() -> Self {
        Self {
            idempotency_ttl: Duration::from_hours(24),
            undo_ttl: Duration::from_hours(72),
            approval_ttl: Duration::from_mins(10),
            max_undo_bytes: 256 << 10,
        }
    }
}
