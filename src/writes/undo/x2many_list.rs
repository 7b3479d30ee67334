//! Restores the lines of a list.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    linked_records::defaulted_fields,
    restore::{LostLinks, RestoreTarget, is_empty},
    x2many_lines::X2manyLines,
};
use crate::access::{ExistingRecords, OdooSession, OperationError, RecordSnapshot, readable};
use gatepost_odoo::{Context, FieldName, Operation, RecordId, Schema};

/// A list with all that is needed to restore its lines.
#[derive(Debug)]
pub(super) struct X2manyList<'e> {
    /// The lines before.
    pub(super) lines: &'e X2manyLines,
    /// The fields of the lines.
    schema: Schema,
    writable: Schema,
    creatable: Schema,
    defaulted: BTreeSet<FieldName>,
    now: &'e RecordSnapshot,
    /// Stored lines that cannot be read now, and that may still exist.
    hidden: BTreeSet<RecordId>,
}

impl<'e> X2manyList<'e> {
    /// The list, whose lines are `now` like this; `None` if the caller may not
    /// read them.
    pub(super) async fn load(
        access: &OdooSession<'_>,
        (lines, now): (&'e X2manyLines, &'e RecordSnapshot),
        context: &Context,
    ) -> Result<Option<Self>, OperationError> {
        let model = &lines.model;
        if access.may_read(model).is_err() {
            return Ok(None);
        }
        let schema = access.schema(model).await?;
        let writable = readable(access.writable_schema(model, Operation::Write).await)?;
        let creatable = readable(access.writable_schema(model, Operation::Create).await)?;
        let defaulted = defaulted_fields(access, (model, &schema), &lines.fields, context).await?;
        let mut hidden: Vec<RecordId> = lines.rows.rows().map(|(id, _)| id).collect();
        hidden.retain(|id| now.row(*id).is_none());
        if !hidden.is_empty()
            && let Some(ExistingRecords::These(existing)) =
                access.existing_records(model, &hidden).await?
        {
            hidden = existing;
        }
        Ok(Some(Self {
            lines,
            schema,
            writable: writable.unwrap_or_default(),
            creatable: creatable.unwrap_or_default(),
            defaulted,
            now,
            hidden: hidden.into_iter().collect(),
        }))
    }

    /// The stored lines, with their fields.
    pub(super) fn sources(&self) -> impl Iterator<Item = (&Schema, &Map<String, Value>)> {
        self.lines.rows.rows().map(|(_, row)| (&self.schema, row))
    }

    /// The commands that restore the list of a record, and what they cannot
    /// restore. `foreign` lines were changed through it, but belonged to others.
    pub(super) fn restore_commands(
        &self,
        lost: &LostLinks,
        (before, now): (&[RecordId], &[RecordId]),
        foreign: &[RecordId],
    ) -> (Vec<Value>, Vec<String>) {
        let target = |writable, operation| RestoreTarget {
            schema: &self.schema,
            writable,
            operation,
            lost,
            defaulted: &self.defaulted,
        };
        let updating = target(&self.writable, Operation::Write);
        let creating = target(&self.creatable, Operation::Create);
        let ids = (before, now, foreign);
        let rows = (self.now, &self.hidden);
        list_commands(self.lines, ids, rows, (&updating, &creating))
    }
}

/// The commands that give a list its old lines, and those their values.
///
/// `foreign` lines were changed through the list, and belonged to other records
/// or to none. `rows` are all lines as they are now, and `hidden` those that may
/// exist although they cannot be read.
pub(super) fn list_commands(
    lines: &X2manyLines,
    (before, now, foreign): (&[RecordId], &[RecordId], &[RecordId]),
    (rows, hidden): (&RecordSnapshot, &BTreeSet<RecordId>),
    (updating, creating): (&RestoreTarget<'_>, &RestoreTarget<'_>),
) -> (Vec<Value>, Vec<String>) {
    let mut commands = Vec::new();
    let mut missing = Vec::new();
    let restored = |id: RecordId, old: &Map<String, Value>, row: &_, missing: &mut Vec<String>| {
        let mut old = old.clone();
        old.retain(|name, _| lines.fields.iter().any(|field| field.as_str() == name));
        let restored = updating.values_to_restore(&old, row);
        let omitted = restored.omitted.into_iter();
        missing.extend(omitted.map(|(name, why)| format!("`{name}` of [{id}] {why}")));
        restored.values
    };
    let is_new = |id: &&RecordId| !before.contains(id) && !foreign.contains(id);
    for id in now.iter().filter(is_new) {
        commands.push(json!([2, id, 0]));
    }
    for id in before {
        match (rows.row(*id), lines.rows.row(*id)) {
            (Some(row), _) if !now.contains(id) => {
                if row.get(lines.inverse.as_str()).is_none_or(is_empty) {
                    commands.push(json!([4, id, 0]));
                } else {
                    missing.push(format!("[{id}] belongs to another record now"));
                }
            }
            (Some(row), Some(old)) => {
                let values = restored(*id, old, row, &mut missing);
                if !values.is_empty() {
                    commands.push(json!([1, id, values]));
                }
            }
            (Some(_), None) => {}
            // It exists, but the caller cannot see it any more.
            (None, _) if now.contains(id) => {
                missing.push(format!("[{id}] can no longer be seen by you, and stays"));
            }
            (None, _) if hidden.contains(id) => missing.push(format!(
                "[{id}] may still exist where you cannot see it, so it is not created again"
            )),
            (None, Some(old)) => {
                let created = creating.values_to_recreate(&lines.fields, old);
                commands.push(json!([0, 0, created.values]));
                let omitted = created.omitted.into_iter();
                missing.extend(
                    omitted.map(|(name, why)| format!("`{name}` of the deleted [{id}] {why}")),
                );
            }
            (None, None) => missing.push(format!("the deleted [{id}] was not stored")),
        }
    }
    for id in foreign {
        let (Some(row), Some(old)) = (rows.row(*id), lines.rows.row(*id)) else {
            let state = if hidden.contains(id) {
                "hidden"
            } else {
                "deleted"
            };
            missing.push(format!(
                "the {state} [{id}] belonged to another record, and stays {state}"
            ));
            continue;
        };
        let mut values = restored(*id, old, row, &mut missing);
        let inverse = lines.inverse.as_str();
        let owner = old.get(inverse).unwrap_or(&Value::Null);
        if now.contains(id) && is_empty(owner) {
            commands.push(json!([3, id, 0]));
        } else if now.contains(id) {
            let owner = owner.get(0).unwrap_or(owner);
            values.insert(inverse.to_owned(), owner.clone());
        }
        if !values.is_empty() {
            commands.push(json!([1, id, values]));
        }
    }
    (commands, missing)
}
