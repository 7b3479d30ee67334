//! The store for changes: that one was made, that it was approved, and the values
//! before it.
//!
//! In memory, in a file of this process, or in a Redis shared by all replicas. Values
//! are opaque bytes.

mod command;
mod entries;
mod failure;
mod file;
mod in_flight;
mod key;
mod memory;
mod opening;
mod quota;
mod shared;
#[cfg(test)]
mod tests;
mod time;
mod writer_thread;

use gatepost_base::sync::lock;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::error;

pub use command::StoreOperation;
pub use failure::{StoreError, StoreErrorReason, StoreUnavailable};
pub use in_flight::InFlightKey;
pub use key::{StoreKey, StoreKeyKind};
pub use opening::StoreOpenError;
pub use time::StoreTime;

use self::{
    command::{StoreCommand, StoreReply},
    failure::StoreFailureCounts,
    file::StoreFile,
    in_flight::InFlightKeys,
    memory::MemoryStore,
    shared::{RedisStore, probe_key},
};
use crate::redis::{RedisSettings, RedisUnavailable};

/// The largest value that can be stored, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// How long a shared secret lives. Signatures made with an old one are rejected,
/// so its end matters only once a year.
const SECRET_TTL: Duration = Duration::from_hours(366 * 24);

/// How long a refusal for lack of room is reported by
/// [`check_available`](StateStore::check_available).
const REFUSAL_REPORT_TIME: Duration = Duration::from_mins(5);

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
    max_bytes: AtomicU64,
    /// The size of all entries that cannot be evicted, at the last command.
    pinned_bytes: AtomicU64,
    /// The last refusal for lack of room.
    last_refusal: Mutex<Option<(Instant, StoreErrorReason)>>,
    in_flight: InFlightKeys,
}

/// How full a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreFill {
    /// The size of the entries that stay until they expire, in bytes.
    pub pinned_bytes: u64,
    /// The most that it stores, in bytes.
    pub max_bytes: u64,
}

enum StoreBackend {
    File(StoreFile),
    Memory(Box<MemoryStore>),
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
        let max_bytes = settings.location.max_bytes();
        let store = match settings.location {
            StoreLocation::File { path, max_bytes } => {
                StoreBackend::File(StoreFile::open(path, max_bytes)?)
            }
            StoreLocation::Memory { max_bytes } => {
                StoreBackend::Memory(Box::new(MemoryStore::new(max_bytes)))
            }
            StoreLocation::Redis {
                settings,
                max_bytes,
            } => StoreBackend::Redis(RedisStore::new(settings, max_bytes)),
        };
        Ok(Self::with_backend(store, settings.retention, max_bytes))
    }

    fn with_backend(backend: StoreBackend, retention: Retention, max_bytes: u64) -> Self {
        Self {
            backend,
            retention: Mutex::new(retention),
            failure_counts: StoreFailureCounts::default(),
            max_bytes: AtomicU64::new(max_bytes),
            pinned_bytes: AtomicU64::new(0),
            last_refusal: Mutex::new(None),
            in_flight: InFlightKeys::default(),
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
            (StoreBackend::Redis(shared), StoreLocation::Redis { max_bytes, .. }) => {
                shared.set_max_bytes(*max_bytes);
            }
            (StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_), _) => {}
        }
        self.max_bytes.store(settings.location.max_bytes(), Relaxed);
        *lock(&self.retention) = settings.retention;
        true
    }

    /// Whether the store is at this location and accessed in the same way.
    pub fn has_same_settings(&self, location: &StoreLocation) -> bool {
        match (&self.backend, location) {
            (StoreBackend::Redis(shared), StoreLocation::Redis { settings, .. }) => {
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
            (StoreBackend::Redis(shared), StoreLocation::Redis { settings, .. }) => {
                shared.is_same_database(settings)
            }
            (StoreBackend::File(_) | StoreBackend::Memory(_) | StoreBackend::Redis(_), _) => false,
        }
    }

    /// Records that a change with this key is in flight in this process, whatever the
    /// store says; `None` if one is already.
    pub fn begin_change(&self, key: StoreKey) -> Option<InFlightKey> {
        self.in_flight.add(key)
    }

    /// Whether a change with this key is in flight in this process.
    pub fn is_change_in_flight(&self, key: &StoreKey) -> bool {
        self.in_flight.contains(key)
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

    /// Replaces the expected value by what came of a change. If the store has forgotten
    /// the key, because its data was deleted meanwhile, the value is written again, logged
    /// and counted. A value that another change has put there since stays, which is
    /// logged and counted as well.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn complete(
        &self,
        key: &StoreKey,
        expected: &[u8],
        value: Bytes,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        if self
            .compare_and_swap(key, expected, value.clone(), ttl)
            .await?
        {
            return Ok(());
        }
        let operation = StoreOperation::CompareAndSwap;
        self.failure_counts
            .record(operation, StoreErrorReason::Forgotten);
        let other = self.put_if_absent(key, value.clone(), ttl).await?;
        // It is there already if the reply to the first command was lost.
        if other.is_none_or(|other| other == value) {
            error!(
                "Stored the outcome of a change again, because the change store had lost its entry; a call that was repeated meanwhile may have been made twice"
            );
        } else {
            error!(
                "Found the entry of another change, because the change store had lost the first one; both may have been made"
            );
        }
        Ok(())
    }

    /// The time by the clock of the store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn now(&self) -> Result<StoreTime, StoreError> {
        Ok(self.execute(&probe_key(), StoreCommand::Get).await?.at)
    }

    /// The value of a key, and the time by the clock of the store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn get_with_time(
        &self,
        key: &StoreKey,
    ) -> Result<(Option<Bytes>, StoreTime), StoreError> {
        let reply = self.execute(key, StoreCommand::Get).await?;
        Ok((reply.value, reply.at))
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
        match &result {
            Ok(reply) => self.pinned_bytes.store(reply.pinned_bytes, Relaxed),
            Err(error) => {
                let reason = error.reason();
                self.failure_counts.record(operation, reason);
                if matches!(error, StoreError::Full | StoreError::ShareUsed) {
                    *lock(&self.last_refusal) = Some((Instant::now(), reason));
                }
            }
        }
        result
    }
}

impl StoreLocation {
    /// The most that the store there may store, in bytes.
    fn max_bytes(&self) -> u64 {
        match self {
            Self::File { max_bytes, .. }
            | Self::Memory { max_bytes }
            | Self::Redis { max_bytes, .. } => *max_bytes,
        }
    }
}

/// A store in memory of at most 32 MiB.
impl Default for StateStore {
    fn default() -> Self {
        let max_bytes = 32 << 20;
        Self::with_backend(
            StoreBackend::Memory(Box::new(MemoryStore::new(max_bytes))),
            Retention::default(),
            max_bytes,
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
