//! The stored entry of an idempotency key: the call it belongs to, and how far
//! that call came.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Baseline, RequestFingerprint};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    writes::CompletedWrite,
};
use gatepost_base::digest::hex;
use gatepost_state::store::{InFlightKey, StateStore, StoreKey};

/// The largest record snapshot, in bytes, that is stored with a key.
const MAX_BEFORE_BYTES: usize = 8 << 10;
/// How often a repeated call checks whether the first one has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(300);
/// How long a repeated call waits for the first one.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// How much longer than one Odoo call an attempt may take.
const ATTEMPT_MARGIN: Duration = Duration::from_secs(5);

/// What is known about earlier calls with the same key.
#[derive(Debug)]
pub(crate) enum PriorAttempt {
    /// There was none, or the call has no key.
    None,
    /// It was done.
    Done(CompletedWrite),
    /// It was begun, and its outcome is not known.
    Unknown(Attempt),
}

/// The JSON in the store.
#[derive(Serialize, Deserialize)]
struct IdempotencyEntry {
    digest: String,
    /// Once it is done, only the time.
    #[serde(flatten)]
    baseline: Baseline,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<CompletedWrite>,
    /// The change ID by which it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    /// Whether the response is known to be lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
}

/// A call's idempotency key and the place of its entry in the store.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey {
    store: Arc<StateStore>,
    /// `None` if the call has no key; then nothing is stored.
    store_key: Option<StoreKey>,
    digest: String,
    /// After this time an attempt that was begun is no longer in progress.
    attempt_timeout: Duration,
}

/// An attempt that was begun under a key.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    key: IdempotencyKey,
    /// How things were when it was begun.
    pub(crate) baseline: Baseline,
    /// The change ID by which it can be undone.
    pub(crate) change_id: Option<String>,
    /// The entry as it was stored last.
    stored: Bytes,
    /// What other calls of this process see of it, whatever becomes of the store.
    in_flight: Option<Arc<InFlightKey>>,
}

/// How long after a write was begun its call may still be sent.
pub(crate) fn send_window(access: &OdooSession<'_>) -> Duration {
    access.instance.call_timeout() + ATTEMPT_MARGIN
}

impl IdempotencyKey {
    pub(crate) fn of(access: &OdooSession<'_>, request: &RequestFingerprint) -> Self {
        let caller = access.caller;
        let store_key = request.idempotency_key.as_deref().map(|key| {
            let [issuer, kind, subject] = caller.identity();
            let instance = access.instance.name().as_str();
            StoreKey::idempotency(&[instance, issuer, kind, subject, key])
                .owned_by(&caller.identity())
        });
        Self {
            store: Arc::clone(access.store),
            store_key,
            digest: format!("{} {}", request.tool, hex(&request.digest)),
            attempt_timeout: send_window(access),
        }
    }

    /// What is known about earlier calls with this key. Waits a while if one is
    /// in progress.
    ///
    /// # Errors
    /// [`OperationError::IdempotencyKeyReused`];
    /// [`OperationError::OutcomePending`] if the earlier call is still in progress.
    pub(crate) async fn prior_attempt(&self) -> Result<PriorAttempt, OperationError> {
        let Some(key) = &self.store_key else {
            return Ok(PriorAttempt::None);
        };
        let deadline = tokio::time::Instant::now() + MAX_WAIT;
        loop {
            // Before the store is read: the outcome is stored before it ends.
            let is_in_flight = self.store.is_change_in_flight(key);
            let (stored, now) = self.store.get_with_time(key).await?;
            let Some(stored) = stored else {
                if is_in_flight {
                    // The store has lost its data, or has no entry yet.
                    wait_for_first(deadline).await?;
                    continue;
                }
                return Ok(PriorAttempt::None);
            };
            let entry: IdempotencyEntry = serde_json::from_slice(&stored)?;
            if entry.digest != self.digest {
                return Err(OperationError::IdempotencyKeyReused);
            }
            if let Some(done) = entry.done {
                return Ok(PriorAttempt::Done(done));
            }
            let age = now.saturating_since(entry.baseline.begun_at);
            if entry.lost || age > self.attempt_timeout {
                return Ok(PriorAttempt::Unknown(Attempt {
                    key: self.clone(),
                    baseline: entry.baseline,
                    change_id: entry.undo,
                    stored,
                    in_flight: None,
                }));
            }
            wait_for_first(deadline).await?;
        }
    }

    /// Stores that an attempt begins. `unfinished` is an earlier attempt that
    /// turned out not to be done. Returns the prior attempt instead if another
    /// call was faster.
    pub(crate) async fn begin(
        &self,
        unfinished: Option<Attempt>,
        baseline: &Baseline,
        change_id: Option<&str>,
    ) -> Result<Result<Attempt, PriorAttempt>, OperationError> {
        let mut attempt = Attempt {
            key: self.clone(),
            baseline: baseline.clone(),
            change_id: change_id.map(str::to_owned),
            stored: Bytes::new(),
            in_flight: None,
        };
        let Some(key) = &self.store_key else {
            return Ok(Ok(attempt));
        };
        let Some(in_flight) = self.store.begin_change(*key) else {
            return Ok(Err(self.prior_attempt().await?));
        };
        attempt.in_flight = Some(Arc::new(in_flight));
        attempt.stored = attempt.encode(None, false)?;
        let (store, stored) = (&self.store, attempt.stored.clone());
        let ttl = store.retention().idempotency_ttl;
        let is_first = match unfinished {
            Some(prior) => {
                store
                    .compare_and_swap(key, &prior.stored, stored, ttl)
                    .await?
            }
            None => store.put_if_absent(key, stored, ttl).await?.is_none(),
        };
        if is_first {
            return Ok(Ok(attempt));
        }
        // Otherwise it would wait for itself.
        drop(attempt);
        Ok(Err(self.prior_attempt().await?))
    }
}

/// Waits before a repeated call checks again whether the first one has ended.
///
/// # Errors
/// [`OperationError::OutcomePending`] after the deadline.
async fn wait_for_first(deadline: tokio::time::Instant) -> Result<(), OperationError> {
    if tokio::time::Instant::now() >= deadline {
        return Err(OperationError::OutcomePending(
            "another call with this `idempotency_key` is in progress. Call again with the same key in 10 s to get its result".to_owned(),
        ));
    }
    tokio::time::sleep(POLL_INTERVAL).await;
    Ok(())
}

impl Attempt {
    /// How long after it was begun the call may have been sent.
    pub(crate) fn send_window(&self) -> Duration {
        self.key.attempt_timeout
    }

    /// Checks right before a call is sent that the attempt may still send: other calls
    /// with the key wait only so long for it. It was not replaced by one of them, and is
    /// not forgotten.
    ///
    /// # Errors
    /// [`OperationError::InvalidArgument`].
    pub(crate) async fn check_may_send(&self) -> Result<(), OperationError> {
        let Some(key) = &self.key.store_key else {
            return Ok(());
        };
        let (stored, now) = self.key.store.get_with_time(key).await?;
        let age = now.saturating_since(self.baseline.begun_at);
        if stored.as_ref() == Some(&self.stored) && age <= self.key.attempt_timeout {
            return Ok(());
        }
        Err(OperationError::InvalidArgument(
            "the gateway took too long to prepare this call, or lost what it stores under its `idempotency_key`, so it did not send it. Call again with the same key".to_owned(),
        ))
    }

    /// Stores that it was done. If that fails, it is done anyway.
    pub(crate) async fn complete(&self, done: &CompletedWrite) -> Result<(), OperationError> {
        self.replace(Some(done.clone()), false).await
    }

    /// Stores that it was sent and its outcome is not known.
    pub(crate) async fn mark_outcome_unknown(&self) -> Result<(), OperationError> {
        self.replace(None, true).await
    }

    /// Releases the key: nothing was done, and no call is in flight.
    pub(crate) async fn release(&self) -> Result<(), OperationError> {
        if let Some(key) = &self.key.store_key {
            self.key.store.compare_and_delete(key, &self.stored).await?;
        }
        Ok(())
    }

    async fn replace(
        &self,
        done: Option<CompletedWrite>,
        lost: bool,
    ) -> Result<(), OperationError> {
        if let Some(key) = &self.key.store_key {
            let entry = self.encode(done, lost)?;
            let store = &self.key.store;
            let ttl = store.retention().idempotency_ttl;
            store.complete(key, &self.stored, entry, ttl).await?;
        }
        Ok(())
    }

    fn encode(&self, done: Option<CompletedWrite>, lost: bool) -> Result<Bytes, OperationError> {
        // The outcome of a write that is done need not be probed.
        let mut baseline = match &done {
            Some(_) => Baseline::time_only(self.baseline.taken_at),
            None => self.baseline.clone(),
        };
        if Value::from(baseline.before.clone()).to_string().len() > MAX_BEFORE_BYTES {
            baseline.before = RecordSnapshot::default();
        }
        let entry = IdempotencyEntry {
            digest: self.key.digest.clone(),
            baseline,
            undo: self.change_id.clone(),
            done,
            lost,
        };
        Ok(serde_json::to_vec(&entry)?.into())
    }
}
