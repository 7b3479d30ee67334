//! The lines of a list, as they were before a change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    fingerprints::{FieldFingerprints, is_same},
    restore::ids_in,
    tracked_fields::restorable_fields,
};
use crate::access::{OdooSession, OperationError, RecordSnapshot, readable};
use gatepost_odoo::{Context, Field, FieldKind, FieldName, ModelName, RecordId, Schema};

/// Lines that are stored of one change.
pub(super) const MAX_LINES: usize = 500;

/// The lines of a list, as they were before a change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct X2manyLines {
    /// The list.
    pub(super) field: FieldName,
    /// The model of the lines.
    pub(super) model: ModelName,
    /// Their field that links to the record with the list.
    pub(super) inverse: FieldName,
    /// The fields that were read.
    pub(super) fields: Vec<FieldName>,
    /// The lines before.
    #[serde(default, skip_serializing_if = "RecordSnapshot::is_empty")]
    pub(super) rows: RecordSnapshot,
    /// The state in which the change left them, if they were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) marks: Option<FieldFingerprints>,
}

impl X2manyLines {
    /// Reads these lines of a list; `None` if the caller or the Odoo user may not.
    pub(super) async fn capture(
        access: &OdooSession<'_>,
        list: &Field,
        ids: &[RecordId],
        context: &Context,
    ) -> Result<Option<Self>, OperationError> {
        let (Some(model), Some(inverse)) = (&list.relation, &list.inverse) else {
            return Ok(None);
        };
        if access.may_read(model).is_err() {
            return Ok(None);
        }
        let Some(schema) = readable(access.schema_visible_in_all_records(model).await)? else {
            return Ok(None);
        };
        let mut lines = Self {
            field: list.name.clone(),
            model: model.clone(),
            inverse: inverse.clone(),
            fields: captured_fields(&schema, inverse),
            rows: RecordSnapshot::default(),
            marks: None,
        };
        let Some(rows) = lines.read_current(access, ids, context).await? else {
            return Ok(None);
        };
        lines.rows = rows;
        Ok(Some(lines))
    }

    /// The stored lines that were in none of these records' lists: a command may
    /// name any record.
    pub(super) fn foreign_lines(&self, before: &RecordSnapshot) -> Vec<RecordId> {
        let listed = before.rows().flat_map(|(_, row)| self.ids_in(row));
        let listed: BTreeSet<RecordId> = listed.collect();
        let ids = self.rows.rows().map(|(id, _)| id);
        ids.filter(|id| !listed.contains(id)).collect()
    }

    /// The stored lines that are in the list of a record now and were not before.
    pub(super) fn moved_in(
        &self,
        before: &Map<String, Value>,
        now: &Map<String, Value>,
    ) -> Vec<RecordId> {
        let had = self.ids_in(before);
        let mut moved = self.ids_in(now);
        moved.retain(|id| self.rows.row(*id).is_some() && !had.contains(id));
        moved
    }

    /// The ids in the list of a record.
    pub(super) fn ids_in(&self, row: &Map<String, Value>) -> Vec<RecordId> {
        list_ids(row, &self.field)
    }

    /// The stored lines and those that are in the lists of these records now.
    pub(super) fn all_ids(&self, records: &RecordSnapshot) -> Vec<RecordId> {
        let listed = records.rows().flat_map(|(_, row)| self.ids_in(row));
        let stored = self.rows.rows().map(|(id, _)| id);
        let ids: BTreeSet<RecordId> = stored.chain(listed).collect();
        ids.into_iter().collect()
    }

    /// Reads lines as they are now; `None` if they cannot be read.
    pub(super) async fn read_current(
        &self,
        access: &OdooSession<'_>,
        ids: &[RecordId],
        context: &Context,
    ) -> Result<Option<RecordSnapshot>, OperationError> {
        if ids.is_empty() {
            return Ok(Some(RecordSnapshot::default()));
        }
        let Some(schema) = readable(access.schema(&self.model).await)? else {
            return Ok(None);
        };
        let wanted = self.fields.iter().chain([&self.inverse]);
        let wanted: Vec<FieldName> = wanted
            .filter(|name| schema.field(name.as_str()).is_some())
            .cloned()
            .collect();
        readable(RecordSnapshot::read(access, (&self.model, ids), &wanted, context).await)
    }

    /// Whether lines of this record changed since the change left them. The list
    /// itself is one of the record's fields.
    pub(super) fn have_changed(
        &self,
        before: &RecordSnapshot,
        row: &Map<String, Value>,
        now: Option<&RecordSnapshot>,
    ) -> bool {
        let (Some(marks), Some(now)) = (&self.marks, now) else {
            return false;
        };
        let mut ids = self.ids_in(row);
        ids.extend(self.foreign_lines(before));
        ids.into_iter().any(|id| {
            now.row(id)
                .is_some_and(|line| !marks.changed_fields(id, line).is_empty())
        })
    }

    /// Whether the lines of this record are again as they were before the change.
    pub(super) fn are_reverted(
        &self,
        before: &RecordSnapshot,
        row: &Map<String, Value>,
        now: Option<&RecordSnapshot>,
    ) -> bool {
        let mut ids = self.ids_in(row);
        ids.extend(self.foreign_lines(before));
        ids.into_iter().all(|id| {
            let now = now.and_then(|now| now.row(id));
            self.rows.row(id).zip(now).is_some_and(|(old, now)| {
                let mut fields = self.fields.iter().map(FieldName::as_str);
                fields.all(|name| match (old.get(name), now.get(name)) {
                    (Some(old), Some(now)) => is_same(old, now),
                    (_, _) => true,
                })
            })
        })
    }
}

/// The ids in a list of a record.
pub(super) fn list_ids(row: &Map<String, Value>, list: &FieldName) -> Vec<RecordId> {
    row.get(list.as_str()).map(ids_in).unwrap_or_default()
}

/// What is stored of a line: neither the link to its record nor lists of its own.
fn captured_fields(schema: &Schema, inverse: &FieldName) -> Vec<FieldName> {
    let mut names = restorable_fields(schema);
    names.retain(|name| {
        let field = schema.field(name.as_str());
        name != inverse && field.is_some_and(|field| field.kind != FieldKind::One2many)
    });
    names
}
