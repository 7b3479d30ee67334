//! Reads, stores and deletes the entries of a store.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tracing::error;

use super::{
    MAX_VALUE_BYTES, StateStore, StoreError, StoreErrorReason, StoreKey, StoreKeyKind,
    StoreOperation, StoreTime,
    command::{StoreCommand, StoreReply},
    shared::probe_key,
    state_store::StoreBackend,
};
use gatepost_base::sync::lock;

/// How long a shared secret lives. Signatures made with an old one are rejected,
/// so its end matters only once a year.
const SECRET_TTL: Duration = Duration::from_hours(366 * 24);

impl StateStore {
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
