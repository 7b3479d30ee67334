//! How a record stands to the change that is to be taken back.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    entry::{UndoEntry, UndoKind},
    fingerprints::{SnapshotRows, is_same},
    x2many_lines::X2manyLines,
};
use crate::{access::RecordSnapshot, validation::unapplied_values::is_as_written};
use gatepost_odoo::{FieldName, RecordId, Schema};

/// How a record stands to the change that is to be taken back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum CurrentState {
    /// It has what it had before; there is nothing to take back.
    Reverted,
    /// It is as the change left it.
    Unchanged,
    /// Nobody looked how the change left it, but it has what it was to get.
    MatchesRequest,
    /// It is not there, or not to be seen.
    Missing,
    /// These fields became something else since.
    Changed(Vec<FieldName>),
    /// Nobody looked how the change left it, and what it was to get is not kept.
    Unknown,
}

/// The records of lists as they are now.
pub(super) type CurrentLists = BTreeMap<FieldName, RecordSnapshot>;

/// How a record that was made or changed stands to the change.
pub(super) fn current_state(
    entry: &UndoEntry,
    schema: &Schema,
    id: RecordId,
    (now, lists): (&RecordSnapshot, &CurrentLists),
) -> CurrentState {
    let Some(row) = now.row(id) else {
        return CurrentState::Missing;
    };
    let known = entry.marks.as_ref().filter(|marks| marks.covers(id));
    let wanted = entry.requested_values(id);
    let mut moved: Vec<FieldName> = match (known, wanted) {
        (Some(marks), _) => marks.changed_fields(id, row).into_iter().cloned().collect(),
        (None, Some(wanted)) => fields_unlike_request(schema, wanted, row),
        (None, None) => Vec::new(),
    };
    if known.is_some() {
        let moved_lists = entry
            .lines
            .iter()
            .filter(|lines| lines_changed(lines, (&entry.before, row), lists));
        moved.extend(moved_lists.map(|lines| lines.field.clone()));
        moved.sort();
        moved.dedup();
        if moved.is_empty() {
            return CurrentState::Unchanged;
        }
    }
    if is_reverted(entry, id, known.is_some(), row, lists) {
        return CurrentState::Reverted;
    }
    if !moved.is_empty() {
        CurrentState::Changed(moved)
    } else if wanted.is_some() {
        CurrentState::MatchesRequest
    } else {
        CurrentState::Unknown
    }
}

/// The fields of which it cannot be said that they have what they were to get.
fn fields_unlike_request(
    schema: &Schema,
    wanted: &Map<String, Value>,
    row: &Map<String, Value>,
) -> Vec<FieldName> {
    let unlike = wanted.iter().filter(|(name, written)| {
        let told = schema
            .field(name)
            .zip(row.get(*name))
            .and_then(|(field, now)| is_as_written(field, written, now));
        told != Some(true)
    });
    unlike
        .filter_map(|(name, _)| FieldName::try_from(name.as_str()).ok())
        .collect()
}

/// Whether records in the list became something else. The list itself is a
/// field among the others.
fn lines_changed(
    lines: &X2manyLines,
    (before, row): (&SnapshotRows, &Map<String, Value>),
    lists: &CurrentLists,
) -> bool {
    let (Some(marks), Some(now)) = (&lines.marks, lists.get(&lines.field)) else {
        return false;
    };
    let others = lines.foreign_lines(before).into_iter();
    let others = others.filter_map(|id| RecordId::try_from(id).ok());
    let mut ids = list_ids(row, &lines.field).into_iter().chain(others);
    ids.any(|id| {
        now.row(id)
            .is_some_and(|line| !marks.changed_fields(id, line).is_empty())
    })
}

fn is_reverted(
    entry: &UndoEntry,
    id: RecordId,
    known: bool,
    row: &Map<String, Value>,
    lists: &CurrentLists,
) -> bool {
    if entry.kind != UndoKind::Update {
        return false;
    }
    let Some(before) = entry.before.get(&i64::from(id.get())) else {
        return false;
    };
    // What the change made of other fields is known only where somebody looked.
    let counts = |name: &str| known || entry.fields.iter().any(|field| field.as_str() == name);
    let same = before
        .iter()
        .filter(|(name, _)| counts(name))
        .all(|(name, value)| row.get(name).is_some_and(|now| is_same(value, now)));
    let lists_too = || {
        entry.lines.iter().all(|lines| {
            let now = lists.get(&lines.field);
            let others = lines.foreign_lines(&entry.before).into_iter();
            let others = others.filter_map(|id| RecordId::try_from(id).ok());
            let mut ids = list_ids(before, &lines.field).into_iter().chain(others);
            ids.all(|id| {
                let old = lines.rows.get(&i64::from(id.get()));
                let now = now.and_then(|now| now.row(id));
                old.zip(now).is_some_and(|(old, now)| {
                    let mut fields = lines.fields.iter().map(FieldName::as_str);
                    fields.all(|name| match (old.get(name), now.get(name)) {
                        (Some(old), Some(now)) => is_same(old, now),
                        (_, _) => true,
                    })
                })
            })
        })
    };
    let untold = || entry.not_kept.is_empty();
    same && lists_too() && untold()
}

/// The ids in a list of a record.
pub(super) fn list_ids(row: &Map<String, Value>, list: &FieldName) -> Vec<RecordId> {
    let ids = row.get(list.as_str()).and_then(Value::as_array);
    let ids = ids.into_iter().flatten();
    ids.filter_map(RecordId::from_json).collect()
}
