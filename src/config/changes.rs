//! `[changes]`: the change store.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use smart_default::SmartDefault;

use gatepost_state::store::{Retention, StoreLocation};

/// Where idempotency keys, undo data and approvals are stored, and for how long.
///
/// In a file; without one in the Redis of `[redis]`; without both in the memory of
/// the process.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct ChangesConfig {
    /// The file. Default: none.
    #[schemars(extend("format" = "path"))]
    pub file: Option<PathBuf>,
    /// How long an idempotency key is remembered, in hours. Default 24.
    #[default(24)]
    #[schemars(range(min = 1, max = 8_784))]
    pub keep_keys_hours: u32,
    /// How long a change can be undone, in hours. Default 72.
    #[default(72)]
    #[schemars(range(min = 1, max = 8_784))]
    pub keep_undo_hours: u32,
    /// How much may be stored to undo one change, in bytes; 0 disables undo. Default 256 KiB.
    #[default(256 << 10)]
    #[schemars(range(min = 0, max = 1_048_576))]
    pub max_undo_bytes: usize,
    /// How long a change may wait for its approval, in minutes. Default 10.
    #[default(10)]
    #[schemars(range(min = 1, max = 1_440))]
    pub approval_minutes: u32,
    /// How long a user may take to answer an approval request on the stream of
    /// their call, in minutes. Default 5.
    #[default(5)]
    #[schemars(range(min = 1, max = 60))]
    pub question_minutes: u32,
    /// The largest size of the store in a file, in MiB. Default 1,024.
    #[default(1_024)]
    #[schemars(range(min = 4, max = 65_536))]
    pub max_file_mb: u32,
    /// The largest size of the store in memory, in MiB. Default 32.
    #[default(32)]
    #[schemars(range(min = 4, max = 65_536))]
    pub max_memory_mb: u32,
    /// The largest size of the store in Redis, in MiB. Default 128.
    #[default(128)]
    #[schemars(range(min = 4, max = 65_536))]
    pub max_redis_mb: u32,
}

impl ChangesConfig {
    /// How long each kind of entry is retained.
    pub(super) fn retention(&self) -> Retention {
        Retention {
            idempotency_ttl: Duration::from_hours(self.keep_keys_hours.into()),
            undo_ttl: Duration::from_hours(self.keep_undo_hours.into()),
            approval_ttl: Duration::from_mins(self.approval_minutes.into()),
            max_undo_bytes: self.max_undo_bytes,
        }
    }

    /// How long a user may take to answer.
    pub(super) fn elicitation_timeout(&self) -> Duration {
        Duration::from_mins(self.question_minutes.into())
    }

    /// The largest size of a store in Redis, in bytes.
    pub(super) fn max_redis_bytes(&self) -> u64 {
        u64::from(self.max_redis_mb) << 20
    }

    /// The location of a store that other replicas do not share.
    pub(super) fn local_store_location(&self) -> StoreLocation {
        let bytes = |mebibytes: u32| u64::from(mebibytes) << 20;
        match &self.file {
            Some(path) => StoreLocation::File {
                path: path.clone(),
                max_bytes: bytes(self.max_file_mb),
            },
            None => StoreLocation::Memory {
                max_bytes: bytes(self.max_memory_mb),
            },
        }
    }
}
