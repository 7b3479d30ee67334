//! Taking an update back: the values that were there are written again.

use gatepost_base::text;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    super::{
        CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport, WritePlan, id_list,
    },
    conflict::{
        check_unchanged, read_tracked, validate_restored, with_notes, with_notes_and_coverage,
    },
    current_state::{CurrentLists, CurrentState, current_state, list_ids},
    entry::UndoEntry,
    fingerprints::is_same,
    linked_records::find_deleted_links,
    restore::{RestoreTarget, grouped},
    x2many_list::X2manyList,
};
use crate::access::{OdooSession, OperationError};
use crate::{
    access::{DisplayNames, RecordSnapshot},
    validation::ValidatedRecords,
};
use gatepost_odoo::{Call, Context, FieldName, Operation, RecordId, Schema};

/// Records that are told one by one, once it is done.
const MAX_SHOWN: usize = 20;
/// Bytes of values that are shown; of the other records the names.
const MAX_SHOWN_BYTES: usize = 24 << 10;

/// The records as they are now, with what is known of them.
struct CurrentRecords {
    schema: Schema,
    context: Context,
    shot: RecordSnapshot,
    lists: CurrentLists,
    states: Vec<(RecordId, CurrentState)>,
}

/// What would be done.
pub(super) async fn plan(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<WritePlan, OperationError> {
    access.may_write(&entry.model, Operation::Write)?;
    let now = load_current(access, entry).await?;
    check_unchanged(entry, (&now.schema, &now.shot), &now.states)?;
    let (values, mut notes) = restored_values(access, entry, &now).await?;
    let groups = grouped(values.into_iter().filter(|(_, values)| !values.is_empty()));
    if groups.is_empty() {
        let why = if entry.marks.is_none() {
            "Odoo has none of what it was to write, so most likely it was not done"
        } else {
            "the records have what they had before it, as far as that is kept and may be written"
        };
        return Err(OperationError::InvalidArgument(with_notes(
            format!("there is nothing to take back: {why}; nothing was changed"),
            &notes,
        )));
    }
    if now
        .states
        .iter()
        .any(|(_, standing)| *standing == CurrentState::MatchesRequest)
    {
        notes.push(
            "it is not known how the change left the records, only that they have what it was to write; what else it changed stays".to_owned(),
        );
    }
    let as_before = now.states.iter();
    let as_before = as_before.filter(|(_, standing)| *standing == CurrentState::Reverted);
    let as_before: Vec<RecordId> = as_before.map(|(id, _)| *id).collect();
    if !as_before.is_empty() {
        notes.push(format!(
            "these have what they had before already, and stay: {}",
            id_list(&as_before)
        ));
    }
    if groups.len() > 1 {
        notes.push(format!(
            "this takes {} steps, one after the other; each is done whole or not at all, and when one fails those before it stay done: call again then",
            groups.len()
        ));
    }
    let (ids, list): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
    let what = (entry, Operation::Write);
    let prepared = validate_restored(access, what, list, &now.context).await?;
    let mut all: Vec<RecordId> = ids.iter().flatten().copied().collect();
    all.sort_unstable();
    let count = all.len();
    let records = text::pluralize(count, "record");
    let head = format!(
        "Take back the update of {:.0}: {records} of {}:\n{}",
        entry.at,
        entry.model,
        preview(&now, &ids, &prepared)
    );
    let names = prepared.values.iter().flat_map(Map::keys);
    let fields: BTreeSet<FieldName> = names
        .filter_map(|name| FieldName::try_from(name.as_str()).ok())
        .collect();
    let calls = ids.into_iter().zip(prepared.values);
    Ok(WritePlan {
        undo: Some(UndoSupport::Update(fields.into_iter().collect())),
        calls: calls
            .map(|(ids, values)| {
                Call::write(entry.model.clone(), &ids, values).in_context(now.context.clone())
            })
            .collect(),
        preview: with_notes(head, &notes),
        before: now.shot,
        created_model: None,
        verification_hint: format!(
            "read_records of `{}` with ids {} shows whether it was done",
            entry.model,
            id_list(&all)
        ),
        names: prepared.names,
        ..WritePlan::default()
    })
}

/// What came of it.
pub(super) async fn probe_outcome(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<RecoveredOutcome, OperationError> {
    let now = load_current(access, entry).await?;
    let all = |wanted: &CurrentState| now.states.iter().all(|(_, is)| is == wanted);
    Ok(if all(&CurrentState::Reverted) {
        RecoveredOutcome::Done(entry.ids.clone())
    } else if all(&CurrentState::Unchanged) || all(&CurrentState::MatchesRequest) {
        RecoveredOutcome::NotDone
    } else {
        RecoveredOutcome::Unclear(format!(
            "read_records of `{}` with ids {} shows how they are now.",
            entry.model,
            id_list(&entry.ids)
        ))
    })
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
        "Took back the update of {:.0}: {records} of {}:\n",
        entry.at, entry.model
    );
    let looked = read_tracked(access, entry, &done.ids, &context).await;
    let Ok((schema, after)) = looked else {
        // It is done all the same.
        text.push_str(&id_list(&done.ids));
        return Ok(Report { text, after: None });
    };
    let show = PreviewRenderer {
        schema: &schema,
        names: &DisplayNames::new(),
    };
    for id in done.ids.iter().take(MAX_SHOWN) {
        let before = entry.before.get(&i64::from(id.get()));
        let mut is = after.row(*id).cloned().unwrap_or_default();
        is.retain(|name, _| before.is_some_and(|before| before.contains_key(name)));
        let title = PreviewRenderer::titles(&[*id], &after);
        text::append(&mut text, format_args!("{title}: {}\n", show.values(&is)));
    }
    if count > MAX_SHOWN {
        text::append(
            &mut text,
            format_args!("and {} more, likewise\n", count - MAX_SHOWN),
        );
    }
    let lists: BTreeSet<&FieldName> = entry.lines.iter().map(|lines| &lines.field).collect();
    let mut notes = Vec::new();
    for id in &done.ids {
        let before = entry.before.get(&i64::from(id.get()));
        for (name, was, is) in differences(before, after.row(*id)) {
            let field = schema.field(name);
            if lists.iter().any(|list| list.as_str() == name) {
                continue;
            }
            notes.push(format!(
                "`{name}` of [{id}] is {}, and was {}",
                show.value(field, is),
                show.value(field, was)
            ));
        }
    }
    if !notes.is_empty() {
        text.push_str("Not as before:");
    }
    Ok(Report {
        text: with_notes_and_coverage(access, entry, (text, &notes), &companies),
        after: Some(after),
    })
}

async fn load_current(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<CurrentRecords, OperationError> {
    let (context, _) = entry.context(access).await?;
    let (schema, shot) = read_tracked(access, entry, &entry.ids, &context).await?;
    let mut lists = CurrentLists::new();
    for lines in &entry.lines {
        let old = lines.rows.keys().copied();
        let listed = shot.rows().flat_map(|(_, row)| list_ids(row, &lines.field));
        let ids: BTreeSet<RecordId> = old
            .filter_map(|id| RecordId::try_from(id).ok())
            .chain(listed)
            .collect();
        let ids: Vec<RecordId> = ids.into_iter().collect();
        if let Some(now) = lines.read_current(access, &ids, &context).await? {
            lists.insert(lines.field.clone(), now);
        }
    }
    let standings = entry.ids.iter();
    let standings = standings.map(|id| (*id, current_state(entry, &schema, *id, (&shot, &lists))));
    Ok(CurrentRecords {
        states: standings.collect(),
        schema,
        context,
        shot,
        lists,
    })
}

/// The values that each record gets back, and what there is to say of them.
async fn restored_values(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    now: &CurrentRecords,
) -> Result<(Vec<(RecordId, Map<String, Value>)>, Vec<String>), OperationError> {
    let open = access
        .writable_schema(&entry.model, Operation::Write)
        .await?;
    let mut notes: Vec<String> = entry
        .not_kept
        .iter()
        .map(|name| format!("`{name}` stays as it is, for what was in it is not kept"))
        .collect();
    let mut lists = Vec::new();
    for lines in &entry.lines {
        let list = match now.lists.get(&lines.field) {
            Some(shot) => X2manyList::load(access, (lines, shot), &now.context).await?,
            None => None,
        };
        match list.filter(|_| open.field(lines.field.as_str()).is_some()) {
            Some(list) => lists.push(list),
            None => notes.push(format!(
                "`{}` stays as it is, for it is not open to you any more",
                lines.field
            )),
        }
    }
    let mut sources: Vec<(&Schema, &Map<String, Value>)> = Vec::new();
    sources.extend(entry.before.values().map(|row| (&now.schema, row)));
    sources.extend(lists.iter().flat_map(X2manyList::sources));
    let gone = find_deleted_links(access, &sources, &now.context).await?;
    let nothing = BTreeSet::new();
    let target = RestoreTarget {
        schema: &now.schema,
        writable: &open,
        effect: Operation::Write,
        deleted: &gone,
        defaulted: &nothing,
    };
    let mut all = Vec::new();
    for (id, standing) in &now.states {
        let known = match standing {
            CurrentState::Unchanged => true,
            CurrentState::MatchesRequest => false,
            CurrentState::Reverted
            | CurrentState::Missing
            | CurrentState::Changed(_)
            | CurrentState::Unknown => {
                continue;
            }
        };
        let (Some(before), Some(row)) = (entry.before.get(&i64::from(id.get())), now.shot.row(*id))
        else {
            continue;
        };
        let mut plain = before.clone();
        plain.retain(|name, _| {
            let written = entry.fields.iter().any(|field| field.as_str() == name);
            let list = entry.lines.iter().any(|lines| lines.field.as_str() == name);
            (known || written) && !list
        });
        let mut back = target.values_to_restore(&plain, row);
        for (name, why) in back.omitted {
            // What Odoo worked out by the way it will work out again.
            if entry.fields.contains(&name) {
                notes.push(format!("`{name}` of [{id}] {why}"));
            }
        }
        for list in &lists {
            let field = &list.lines.field;
            // Through the lists of several records nobody can say whose it was.
            let others = match entry.ids.len() {
                1 => list.lines.foreign_lines(&entry.before),
                _ => Vec::new(),
            };
            let ids = (&*raw_list_ids(before, field), &*raw_list_ids(row, field));
            let (commands, lacking) = list.restore_commands(&gone, ids, &others);
            if !commands.is_empty() {
                let name = field.as_str().to_owned();
                back.values.insert(name, commands.into());
            }
            let lacking = lacking.into_iter();
            notes.extend(lacking.map(|why| format!("`{field}`: {why}")));
        }
        all.push((*id, back.values));
    }
    notes.dedup();
    Ok((all, notes))
}

/// The ids in a list of a record.
fn raw_list_ids(row: &Map<String, Value>, list: &FieldName) -> Vec<i64> {
    let ids = list_ids(row, list).into_iter();
    ids.map(|id| i64::from(id.get())).collect()
}

/// The fields that have something else than before.
fn differences<'r>(
    before: Option<&'r Map<String, Value>>,
    after: Option<&'r Map<String, Value>>,
) -> Vec<(&'r str, &'r Value, &'r Value)> {
    let Some((before, after)) = before.zip(after) else {
        return Vec::new();
    };
    let pairs = before.iter().filter_map(|(name, was)| {
        let is = after.get(name)?;
        (!is_same(was, is)).then_some((name.as_str(), was, is))
    });
    pairs.collect()
}

/// Each group of records with what is there and what would be.
fn preview(now: &CurrentRecords, ids: &[Vec<RecordId>], prepared: &ValidatedRecords) -> String {
    let show = PreviewRenderer {
        schema: &now.schema,
        names: &prepared.names,
    };
    let mut text = String::new();
    for (at, (ids_of_one, values)) in ids.iter().zip(&prepared.values).enumerate() {
        let one = show.updates(ids_of_one, &now.shot, values);
        if at > 0 && text.len() + one.len() > MAX_SHOWN_BYTES {
            let rest: Vec<RecordId> = ids.iter().skip(at).flatten().copied().collect();
            text::append(
                &mut text,
                format_args!(
                    "and {} more, whose values are NOT SHOWN: {}",
                    rest.len(),
                    PreviewRenderer::names(&rest, &now.shot)
                ),
            );
            break;
        }
        text.push_str(&one);
        text.push('\n');
    }
    text
}
