//! What must be remembered of changes: that one was made, that it was approved,
//! what was there before.
//!
//! In this process, in a file of this process, or in a Redis of all replicas. What
//! a value means is not known here; it is the caller's bytes.

mod deed;
mod entries;
mod failure;
mod file;
mod keeper;
mod key;
mod memory;
mod opening;
mod room;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;

pub use deed::Operation;
pub use failure::{LedgerError, Reason, Trouble};
pub use key::{Key, Kind};
pub use opening::CannotOpen;

use self::{
    deed::{Deed, Told},
    failure::Failures,
    file::LedgerFile,
    memory::Memory,
    shared::Shared,
};
use crate::redis::{Away, RedisSettings};

/// The largest value that is kept, in bytes.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// How long a secret of the replicas lasts. What was signed with an old one is
/// refused, so that it matters only on the day it ends.
const SECRET_TTL: Duration = Duration::from_hours(366 * 24);

/// Where things are remembered, and for how long.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// Where.
    pub place: LedgerPlace,
    /// For how long.
    pub retention: Retention,
}

/// Where things are remembered.
#[derive(Clone, Debug)]
pub enum LedgerPlace {
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
    pub keep_keys: Duration,
    /// How long a change can be undone.
    pub keep_undo: Duration,
    /// How long a change may wait for its approval.
    pub approval: Duration,
    /// What may be kept to undo one change, in bytes.
    pub max_undo_bytes: usize,
}

/// What must be remembered of changes.
///
/// Each operation is done whole or not at all, and for one key one after the
/// other, whoever asks. What was acknowledged is there until its time, as long as
/// the store is ([`outlives_restart`](Self::outlives_restart)), but for
/// [`Kind::Undo`]: that may be forgotten earlier where there is no room.
pub struct Ledger {
    store: Store,
    retention: Mutex<Retention>,
    failures: Failures,
}

enum Store {
    File(LedgerFile),
    Memory(Memory),
    Redis(Shared),
}

/// What was found out about a ledger that is not open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usable {
    /// It does what is needed.
    Yes,
    /// It does, but may forget: a Redis that drops keys when it is full.
    Forgetful,
    /// Another process has it, which is as it should be while a gateway runs.
    InUse,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The Redis.
    #[error(transparent)]
    Away(#[from] Away),
    /// The file.
    #[error(transparent)]
    CannotOpen(#[from] CannotOpen),
}

impl Ledger {
    /// Opens it. A Redis is not connected yet.
    ///
    /// # Errors
    /// [`CannotOpen`] of a file.
    pub fn open(settings: LedgerSettings) -> Result<Self, CannotOpen> {
        let store = match settings.place {
            LedgerPlace::File { path, max_bytes } => {
                Store::File(LedgerFile::open(path, max_bytes)?)
            }
            LedgerPlace::Memory { max_bytes } => Store::Memory(Memory::new(max_bytes)),
            LedgerPlace::Redis(settings) => Store::Redis(Shared::new(settings)),
        };
        Ok(Self::of(store, settings.retention))
    }

    fn of(store: Store, retention: Retention) -> Self {
        Self {
            store,
            retention: Mutex::new(retention),
            failures: Failures::default(),
        }
    }

    /// How long what is to be remembered, and how much.
    pub fn settings(&self) -> Retention {
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
    pub async fn examine(place: LedgerPlace) -> Result<Usable, Unusable> {
        match place {
            LedgerPlace::File { path, .. } => match opening::examine(&path) {
                Ok(()) => Ok(Usable::Yes),
                Err(CannotOpen::Taken(_)) => Ok(Usable::InUse),
                Err(error) => Err(error.into()),
            },
            LedgerPlace::Memory { .. } => Ok(Usable::Yes),
            LedgerPlace::Redis(settings) => match Shared::new(settings).examine().await? {
                Some(false) => Ok(Usable::Forgetful),
                Some(true) | None => Ok(Usable::Yes),
            },
        }
    }

    /// Goes on with other settings, if they are [of](Self::is_of) this one; else
    /// says no, and must be opened anew.
    pub fn adjust(&self, settings: &LedgerSettings) -> bool {
        if !self.is_of(&settings.place) {
            return false;
        }
        match (&self.store, &settings.place) {
            (Store::File(file), LedgerPlace::File { max_bytes, .. }) => file.adjust(*max_bytes),
            (Store::Memory(memory), LedgerPlace::Memory { max_bytes }) => {
                memory.adjust(*max_bytes);
            }
            (Store::File(_) | Store::Memory(_) | Store::Redis(_), _) => {}
        }
        *self
            .retention
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = settings.retention;
        true
    }

    /// Whether it is in this place, and reached in the same way.
    pub fn is_of(&self, place: &LedgerPlace) -> bool {
        match (&self.store, place) {
            (Store::Redis(shared), LedgerPlace::Redis(settings)) => shared.is_of(settings),
            (Store::File(_) | Store::Memory(_) | Store::Redis(_), place) => self.is_where(place),
        }
    }

    /// Whether a ledger in this place knows what this one knows.
    pub fn is_where(&self, place: &LedgerPlace) -> bool {
        match (&self.store, place) {
            (Store::File(file), LedgerPlace::File { path, .. }) => file.is(path),
            (Store::Memory(_), LedgerPlace::Memory { .. }) => true,
            (Store::Redis(shared), LedgerPlace::Redis(settings)) => shared.is_where(settings),
            (Store::File(_) | Store::Memory(_) | Store::Redis(_), _) => false,
        }
    }

    /// Sets what nobody has set: none is given back then, else what is there. Of
    /// many at once one is the first, over all replicas.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn claim(
        &self,
        key: &Key,
        value: Bytes,
        ttl: Duration,
    ) -> Result<Option<Bytes>, LedgerError> {
        Ok(self.run(key, Deed::Claim(value, ttl)).await?.found)
    }

    /// Sets it if this is there; says whether it was.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, LedgerError> {
        let expected = Bytes::copy_from_slice(expected);
        Ok(self
            .run(key, Deed::Replace(expected, value, ttl))
            .await?
            .done)
    }

    /// What is there.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn get(&self, key: &Key) -> Result<Option<Bytes>, LedgerError> {
        Ok(self.run(key, Deed::Get).await?.found)
    }

    /// Sets it, whatever is there.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn put(&self, key: &Key, value: Bytes, ttl: Duration) -> Result<(), LedgerError> {
        self.run(key, Deed::Put(value, ttl)).await.map(drop)
    }

    /// What is there, which is deleted. Of many at once one gets it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; then it may be gone.
    pub async fn take(&self, key: &Key) -> Result<Option<Bytes>, LedgerError> {
        Ok(self.run(key, Deed::Take).await?.found)
    }

    /// Deletes it if this is there; says whether it was.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn remove(&self, key: &Key, expected: &[u8]) -> Result<bool, LedgerError> {
        let expected = Bytes::copy_from_slice(expected);
        Ok(self.run(key, Deed::Remove(expected)).await?.done)
    }

    /// A random secret of this name, made once: the same for all who share the
    /// store, and as long as the store lasts.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn secret(&self, name: &str) -> Result<[u8; 32], LedgerError> {
        let key = Key::new(Kind::Secret, &[name.as_bytes()]);
        let found = self.get(&key).await?;
        if let Some(known) = found.and_then(|found| <[u8; 32]>::try_from(&*found).ok()) {
            return Ok(known);
        }
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).map_err(|error| LedgerError::unavailable(error.to_string()))?;
        let value = Bytes::copy_from_slice(&fresh);
        match self.claim(&key, value, SECRET_TTL).await? {
            None => Ok(fresh),
            Some(known) => <[u8; 32]>::try_from(&*known).map_err(|_wrong_size| {
                LedgerError::unavailable("what is kept as a secret is none")
            }),
        }
    }

    /// Whether what is remembered is known after this process, too.
    pub fn outlives_restart(&self) -> bool {
        match self.store {
            Store::File(_) | Store::Redis(_) => true,
            Store::Memory(_) => false,
        }
    }

    /// Whether other replicas know it too.
    pub fn is_shared(&self) -> bool {
        match self.store {
            Store::File(_) | Store::Memory(_) => false,
            Store::Redis(_) => true,
        }
    }

    /// Where it is remembered, in one word, for metric labels.
    pub fn store(&self) -> &'static str {
        match self.store {
            Store::File(_) => "file",
            Store::Memory(_) => "memory",
            Store::Redis(_) => "redis",
        }
    }

    /// Whether it can be used now. A Redis is asked.
    ///
    /// # Errors
    /// Why not, for the administrator.
    pub async fn state(&self) -> Result<(), Trouble> {
        match &self.store {
            Store::File(file) => file.state(),
            Store::Memory(_) => Ok(()),
            Store::Redis(shared) => {
                let trial = Key::new(Kind::Once, &[b"trial"]);
                match shared.run(trial, Deed::Get).await {
                    Err(LedgerError::Unavailable(trouble)) => Err(trouble),
                    Ok(_) | Err(LedgerError::Full | LedgerError::TooLarge { .. }) => Ok(()),
                }
            }
        }
    }

    /// Whether it could be used when it was last needed; none before that.
    pub fn is_here(&self) -> Option<bool> {
        match &self.store {
            Store::File(file) => Some(file.state().is_ok()),
            Store::Memory(_) => Some(true),
            Store::Redis(shared) => shared.redis.is_here(),
        }
    }

    /// How often what failed, and why, since it was opened.
    pub fn failures(&self) -> Vec<(Operation, Reason, u64)> {
        self.failures.so_far()
    }

    /// Ends the work of a file and lets go of it. Nothing is lost without this.
    /// Says whether it was done in time.
    pub fn close(&self, patience: Duration) -> bool {
        match &self.store {
            Store::File(file) => file.close(patience),
            Store::Memory(_) | Store::Redis(_) => true,
        }
    }

    async fn run(&self, key: &Key, deed: Deed) -> Result<Told, LedgerError> {
        let operation = deed.operation();
        let told = if deed.size() > MAX_VALUE_BYTES {
            Err(LedgerError::TooLarge {
                size_bytes: deed.size(),
                max_bytes: MAX_VALUE_BYTES,
            })
        } else {
            match &self.store {
                Store::File(file) => file.run(*key, deed).await,
                Store::Memory(memory) => memory.run(*key, deed, Instant::now()),
                Store::Redis(shared) => shared.run(*key, deed).await,
            }
        };
        told.inspect_err(|error| self.failures.count(operation, error))
    }
}

/// In this process, at most 32 MiB.
impl Default for Ledger {
    fn default() -> Self {
        Self::of(Store::Memory(Memory::new(32 << 20)), Retention::default())
    }
}

/// A day for keys, three to undo 256 KiB, ten minutes to approve.
impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_keys: Duration::from_hours(24),
            keep_undo: Duration::from_hours(72),
            approval: Duration::from_mins(10),
            max_undo_bytes: 256 << 10,
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("store", &self.store())
            .finish_non_exhaustive()
    }
}
