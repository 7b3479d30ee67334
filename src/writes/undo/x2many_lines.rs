//! The records in a list of another record, as they were before a change.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    fingerprints::{FieldFingerprints, SnapshotRows},
    tracked_fields::restorable_fields,
};
use crate::access::{OdooSession, OperationError};
use crate::access::{RecordSnapshot, readable};
use gatepost_odoo::{Context, Field, FieldKind, FieldName, ModelName, RecordId, Schema};

/// Records in lists that are kept of one change.
pub(super) const MAX_LINES: usize = 500;

/// The records in a list of other records, as they were before a change.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct X2manyLines {
    /// The list.
    pub(super) field: FieldName,
    /// The model of its records.
    pub(super) model: ModelName,
    /// Their field that links to the record with the list.
    pub(super) inverse: FieldName,
    /// The fields that were looked at.
    pub(super) fields: Vec<FieldName>,
    /// The records before.
    #[serde(default, skip_serializing_if = "SnapshotRows::is_empty")]
    pub(super) rows: SnapshotRows,
    /// How they were left; missing where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) marks: Option<FieldFingerprints>,
}

impl X2manyLines {
    /// Looks at these records of a list; nothing where the caller or the Odoo
    /// user may not.
    ///
    /// # Errors
    /// [`Denied`].
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
        let fields = captured_fields(&schema, inverse);
        let mut lines = Self {
            field: list.name.clone(),
            model: model.clone(),
            inverse: inverse.clone(),
            fields,
            rows: SnapshotRows::new(),
            marks: None,
        };
        if ids.is_empty() {
            return Ok(Some(lines));
        }
        let Some(shot) = lines.read_current(access, ids, context).await? else {
            return Ok(None);
        };
        lines.rows = shot
            .rows()
            .map(|(id, row)| (i64::from(id.get()), row.clone()))
            .collect();
        Ok(Some(lines))
    }

    /// Those of its records that were in none of these lists: a command may
    /// name any record.
    pub(super) fn foreign_lines(&self, before: &SnapshotRows) -> Vec<i64> {
        let listed = before.values();
        let listed: BTreeSet<i64> = listed
            .filter_map(|row| row.get(self.field.as_str())?.as_array())
            .flatten()
            .filter_map(Value::as_i64)
            .collect();
        let ids = self.rows.keys().filter(|id| !listed.contains(id));
        ids.copied().collect()
    }

    /// The records of the list as they are now; nothing where they may not be
    /// looked at.
    ///
    /// # Errors
    /// [`Denied`].
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
}

/// What is kept of a record in a list: not the link to the record with the
/// list, and no lists of its own.
fn captured_fields(schema: &Schema, inverse: &FieldName) -> Vec<FieldName> {
    let mut names = restorable_fields(schema);
    names.retain(|name| {
        let field = schema.field(name.as_str());
        name != inverse && field.is_some_and(|field| field.kind != FieldKind::One2many)
    });
    names
}
