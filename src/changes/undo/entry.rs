//! What is kept of one change.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{lines::Lines, marks::Marks};
use crate::{
    access::{Access, ContextRequest, Denied},
    audit::Who,
};
use gatepost_odoo::{Context, FieldName, ModelName, RecordId};
use gatepost_state::store::{Key, Ledger};

/// Records by their ids.
pub(super) type Rows = BTreeMap<i64, Map<String, Value>>;

/// What is kept of one change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// When it was made.
    pub(super) at: Timestamp,
    /// The model.
    pub(super) model: ModelName,
    /// What it did.
    pub(super) kind: Kind,
    /// The records; of new ones only once they are there.
    pub(super) ids: Vec<RecordId>,
    /// The fields that it wrote; of deleted records those that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<FieldName>,
    /// The fields of which the values are not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) not_kept: Vec<FieldName>,
    /// The records before. Of deleted ones without what was empty; of changed
    /// ones, once they were looked at afterwards, only what became different.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) before: Rows,
    /// The records in their lists, before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lines: Vec<Lines>,
    /// What it was to write, with the records; of new ones the values of each.
    /// Only until they were looked at afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) wanted: Vec<Wanted>,
    /// What it left in the fields that it wrote.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) after: Rows,
    /// How it left the records; missing where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) marks: Option<Marks>,
    /// The context in which it was made, as a client would ask for it.
    pub(super) context: Value,
    /// Whether it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<Used>,
}

/// What a change did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// It made records.
    Create,
    /// It removed records.
    Delete,
    /// It changed records.
    Update,
}

/// Values, and the records that were to get them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// None where the record was to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<RecordId>,
    /// The values.
    pub(super) values: Map<String, Value>,
}

/// Whether and when a change was taken back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Used {
    /// When that began, or was done.
    pub(super) at: Timestamp,
    /// Under which name that can be taken back in its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    /// Whether it is known that it was done.
    pub(super) done: bool,
    /// The newest record before it ([`Since::newest`](super::super::Since::newest)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<u32>,
}

/// An entry and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    ledger: Arc<Ledger>,
    key: Key,
    pub(super) entry: Entry,
    bytes: Bytes,
}

impl Entry {
    /// The context in which it was made, if it is still open to the caller.
    ///
    /// # Errors
    /// [`Denied::Context`].
    pub(super) async fn context(
        &self,
        access: &Access<'_>,
    ) -> Result<(Context, Vec<Box<str>>), Denied> {
        let request: ContextRequest = serde_json::from_value(self.context.clone())?;
        access.context(Some(&request), false).await
    }

    /// What it was to write into a record.
    pub(super) fn wanted_of(&self, id: RecordId) -> Option<&Map<String, Value>> {
        let wanted = match self.kind {
            // In the order of the values.
            Kind::Create => {
                let at = self.ids.iter().position(|own| *own == id)?;
                self.wanted.get(at)?
            }
            Kind::Delete | Kind::Update => {
                self.wanted.iter().find(|wanted| wanted.ids.contains(&id))?
            }
        };
        Some(&wanted.values)
    }
}

/// A context as a client would ask for it.
pub(super) fn asked_for(context: &Context) -> Value {
    let ids = context.company_ids.iter().map(|id| id.get());
    json!({
        "company_ids": ids.collect::<Vec<u32>>(),
        "lang": context.lang,
        "tz": context.tz,
    })
}

/// Where a change of this name stands: its caller's, in its instance.
pub(super) fn key(access: &Access<'_>, name: &str) -> Key {
    let caller = Who::of(access.caller);
    Key::undo(&[
        access.instance.name().as_str(),
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
pub(super) async fn recall(access: &Access<'_>, name: &str) -> Result<Option<Stored>, Denied> {
    let key = key(access, name);
    let Some(bytes) = access.ledger.get(&key).await? else {
        return Ok(None);
    };
    Ok(Some(Stored {
        ledger: Arc::clone(access.ledger),
        key,
        entry: serde_json::from_slice(&bytes)?,
        bytes,
    }))
}

impl Stored {
    /// Puts another in its place; false where somebody else did.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(super) async fn replace_by(&self, entry: &Entry) -> Result<bool, Denied> {
        let bytes = serde_json::to_vec(entry)?.into();
        let ttl = self.ledger.settings().keep_undo;
        let ledger = &self.ledger;
        Ok(ledger.replace(&self.key, &self.bytes, bytes, ttl).await?)
    }
}
