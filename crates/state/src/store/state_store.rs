//! One store, wherever it is: how it is opened, configured and closed.

use std::{
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    InFlightKey, Retention, StoreErrorReason, StoreKey, StoreLocation, StoreOpenError,
    StoreSettings, failure::StoreFailureCounts, file::StoreFile, in_flight::InFlightKeys,
    memory::MemoryStore, shared::RedisStore,
};
use gatepost_base::sync::lock;

/// A key-value store for changes, with lifetimes.
///
/// Each operation is atomic, and operations on one key are serialized. An
/// acknowledged entry exists until it expires or the store ends
/// ([`is_persistent`](Self::is_persistent)); only
/// [`StoreKeyKind::Undo`](super::StoreKeyKind::Undo) may be evicted earlier when the
/// store is full.
pub struct StateStore {
    pub(super) backend: StoreBackend,
    pub(super) retention: Mutex<Retention>,
    pub(super) failure_counts: StoreFailureCounts,
    pub(super) max_bytes: AtomicU64,
    /// The size of all entries that cannot be evicted, at the last command.
    pub(super) pinned_bytes: AtomicU64,
    /// The last refusal for lack of room.
    pub(super) last_refusal: Mutex<Option<(Instant, StoreErrorReason)>>,
    pub(super) in_flight: InFlightKeys,
}

pub(super) enum StoreBackend {
    File(StoreFile),
    Memory(Box<MemoryStore>),
    Redis(RedisStore),
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

    pub(super) fn with_backend(
        backend: StoreBackend,
        retention: Retention,
        max_bytes: u64,
    ) -> Self {
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

    /// Closes a file; returns whether it closed within `timeout`. Nothing is lost
    /// without this.
    pub fn close(&self, timeout: Duration) -> bool {
        match &self.backend {
            StoreBackend::File(file) => file.close(timeout),
            StoreBackend::Memory(_) | StoreBackend::Redis(_) => true,
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

impl fmt::Debug for StateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateStore")
            .field("backend", &self.backend_name())
            .finish_non_exhaustive()
    }
}
