//! The store for changes: that one was made, that it was approved, and the values
//! before it.
//!
//! In memory, in a file of this process, or in a Redis shared by all replicas. Values
//! are opaque bytes.

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

use gatepost_base::sync::lock;
use std::{
    fmt,
    path::PathBuf,
    sync::Mutex,
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

/// The largest value that can be stored, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// How long a shared secret lives. Signatures made with an old one are rejected,
/// so its end matters only once a year.
const SECRET_TTL: Duration = Duration::from_hours(366 * 24);

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
    /// A Redis that all replicas share. The timeout of these settings is not used:
    /// changes wait longer than rate limits.
    Redis(RedisSettings),
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

/// A key-value store for changes, with lifetimes.
///
/// Each operation is atomic, and operations on one key are serialized. An
/// acknowledged entry exists until it expires or the store ends
/// ([`is_persistent`](Self::is_persistent)); only [`StoreKeyKind::Undo`] may be
/// evicted earlier when the store is full.
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
    /// Opens a store. Does not connect to a Redis yet.
    ///
    /// # Errors
    /// [`StoreOpenError`], only for a file.
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

    /// How long entries live.
    pub fn retention(&self) -> Retention {
        *lock(&self.retention)
    }

    /// Checks whether a store could be opened and used, for the administrator.
    /// Creates nothing.
    ///
    /// # Errors
    /// [`StoreUnhealthy`].
    pub async fn check_location(location: StoreLocation) -> Result<StoreHealth, StoreUnhealthy> {
        match location {
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

    /// Applies new settings if they are for this store
    /// ([`has_same_settings`](Self::has_same_settings)); returns whether they are.
    /// Otherwise it must be reopened.
    pub fn reconfigure(&self, settings: &StoreSettings) -> bool {
        if !self.has_same_settings(&settings.location) {
            return false;
        }
        match (&self.backend, &settings.location) {
            (StoreBackend::File(file), StoreLocation::File { max_bytes, .. }) => {
                file.set_max_bytes(*max_bytes);
            }
            (StoreBackend::Memory(memory), StoreLocation::Memory { max_bytes }) => {
                memory.set_max_bytes(*max_bytes);
            }
            (StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_), _) => {}
        }
        *lock(&self.retention) = settings.retention;
        true
    }

    /// Whether the store is at this location and accessed in the same way.
    pub fn has_same_settings(&self, location: &StoreLocation) -> bool {
        match (&self.backend, location) {
            (StoreBackend::Redis(shared), StoreLocation::Redis(settings)) => {
                shared.has_same_settings(settings)
            }
            (
                StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_),
                location,
            ) => self.is_same_store(location),
        }
    }

    /// Whether a store at this location has the same entries.
    pub fn is_same_store(&self, location: &StoreLocation) -> bool {
        match (&self.backend, location) {
            (StoreBackend::File(file), StoreLocation::File { path, .. }) => file.is_at(path),
            (StoreBackend::Memory(_), StoreLocation::Memory { .. }) => true,
            (StoreBackend::Redis(shared), StoreLocation::Redis(settings)) => {
                shared.is_same_database(settings)
            }
            (StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_), _) => false,
        }
    }

    /// Stores a value if the key is absent and returns `None`, or returns the present
    /// value. Of concurrent calls exactly one stores, across all replicas.
    ///
    /// # Errors
    /// [`StoreError`].
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

    /// Replaces the expected value; returns whether it was present.
    ///
    /// # Errors
    /// [`StoreError`].
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

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn get(&self, key: &StoreKey) -> Result<Option<Bytes>, StoreError> {
        Ok(self.execute(key, StoreCommand::Get).await?.value)
    }

    /// Stores a value unconditionally.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put(&self, key: &StoreKey, value: Bytes, ttl: Duration) -> Result<(), StoreError> {
        self.execute(key, StoreCommand::Put(value, ttl))
            .await
            .map(drop)
    }

    /// Deletes a key and returns its value. Of concurrent calls exactly one gets it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the key may have been deleted.
    pub async fn get_and_delete(&self, key: &StoreKey) -> Result<Option<Bytes>, StoreError> {
        Ok(self.execute(key, StoreCommand::GetAndDelete).await?.value)
    }

    /// Deletes the expected value; returns whether it was present.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
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

    /// The random secret of this name, created at first use and the same for all
    /// replicas that share the store.
    ///
    /// # Errors
    /// [`StoreError`].
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
                .map_err(|_wrong_size| StoreError::unavailable("the stored secret is invalid")),
        }
    }

    /// Whether entries survive a restart of this process.
    pub fn is_persistent(&self) -> bool {
        match self.backend {
            StoreBackend::File(_) | StoreBackend::Redis(_) => true,
            StoreBackend::Memory(_) => false,
        }
    }

    /// Whether other replicas share the entries.
    pub fn is_shared(&self) -> bool {
        match self.backend {
            StoreBackend::File(_) | StoreBackend::Memory(_) => false,
            StoreBackend::Redis(_) => true,
        }
    }

    /// The kind of store in metric labels.
    pub fn backend_name(&self) -> &'static str {
        match self.backend {
            StoreBackend::File(_) => "file",
            StoreBackend::Memory(_) => "memory",
            StoreBackend::Redis(_) => "redis",
        }
    }

    /// Checks that the store can be used now. Queries a Redis.
    ///
    /// # Errors
    /// [`StoreUnavailable`].
    pub async fn check_available(&self) -> Result<(), StoreUnavailable> {
        match &self.backend {
            StoreBackend::File(file) => file.check_available(),
            StoreBackend::Memory(_) => Ok(()),
            StoreBackend::Redis(shared) => {
                let probe = StoreKey::new(StoreKeyKind::Idempotency, &[b"probe"]);
                match shared.execute(probe, StoreCommand::Get).await {
                    Err(StoreError::Unavailable(error)) => Err(error),
                    Ok(_) | Err(StoreError::Full | StoreError::TooLarge { .. }) => Ok(()),
                }
            }
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

    /// Closes a file; returns whether it closed within `timeout`. Nothing is lost
    /// without this.
    pub fn close(&self, timeout: Duration) -> bool {
        match &self.backend {
            StoreBackend::File(file) => file.close(timeout),
            StoreBackend::Memory(_) | StoreBackend::Redis(_) => true,
        }
    }

    async fn execute(
        &self,
        key: &StoreKey,
        command: StoreCommand,
    ) -> Result<StoreReply, StoreError> {
        let operation = command.operation();
        let result = if command.value_size() > MAX_VALUE_BYTES {
            Err(StoreError::TooLarge {
                size_bytes: command.value_size(),
                max_bytes: MAX_VALUE_BYTES,
            })
        } else {
            match &self.backend {
                StoreBackend::File(file) => file.execute(*key, command).await,
                StoreBackend::Memory(memory) => memory.execute(*key, command, Instant::now()),
                StoreBackend::Redis(shared) => shared.execute(*key, command).await,
            }
        };
        result.inspect_err(|error| self.failure_counts.record(operation, error))
    }
}

/// A store in memory of at most 32 MiB.
impl Default for StateStore {
    fn default() -> Self {
        Self::with_backend(
            StoreBackend::Memory(MemoryStore::new(32 << 20)),
            Retention::default(),
        )
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

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateStore")
            .field("backend", &self.backend_name())
            .finish_non_exhaustive()
    }
}
