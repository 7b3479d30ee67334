//! Doing a thing once, however often it is asked for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Proposal, Shot, Wish, wish::hex};
use crate::{
    access::{Access, Denied},
    ledger::{Key, Ledger},
    odoo::{Effect, RecordId},
};

/// Bytes of records that are kept with the key of a method that is called.
const MAX_BEFORE_BYTES: usize = 8 << 10;
/// How often somebody who waits for the same call looks.
const LOOK: Duration = Duration::from_millis(300);
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much longer than a call may take somebody may be at work on it.
const MARGIN: Duration = Duration::from_secs(5);

/// What is known of a wish with a key.
#[derive(Debug)]
pub(super) enum Earlier {
    /// Nothing, or there is no key.
    None,
    /// It was done.
    Done(Done),
    /// It was begun, and nobody knows what came of it.
    Unknown(Begun),
}

/// What a change brought.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Done {
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
pub(super) struct Begun {
    /// When.
    pub(super) at: Timestamp,
    /// How the records were before, where that was kept.
    pub(super) before: Shot,
    /// Under which name it can be undone.
    pub(super) undo: Option<String>,
    stored: Bytes,
}

/// What stands in the ledger.
#[derive(Serialize, Deserialize)]
struct Entry {
    digest: String,
    begun: Timestamp,
    /// How the records were before, until it is done.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    before: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
    /// Under which name it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    /// Whether it is known that the answer was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
}

/// The place of a wish in the ledger; none without a key.
#[derive(Clone, Debug)]
pub(super) struct Once {
    ledger: Arc<Ledger>,
    key: Option<Key>,
    digest: String,
    /// After so long nobody is at work any more on what was begun.
    at_work: Duration,
}

/// The claim of whoever does it.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    once: Once,
    begun: Timestamp,
    before: Value,
    undo: Option<String>,
    stored: Bytes,
}

impl Once {
    pub(super) fn of(access: &Access<'_>, wish: &Wish) -> Self {
        let caller = access.caller;
        let key = wish.key.as_deref().map(|key| {
            Key::once(&[
                access.instance.name().as_str(),
                &caller.issuer,
                caller.kind.as_str(),
                caller.subject.as_str(),
                wish.tool,
                key,
            ])
        });
        Self {
            ledger: Arc::clone(access.ledger),
            key,
            digest: hex(&wish.digest),
            at_work: access.instance.patience() + MARGIN,
        }
    }

    /// How long after it was begun it may have been sent.
    pub(super) fn until_sent(&self) -> Duration {
        self.at_work
    }

    /// What is known of it. Waits a while for somebody who is at work on it.
    ///
    /// # Errors
    /// [`Denied::Unfit`] where the key stands for another wish, or somebody is
    /// still at work; [`Denied::Unremembered`].
    pub(super) async fn earlier(&self) -> Result<Earlier, Denied> {
        let Some(key) = &self.key else {
            return Ok(Earlier::None);
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let Some(stored) = self.ledger.get(key).await? else {
                return Ok(Earlier::None);
            };
            let entry = self.read(&stored)?;
            if let Some(done) = entry.done {
                return Ok(Earlier::Done(done));
            }
            let age = Timestamp::now().duration_since(entry.begun);
            if entry.lost || age.unsigned_abs() > self.at_work {
                return Ok(Earlier::Unknown(Begun {
                    at: entry.begun,
                    before: Shot::from_json(&entry.before),
                    undo: entry.undo,
                    stored,
                }));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Denied::Unfit(
                    "another call with this `idempotency_key` is doing it right now; call again with the same key in 10 s to hear what came of it".to_owned(),
                ));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn read(&self, stored: &[u8]) -> Result<Entry, Denied> {
        let entry: Entry = serde_json::from_slice(stored)?;
        if entry.digest == self.digest {
            return Ok(entry);
        }
        Err(Denied::Unfit(
            "this `idempotency_key` was used with other arguments; nothing was changed. Use a new key for a new change, and the old one only to repeat the very same call".to_owned(),
        ))
    }

    /// Claims it, with the name under which it can be undone. When somebody else did meanwhile, what is known of that.
    ///
    /// # Errors
    /// As of [`Once::earlier`].
    pub(super) async fn begin(
        &self,
        again: Option<Begun>,
        proposal: &Proposal,
        undo: Option<&str>,
    ) -> Result<Result<Claim, Earlier>, Denied> {
        let begun = Timestamp::now();
        let before = kept(proposal);
        let stored = self.written((begun, undo), &before, None, false)?;
        let claim = Claim {
            once: self.clone(),
            begun,
            before,
            undo: undo.map(str::to_owned),
            stored: stored.clone(),
        };
        let Some(key) = &self.key else {
            return Ok(Ok(claim));
        };
        let ttl = self.ledger.settings().keep_keys;
        let mine = match again {
            // It was found out that it was not done.
            Some(before) => {
                self.ledger
                    .replace(key, &before.stored, stored, ttl)
                    .await?
            }
            None => self.ledger.claim(key, stored, ttl).await?.is_none(),
        };
        if mine {
            Ok(Ok(claim))
        } else {
            Ok(Err(self.earlier().await?))
        }
    }

    /// Remembers what was found out of one that was begun.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(super) async fn settle(&self, begun: &Begun, done: &Done) -> Result<(), Denied> {
        if let Some(key) = &self.key {
            let stored = self.written(
                (begun.at, begun.undo.as_deref()),
                &Value::Null,
                Some(done),
                false,
            )?;
            let ttl = self.ledger.settings().keep_keys;
            self.ledger.replace(key, &begun.stored, stored, ttl).await?;
        }
        Ok(())
    }

    fn written(
        &self,
        (begun, undo): (Timestamp, Option<&str>),
        before: &Value,
        done: Option<&Done>,
        lost: bool,
    ) -> Result<Bytes, Denied> {
        let entry = Entry {
            digest: self.digest.clone(),
            begun,
            before: before.clone(),
            undo: undo.map(str::to_owned),
            done: done.cloned(),
            lost,
        };
        Ok(serde_json::to_vec(&entry)?.into())
    }
}

impl Claim {
    /// It was done.
    ///
    /// # Errors
    /// [`Denied::Unremembered`]; done it is all the same.
    pub(super) async fn done(self, done: &Done) -> Result<(), Denied> {
        let stored = self.once.written(
            (self.begun, self.undo.as_deref()),
            &Value::Null,
            Some(done),
            false,
        )?;
        self.put(stored).await
    }

    /// It was sent, and no answer came.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(super) async fn lost(self) -> Result<(), Denied> {
        let stored =
            self.once
                .written((self.begun, self.undo.as_deref()), &self.before, None, true)?;
        self.put(stored).await
    }

    /// It was not done, and the key is free again.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(super) async fn give_back(self) -> Result<(), Denied> {
        if let Some(key) = &self.once.key {
            self.once.ledger.remove(key, &self.stored).await?;
        }
        Ok(())
    }

    async fn put(self, stored: Bytes) -> Result<(), Denied> {
        if let Some(key) = &self.once.key {
            let ledger = &self.once.ledger;
            let ttl = ledger.settings().keep_keys;
            ledger.replace(key, &self.stored, stored, ttl).await?;
        }
        Ok(())
    }
}

/// How the records are before a method is called on them: only so can be seen
/// afterwards that it was. Of other changes the values say what came of them.
fn kept(proposal: &Proposal) -> Value {
    let runs = |effect: Effect| effect == Effect::Run;
    if !proposal.calls.iter().any(|call| runs(call.effect())) {
        return Value::Null;
    }
    let before = proposal.before.to_json();
    if before.to_string().len() <= MAX_BEFORE_BYTES {
        before
    } else {
        Value::Null
    }
}
