//! Whether a store can be used, and how full it is.

use std::{path::Path, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    StateStore, StoreError, StoreErrorReason, StoreLocation, StoreOpenError, StoreOperation,
    StoreUnavailable,
    command::StoreCommand,
    opening,
    shared::{RedisStore, probe_key},
    state_store::StoreBackend,
};
use crate::redis::RedisUnavailable;
use gatepost_base::sync::lock;

/// How long a refusal for lack of room is reported by
/// [`check_available`](StateStore::check_available).
const REFUSAL_REPORT_TIME: Duration = Duration::from_mins(5);

/// How full a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreFill {
    /// The size of the entries that stay until they expire, in bytes.
    pub pinned_bytes: u64,
    /// The most that it stores, in bytes.
    pub max_bytes: u64,
}

/// The health of a store that is not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreHealth {
    /// It can be used.
    Usable,
    /// It can be used but may lose entries: a Redis that evicts keys when full.
    MayEvict,
    /// Another process uses it, as expected while a gateway runs.
    InUse,
}

/// A store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreUnhealthy {
    /// The Redis is unavailable.
    #[error(transparent)]
    RedisUnavailable(#[from] RedisUnavailable),
    /// The file cannot be opened.
    #[error(transparent)]
    OpenFailed(#[from] StoreOpenError),
}

impl StateStore {
    /// Checks whether a store could be opened and used, for the administrator.
    /// Creates nothing.
    ///
    /// # Errors
    /// [`StoreUnhealthy`].
    pub async fn check_location(location: StoreLocation) -> Result<StoreHealth, StoreUnhealthy> {
        match location {
            StoreLocation::File { path, .. } => match Self::check_file(&path) {
                Ok(()) => Ok(StoreHealth::Usable),
                Err(StoreOpenError::Locked(_)) => Ok(StoreHealth::InUse),
                Err(error) => Err(error.into()),
            },
            StoreLocation::Memory { .. } => Ok(StoreHealth::Usable),
            StoreLocation::Redis {
                settings,
                max_bytes,
            } => match RedisStore::new(settings, max_bytes).check().await? {
                Some(false) => Ok(StoreHealth::MayEvict),
                Some(true) | None => Ok(StoreHealth::Usable),
            },
        }
    }

    /// Checks that a file can be opened, or created if it does not exist. Creates
    /// nothing.
    ///
    /// # Errors
    /// [`StoreOpenError`]; also if another process uses it.
    pub fn check_file(path: &Path) -> Result<(), StoreOpenError> {
        opening::check_openable(path)
    }

    /// Checks that the store can be used now, and that it refused no change for lack
    /// of room in the last five minutes. Queries a Redis.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    pub async fn check_available(&self) -> Result<(), StoreUnavailable> {
        match &self.backend {
            StoreBackend::File(file) => file.check_available()?,
            StoreBackend::Memory(_) => {}
            StoreBackend::Redis(shared) => {
                if let Err(StoreError::Unavailable(error)) =
                    shared.execute(probe_key(), StoreCommand::Get).await
                {
                    return Err(error);
                }
            }
        }
        let refusal = *lock(&self.last_refusal);
        let StoreFill {
            pinned_bytes,
            max_bytes,
        } = self.fill();
        match refusal.filter(|(at, _)| at.elapsed() < REFUSAL_REPORT_TIME) {
            Some((_, StoreErrorReason::ShareUsed)) => Err(StoreUnavailable(format!(
                "a caller has used its share of the change store, so its changes are refused; {pinned_bytes} of {max_bytes} bytes are used"
            ))),
            Some(_) => Err(StoreUnavailable(format!(
                "the change store is full, so changes are refused; {pinned_bytes} of {max_bytes} bytes are used"
            ))),
            None => Ok(()),
        }
    }

    /// How full it was at the last command.
    pub fn fill(&self) -> StoreFill {
        StoreFill {
            pinned_bytes: self.pinned_bytes.load(Relaxed),
            max_bytes: self.max_bytes.load(Relaxed),
        }
    }

    /// Whether the store was available when last used; `None` before that.
    pub fn was_available(&self) -> Option<bool> {
        match &self.backend {
            StoreBackend::File(file) => Some(file.check_available().is_ok()),
            StoreBackend::Memory(_) => Some(true),
            StoreBackend::Redis(shared) => shared.redis.is_connected(),
        }
    }

    /// The number of failures by operation and reason since it was opened.
    pub fn failure_counts(&self) -> Vec<(StoreOperation, StoreErrorReason, u64)> {
        self.failure_counts.snapshot()
    }
}
