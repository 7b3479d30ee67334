//! Taking a creation back: the new records are deleted.

use super::{
    super::{CompletedWrite, PreviewRenderer, Report, UndoSupport, WritePlan, id_list},
    conflict::{check_unchanged, read_tracked, with_notes},
    current_state::{CurrentLists, CurrentState, current_state, list_ids},
    deletion::fields_before_delete,
    entry::UndoEntry,
    tracked_fields::is_owned_list,
};
use crate::access::{OdooSession, OperationError, readable};
use crate::{access::RecordSnapshot, writes::preview::dependants};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, Context, Field, FieldKind, FieldName, Operation, RecordId, Schema};

/// What would be done.
pub(super) async fn plan(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<WritePlan, OperationError> {
    access.may_write(&entry.model, Operation::Delete)?;
    if entry.ids.is_empty() {
        return Err(OperationError::InvalidArgument(format!(
            "it is not known which records this change made, for its answer was lost; nothing was changed and retrying will not help. search_records of `{}` with `create_date` >= \"{}\" shows whether they are there; delete_records removes them",
            entry.model,
            entry.at.strftime("%Y-%m-%d %H:%M:%S")
        )));
    }
    let (context, _) = entry.context(access).await?;
    let (schema, shot) = read_tracked(access, entry, &entry.ids, &context).await?;
    let (gone, there): (Vec<_>, Vec<_>) = entry
        .ids
        .iter()
        .map(|id| {
            (
                *id,
                current_state(entry, &schema, *id, (&shot, &CurrentLists::new())),
            )
        })
        .partition(|(_, standing)| *standing == CurrentState::Missing);
    if there.is_empty() {
        return Err(OperationError::InvalidArgument(
            "there is nothing to take back: the records that were made are not there any more, or not to be seen; nothing was changed".to_owned(),
        ));
    }
    check_unchanged(entry, (&schema, &shot), &there)?;
    let ids: Vec<RecordId> = there.iter().map(|(id, _)| *id).collect();
    let whole = access.schema_visible_in_all_records(&entry.model).await?;
    let records = (&entry.model, &*ids);
    let before =
        RecordSnapshot::read_all(access, records, &fields_before_delete(&whole), &context).await?;
    check_nothing_added(access, entry, (&whole, &before), &context).await?;
    check_not_written(&there, &before)?;
    let count = ids.len();
    let records = pluralize(count, "record");
    let mut notes = dependants(access, &whole, &before, &context).await?;
    if !gone.is_empty() {
        let gone: Vec<RecordId> = gone.iter().map(|(id, _)| *id).collect();
        notes.push(format!("these are gone already: {}", id_list(&gone)));
    }
    if there
        .iter()
        .any(|(_, is)| *is == CurrentState::MatchesRequest)
    {
        notes.push(
            "it is not known how they were left, only that they have what they were to get"
                .to_owned(),
        );
    }
    let head = format!(
        "Take back the creation of {:.0}: delete {records} of {} for good:\n{}",
        entry.at,
        entry.model,
        PreviewRenderer::titles(&ids, &before)
    );
    Ok(WritePlan {
        calls: vec![Call::delete(entry.model.clone(), &ids).in_context(context)],
        preview: with_notes(head, &notes),
        before,
        created_model: None,
        undo: Some(UndoSupport::Delete),
        verification_hint: format!(
            "read_records of `{}` with ids {} shows whether they are still there",
            entry.model,
            id_list(&ids)
        ),
        ..WritePlan::default()
    })
}

/// What the model is told.
#[expect(clippy::unused_async, reason = "like the reports of the other kinds")]
pub(super) async fn summarize(
    _: &OdooSession<'_>,
    entry: &UndoEntry,
    done: &CompletedWrite,
) -> Result<Report, OperationError> {
    let count = done.ids.len();
    let records = pluralize(count, "record");
    Ok(Report {
        text: format!(
            "Took back the creation of {:.0}: deleted {records} of {}: {}",
            entry.at,
            entry.model,
            id_list(&done.ids)
        ),
        after: None,
    })
}

/// Refuses records of which nobody looked how they were left, where somebody
/// wrote them after they were made.
fn check_not_written(
    there: &[(RecordId, CurrentState)],
    before: &RecordSnapshot,
) -> Result<(), OperationError> {
    let unseen = there
        .iter()
        .filter(|(_, is)| *is == CurrentState::MatchesRequest)
        .map(|(id, _)| *id);
    let written: Vec<RecordId> = unseen
        .filter(|id| {
            let row = before.row(*id);
            let time = |name: &str| row.and_then(|row| row.get(name)?.as_str());
            time("write_date") != time("create_date")
        })
        .collect();
    if written.is_empty() {
        return Ok(());
    }
    Err(OperationError::InvalidArgument(format!(
        "nothing was taken back: how these records were left is not known, for the answer was lost, and somebody wrote them since: {}. Retrying will not help: show the user, and delete what they want with delete_records",
        id_list(&written)
    )))
}

/// Whether what is put into a list later is somebody's work.
fn holds_user_work(list: &Field) -> bool {
    let told = ["activity_ids", "message_ids"].contains(&list.name.as_str());
    is_owned_list(list) || (told && list.kind == FieldKind::One2many)
}

/// Refuses where something was put into the lists of the records after they
/// were made: it would go with them. Odoo gives all that one call makes the same
/// time.
async fn check_nothing_added(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    (schema, before): (&Schema, &RecordSnapshot),
    context: &Context,
) -> Result<(), OperationError> {
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
        // Who may not see them is told how many there are.
        let Some(fields) = readable(access.schema(model).await)? else {
            continue;
        };
        let wanted = ["create_date", "message_type"].map(FieldName::known);
        let wanted = wanted
            .into_iter()
            .filter(|name| fields.field(name.as_str()).is_some());
        let wanted: Vec<FieldName> = wanted.collect();
        let looked = RecordSnapshot::read(access, (model, &listed), &wanted, context).await;
        let Some(lines) = readable(looked)? else {
            continue;
        };
        let text = |shot: &RecordSnapshot, id, name: &str| {
            let value = shot.row(id)?.get(name)?.as_str()?;
            Some(value.to_owned())
        };
        for id in &entry.ids {
            let Some(row) = before.row(*id) else {
                continue;
            };
            let Some(made) = text(before, *id, "create_date") else {
                continue;
            };
            let later: Vec<RecordId> = list_ids(row, &list.name)
                .into_iter()
                .filter(|line| {
                    let after = |name| text(&lines, *line, name).is_some_and(|time| time > made);
                    let older = text(&lines, *line, "create_date").is_some_and(|time| time < made);
                    // One that was there before may have been put there since.
                    let came = after("create_date") || (older && after("write_date"));
                    // What Odoo notes by itself is nobody's work.
                    came && text(&lines, *line, "message_type").is_none_or(|kind| {
                        matches!(kind.as_str(), "comment" | "email" | "email_outgoing")
                    })
                })
                .collect();
            if !later.is_empty() {
                added.push(format!("[{id}]: {} in `{}`", id_list(&later), list.name));
            }
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    Err(OperationError::InvalidArgument(format!(
        "nothing was taken back, for something was added to the records since they were made, and would be deleted with them:\n{}\nTake that back first, if it was made here. Else retrying will not help: show the user, and delete what they want with delete_records",
        added.join("\n")
    )))
}
