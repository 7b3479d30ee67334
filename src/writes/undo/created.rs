//! Undo of a create: the new records are deleted.

use super::{
    super::{CompletedWrite, PreviewRenderer, Report, UndoSupport, WritePlan, id_list, read_hint},
    conflict::{check_unchanged, read_tracked, with_notes},
    current_state::{CurrentLists, CurrentState, current_state},
    entry::UndoEntry,
    tracked_fields::{fields_before_delete, is_owned_list},
    x2many_lines::list_ids,
};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot, readable},
    writes::preview::dependants,
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, Context, Field, FieldKind, FieldName, Operation, RecordId, Schema};

/// Plans the deletion of the new records.
pub(super) async fn plan(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<WritePlan, OperationError> {
    access.may_write(&entry.model, Operation::Delete)?;
    if entry.ids.is_empty() {
        return Err(OperationError::InvalidArgument(format!(
            "it is not known which records this change created, because its response was lost. Nothing was changed, and retrying will not help. search_records of `{}` with `create_date` >= \"{}\" shows whether they exist; delete_records deletes them",
            entry.model,
            entry.at.strftime("%Y-%m-%d %H:%M:%S")
        )));
    }
    let (context, _) = entry.context(access).await?;
    let (schema, now) = read_tracked(access, entry, &entry.ids, &context).await?;
    let lists = CurrentLists::new();
    let states = entry.ids.iter();
    let (gone, existing): (Vec<_>, Vec<_>) = states
        .map(|id| (*id, current_state(entry, &schema, *id, (&now, &lists))))
        .partition(|(_, state)| *state == CurrentState::Missing);
    if existing.is_empty() {
        return Err(OperationError::NothingToUndo(
            "there is nothing to undo: the records that were created do not exist any more, or cannot be seen by you. Nothing was changed".to_owned(),
        ));
    }
    check_unchanged(entry, (&schema, &now), &existing)?;
    let ids: Vec<RecordId> = existing.iter().map(|(id, _)| *id).collect();
    let whole = access.schema_visible_in_all_records(&entry.model).await?;
    let records = (&entry.model, &*ids);
    let before =
        RecordSnapshot::read_all(access, records, &fields_before_delete(&whole), &context).await?;
    check_nothing_added(access, entry, (&whole, &before), &context).await?;
    check_not_written(&existing, &before)?;
    let mut notes = dependants(access, &whole, &before, &context).await?;
    if !gone.is_empty() {
        let gone: Vec<RecordId> = gone.iter().map(|(id, _)| *id).collect();
        notes.push(format!(
            "these do not exist any more, or cannot be seen by you, and are left as they are: {}",
            id_list(&gone)
        ));
    }
    if existing
        .iter()
        .any(|(_, state)| *state == CurrentState::MatchesRequest)
    {
        notes.push(
            "it is not known how the change left them, only that they have the values it was to write"
                .to_owned(),
        );
    }
    let head = format!(
        "Undo the creation of {:.0}: delete {} of {} for good:\n{}",
        entry.at,
        pluralize(ids.len(), "record"),
        entry.model,
        PreviewRenderer::titles(&ids, &before)
    );
    Ok(WritePlan {
        calls: vec![Call::delete(entry.model.clone(), &ids).in_context(context)],
        preview: with_notes(head, &notes),
        before,
        undo: Some(UndoSupport::Delete),
        verification_hint: read_hint(&entry.model, &ids, "shows whether they still exist"),
        ..WritePlan::default()
    })
}

/// Describes the deletion.
pub(super) fn summarize(entry: &UndoEntry, done: &CompletedWrite) -> Report {
    Report {
        text: format!(
            "Undid the creation of {:.0}: deleted {} of {}: {}",
            entry.at,
            pluralize(done.ids.len(), "record"),
            entry.model,
            id_list(&done.ids)
        ),
        after: None,
    }
}

/// Allows only records that were not written since they were created, if it is
/// not known how they were left.
fn check_not_written(
    existing: &[(RecordId, CurrentState)],
    before: &RecordSnapshot,
) -> Result<(), OperationError> {
    let written = existing.iter().filter(|(id, state)| {
        let row = before.row(*id);
        let time = |name: &str| row.and_then(|row| row.get(name)?.as_str());
        *state == CurrentState::MatchesRequest && time("write_date") != time("create_date")
    });
    let written: Vec<RecordId> = written.map(|(id, _)| *id).collect();
    if written.is_empty() {
        return Ok(());
    }
    Err(OperationError::UndoConflict(format!(
        "nothing was undone: it is not known how these records were left, because the response was lost, and they were written since: {}. Retrying will not help: show the user, and delete what they want with delete_records",
        id_list(&written)
    )))
}

/// Whether lines that are added later to a list are the work of a user.
fn holds_user_work(list: &Field) -> bool {
    let is_log = ["activity_ids", "message_ids"].contains(&list.name.as_str());
    is_owned_list(list) || (is_log && list.kind == FieldKind::One2many)
}

/// Allows only records whose lists got no lines since they were created, because
/// those would be deleted with them. Odoo gives all records that one call creates
/// the same time.
async fn check_nothing_added(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    (schema, before): (&Schema, &RecordSnapshot),
    context: &Context,
) -> Result<(), OperationError> {
    let text = |records: &RecordSnapshot, id, name: &str| {
        let value = records.row(id)?.get(name)?.as_str()?;
        Some(value.to_owned())
    };
    let mut added = Vec::new();
    for list in schema.fields().filter(|field| holds_user_work(field)) {
        let Some(model) = &list.relation else {
            continue;
        };
        let listed = before.rows().flat_map(|(_, row)| list_ids(row, &list.name));
        let listed: Vec<RecordId> = listed.collect();
        if listed.is_empty() || access.may_read(model).is_err() {
            continue;
        }
        // If they cannot be read, the preview says how many there are.
        let Some(fields) = readable(access.schema(model).await)? else {
            continue;
        };
        let mut wanted = ["create_date", "message_type"]
            .map(FieldName::known)
            .to_vec();
        wanted.retain(|name| fields.field(name.as_str()).is_some());
        let lines = RecordSnapshot::read(access, (model, &listed), &wanted, context).await;
        let Some(lines) = readable(lines)? else {
            continue;
        };
        for id in &entry.ids {
            let (Some(row), Some(created)) = (before.row(*id), text(before, *id, "create_date"))
            else {
                continue;
            };
            let mut later = list_ids(row, &list.name);
            later.retain(|line| {
                let after = |name| text(&lines, *line, name).is_some_and(|time| time > created);
                let older = text(&lines, *line, "create_date").is_some_and(|time| time < created);
                // An older line may have been moved here since.
                let was_added = after("create_date") || (older && after("write_date"));
                // Messages that Odoo logs by itself do not count.
                was_added
                    && text(&lines, *line, "message_type").is_none_or(|kind| {
                        matches!(kind.as_str(), "comment" | "email" | "email_outgoing")
                    })
            });
            if !later.is_empty() {
                added.push(format!("[{id}]: {} in `{}`", id_list(&later), list.name));
            }
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    Err(OperationError::UndoConflict(format!(
        "nothing was undone, because these were added to the records since and would be deleted with them:\n{}\nUndo that first, if it was made here. Otherwise retrying will not help: show the user, and delete what they want with delete_records",
        added.join("\n")
    )))
}
