//! The stored entry of one change: what an undo needs.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{fingerprints::FieldFingerprints, x2many_lines::X2manyLines};
use crate::access::{ContextRequest, OdooSession, OperationError, RecordSnapshot};
use gatepost_odoo::{Context, FieldName, ModelName, RecordId};
use gatepost_state::store::{StateStore, StoreKey, StoreTime};

/// What is stored of one change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct UndoEntry {
    /// When it was made.
    pub(super) at: Timestamp,
    pub(super) model: ModelName,
    pub(super) kind: UndoKind,
    /// The records. Of a create only once they exist.
    pub(super) ids: Vec<RecordId>,
    /// The fields that it wrote; of deleted records, the fields that were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fields: Vec<FieldName>,
    /// The fields whose values are not stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) not_kept: Vec<FieldName>,
    /// The records before. Of deleted records without empty values; of updated
    /// ones, once they were read afterwards, only what differs.
    #[serde(default, skip_serializing_if = "RecordSnapshot::is_empty")]
    pub(super) before: RecordSnapshot,
    /// The lines in their lists, before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lines: Vec<X2manyLines>,
    /// What was to be written, until the records were read afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) wanted: Vec<RequestedValues>,
    /// What the fields that it wrote had afterwards.
    #[serde(default, skip_serializing_if = "RecordSnapshot::is_empty")]
    pub(super) after: RecordSnapshot,
    /// The state in which it left the records, if they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) marks: Option<FieldFingerprints>,
    /// The context in which it was made, in the form of a [`ContextRequest`].
    pub(super) context: Value,
    /// Whether it was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<UndoAttempt>,
}

/// What a change did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UndoKind {
    /// It created records.
    Create,
    /// It deleted records.
    Delete,
    /// It updated records.
    Update,
}

/// Values, and the records they were to be written to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct RequestedValues {
    /// Empty for a new record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<RecordId>,
    pub(super) values: Map<String, Value>,
}

/// An undo of a change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct UndoAttempt {
    /// When it began, or was done.
    pub(super) at: Timestamp,
    /// When it began, by the clock of the store.
    #[serde(default)]
    pub(super) begun_at: StoreTime,
    /// The change ID by which the undo can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    /// Whether it is known to be done.
    pub(super) done: bool,
    /// [`Baseline::newest_id`](super::super::Baseline::newest_id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<u32>,
}

/// An entry and its place in the store.
#[derive(Clone, Debug)]
pub(super) struct StoredUndo {
    store: Arc<StateStore>,
    key: StoreKey,
    pub(super) entry: UndoEntry,
    bytes: Bytes,
}

impl UndoEntry {
    /// The context in which the change was made, if the caller may still use it.
    pub(super) async fn context(
        &self,
        access: &OdooSession<'_>,
    ) -> Result<(Context, Vec<Box<str>>), OperationError> {
        let request: ContextRequest = serde_json::from_value(self.context.clone())?;
        access.context(Some(&request), false).await
    }

    /// What was to be written to a record.
    pub(super) fn requested_values(&self, id: RecordId) -> Option<&Map<String, Value>> {
        let wanted = match self.kind {
            // In the order of the values.
            UndoKind::Create => {
                let at = self.ids.iter().position(|own| *own == id)?;
                self.wanted.get(at)?
            }
            UndoKind::Delete | UndoKind::Update => {
                self.wanted.iter().find(|wanted| wanted.ids.contains(&id))?
            }
        };
        Some(&wanted.values)
    }

    /// Whether this field is a list whose lines are stored.
    pub(super) fn has_lines_of(&self, name: &str) -> bool {
        self.lines.iter().any(|lines| lines.field.as_str() == name)
    }
}

/// A context in the form of a [`ContextRequest`].
pub(super) fn context_request(context: &Context) -> Value {
    json!({
        "company_ids": context.company_ids,
        "lang": context.lang,
        "tz": context.tz,
    })
}

/// The store key of a change: it belongs to its caller and its instance.
pub(super) fn change_key(access: &OdooSession<'_>, change_id: &str) -> StoreKey {
    let [issuer, kind, subject] = access.caller.identity();
    let instance = access.instance.name().as_str();
    StoreKey::undo(&[instance, issuer, kind, subject, change_id])
        .owned_by(&access.caller.identity())
}

/// The entry of a change, if this caller made it in this instance.
pub(super) async fn load_change(
    access: &OdooSession<'_>,
    change_id: &str,
) -> Result<Option<StoredUndo>, OperationError> {
    let key = change_key(access, change_id);
    let Some(bytes) = access.store.get(&key).await? else {
        return Ok(None);
    };
    Ok(Some(StoredUndo {
        store: Arc::clone(access.store),
        key,
        entry: serde_json::from_slice(&bytes)?,
        bytes,
    }))
}

impl StoredUndo {
    /// Replaces the entry; `false` if another call did so first.
    pub(super) async fn compare_and_replace(
        &self,
        entry: &UndoEntry,
    ) -> Result<bool, OperationError> {
        let bytes = serde_json::to_vec(entry)?.into();
        let ttl = self.store.retention().undo_ttl;
        let swapped = self
            .store
            .compare_and_swap(&self.key, &self.bytes, bytes, ttl);
        Ok(swapped.await?)
    }
}
