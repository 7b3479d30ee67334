//! What taking back has in common: how the records are now, and a refusal where
//! they moved on.

use gatepost_base::text;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{super::PreviewRenderer, current_state::CurrentState, entry::UndoEntry};
use crate::{
    access::{DisplayNames, RecordSnapshot},
    validation::{ValidatedRecords, validate_records},
};
use crate::{
    access::{OdooSession, OperationError, readable},
    render::{self, Footer},
};
use gatepost_odoo::{Context, FieldName, Operation, RecordId, Schema};

/// Records that are named one by one.
const MAX_SHOWN: usize = 20;
/// Notes that are told, and fields of one record.
const MAX_NOTES: usize = 12;

/// The records, with all fields that count.
pub(super) async fn read_tracked(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    ids: &[RecordId],
    context: &Context,
) -> Result<(Schema, RecordSnapshot), OperationError> {
    let schema = access.schema(&entry.model).await?;
    let marked = entry.marks.iter().flat_map(|marks| &marks.fields);
    let mut fields: BTreeSet<FieldName> = marked.chain(&entry.fields).cloned().collect();
    let kept = entry.before.values().flat_map(Map::keys);
    let wanted = entry.wanted.iter().flat_map(|wanted| wanted.values.keys());
    let kept = kept.chain(wanted);
    fields.extend(kept.filter_map(|name| FieldName::try_from(name.as_str()).ok()));
    fields.retain(|name| schema.field(name.as_str()).is_some());
    let fields: Vec<FieldName> = fields.into_iter().collect();
    let shot = RecordSnapshot::read(access, (&entry.model, ids), &fields, context).await?;
    Ok((schema, shot))
}

/// Refuses where any of the records is not as the change left it, and says what
/// is different.
pub(super) fn check_unchanged(
    entry: &UndoEntry,
    (schema, shot): (&Schema, &RecordSnapshot),
    standings: &[(RecordId, CurrentState)],
) -> Result<(), OperationError> {
    let show = PreviewRenderer {
        schema,
        names: &DisplayNames::new(),
    };
    let mut lines = Vec::new();
    for (id, standing) in standings {
        match standing {
            CurrentState::Reverted | CurrentState::Unchanged | CurrentState::MatchesRequest => {}
            CurrentState::Missing => {
                lines.push(format!("[{id}] is not there any more, or not to be seen"));
            }
            CurrentState::Unknown => lines.push(format!("it is not known how [{id}] was left")),
            CurrentState::Changed(fields) => {
                let left = entry.after.get(&i64::from(id.get()));
                let parts = fields.iter().map(|name| {
                    let field = schema.field(name.as_str());
                    let value = |row: Option<&Map<String, Value>>| {
                        let value = row.and_then(|row| row.get(name.as_str()))?;
                        Some(show.value(field, value))
                    };
                    match (value(left), value(shot.row(*id))) {
                        (Some(left), Some(now)) if left != now => {
                            format!("`{name}` was left as {left} and is {now} now")
                        }
                        (_, Some(now)) => format!("`{name}` is {now} now"),
                        (_, None) => format!("`{name}` is different now"),
                    }
                });
                let parts: Vec<String> = parts.take(MAX_NOTES).collect();
                let title = PreviewRenderer::titles(&[*id], shot);
                lines.push(format!("{title}: {}", parts.join("; ")));
            }
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    let count = lines.len();
    lines.truncate(MAX_SHOWN);
    let more = match count.saturating_sub(MAX_SHOWN) {
        0 => String::new(),
        more => format!("\nand {more} more"),
    };
    let since = match entry.marks {
        Some(_) => "changed since that change was made",
        None => "are not as that change was to leave them",
    };
    Err(OperationError::InvalidArgument(format!(
        "nothing was taken back, for these records {since} (at {:.0}):\n{}{more}\nTake back first what was changed later, if it was changed here. Else retrying will not help: show the user how the records are, and change what they want with the other tools",
        entry.at,
        lines.join("\n")
    )))
}

/// A text with notes below it.
pub(super) fn with_notes(mut text: String, notes: &[String]) -> String {
    text.truncate(text.trim_end().len());
    for note in notes.iter().take(MAX_NOTES) {
        text.push_str("\nNote: ");
        text.push_str(note);
    }
    if notes.len() > MAX_NOTES {
        text::append(
            &mut text,
            format_args!("\nand {} more notes", notes.len() - MAX_NOTES),
        );
    }
    text
}

/// Values that were there, held against the model as it is now.
pub(super) async fn validate_restored(
    access: &OdooSession<'_>,
    (entry, effect): (&UndoEntry, Operation),
    list: Vec<Map<String, Value>>,
    context: &Context,
) -> Result<ValidatedRecords, OperationError> {
    match validate_records(access, (&entry.model, effect), list, context).await {
        Err(OperationError::InvalidArgument(why)) => Err(OperationError::InvalidArgument(format!(
            "this change cannot be taken back, for what was there does not fit the model any more; retrying will not help. {why}"
        ))),
        ready => ready,
    }
}

/// The same, with what it covers at the end.
pub(super) fn with_notes_and_coverage(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    (text, notes): (String, &[String]),
    companies: &[Box<str>],
) -> String {
    let mut text = with_notes(text, notes);
    text.push('\n');
    text.push_str(&render::footer(&Footer {
        companies,
        archived: true,
        web_url: access.instance.web_url(),
        model: &entry.model,
    }));
    text
}

/// The fields that are open; none where the whole model is not.
pub(super) fn or_empty(open: Result<Schema, OperationError>) -> Result<Schema, OperationError> {
    Ok(readable(open)?.unwrap_or_default())
}
