//! Undo of a delete: the records are created again, as far as Odoo allows.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    super::{
        Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport,
        WritePlan, find_created, find_deleted, id_list, search_hint,
    },
    conflict::{difference, read_tracked, report_text, validate_restored, with_notes},
    entry::UndoEntry,
    fingerprints::is_same,
    linked_records::{defaulted_fields, find_lost_links},
    restore::{LostLinks, RestoreTarget, RestoredValues, is_empty},
    x2many_lines::list_ids,
    x2many_list::X2manyList,
};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    validation::ValidatedRecords,
};
use gatepost_base::text::{join_bounded, one_line, pluralize};
use gatepost_odoo::{Call, Context, FieldKind, FieldName, Operation, RecordId, Schema};

/// The largest list of values, in bytes; of further records only the names.
const MAX_SHOWN_BYTES: usize = 24 << 10;
/// Pairs of an old and a new id that are shown.
const MAX_SHOWN_PAIRS: usize = 40;
const NAME_CHARS: usize = 80;
/// What no value brings back.
const NEVER_RESTORED: &str = "Odoo assigns new ids. Lost for good: messages and followers, activities, files and images, external ids, translations into other languages, who created them and when, and links from other records to them";

/// The records to create again.
struct Recreation {
    /// Their old ids.
    ids: Vec<RecordId>,
    validated: ValidatedRecords,
    schema: Schema,
    context: Context,
    notes: Vec<String>,
}

/// Plans the creation.
pub(super) async fn plan(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<WritePlan, OperationError> {
    access.may_write(&entry.model, Operation::Create)?;
    let recreation = recreation(access, entry).await?;
    let ids = &recreation.ids;
    let renderer = PreviewRenderer {
        schema: &recreation.schema,
        names: &recreation.validated.names,
    };
    let lines = ids.iter().zip(&recreation.validated.values);
    let lines = lines.map(|(id, values)| {
        let mut filled = values.clone();
        filled.retain(|_, value| !is_empty(value) && *value != json!([[6, 0, []]]));
        format!(
            "{}: {}",
            deleted_title(entry, *id),
            renderer.values(&filled)
        )
    });
    let lines = join_bounded(lines, "\n", MAX_SHOWN_BYTES, |at| {
        let rest = ids.get(at..).unwrap_or_default();
        let names: Vec<String> = rest.iter().map(|id| deleted_title(entry, *id)).collect();
        format!(
            "and {} more, with the values that they had, which are NOT SHOWN: {}",
            rest.len(),
            names.join("; ")
        )
    });
    let head = format!(
        "Undo the deletion of {:.0}: create {} of {} again (the numbers are the old ids):\n{lines}\n{NEVER_RESTORED}.",
        entry.at,
        pluralize(ids.len(), "record"),
        entry.model
    );
    let hint = search_hint(&entry.model, "create_date", "shows whether they exist");
    let call = Call::create(entry.model.clone(), recreation.validated.values);
    Ok(WritePlan {
        preview: with_notes(head, &recreation.notes),
        calls: vec![call.in_context(recreation.context)],
        undo: Some(UndoSupport::Create),
        created_model: Some(entry.model.clone()),
        verification_hint: hint,
        ..WritePlan::default()
    })
}

/// Searches for records that the Odoo user created since with exactly these values.
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
    let recreation = recreation(access, entry).await?;
    let values = &recreation.validated.values;
    find_created(access, &entry.model, values, &recreation.context, baseline).await
}

/// Describes the new records, and how they differ from the old ones.
pub(super) async fn summarize(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    done: &CompletedWrite,
) -> Result<Report, OperationError> {
    let (context, companies) = entry.context(access).await?;
    let count = done.ids.len();
    let mut text = format!(
        "Undid the deletion of {:.0}: created {} of {} again.\nOld and new ids: ",
        entry.at,
        pluralize(count, "record"),
        entry.model
    );
    // If some were not deleted, it is not known which of them are new.
    let old = (entry.ids.len() == count).then_some(&entry.ids);
    let pairs = done.ids.iter().enumerate().take(MAX_SHOWN_PAIRS);
    let pairs = pairs.map(|(at, new)| match old.and_then(|old| old.get(at)) {
        Some(old) => format!("{old} -> {new}"),
        None => new.to_string(),
    });
    let pairs: Vec<String> = pairs.collect();
    text.push_str(&pairs.join(", "));
    if count > pairs.len() {
        text.push_str(", and so on");
    }
    let Ok((schema, after)) = read_tracked(access, entry, &done.ids, &context).await else {
        return Ok(Report { text, after: None });
    };
    let renderer = PreviewRenderer::without_names(&schema);
    let pairs = old.into_iter().flat_map(|old| old.iter().zip(&done.ids));
    let notes: Vec<String> = pairs
        .filter_map(|(old, new)| Some((*new, entry.before.row(*old)?, after.row(*new)?)))
        .flat_map(|(new, before, now)| differences(entry, &renderer, new, (before, now)))
        .collect();
    Ok(Report {
        text: report_text(access, entry, (text, &notes), &companies),
        after: Some(after),
    })
}

/// How a record differs from the one that was deleted.
fn differences(
    entry: &UndoEntry,
    renderer: &PreviewRenderer<'_>,
    new: RecordId,
    (before, now): (&Map<String, Value>, &Map<String, Value>),
) -> Vec<String> {
    let differing = entry.fields.iter().filter_map(|name| {
        let field = renderer.schema.field(name.as_str())?;
        let was = before.get(name.as_str()).unwrap_or(&Value::Bool(false));
        let is = now.get(name.as_str())?;
        if field.kind == FieldKind::One2many {
            let (was, is) = (list_ids(before, name).len(), list_ids(now, name).len());
            return (was != is)
                .then(|| format!("`{name}` of [{new}] has {is} records, and had {was}"));
        }
        let is_equal = is_same(was, is) || (is_empty(was) && is_empty(is));
        (!is_equal).then(|| difference(renderer, (new, name.as_str()), (was, is)))
    });
    differing.collect()
}

/// Validates the values of those records that do not exist.
async fn recreation(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<Recreation, OperationError> {
    let (context, _) = entry.context(access).await?;
    let existing = RecordSnapshot::read(access, (&entry.model, &entry.ids), &[], &context).await?;
    let ids = existing.missing(&entry.ids);
    if ids.is_empty() {
        return Err(OperationError::NothingToUndo(
            "there is nothing to undo: the records exist, so they were not deleted. Nothing was changed".to_owned(),
        ));
    }
    // A record that is only hidden would exist twice.
    match find_deleted(access, &entry.model, &ids).await? {
        RecoveredOutcome::Done(_) => {}
        RecoveredOutcome::NotDone | RecoveredOutcome::Unclear(_) => {
            return Err(OperationError::InvalidArgument(format!(
                "nothing was changed, because it is not certain that these records are deleted; they may only be hidden from you now: {}. Retrying will not help; ask the user to check in Odoo",
                id_list(&ids)
            )));
        }
    }
    let schema = access.schema(&entry.model).await?;
    let mut current = Vec::new();
    for lines in &entry.lines {
        let ids: Vec<RecordId> = lines.rows.rows().map(|(id, _)| id).collect();
        if let Some(now) = lines.read_current(access, &ids, &context).await? {
            current.push((lines, now));
        }
    }
    let mut lists = Vec::new();
    for (lines, now) in &current {
        lists.extend(X2manyList::load(access, (lines, now), &context).await?);
    }
    let records = entry.before.rows().map(|(_, row)| (&schema, row));
    let sources = records.chain(lists.iter().flat_map(X2manyList::sources));
    let lost = find_lost_links(access, sources, &context).await?;
    let writable = access
        .writable_schema(&entry.model, Operation::Create)
        .await?;
    let what = (&entry.model, &schema);
    let defaulted = defaulted_fields(access, what, &entry.fields, &context).await?;
    let target = RestoreTarget {
        schema: &schema,
        writable: &writable,
        operation: Operation::Create,
        lost: &lost,
        defaulted: &defaulted,
    };
    let nothing = Map::new();
    let mut values = Vec::with_capacity(ids.len());
    // The same reason for many records is one note.
    let mut omitted: BTreeMap<(FieldName, String), usize> = BTreeMap::new();
    for id in &ids {
        let row = entry.before.row(*id).unwrap_or(&nothing);
        let mut restored = target.values_to_recreate(&entry.fields, row);
        let known = (&*lists, &lost, &*ids);
        add_lists(&mut restored, row, entry, &target, known);
        for field in restored.omitted {
            *omitted.entry(field).or_default() += 1;
        }
        values.push(restored.values);
    }
    let what = (entry, Operation::Create);
    let validated = validate_restored(access, what, values, &context).await?;
    let mut notes: Vec<String> = Vec::new();
    if !existing.is_empty() {
        notes.push(format!("{} of the records exist, and stay", existing.len()));
    }
    notes.extend(omitted.into_iter().map(|((name, why), count)| {
        let of = if count == 1 {
            ""
        } else {
            " of several of them"
        };
        format!("`{name}`{of} {why}")
    }));
    notes.extend(validated.missing.iter().cloned());
    Ok(Recreation {
        ids,
        validated,
        schema,
        context,
        notes,
    })
}

/// Adds the lists of a record: lines that still exist are linked again, the
/// others are created again, unless they are created as records of their own.
fn add_lists(
    restored: &mut RestoredValues,
    row: &Map<String, Value>,
    entry: &UndoEntry,
    target: &RestoreTarget<'_>,
    (lists, lost, recreated): (&[X2manyList<'_>], &LostLinks, &[RecordId]),
) {
    for name in &entry.fields {
        let field = target.schema.field(name.as_str());
        let mut before = list_ids(row, name);
        if before.is_empty() || field.is_none_or(|field| field.kind != FieldKind::One2many) {
            continue;
        }
        let list = lists.iter().find(|list| list.lines.field == *name);
        let Some(list) = list.filter(|_| target.writable.field(name.as_str()).is_some()) else {
            let why = format!("had {} records, which are not stored", before.len());
            restored.omitted.push((name.clone(), why));
            continue;
        };
        if list.lines.model == entry.model {
            let own = before.extract_if(.., |id| recreated.contains(id));
            let own = own.map(|id| format!(": [{id}] is created again without this link"));
            let own = own.map(|why| (name.clone(), why));
            restored.omitted.extend(own);
        }
        let (commands, missing) = list.restore_commands(lost, (&before, &[]), &[]);
        if !commands.is_empty() {
            let name = name.as_str().to_owned();
            restored.values.insert(name, commands.into());
        }
        let missing = missing.into_iter();
        restored
            .omitted
            .extend(missing.map(|why| (name.clone(), format!(": {why}"))));
    }
}

/// The old id and the name of a deleted record.
fn deleted_title(entry: &UndoEntry, id: RecordId) -> String {
    match entry.before.name(id) {
        "" => format!("[{id}]"),
        name => format!("[{id}] {}", one_line(name, NAME_CHARS)),
    }
}
