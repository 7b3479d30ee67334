//! The state of a record relative to the change that is to be undone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    entry::{UndoEntry, UndoKind},
    fingerprints::is_same,
};
use crate::{access::RecordSnapshot, validation::unapplied_values::unproven_values};
use gatepost_odoo::{FieldName, RecordId, Schema};

/// The state of a record relative to the change that is to be undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CurrentState {
    /// These fields have changed since.
    Changed(Vec<FieldName>),
    /// The change's outcome was never read, but the record has what was to be
    /// written.
    MatchesRequest,
    /// It does not exist, or the caller cannot see it.
    Missing,
    /// It is as it was before the change.
    Reverted,
    /// It is as the change left it.
    Unchanged,
    /// The change's outcome was never read, and what was to be written is not
    /// stored.
    Unknown,
}

/// The lines of the lists as they are now.
pub(super) type CurrentLists = BTreeMap<FieldName, RecordSnapshot>;

/// The state of a record that was created or updated.
pub(super) fn current_state(
    entry: &UndoEntry,
    schema: &Schema,
    id: RecordId,
    (now, lists): (&RecordSnapshot, &CurrentLists),
) -> CurrentState {
    let Some(row) = now.row(id) else {
        return CurrentState::Missing;
    };
    let marks = entry.marks.as_ref().filter(|marks| marks.covers(id));
    let wanted = entry.requested_values(id);
    let mut changed: Vec<FieldName> = match (marks, wanted) {
        (Some(marks), _) => marks.changed_fields(id, row).into_iter().cloned().collect(),
        (None, Some(wanted)) => {
            let names = unproven_values(schema, wanted, row).into_iter();
            names
                .filter_map(|name| FieldName::try_from(name).ok())
                .collect()
        }
        (None, None) => Vec::new(),
    };
    if marks.is_some() {
        let lines = entry.lines.iter();
        let lines =
            lines.filter(|lines| lines.have_changed(&entry.before, row, lists.get(&lines.field)));
        changed.extend(lines.map(|lines| lines.field.clone()));
        changed.sort();
        changed.dedup();
        if changed.is_empty() {
            return CurrentState::Unchanged;
        }
    }
    if is_reverted(entry, id, marks.is_some(), row, lists) {
        CurrentState::Reverted
    } else if !changed.is_empty() {
        CurrentState::Changed(changed)
    } else if wanted.is_some() {
        CurrentState::MatchesRequest
    } else {
        CurrentState::Unknown
    }
}

fn is_reverted(
    entry: &UndoEntry,
    id: RecordId,
    was_read: bool,
    row: &Map<String, Value>,
    lists: &CurrentLists,
) -> bool {
    let Some(before) = entry.before.row(id) else {
        return false;
    };
    // What the change did to other fields is known only if they were read.
    let counts = |name: &str| was_read || entry.fields.iter().any(|field| field.as_str() == name);
    entry.kind == UndoKind::Update
        && entry.not_kept.is_empty()
        && before
            .iter()
            .filter(|(name, _)| counts(name))
            .all(|(name, value)| row.get(name).is_some_and(|now| is_same(value, now)))
        && entry
            .lines
            .iter()
            .all(|lines| lines.are_reverted(&entry.before, before, lists.get(&lines.field)))
}
