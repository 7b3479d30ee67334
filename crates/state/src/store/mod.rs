//! What must be remembered of changes: that one was made, that it was approved,
//! what was there before.
//!
//! In this process, in a file of this process, or in a Redis of all replicas. What
//! a value means is not known here; it is the caller's bytes.

mod command;
mod entries;
mod failure;
mod file;
mod key;
mod memory;
mod opening;
mod quota;
mod shared;
#[cfg(test)]
mod tests;
mod writer_thread;

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use command::StoreOperation;
pub use failure::{StoreError, StoreErrorReason, StoreUnavailable};
pub use key::{StoreKey, StoreKeyKind};
pub use opening::StoreOpenError;

use self::{
    command::{StoreCommand, StoreReply},
    failure::StoreFailureCounts,
    file::StoreFile,
    memory::MemoryStore,
    shared::RedisStore,
};
use crate::redis::{RedisSettings, RedisUnavailable};

/// The largest value that is kept, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// How long a secret of the replicas lasts. What was signed with an old one is
/// refused, so that it matters only on the day it ends.
const SECRET_TTL: Duration = Duration::from_hours(366 * 24);

/// Where things are remembered, and for how long.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Where.
    pub location: StoreLocation,
    /// For how long.
    pub retention: Retention,
}

/// Where things are remembered.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// In a file, by this process alone.
    File {
        /// The file.
        path: PathBuf,
        /// The most that it keeps, in bytes.
        max_bytes: u64,
    },
    /// In this process, as long as it lives.
    Memory {
        /// The most that it keeps, in bytes.
        max_bytes: u64,
    },
    /// In a Redis, by all replicas together. The time of these settings does not
    /// count: a change waits longer than a decision about rates.
    Redis(RedisSettings),
}

/// How long what is remembered, and how much. The ledger itself only hands it on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// How long a change is known by its idempotency key.
    pub idempotency_ttl: Duration,
    /// How long a change can be undone.
    pub undo_ttl: Duration,
    /// How long a change may wait for its approval.
    pub approval_ttl: Duration,
    /// What may be kept to undo one change, in bytes.
    pub max_undo_bytes: usize,
}

/// What must be remembered of changes.
///
/// Each operation is done whole or not at all, and for one key one after the
/// other, whoever asks. What was acknowledged is there until its time, as long as
/// the store is ([`outlives_restart`](Self::outlives_restart)), but for
/// [`Kind::Undo`]: that may be forgotten earlier where there is no room.
pub struct StateStore {
    backend: StoreBackend,
    retention: Mutex<Retention>,
    failure_counts: StoreFailureCounts,
}

enum StoreBackend {
    File(StoreFile),
    Memory(MemoryStore),
    Redis(RedisStore),
}

/// What was found out about a ledger that is not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreHealth {
    /// It does what is needed.
    Usable,
    /// It does, but may forget: a Redis that drops keys when it is full.
    MayEvict,
    /// Another process has it, which is as it should be while a gateway runs.
    InUse,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreUnhealthy {
    /// The Redis.
    #[error(transparent)]
    RedisUnavailable(#[from] RedisUnavailable),
    /// The file.
    #[error(transparent)]
    OpenFailed(#[from] StoreOpenError),
}

impl StateStore {
    /// Opens it. A Redis is not connected yet.
    ///
    /// # Errors
    /// [`CannotOpen`] of a file.
    pub fn open(settings: StoreSettings) -> Result<Self, StoreOpenError> {
        let store = match settings.location {
            StoreLocation::File { path, max_bytes } => {
                StoreBackend::File(StoreFile::open(path, max_bytes)?)
            }
            StoreLocation::Memory { max_bytes } => {
                StoreBackend::Memory(MemoryStore::new(max_bytes))
            }
            StoreLocation::Redis(settings) => StoreBackend::Redis(RedisStore::new(settings)),
        };
        Ok(Self::with_backend(store, settings.retention))
    }

    fn with_backend(backend: StoreBackend, retention: Retention) -> Self {
        Self {
            backend,
            retention: Mutex::new(retention),
            failure_counts: StoreFailureCounts::default(),
        }
    }

    /// How long what is to be remembered, and how much.
    pub fn retention(&self) -> Retention {
        *self
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether it could be opened and used, for the administrator. What
    /// does not exist is not made.
    ///
    /// # Errors
    /// [`Unusable`].
    pub async fn check_location(place: StoreLocation) -> Result<StoreHealth, StoreUnhealthy> {
        match place {
            StoreLocation::File { path, .. } => match opening::check_openable(&path) {
                Ok(()) => Ok(StoreHealth::Usable),
                Err(StoreOpenError::Locked(_)) => Ok(StoreHealth::InUse),
                Err(error) => Err(error.into()),
            },
            StoreLocation::Memory { .. } => Ok(StoreHealth::Usable),
            StoreLocation::Redis(settings) => match RedisStore::new(settings).check().await? {
                Some(false) => Ok(StoreHealth::MayEvict),
                Some(true) | None => Ok(StoreHealth::Usable),
            },
        }
    }

    /// Goes on with other settings, if they are [of](Self::is_of) this one; else
    /// says no, and must be opened anew.
    pub fn reconfigure(&self, settings: &StoreSettings) -> bool {
        if !self.has_same_settings(&settings.location) {
            return false;
        }
        match (&self.backend, &settings.location) {
            (StoreBackend::File(file), StoreLocation::File { max_bytes, .. }) => {
                file.set_max_bytes(*max_bytes)
            }
            (StoreBackend::Memory(memory), StoreLocation::Memory { max_bytes }) => {
                memory.set_max_bytes(*max_bytes);
            }
            (StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_), _) => {}
        }
        *self
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = settings.retention;
        true
    }

    /// Whether it is in this place, and reached in the same way.
    pub fn has_same_settings(&self, place: &StoreLocation) -> bool {
        match (&self.backend, place) {
            (StoreBackend::Redis(shared), StoreLocation::Redis(settings)) => {
                shared.has_same_settings(settings)
            }
            (StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_), place) => {
                self.is_same_store(place)
            }
        }
    }

    /// Whether a ledger in this place knows what this one knows.
    pub fn is_same_store(&self, place: &StoreLocation) -> bool {
        match (&self.backend, place) {
            (StoreBackend::File(file), StoreLocation::File { path, .. }) => file.is_at(path),
            (StoreBackend::Memory(_), StoreLocation::Memory { .. }) => true,
            (StoreBackend::Redis(shared), StoreLocation::Redis(settings)) => {
                shared.is_same_database(settings)
            }
            (StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_), _) => false,
        }
    }

    /// Sets what nobody has set: none is given back then, else what is there. Of
    /// many at once one is the first, over all replicas.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn put_if_absent(
        &self,
        key: &StoreKey,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Option<Bytes>, StoreError> {
        Ok(self
            .execute(key, StoreCommand::PutIfAbsent(value, ttl))
            .await?
            .value)
    }

    /// Sets it if this is there; says whether it was.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn compare_and_swap(
        &self,
        key: &StoreKey,
        expected: &[u8],
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let expected = Bytes::copy_from_slice(expected);
        Ok(self
            .execute(key, StoreCommand::CompareAndSwap(expected, value, ttl))
            .await?
            .applied)
    }

    /// What is there.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn get(&self, key: &StoreKey) -> Result<Option<Bytes>, StoreError> {
        Ok(self.execute(key, StoreCommand::Get).await?.value)
    }

    /// Sets it, whatever is there.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn put(&self, key: &StoreKey, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        self.execute(key, StoreCommand::Put(value, ttl))
            .await
            .map(drop)
    }

    /// What is there, which is deleted. Of many at once one gets it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; then it may be gone.
    pub async fn get_and_delete(&self, key: &StoreKey) -> Result<Option<Bytes>, StoreError> {
        Ok(self.execute(key, StoreCommand::GetAndDelete).await?.value)
    }

    /// Deletes it if this is there; says whether it was.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn compare_and_delete(
        &self,
        key: &StoreKey,
        expected: &[u8],
    ) -> Result<bool, StoreError> {
        let expected = Bytes::copy_from_slice(expected);
        Ok(self
            .execute(key, StoreCommand::CompareAndDelete(expected))
            .await?
            .applied)
    }

    /// A random secret of this name, made once: the same for all who share the
    /// store, and as long as the store lasts.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn secret(&self, name: &str) -> Result<[u8; 32], StoreError> {
        let key = StoreKey::new(StoreKeyKind::Secret, &[name.as_bytes()]);
        let found = self.get(&key).await?;
        if let Some(known) = found.and_then(|found| <[u8; 32]>::try_from(&*found).ok()) {
            return Ok(known);
        }
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(|error| StoreError::unavailable(error.to_string()))?;
        let value = Bytes::copy_from_slice(&fresh);
        match self.put_if_absent(&key, value, SECRET_TTL).await? {
            None => Ok(fresh),
            Some(known) => <[u8; 32]>::try_from(&*known)
                .map_err(|_wrong_size| StoreError::unavailable("what is kept as a secret is none")),
        }
    }

    /// Whether what is remembered is known after this process, too.
    pub fn is_persistent(&self) -> bool {
        match self.backend {
            StoreBackend::File(_) | StoreBackend::Redis(_) => true,
            StoreBackend::Memory(_) => false,
        }
    }

    /// Whether other replicas know it too.
    pub fn is_shared(&self) -> bool {
        match self.backend {
            StoreBackend::File(_) | StoreBackend::Memory(_) => false,
            StoreBackend::Redis(_) => true,
        }
    }

    /// Where it is remembered, in one word, for metric labels.
    pub fn backend_name(&self) -> &'static str {
        match self.backend {
            StoreBackend::File(_) => "file",
            StoreBackend::Memory(_) => "memory",
            StoreBackend::Redis(_) => "redis",
        }
    }

    /// Whether it can be used now. A Redis is asked.
    ///
    /// # Errors
    /// Why not, for the administrator.
    pub async fn check_available(&self) -> Result<(), StoreUnavailable> {
        match &self.backend {
            StoreBackend::File(file) => file.check_available(),
            StoreBackend::Memory(_) => Ok(()),
            StoreBackend::Redis(shared) => {
                let trial = StoreKey::new(StoreKeyKind::Idempotency, &[b"trial"]);
                match shared.execute(trial, StoreCommand::Get).await {
                    Err(StoreError::Unavailable(trouble)) => Err(trouble),
                    Ok(_) | Err(StoreError::Full | StoreError::TooLarge { .. }) => Ok(()),
                }
            }
        }
    }

    /// Whether it could be used when it was last needed; none before that.
    pub fn was_available(&self) -> Option<bool> {
        match &self.backend {
            StoreBackend::File(file) => Some(file.check_available().is_ok()),
            StoreBackend::Memory(_) => Some(true),
            StoreBackend::Redis(shared) => shared.redis.is_connected(),
        }
    }

    /// How often what failed, and why, since it was opened.
    pub fn failure_counts(&self) -> Vec<(StoreOperation, StoreErrorReason, u64)> {
        self.failure_counts.snapshot()
    }

    /// Ends the work of a file and lets go of it. Nothing is lost without this.
    /// Says whether it was done in time.
    pub fn close(&self, patience: Duration) -> bool {
        match &self.backend {
            StoreBackend::File(file) => file.close(patience),
            StoreBackend::Memory(_) | StoreBackend::Redis(_) => true,
        }
    }

    async fn execute(&self, key: &StoreKey, deed: StoreCommand) -> Result<StoreReply, StoreError> {
        let operation = deed.operation();
        let told = if deed.value_size() > MAX_VALUE_BYTES {
            Err(StoreError::TooLarge {
                size_bytes: deed.value_size(),
                max_bytes: MAX_VALUE_BYTES,
            })
        } else {
            match &self.backend {
                StoreBackend::File(file) => file.execute(*key, deed).await,
                StoreBackend::Memory(memory) => memory.execute(*key, deed, Instant::now()),
                StoreBackend::Redis(shared) => shared.execute(*key, deed).await,
            }
        };
        told.inspect_err(|error| self.failure_counts.record(operation, error))
    }
}

/// In this process, at most 32 MiB.
impl Default for StateStore {
    fn default() -> Self {
        Self::with_backend(
            StoreBackend::Memory(MemoryStore::new(32 << 20)),
            Retention::default(),
        )
    }
}

/// A day for keys, three to undo 256 KiB, ten minutes to approve.
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

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("store", &self.backend_name())
            .finish_non_exhaustive()
    }
}
