//! Taking a creation back: the new records are deleted.

use super::{
    super::{
        Done, Found, Proposal, Report, Shot, Show, Undo, dependants, gone, links::seen, numbers,
    },
    deletion::looked_at,
    entry::Entry,
    lines::is_list,
    moved::{look_at, refuse, told},
    standing::{Lists, Standing, ids_in, standing},
};
use crate::access::{Access, Denied};
use gatepost_base::text::counted;
use gatepost_odoo::{Call, Context, Effect, Field, FieldKind, FieldName, RecordId, Schema};

/// What would be done.
pub(super) async fn propose(access: &Access<'_>, entry: &Entry) -> Result<Proposal, Denied> {
    access.may_change(&entry.model, Effect::Delete)?;
    if entry.ids.is_empty() {
        return Err(Denied::Unfit(format!(
            "it is not known which records this change made, for its answer was lost; nothing was changed and retrying will not help. search_records of `{}` with `create_date` >= \"{}\" shows whether they are there; delete_records removes them",
            entry.model,
            entry.at.strftime("%Y-%m-%d %H:%M:%S")
        )));
    }
    let (context, _) = entry.context(access).await?;
    let (schema, shot) = look_at(access, entry, &entry.ids, &context).await?;
    let (gone, there): (Vec<_>, Vec<_>) = entry
        .ids
        .iter()
        .map(|id| (*id, standing(entry, &schema, *id, (&shot, &Lists::new()))))
        .partition(|(_, standing)| *standing == Standing::Gone);
    if there.is_empty() {
        return Err(Denied::Unfit(
            "there is nothing to take back: the records that were made are not there any more, or not to be seen; nothing was changed".to_owned(),
        ));
    }
    refuse(entry, (&schema, &shot), &there)?;
    let ids: Vec<RecordId> = there.iter().map(|(id, _)| *id).collect();
    let whole = access.schema_of_all(&entry.model).await?;
    let records = (&entry.model, &*ids);
    let before = Shot::of_all(access, records, &looked_at(&whole), &context).await?;
    refuse_added(access, entry, (&whole, &before), &context).await?;
    refuse_written(&there, &before)?;
    let count = ids.len();
    let records = counted(count, "record");
    let mut notes = dependants(access, &whole, &before, &context).await?;
    if !gone.is_empty() {
        let gone: Vec<RecordId> = gone.iter().map(|(id, _)| *id).collect();
        notes.push(format!("these are gone already: {}", numbers(&gone)));
    }
    if there.iter().any(|(_, is)| *is == Standing::AsWanted) {
        notes.push(
            "it is not known how they were left, only that they have what they were to get"
                .to_owned(),
        );
    }
    let head = format!(
        "Take back the creation of {:.0}: delete {records} of {} for good:\n{}",
        entry.at,
        entry.model,
        Show::titles(&ids, &before)
    );
    Ok(Proposal {
        calls: vec![Call::delete(entry.model.clone(), &ids).in_context(context)],
        preview: told(head, &notes),
        before,
        makes: None,
        undo: Some(Undo::Delete),
        look: format!(
            "read_records of `{}` with ids {} shows whether they are still there",
            entry.model,
            numbers(&ids)
        ),
        ..Proposal::default()
    })
}

/// What came of it.
pub(super) async fn find(access: &Access<'_>, entry: &Entry) -> Result<Found, Denied> {
    gone(access, &entry.model, &entry.ids).await
}

/// What the model is told.
#[expect(clippy::unused_async, reason = "like the reports of the other kinds")]
pub(super) async fn report(_: &Access<'_>, entry: &Entry, done: &Done) -> Result<Report, Denied> {
    let count = done.ids.len();
    let records = counted(count, "record");
    Ok(Report {
        text: format!(
            "Took back the creation of {:.0}: deleted {records} of {}: {}",
            entry.at,
            entry.model,
            numbers(&done.ids)
        ),
        after: None,
    })
}

/// Refuses records of which nobody looked how they were left, where somebody
/// wrote them after they were made.
fn refuse_written(there: &[(RecordId, Standing)], before: &Shot) -> Result<(), Denied> {
    let unseen = there
        .iter()
        .filter(|(_, is)| *is == Standing::AsWanted)
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
    Err(Denied::Unfit(format!(
        "nothing was taken back: how these records were left is not known, for the answer was lost, and somebody wrote them since: {}. Retrying will not help: show the user, and delete what they want with delete_records",
        numbers(&written)
    )))
}

/// Whether what is put into a list later is somebody's work.
fn counts(list: &Field) -> bool {
    let told = ["activity_ids", "message_ids"].contains(&list.name.as_str());
    is_list(list) || (told && list.kind == FieldKind::One2many)
}

/// Refuses where something was put into the lists of the records after they
/// were made: it would go with them. Odoo gives all that one call makes the same
/// time.
async fn refuse_added(
    access: &Access<'_>,
    entry: &Entry,
    (schema, before): (&Schema, &Shot),
    context: &Context,
) -> Result<(), Denied> {
    let mut added = Vec::new();
    for list in schema.fields().filter(|field| counts(field)) {
        let Some(model) = &list.relation else {
            continue;
        };
        let listed = before.rows().flat_map(|(_, row)| ids_in(row, &list.name));
        let listed: Vec<RecordId> = listed.collect();
        if listed.is_empty() || access.may_read(model).is_err() {
            continue;
        }
        // Who may not see them is told how many there are.
        let Some(fields) = seen(access.schema(model).await)? else {
            continue;
        };
        let wanted = ["create_date", "message_type"].map(FieldName::known);
        let wanted = wanted
            .into_iter()
            .filter(|name| fields.field(name.as_str()).is_some());
        let wanted: Vec<FieldName> = wanted.collect();
        let looked = Shot::take(access, (model, &listed), &wanted, context).await;
        let Some(lines) = seen(looked)? else {
            continue;
        };
        let text = |shot: &Shot, id, name: &str| {
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
            let later: Vec<RecordId> = ids_in(row, &list.name)
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
                added.push(format!("[{id}]: {} in `{}`", numbers(&later), list.name));
            }
        }
    }
    if added.is_empty() {
        return Ok(());
    }
    Err(Denied::Unfit(format!(
        "nothing was taken back, for something was added to the records since they were made, and would be deleted with them:\n{}\nTake that back first, if it was made here. Else retrying will not help: show the user, and delete what they want with delete_records",
        added.join("\n")
    )))
}
