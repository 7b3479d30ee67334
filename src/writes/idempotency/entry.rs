//! Doing a thing once, however often it is asked for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::{OdooSession, OperationError};
use crate::{
    access::RecordSnapshot,
    writes::{Baseline, RequestFingerprint},
};
use gatepost_base::digest::hex;
use gatepost_odoo::RecordId;
use gatepost_state::store::{StateStore, StoreKey};

/// Bytes of records that are kept with the key of a method that is called.
const MAX_BEFORE_BYTES: usize = 8 << 10;
/// How often somebody who waits for the same call looks.
const POLL_INTERVAL: Duration = Duration::from_millis(300);
/// How long they wait.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// How much longer than a call may take somebody may be at work on it.
const ATTEMPT_MARGIN: Duration = Duration::from_secs(5);

/// What is known of a wish with a key.
#[derive(Debug)]
pub(crate) enum PriorAttempt {
    /// Nothing, or there is no key.
    None,
    /// It was done.
    Done(CompletedWrite),
    /// It was begun, and nobody knows what came of it.
    Unknown(UnfinishedAttempt),
}

/// What a change brought.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CompletedWrite {
    /// When.
    pub at: Timestamp,
    /// The records that it made or was about.
    pub ids: Vec<RecordId>,
    /// What a method returned.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// Under which name it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// A change that was begun.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct UnfinishedAttempt {
    /// How things were.
    pub(crate) baseline: Baseline,
    /// Under which name it can be undone.
    pub(crate) change_id: Option<String>,
    stored: Bytes,
}

/// What stands in the ledger.
#[derive(Serialize, Deserialize)]
struct IdempotencyEntry {
    digest: String,
    begun: Timestamp,
    /// How the records were before, until it is done.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    before: Value,
    /// When they had been written, until it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<String>,
    /// The newest record before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<CompletedWrite>,
    /// Under which name it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    /// Whether it is known that the answer was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
}

/// How far it came.
#[derive(Clone, Copy)]
enum AttemptState<'a> {
    Begun,
    Done(&'a CompletedWrite),
    OutcomeUnknown,
}

/// The place of a wish in the ledger; none without a key.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyKey {
    ledger: Arc<StateStore>,
    store_key: Option<StoreKey>,
    digest: String,
    /// After so long nobody is at work any more on what was begun.
    attempt_timeout: Duration,
}

/// The claim of whoever does it.
#[derive(Clone, Debug)]
pub(crate) struct IdempotencyReservation {
    idempotency_key: IdempotencyKey,
    baseline: Baseline,
    change_id: Option<String>,
    stored: Bytes,
}

impl IdempotencyKey {
    pub(crate) fn of(access: &OdooSession<'_>, wish: &RequestFingerprint) -> Self {
        let caller = access.caller;
        let store_key = wish.idempotency_key.as_deref().map(|key| {
            StoreKey::idempotency(&[
                access.instance.name().as_str(),
                &caller.issuer,
                caller.kind.as_str(),
                caller.subject.as_str(),
                key,
            ])
        });
        Self {
            ledger: Arc::clone(access.store),
            store_key,
            digest: format!("{} {}", wish.tool, hex(&wish.digest)),
            attempt_timeout: access.instance.call_timeout() + ATTEMPT_MARGIN,
        }
    }

    /// How long after it was begun it may have been sent.
    pub(crate) fn send_window(&self) -> Duration {
        self.attempt_timeout
    }

    /// What is known of it. Waits a while for somebody who is at work on it.
    ///
    /// # Errors
    /// [`Denied::Unfit`] where the key stands for another wish, or somebody is
    /// still at work; [`Denied::Unremembered`].
    pub(crate) async fn prior_attempt(&self) -> Result<PriorAttempt, OperationError> {
        let Some(key) = &self.store_key else {
            return Ok(PriorAttempt::None);
        };
        let deadline = tokio::time::Instant::now() + MAX_WAIT;
        loop {
            let Some(stored) = self.ledger.get(key).await? else {
                return Ok(PriorAttempt::None);
            };
            let entry = self.parse_entry(&stored)?;
            if let Some(done) = entry.done {
                return Ok(PriorAttempt::Done(done));
            }
            let age = Timestamp::now().duration_since(entry.begun);
            if entry.lost || age.unsigned_abs() > self.attempt_timeout {
                return Ok(PriorAttempt::Unknown(UnfinishedAttempt {
                    baseline: Baseline {
                        taken_at: entry.begun,
                        before: RecordSnapshot::from_json(&entry.before),
                        write_date_digest: entry.stamp,
                        newest_id: entry.newest,
                    },
                    change_id: entry.undo,
                    stored,
                }));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(OperationError::InvalidArgument(
                    "another call with this `idempotency_key` is doing it right now; call again with the same key in 10 s to hear what came of it".to_owned(),
                ));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn parse_entry(&self, stored: &[u8]) -> Result<IdempotencyEntry, OperationError> {
        let entry: IdempotencyEntry = serde_json::from_slice(stored)?;
        if entry.digest == self.digest {
            return Ok(entry);
        }
        Err(OperationError::InvalidArgument(
            "this `idempotency_key` was used for another call, or with other arguments; nothing was changed. Use a new key for a new change, and the old one only to repeat the very same call".to_owned(),
        ))
    }

    /// Claims it, with the name under which it can be undone. When somebody else did meanwhile, what is known of that.
    ///
    /// # Errors
    /// As of [`Once::earlier`].
    pub(crate) async fn begin(
        &self,
        again: Option<UnfinishedAttempt>,
        since: &Baseline,
        undo: Option<&str>,
    ) -> Result<Result<IdempotencyReservation, PriorAttempt>, OperationError> {
        let stored = self.encode_entry(since, undo, AttemptState::Begun)?;
        let claim = IdempotencyReservation {
            idempotency_key: self.clone(),
            baseline: since.clone(),
            change_id: undo.map(str::to_owned),
            stored: stored.clone(),
        };
        let Some(key) = &self.store_key else {
            return Ok(Ok(claim));
        };
        let ttl = self.ledger.retention().idempotency_ttl;
        let mine = match again {
            // It was found out that it was not done.
            Some(before) => {
                self.ledger
                    .compare_and_swap(key, &before.stored, stored, ttl)
                    .await?
            }
            None => self.ledger.put_if_absent(key, stored, ttl).await?.is_none(),
        };
        if mine {
            Ok(Ok(claim))
        } else {
            Ok(Err(self.prior_attempt().await?))
        }
    }

    /// Remembers what was found out of one that was begun.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(crate) async fn complete(
        &self,
        begun: &UnfinishedAttempt,
        done: &CompletedWrite,
    ) -> Result<(), OperationError> {
        if let Some(key) = &self.store_key {
            let stored = self.encode_entry(
                &begun.baseline,
                begun.change_id.as_deref(),
                AttemptState::Done(done),
            )?;
            let ttl = self.ledger.retention().idempotency_ttl;
            self.ledger
                .compare_and_swap(key, &begun.stored, stored, ttl)
                .await?;
        }
        Ok(())
    }

    /// It was found out that it was not done, and nobody is at work on it: the
    /// key is free again.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(crate) async fn release(&self, begun: &UnfinishedAttempt) -> Result<(), OperationError> {
        if let Some(key) = &self.store_key {
            self.ledger.compare_and_delete(key, &begun.stored).await?;
        }
        Ok(())
    }

    fn encode_entry(
        &self,
        since: &Baseline,
        undo: Option<&str>,
        how: AttemptState<'_>,
    ) -> Result<Bytes, OperationError> {
        let (done, lost) = match how {
            AttemptState::Begun => (None, false),
            AttemptState::Done(done) => (Some(done.clone()), false),
            AttemptState::OutcomeUnknown => (None, true),
        };
        // Of one that is done nothing has to be found out.
        let open = done.is_none();
        let entry = IdempotencyEntry {
            digest: self.digest.clone(),
            begun: since.taken_at,
            before: if open {
                bounded_snapshot(&since.before)
            } else {
                Value::Null
            },
            stamp: since.write_date_digest.clone().filter(|_| open),
            newest: since.newest_id.filter(|_| open),
            undo: undo.map(str::to_owned),
            done,
            lost,
        };
        Ok(serde_json::to_vec(&entry)?.into())
    }
}

impl IdempotencyReservation {
    /// It was done.
    ///
    /// # Errors
    /// [`Denied::Unremembered`]; done it is all the same.
    pub(crate) async fn complete(self, done: &CompletedWrite) -> Result<(), OperationError> {
        let how = AttemptState::Done(done);
        let stored =
            self.idempotency_key
                .encode_entry(&self.baseline, self.change_id.as_deref(), how)?;
        self.replace_entry(stored).await
    }

    /// It was sent, and no answer came.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(crate) async fn mark_outcome_unknown(self) -> Result<(), OperationError> {
        let stored = self.idempotency_key.encode_entry(
            &self.baseline,
            self.change_id.as_deref(),
            AttemptState::OutcomeUnknown,
        )?;
        self.replace_entry(stored).await
    }

    /// It was not done, and the key is free again.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(crate) async fn release(self) -> Result<(), OperationError> {
        if let Some(key) = &self.idempotency_key.store_key {
            self.idempotency_key
                .ledger
                .compare_and_delete(key, &self.stored)
                .await?;
        }
        Ok(())
    }

    async fn replace_entry(self, stored: Bytes) -> Result<(), OperationError> {
        if let Some(key) = &self.idempotency_key.store_key {
            let ledger = &self.idempotency_key.ledger;
            let ttl = ledger.retention().idempotency_ttl;
            ledger
                .compare_and_swap(key, &self.stored, stored, ttl)
                .await?;
        }
        Ok(())
    }
}

/// What is kept of how the records were.
fn bounded_snapshot(before: &RecordSnapshot) -> Value {
    if before.is_empty() {
        return Value::Null;
    }
    let before = before.to_json();
    if before.to_string().len() <= MAX_BEFORE_BYTES {
        before
    } else {
        Value::Null
    }
}
