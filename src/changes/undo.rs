//! What is kept of a change so that it can be taken back.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use super::{Done, Proposal, Shot, Undo};
use crate::{
    access::{Access, Denied},
    audit::Who,
    ledger::{Key, Ledger},
    names::InstanceName,
    odoo::{FieldName, ModelName, RecordId},
};

/// What is kept of one change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When it was made.
    pub at: Timestamp,
    /// The model.
    pub model: ModelName,
    /// What it did.
    pub kind: Kind,
    /// The records; of new ones only once they are there.
    pub ids: Vec<RecordId>,
    /// The fields that it wrote.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldName>,
    /// The records before, as [`Shot::to_json`] writes them.
    pub before: Value,
    /// The records after; missing where nobody looked.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
}

/// What a change did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It made records.
    Create,
    /// It removed records.
    Delete,
    /// It changed records.
    Update,
}

/// What is kept of a change that is being made.
#[derive(Debug)]
pub(super) struct Kept(Option<Under>);

#[derive(Debug)]
struct Under {
    ledger: Arc<Ledger>,
    key: Key,
    name: String,
    entry: Entry,
    keep: Duration,
    /// Whether there is too much to keep.
    too_large: bool,
}

impl Kept {
    /// Keeps what is there before the change.
    ///
    /// # Errors
    /// [`Denied::Unremembered`]; then nothing may be changed.
    pub(super) async fn before(access: &Access<'_>, proposal: &Proposal) -> Result<Self, Denied> {
        let (Some(undo), Some(call)) = (&proposal.undo, proposal.calls.first()) else {
            return Ok(Self(None));
        };
        let (kind, fields) = match undo {
            Undo::Create => (Kind::Create, Vec::new()),
            Undo::Delete => (Kind::Delete, Vec::new()),
            Undo::Update(fields) => (Kind::Update, fields.clone()),
        };
        let ledger = access.ledger;
        let name = new_name()?;
        let mut under = Under {
            ledger: Arc::clone(ledger),
            key: key(access.instance.name(), &Who::of(access.caller), &name),
            name,
            entry: Entry {
                at: Timestamp::now(),
                model: call.model().clone(),
                kind,
                ids: call.ids().to_vec(),
                fields,
                before: proposal.before.to_json(),
                after: Value::Null,
            },
            keep: ledger.settings().keep_undo,
            too_large: false,
        };
        let written = under.written()?;
        under.too_large = written.len() > ledger.settings().max_undo_bytes;
        if !under.too_large {
            ledger.put(&under.key, written, under.keep).await?;
        }
        Ok(Self(Some(under)))
    }

    /// Under which name it can be undone.
    pub(super) fn name(&self) -> Option<String> {
        let under = self.0.as_ref().filter(|under| !under.too_large)?;
        Some(under.name.clone())
    }

    /// The change was not made.
    pub(super) async fn forget(self) {
        if let Some(under) = self.0
            && let Err(error) = under.ledger.take(&under.key).await
        {
            warn!(error = %error, "Failed to forget what was kept of a change that was not made");
        }
    }

    /// Keeps how things are after the change, and says how to take it back.
    pub(super) async fn after(self, done: &Done, after: Option<&Shot>) -> String {
        let mut text = String::new();
        let Some(mut under) = self.0 else {
            return text;
        };
        if under.too_large {
            text.push_str("\nIt cannot be undone here: there was too much to keep.");
            return text;
        }
        if let Some(after) = after {
            under.entry.after = after.to_json();
        }
        under.entry.ids.clone_from(&done.ids);
        let kept = match under.written() {
            Ok(written) => under
                .ledger
                .put(&under.key, written, under.keep)
                .await
                .map_err(Denied::from),
            Err(denied) => Err(denied),
        };
        match kept {
            Ok(()) => {
                let hours = under.keep.as_secs() / 3600;
                let written = write!(
                    text,
                    "\nTo take it back within {hours} h: undo_change with `change`: \"{}\".",
                    under.name
                );
                debug_assert!(written.is_ok(), "a String takes all");
            }
            Err(error) => {
                warn!(error = %error, "Failed to keep how things are after a change");
                text.push_str("\nIt may not be possible to undo it here.");
            }
        }
        text
    }
}

impl Under {
    fn written(&self) -> Result<Bytes, Denied> {
        Ok(serde_json::to_vec(&self.entry)?.into())
    }
}

/// Where a change of this name stands: its caller's, in its instance.
fn key(instance: &InstanceName, caller: &Who, name: &str) -> Key {
    Key::undo(&[
        instance.as_str(),
        &caller.issuer,
        caller.kind,
        &caller.subject,
        name,
    ])
}

/// What is kept of the change of this name, if this caller made it here.
///
/// # Errors
/// [`Denied::Unremembered`], [`Denied::Unreadable`].
pub async fn recall(access: &Access<'_>, name: &str) -> Result<Option<Entry>, Denied> {
    let key = key(access.instance.name(), &Who::of(access.caller), name);
    let stored = access.ledger.get(&key).await?;
    Ok(stored
        .map(|stored| serde_json::from_slice(&stored))
        .transpose()?)
}

/// A name for people and models to copy: twelve letters and digits.
fn new_name() -> Result<String, Denied> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random)?;
    let letters = random
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter));
    Ok(letters.collect())
}
