//! A list of records, with all that is to be known to give it back.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    conflict::or_empty,
    fingerprints::SnapshotRows,
    linked_records::defaulted_fields,
    restore::{DeletedLinks, RestoreTarget, list_commands},
    x2many_lines::X2manyLines,
};
use crate::access::{OdooSession, OperationError, RecordSnapshot};
use gatepost_odoo::{Context, FieldName, Operation, Schema};

/// A list of records, with all that is to be known to give it back.
#[derive(Debug)]
pub(super) struct X2manyList<'e> {
    /// What is kept of it.
    pub(super) lines: &'e X2manyLines,
    /// The fields of its records.
    pub(super) schema: Schema,
    writable: Schema,
    creatable: Schema,
    defaulted: BTreeSet<FieldName>,
    current_rows: SnapshotRows,
}

impl<'e> X2manyList<'e> {
    /// The list whose records are like this now; nothing where they may not be
    /// looked at.
    ///
    /// # Errors
    /// [`Denied`].
    pub(super) async fn load(
        access: &OdooSession<'_>,
        (lines, now): (&'e X2manyLines, &RecordSnapshot),
        context: &Context,
    ) -> Result<Option<Self>, OperationError> {
        if access.may_read(&lines.model).is_err() {
            return Ok(None);
        }
        let schema = access.schema(&lines.model).await?;
        let change = access.writable_schema(&lines.model, Operation::Write).await;
        let make = access
            .writable_schema(&lines.model, Operation::Create)
            .await;
        let said =
            defaulted_fields(access, (&lines.model, &schema), &lines.fields, context).await?;
        Ok(Some(Self {
            lines,
            schema,
            writable: or_empty(change)?,
            creatable: or_empty(make)?,
            defaulted: said,
            current_rows: now
                .rows()
                .map(|(id, row)| (i64::from(id.get()), row.clone()))
                .collect(),
        }))
    }

    /// The records that are kept of it, with their fields.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&Schema, &Map<String, Value>)> {
        self.lines.rows.values().map(|row| (&self.schema, row))
    }

    /// The commands that give a record its list back, and what they cannot.
    /// `others` were changed through it, and belonged to others.
    pub(super) fn restore_commands(
        &self,
        gone: &DeletedLinks,
        (before, now): (&[i64], &[i64]),
        others: &[i64],
    ) -> (Vec<Value>, Vec<String>) {
        let target = |open, effect| RestoreTarget {
            schema: &self.schema,
            writable: open,
            effect,
            deleted: gone,
            defaulted: &self.defaulted,
        };
        let changing = target(&self.writable, Operation::Write);
        let making = target(&self.creatable, Operation::Create);
        let ids = (before, now, others);
        list_commands(self.lines, ids, &self.current_rows, (&changing, &making))
    }
}
