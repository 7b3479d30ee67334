//! Doing a thing once, however often it is asked for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Shot, Since, Wish, wish::hex};
use crate::access::{Access, Denied};
use gatepost_odoo::RecordId;
use gatepost_state::store::{Key, Ledger};

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
    /// How things were.
    pub(super) since: Since,
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
    /// When they had been written, until it is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<String>,
    /// The newest record before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    newest: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
    /// Under which name it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undo: Option<String>,
    /// Whether it is known that the answer was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lost: bool,
}

/// How far it came.
#[derive(Clone, Copy)]
enum How<'a> {
    Begun,
    Done(&'a Done),
    Lost,
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
    since: Since,
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
                key,
            ])
        });
        Self {
            ledger: Arc::clone(access.ledger),
            key,
            digest: format!("{} {}", wish.tool, hex(&wish.digest)),
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
                    since: Since {
                        at: entry.begun,
                        before: Shot::from_json(&entry.before),
                        stamp: entry.stamp,
                        newest: entry.newest,
                    },
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
            "this `idempotency_key` was used for another call, or with other arguments; nothing was changed. Use a new key for a new change, and the old one only to repeat the very same call".to_owned(),
        ))
    }

    /// Claims it, with the name under which it can be undone. When somebody else did meanwhile, what is known of that.
    ///
    /// # Errors
    /// As of [`Once::earlier`].
    pub(super) async fn begin(
        &self,
        again: Option<Begun>,
        since: &Since,
        undo: Option<&str>,
    ) -> Result<Result<Claim, Earlier>, Denied> {
        let stored = self.written(since, undo, How::Begun)?;
        let claim = Claim {
            once: self.clone(),
            since: since.clone(),
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
            let stored = self.written(&begun.since, begun.undo.as_deref(), How::Done(done))?;
            let ttl = self.ledger.settings().keep_keys;
            self.ledger.replace(key, &begun.stored, stored, ttl).await?;
        }
        Ok(())
    }

    /// It was found out that it was not done, and nobody is at work on it: the
    /// key is free again.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(super) async fn release(&self, begun: &Begun) -> Result<(), Denied> {
        if let Some(key) = &self.key {
            self.ledger.remove(key, &begun.stored).await?;
        }
        Ok(())
    }

    fn written(&self, since: &Since, undo: Option<&str>, how: How<'_>) -> Result<Bytes, Denied> {
        let (done, lost) = match how {
            How::Begun => (None, false),
            How::Done(done) => (Some(done.clone()), false),
            How::Lost => (None, true),
        };
        // Of one that is done nothing has to be found out.
        let open = done.is_none();
        let entry = Entry {
            digest: self.digest.clone(),
            begun: since.at,
            before: if open {
                kept(&since.before)
            } else {
                Value::Null
            },
            stamp: since.stamp.clone().filter(|_| open),
            newest: since.newest.filter(|_| open),
            undo: undo.map(str::to_owned),
            done,
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
        let how = How::Done(done);
        let stored = self.once.written(&self.since, self.undo.as_deref(), how)?;
        self.put(stored).await
    }

    /// It was sent, and no answer came.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(super) async fn lost(self) -> Result<(), Denied> {
        let stored = self
            .once
            .written(&self.since, self.undo.as_deref(), How::Lost)?;
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

/// What is kept of how the records were.
fn kept(before: &Shot) -> Value {
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
