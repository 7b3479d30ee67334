//! How to undo a change, for the response of the call that made it or found out
//! that it was made.

use serde_json::{Map, Value};
use tracing::warn;

use super::{
    entry::{UndoEntry, UndoKind, load_change},
    fingerprints::FieldFingerprints,
    tracked_fields::tracked_fields_of_new,
};
use crate::access::{OdooSession, OperationError, RecordSnapshot};
use gatepost_odoo::{FieldName, Operation, RecordId};

/// A new change ID, for people and models to copy: twelve letters and digits.
pub(in super::super) fn new_change_id() -> Result<String, OperationError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random)?;
    let letters = random
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter));
    Ok(letters.collect())
}

/// How to undo a change, or why the caller cannot.
pub(super) fn undo_instructions(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    change_id: &str,
) -> String {
    let operation = match entry.kind {
        UndoKind::Create => Operation::Delete,
        UndoKind::Delete => Operation::Create,
        UndoKind::Update => Operation::Write,
    };
    if access.may_write(&entry.model, operation).is_err() {
        return format!(
            "\nIt cannot be undone here, because that would {operation} records of `{}`, which your role does not allow.",
            entry.model
        );
    }
    let hours = access.store.retention().undo_ttl.as_secs() / 3600;
    format!("\nTo undo it within {hours} h: undo_change with `change`: \"{change_id}\".")
}

/// Adds the records of a change whose outcome was found out later, and says how
/// to undo it.
pub(in super::super) async fn finish_recovered(
    access: &OdooSession<'_>,
    change_id: Option<&str>,
    ids: &[RecordId],
) -> String {
    let Some(change_id) = change_id else {
        return String::new();
    };
    let instructions = record_recovered(access, change_id, ids).await;
    instructions.unwrap_or_else(|error| {
        // The change is done anyway.
        warn!(error = %error, "Failed to update the undo entry of a change");
        String::new()
    })
}

async fn record_recovered(
    access: &OdooSession<'_>,
    change_id: &str,
    ids: &[RecordId],
) -> Result<String, OperationError> {
    let Some(stored) = load_change(access, change_id).await? else {
        return Ok(String::new());
    };
    let mut entry = stored.entry.clone();
    if entry.used.is_some() {
        return Ok(String::new());
    }
    if entry.ids.is_empty() {
        entry.ids = ids.to_vec();
        if entry.kind == UndoKind::Create {
            fingerprint_untouched(access, &mut entry).await?;
        }
        stored.compare_and_replace(&entry).await?;
    }
    Ok(undo_instructions(access, &entry, change_id))
}

/// Adds fingerprints of new records if they were not written since they were
/// created: the change left them like this.
async fn fingerprint_untouched(
    access: &OdooSession<'_>,
    entry: &mut UndoEntry,
) -> Result<(), OperationError> {
    let (context, _) = entry.context(access).await?;
    let schema = access.schema_visible_in_all_records(&entry.model).await?;
    let tracked = tracked_fields_of_new(&schema);
    let mut fields = tracked.clone();
    fields.push(FieldName::known("create_date"));
    let now = RecordSnapshot::read(access, (&entry.model, &entry.ids), &fields, &context).await?;
    let is_untouched = |row: &Map<String, Value>| {
        let created = row.get("create_date").and_then(Value::as_str);
        created.is_some() && created == row.get("write_date").and_then(Value::as_str)
    };
    if now.len() == entry.ids.len() && now.rows().all(|(_, row)| is_untouched(row)) {
        entry.marks = Some(FieldFingerprints::of(&tracked, &now));
        entry.wanted.clear();
    }
    Ok(())
}
