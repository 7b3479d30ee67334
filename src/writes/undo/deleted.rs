//! Taking a deletion back: the records are made again, as far as that goes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    super::{
        Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport,
        WritePlan, id_list,
    },
    conflict::{read_tracked, validate_restored, with_notes, with_notes_and_coverage},
    current_state::list_ids,
    entry::UndoEntry,
    linked_records::{defaulted_fields, find_deleted_links},
    restore::{DeletedLinks, RestoreTarget, RestoredValues, is_empty},
    x2many_list::X2manyList,
};
use crate::access::{OdooSession, OperationError};
use crate::{
    access::{DisplayNames, RecordSnapshot},
    validation::ValidatedRecords,
    writes::idempotency::{find_created, find_deleted as are_gone},
};
use gatepost_base::text::{self, one_line};
use gatepost_odoo::{Call, Context, FieldKind, FieldName, Operation, RecordId, Schema};

/// Bytes of values that are shown; of the other records the names.
const MAX_SHOWN_BYTES: usize = 24 << 10;
/// Records whose old and new ids are told.
const MAX_SHOWN: usize = 20;
const NAME_CHARS: usize = 80;
/// What no value brings back.
const NEVER_RESTORED: &str = "Odoo gives new ids. What else is lost for good: messages and followers, activities, files and pictures, external ids, translations into other languages, who made them and when, and links from other records to them";

/// What makes the records again.
struct Recreation {
    ids: Vec<RecordId>,
    prepared: ValidatedRecords,
    schema: Schema,
    context: Context,
    notes: Vec<String>,
}

/// What would be done.
pub(super) async fn plan(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<WritePlan, OperationError> {
    access.may_write(&entry.model, Operation::Create)?;
    let again = recreation(access, entry).await?;
    let count = again.ids.len();
    let records = text::pluralize(count, "record");
    let show = PreviewRenderer {
        schema: &again.schema,
        names: &again.prepared.names,
    };
    let mut lines = String::new();
    let pairs = again.ids.iter().zip(&again.prepared.values);
    for (at, (id, values)) in pairs.enumerate() {
        let mut filled = values.clone();
        filled.retain(|_, value| !is_empty(value) && *value != json!([[6, 0, []]]));
        let one = format!("{}: {}\n", deleted_title(entry, *id), show.values(&filled));
        if at > 0 && lines.len() + one.len() > MAX_SHOWN_BYTES {
            let rest = again.ids.get(at..).unwrap_or_default();
            let names: Vec<String> = rest.iter().map(|id| deleted_title(entry, *id)).collect();
            text::append(
                &mut lines,
                format_args!(
                    "and {} more, with the values that they had, which are NOT SHOWN: {}\n",
                    rest.len(),
                    names.join("; ")
                ),
            );
            break;
        }
        lines.push_str(&one);
    }
    let head = format!(
        "Take back the deletion of {:.0}: make {records} of {} again (the numbers are the old ids):\n{}{NEVER_RESTORED}.",
        entry.at, entry.model, lines
    );
    let look = format!(
        "search_records of `{}` with `create_date` >= \"{}\" shows whether they are there",
        entry.model,
        find_created::odoo_time(Baseline::time_only(Timestamp::now()).earliest_odoo_time())
    );
    Ok(WritePlan {
        preview: with_notes(head, &again.notes),
        calls: vec![
            Call::create(entry.model.clone(), again.prepared.values).in_context(again.context),
        ],
        before: RecordSnapshot::default(),
        undo: Some(UndoSupport::Create),
        created_model: Some(entry.model.clone()),
        verification_hint: look,
        ..WritePlan::default()
    })
}

/// What came of it: records that our Odoo user made since then, with the very
/// values.
pub(super) async fn probe_outcome(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    plan: Option<&WritePlan>,
    baseline: &Baseline,
) -> Result<RecoveredOutcome, OperationError> {
    if let Some(plan) = plan {
        let context = plan.context();
        return find_created(access, &entry.model, plan.values(), &context, baseline).await;
    }
    let again = recreation(access, entry).await?;
    let list = &again.prepared.values;
    find_created(access, &entry.model, list, &again.context, baseline).await
}

/// What the model is told.
pub(super) async fn summarize(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    done: &CompletedWrite,
) -> Result<Report, OperationError> {
    let (context, companies) = entry.context(access).await?;
    let count = done.ids.len();
    let records = text::pluralize(count, "record");
    let mut text = format!(
        "Took back the deletion of {:.0}: made {records} of {} again.\n",
        entry.at, entry.model
    );
    // Where some were there all along, it is not known which of them are new.
    let old = (entry.ids.len() == count).then_some(&entry.ids);
    let pairs = done.ids.iter().enumerate().take(2 * MAX_SHOWN);
    let pairs: Vec<String> = pairs
        .map(|(at, new)| match old.and_then(|old| old.get(at)) {
            Some(old) => format!("{old} -> {new}"),
            None => new.to_string(),
        })
        .collect();
    text.push_str("Old and new ids: ");
    text.push_str(&pairs.join(", "));
    if count > pairs.len() {
        text.push_str(", and so on");
    }
    let Ok((schema, after)) = read_tracked(access, entry, &done.ids, &context).await else {
        return Ok(Report { text, after: None });
    };
    let mut notes = Vec::new();
    if let Some(old) = old {
        let show = PreviewRenderer {
            schema: &schema,
            names: &DisplayNames::new(),
        };
        for (old, new) in old.iter().zip(&done.ids) {
            let (before, now) = (entry.before.get(&i64::from(old.get())), after.row(*new));
            let Some((before, now)) = before.zip(now) else {
                continue;
            };
            notes.extend(differences(entry, (&schema, &show), *new, (before, now)));
        }
    }
    if !notes.is_empty() {
        text.push_str("\nNot as before:");
    }
    Ok(Report {
        text: with_notes_and_coverage(access, entry, (text, &notes), &companies),
        after: Some(after),
    })
}

/// What a record has otherwise than the one that it was made from.
fn differences(
    entry: &UndoEntry,
    (schema, show): (&Schema, &PreviewRenderer<'_>),
    new: RecordId,
    (before, now): (&Map<String, Value>, &Map<String, Value>),
) -> Vec<String> {
    let mut notes = Vec::new();
    for name in &entry.fields {
        let Some(field) = schema.field(name.as_str()) else {
            continue;
        };
        let was = before.get(name.as_str()).unwrap_or(&Value::Bool(false));
        let Some(is) = now.get(name.as_str()) else {
            continue;
        };
        if field.kind == FieldKind::One2many {
            let (was, is) = (list_ids(before, name).len(), list_ids(now, name).len());
            if was != is {
                notes.push(format!(
                    "`{name}` of [{new}] has {is} records, and had {was}"
                ));
            }
        } else if !(super::fingerprints::is_same(was, is) || is_empty(was) && is_empty(is)) {
            notes.push(format!(
                "`{name}` of [{new}] is {}, and was {}",
                show.value(Some(field), is),
                show.value(Some(field), was)
            ));
        }
    }
    notes
}

/// The values that make those records again that are not there.
async fn recreation(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<Recreation, OperationError> {
    let (context, _) = entry.context(access).await?;
    let there = RecordSnapshot::read(access, (&entry.model, &entry.ids), &[], &context).await?;
    let ids: Vec<RecordId> = entry
        .ids
        .iter()
        .copied()
        .filter(|id| there.row(*id).is_none())
        .collect();
    if ids.is_empty() {
        return Err(OperationError::InvalidArgument(
            "there is nothing to take back: the records are there, so they were not deleted; nothing was changed".to_owned(),
        ));
    }
    // What is only hidden would be there twice.
    match are_gone(access, &entry.model, &ids).await? {
        RecoveredOutcome::Done(_) => {}
        RecoveredOutcome::NotDone | RecoveredOutcome::Unclear(_) => {
            return Err(OperationError::InvalidArgument(format!(
                "nothing was changed: that these records are deleted cannot be said, for they may only be hidden from you now: {}. Retrying will not help; ask the user to look in Odoo",
                id_list(&ids)
            )));
        }
    }
    let schema = access.schema(&entry.model).await?;
    let mut lists = Vec::new();
    for lines in &entry.lines {
        let ids = lines.rows.keys();
        let ids: Vec<RecordId> = ids.filter_map(|id| RecordId::try_from(*id).ok()).collect();
        if let Some(now) = lines.read_current(access, &ids, &context).await? {
            lists.extend(X2manyList::load(access, (lines, &now), &context).await?);
        }
    }
    let mut sources: Vec<(&Schema, &Map<String, Value>)> = Vec::new();
    sources.extend(entry.before.values().map(|row| (&schema, row)));
    sources.extend(lists.iter().flat_map(X2manyList::sources));
    let gone = find_deleted_links(access, &sources, &context).await?;
    let open = access
        .writable_schema(&entry.model, Operation::Create)
        .await?;
    let said = defaulted_fields(access, (&entry.model, &schema), &entry.fields, &context).await?;
    let target = RestoreTarget {
        schema: &schema,
        writable: &open,
        effect: Operation::Create,
        deleted: &gone,
        defaulted: &said,
    };
    let mut notes: Vec<String> = Vec::new();
    if !there.is_empty() {
        notes.push(format!(
            "{} of the records are there, and stay",
            there.len()
        ));
    }
    let nothing = Map::new();
    let mut values = Vec::with_capacity(ids.len());
    // The same for many records is told once, with how many.
    let mut lacking: BTreeMap<(FieldName, String), usize> = BTreeMap::new();
    for id in &ids {
        let row = entry.before.get(&i64::from(id.get())).unwrap_or(&nothing);
        let mut made = target.values_to_recreate(&entry.fields, row);
        add_lists(&mut made, row, (entry, &schema), (&lists, &gone, &open));
        for lack in made.omitted {
            *lacking.entry(lack).or_default() += 1;
        }
        values.push(made.values);
    }
    notes.extend(lacking.into_iter().map(|((name, why), count)| {
        let of = if count == 1 {
            ""
        } else {
            " of several of them"
        };
        format!("`{name}`{of} {why}")
    }));
    let what = (entry, Operation::Create);
    let prepared = validate_restored(access, what, values, &context).await?;
    notes.extend(prepared.missing.iter().cloned());
    Ok(Recreation {
        ids,
        prepared,
        schema,
        context,
        notes,
    })
}

/// Adds the lists of a record: what is still there is linked again, the rest is
/// made again.
fn add_lists(
    made: &mut RestoredValues,
    row: &Map<String, Value>,
    (entry, schema): (&UndoEntry, &Schema),
    (lists, gone, open): (&[X2manyList<'_>], &DeletedLinks, &Schema),
) {
    for name in &entry.fields {
        let field = schema.field(name.as_str());
        let ids = list_ids(row, name);
        if ids.is_empty() || field.is_none_or(|field| field.kind != FieldKind::One2many) {
            continue;
        }
        let list = lists.iter().find(|list| list.lines.field == *name);
        let Some(list) = list.filter(|_| open.field(name.as_str()).is_some()) else {
            let why = format!("had {} records, which are not kept", ids.len());
            made.omitted.push((name.clone(), why));
            continue;
        };
        let before: Vec<i64> = ids.iter().map(|id| i64::from(id.get())).collect();
        let (commands, lacking) = list.restore_commands(gone, (&before, &[]), &[]);
        if !commands.is_empty() {
            made.values
                .insert(name.as_str().to_owned(), commands.into());
        }
        let lacking = lacking
            .into_iter()
            .map(|why| (name.clone(), format!(": {why}")));
        made.omitted.extend(lacking);
    }
}

/// A deleted record: its id and its name.
fn deleted_title(entry: &UndoEntry, id: RecordId) -> String {
    let row = entry.before.get(&i64::from(id.get()));
    let name = row.and_then(|row| row.get("display_name")?.as_str());
    match name {
        Some(name) => format!("[{id}] {}", one_line(name, NAME_CHARS)),
        None => format!("[{id}]"),
    }
}
