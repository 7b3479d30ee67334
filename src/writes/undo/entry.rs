//! What is kept of one change.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    fingerprints::{FieldFingerprints, SnapshotRows},
    x2many_lines::X2manyLines,
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError},
    audit::CallerRef,
};
use gatepost_odoo::{Context, FieldName, ModelName, RecordId};
use gatepost_state::store::{StateStore, StoreKey};

/// What is kept of one change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct UndoEntry {
    /// When it was made.
    pub(super) at: Timestamp,
    /// The model.
    pub(super) model: ModelName,
    /// What it did.
    pub(super) kind: UndoKind,
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
    pub(super) before: SnapshotRows,
    /// The records in their lists, before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lines: Vec<X2manyLines>,
    /// What it was to write, with the records; of new ones the values of each.
    /// Only until they were looked at afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) wanted: Vec<RequestedValues>,
    /// What it left in the fields that it wrote.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) after: SnapshotRows,
    /// How it left the records; missing where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) marks: Option<FieldFingerprints>,
    /// The context in which it was made, as a client would ask for it.
    pub(super) context: Value,
    /// Whether it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<UndoAttempt>,
}

/// What a change did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UndoKind {
    /// It made records.
    Create,
    /// It removed records.
    Delete,
    /// It changed records.
    Update,
}

/// Values, and the records that were to get them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct RequestedValues {
    /// None where the record was to be made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ids: Vec<RecordId>,
    /// The values.
    pub(super) values: Map<String, Value>,
}

/// Whether and when a change was taken back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct UndoAttempt {
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
pub(super) struct StoredUndo {
    ledger: Arc<StateStore>,
    key: StoreKey,
    pub(super) entry: UndoEntry,
    bytes: Bytes,
}

impl UndoEntry {
    /// The context in which it was made, if it is still open to the caller.
    ///
    /// # Errors
    /// [`Denied::Context`].
    pub(super) async fn context(
        &self,
        access: &OdooSession<'_>,
    ) -> Result<(Context, Vec<Box<str>>), OperationError> {
        let request: ContextRequest = serde_json::from_value(self.context.clone())?;
        access.context(Some(&request), false).await
    }

    /// What it was to write into a record.
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
}

/// A context as a client would ask for it.
pub(super) fn context_request(context: &Context) -> Value {
    let ids = context.company_ids.iter().map(|id| id.get());
    json!({
        "company_ids": ids.collect::<Vec<u32>>(),
        "lang": context.lang,
        "tz": context.tz,
    })
}

/// Where a change of this name stands: its caller's, in its instance.
pub(super) fn change_key(access: &OdooSession<'_>, name: &str) -> StoreKey {
    let caller = CallerRef::of(access.caller);
    StoreKey::undo(&[
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
pub(super) async fn load_change(
    access: &OdooSession<'_>,
    name: &str,
) -> Result<Option<StoredUndo>, OperationError> {
    let key = change_key(access, name);
    let Some(bytes) = access.store.get(&key).await? else {
        return Ok(None);
    };
    Ok(Some(StoredUndo {
        ledger: Arc::clone(access.store),
        key,
        entry: serde_json::from_slice(&bytes)?,
        bytes,
    }))
}

impl StoredUndo {
    /// Puts another in its place; false where somebody else did.
    ///
    /// # Errors
    /// [`Denied::Unremembered`].
    pub(super) async fn compare_and_replace(
        &self,
        entry: &UndoEntry,
    ) -> Result<bool, OperationError> {
        let bytes = serde_json::to_vec(entry)?.into();
        let ttl = self.ledger.retention().undo_ttl;
        let ledger = &self.ledger;
        Ok(ledger
            .compare_and_swap(&self.key, &self.bytes, bytes, ttl)
            .await?)
    }
}
