//! What the undo of each kind of change shares: reading the records, refusing if
//! they have changed since, and the notes of the preview and the report.

use std::collections::BTreeSet;

use gatepost_base::text;
use serde_json::{Map, Value};

use super::{super::PreviewRenderer, current_state::CurrentState, entry::UndoEntry};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    render::{self, Footer},
    validation::{ValidatedRecords, validate_records},
};
use gatepost_odoo::{Context, FieldName, Operation, RecordId, Schema};

/// Records that are named one by one.
const MAX_SHOWN: usize = 20;
/// Notes, and fields of one record, that are shown.
const MAX_NOTES: usize = 12;

/// Reads the records with all fields that the entry compares or restores.
pub(super) async fn read_tracked(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    ids: &[RecordId],
    context: &Context,
) -> Result<(Schema, RecordSnapshot), OperationError> {
    let schema = access.schema(&entry.model).await?;
    let marked = entry.marks.iter().flat_map(|marks| &marks.fields);
    let mut fields: BTreeSet<FieldName> = marked.chain(&entry.fields).cloned().collect();
    let stored = entry.before.rows().flat_map(|(_, row)| row.keys());
    let wanted = entry.wanted.iter().flat_map(|wanted| wanted.values.keys());
    let names = stored.chain(wanted);
    fields.extend(names.filter_map(|name| FieldName::try_from(name.as_str()).ok()));
    fields.retain(|name| schema.field(name.as_str()).is_some());
    let fields: Vec<FieldName> = fields.into_iter().collect();
    let records = RecordSnapshot::read(access, (&entry.model, ids), &fields, context).await?;
    Ok((schema, records))
}

/// Allows only records that are as the change left them.
///
/// # Errors
/// [`OperationError::UndoConflict`] names what differs.
pub(super) fn check_unchanged(
    entry: &UndoEntry,
    (schema, now): (&Schema, &RecordSnapshot),
    states: &[(RecordId, CurrentState)],
) -> Result<(), OperationError> {
    let renderer = PreviewRenderer::without_names(schema);
    let describe = |(id, state): &(RecordId, CurrentState)| match state {
        CurrentState::MatchesRequest | CurrentState::Reverted | CurrentState::Unchanged => None,
        CurrentState::Missing => Some(format!(
            "[{id}] does not exist any more, or cannot be seen by you"
        )),
        CurrentState::Unknown => Some(format!("it is not known how [{id}] was left")),
        CurrentState::Changed(fields) => {
            let value = |records: &RecordSnapshot, name: &str| {
                let value = records.row(*id)?.get(name)?;
                Some(renderer.value(schema.field(name), value))
            };
            let parts = fields.iter().take(MAX_NOTES).map(FieldName::as_str);
            let parts = parts.map(|name| match (value(&entry.after, name), value(now, name)) {
                (Some(left), Some(now)) if left != now => {
                    format!("`{name}` was left as {left} and is {now} now")
                }
                (_, Some(now)) => format!("`{name}` is {now} now"),
                (_, None) => format!("`{name}` is different now"),
            });
            let parts: Vec<String> = parts.collect();
            let title = PreviewRenderer::titles(&[*id], now);
            Some(format!("{title}: {}", parts.join("; ")))
        }
    };
    let mut lines: Vec<String> = states.iter().filter_map(describe).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let count = lines.len();
    lines.truncate(MAX_SHOWN);
    if count > MAX_SHOWN {
        lines.push(format!("and {} more", count - MAX_SHOWN));
    }
    let what = match entry.marks {
        Some(_) => "have changed since the change was made",
        None => "are not as the change was to leave them",
    };
    Err(OperationError::UndoConflict(format!(
        "nothing was undone, because these records {what} (at {:.0}):\n{}\nUndo later changes first, if they were made here. Otherwise retrying will not help: show the user the records as they are, and change what they want with the other tools",
        entry.at,
        lines.join("\n")
    )))
}

/// The text with notes below it.
pub(super) fn with_notes(mut text: String, notes: &[String]) -> String {
    text.truncate(text.trim_end().len());
    for note in notes.iter().take(MAX_NOTES) {
        text.push_str("\nNote: ");
        text.push_str(note);
    }
    if notes.len() > MAX_NOTES {
        let rest = notes.len() - MAX_NOTES;
        text::append(&mut text, format_args!("\nand {rest} more notes"));
    }
    text
}

/// The report of an undo: the text, what is not as before, and the footer.
pub(super) fn report_text(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    (mut text, differences): (String, &[String]),
    companies: &[Box<str>],
) -> String {
    if !differences.is_empty() {
        text.truncate(text.trim_end().len());
        text.push_str("\nNot as before:");
    }
    let mut text = with_notes(text, differences);
    text.push('\n');
    text.push_str(&render::footer(&Footer {
        companies,
        archived: true,
        records: Some((access.instance.web_url(), &entry.model)),
    }));
    text
}

/// Validates old values against the model as it is now.
pub(super) async fn validate_restored(
    access: &OdooSession<'_>,
    (entry, operation): (&UndoEntry, Operation),
    list: Vec<Map<String, Value>>,
    context: &Context,
) -> Result<ValidatedRecords, OperationError> {
    let what = (&entry.model, operation, None);
    match validate_records(access, what, list, context).await {
        Err(OperationError::InvalidArgument(why)) => Err(OperationError::InvalidArgument(format!(
            "this change cannot be undone, because the old values are no longer valid for the model; retrying will not help. {why}"
        ))),
        validated => validated,
    }
}

/// The note that a field has another value than before.
pub(super) fn difference(
    renderer: &PreviewRenderer<'_>,
    (id, name): (RecordId, &str),
    (before, now): (&Value, &Value),
) -> String {
    let field = renderer.schema.field(name);
    format!(
        "`{name}` of [{id}] is {}, and was {}",
        renderer.value(field, now),
        renderer.value(field, before)
    )
}
