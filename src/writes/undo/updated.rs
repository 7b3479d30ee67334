//! Undo of an update: the old values are written again.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    super::{
        CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport, WritePlan, id_list,
        read_hint,
    },
    conflict::{
        check_unchanged, difference, read_tracked, report_text, validate_restored, with_notes,
    },
    current_state::{CurrentLists, CurrentState, current_state},
    entry::UndoEntry,
    fingerprints::is_same,
    linked_records::find_lost_links,
    restore::{RestoreTarget, grouped},
    x2many_list::X2manyList,
};
use crate::access::{OdooSession, OperationError, RecordSnapshot};
use gatepost_base::text::{append, join_bounded, pluralize};
use gatepost_odoo::{Call, Context, FieldName, Operation, RecordId, Schema};

/// Records that the report shows one by one.
const MAX_SHOWN: usize = 20;
/// The largest preview, in bytes; of further records only the names.
const MAX_SHOWN_BYTES: usize = 24 << 10;

/// The records and their lines as they are now.
struct CurrentRecords {
    schema: Schema,
    context: Context,
    records: RecordSnapshot,
    lists: CurrentLists,
    states: Vec<(RecordId, CurrentState)>,
}

impl CurrentRecords {
    async fn load(access: &OdooSession<'_>, entry: &UndoEntry) -> Result<Self, OperationError> {
        let (context, _) = entry.context(access).await?;
        let (schema, records) = read_tracked(access, entry, &entry.ids, &context).await?;
        let mut lists = CurrentLists::new();
        for lines in &entry.lines {
            let ids = lines.all_ids(&records);
            if let Some(now) = lines.read_current(access, &ids, &context).await? {
                lists.insert(lines.field.clone(), now);
            }
        }
        let states = entry.ids.iter();
        let states = states.map(|id| (*id, current_state(entry, &schema, *id, (&records, &lists))));
        Ok(Self {
            states: states.collect(),
            schema,
            context,
            records,
            lists,
        })
    }

    fn ids_in_state(&self, wanted: &CurrentState) -> Vec<RecordId> {
        let states = self.states.iter().filter(|(_, state)| state == wanted);
        states.map(|(id, _)| *id).collect()
    }
}

/// Plans the calls that write the old values, one per group of records with the
/// same values.
pub(super) async fn plan(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<WritePlan, OperationError> {
    access.may_write(&entry.model, Operation::Write)?;
    let now = CurrentRecords::load(access, entry).await?;
    check_unchanged(entry, (&now.schema, &now.records), &now.states)?;
    let (values, mut notes) = restored_values(access, entry, &now).await?;
    let groups = grouped(values.into_iter().filter(|(_, values)| !values.is_empty()));
    if groups.is_empty() {
        let why = if entry.marks.is_none() {
            "the records have none of the values that the change was to write, so most likely it was not done"
        } else {
            "the records have what they had before, as far as that is stored and may be written"
        };
        let text = format!("there is nothing to undo: {why}. Nothing was changed");
        return Err(OperationError::NothingToUndo(with_notes(text, &notes)));
    }
    if !now.ids_in_state(&CurrentState::MatchesRequest).is_empty() {
        notes.push(
            "it is not known how the change left the records, only that they have the values that it was to write; its other effects stay".to_owned(),
        );
    }
    let reverted = now.ids_in_state(&CurrentState::Reverted);
    if !reverted.is_empty() {
        let reverted = id_list(&reverted);
        notes.push(format!("these are already as before, and stay: {reverted}"));
    }
    if groups.len() > 1 {
        notes.push(format!(
            "this takes {} steps, one after the other; each is done whole or not at all. If one fails, those before it stay done; call again then",
            groups.len()
        ));
    }
    let (ids, list): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
    let what = (entry, Operation::Write);
    let validated = validate_restored(access, what, list, &now.context).await?;
    let mut all: Vec<RecordId> = ids.iter().flatten().copied().collect();
    all.sort_unstable();
    let renderer = PreviewRenderer {
        schema: &now.schema,
        names: &validated.names,
    };
    let updates = ids.iter().zip(&validated.values);
    let updates = updates.map(|(ids, values)| renderer.updates(ids, &now.records, values));
    let updates = join_bounded(updates, "\n", MAX_SHOWN_BYTES, |at| {
        let rest: Vec<RecordId> = ids.iter().skip(at).flatten().copied().collect();
        let names = PreviewRenderer::names(&rest, &now.records);
        let count = rest.len();
        format!("and {count} more, whose values are NOT SHOWN: {names}")
    });
    let head = format!(
        "Undo the update of {:.0}: {} of {}:\n{updates}",
        entry.at,
        pluralize(all.len(), "record"),
        entry.model
    );
    let names = validated.values.iter().flat_map(Map::keys);
    let fields: BTreeSet<FieldName> = names
        .filter_map(|name| FieldName::try_from(name.as_str()).ok())
        .collect();
    let calls = ids.iter().zip(validated.values).map(|(ids, values)| {
        Call::write(entry.model.clone(), ids, values).in_context(now.context.clone())
    });
    Ok(WritePlan {
        undo: Some(UndoSupport::Update(fields.into_iter().collect())),
        calls: calls.collect(),
        preview: with_notes(head, &notes),
        before: now.records,
        names: validated.names,
        verification_hint: read_hint(&entry.model, &all, "shows whether it was done"),
        ..WritePlan::default()
    })
}

/// Finds out from the state of the records whether the undo was done.
pub(super) async fn probe_outcome(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
) -> Result<RecoveredOutcome, OperationError> {
    let now = CurrentRecords::load(access, entry).await?;
    let all = |wanted: &CurrentState| now.states.iter().all(|(_, state)| state == wanted);
    Ok(if all(&CurrentState::Reverted) {
        RecoveredOutcome::Done(entry.ids.clone())
    } else if all(&CurrentState::Unchanged) || all(&CurrentState::MatchesRequest) {
        RecoveredOutcome::NotDone
    } else {
        RecoveredOutcome::Unclear(read_hint(&entry.model, &entry.ids, "shows them."))
    })
}

/// Describes the records after the undo, and how they differ from before.
pub(super) async fn summarize(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    done: &CompletedWrite,
) -> Result<Report, OperationError> {
    let (context, companies) = entry.context(access).await?;
    let count = done.ids.len();
    let mut text = format!(
        "Undid the update of {:.0}: {} of {}:\n",
        entry.at,
        pluralize(count, "record"),
        entry.model
    );
    let Ok((schema, after)) = read_tracked(access, entry, &done.ids, &context).await else {
        // The undo is done anyway.
        text.push_str(&id_list(&done.ids));
        return Ok(Report { text, after: None });
    };
    let renderer = PreviewRenderer::without_names(&schema);
    for id in done.ids.iter().take(MAX_SHOWN) {
        let before = entry.before.row(*id);
        let mut now = after.row(*id).cloned().unwrap_or_default();
        now.retain(|name, _| before.is_some_and(|before| before.contains_key(name)));
        let title = PreviewRenderer::titles(&[*id], &after);
        let values = renderer.values(&now);
        append(&mut text, format_args!("{title}: {values}\n"));
    }
    if count > MAX_SHOWN {
        let rest = count - MAX_SHOWN;
        append(&mut text, format_args!("and {rest} more, likewise\n"));
    }
    let mut notes = Vec::new();
    for id in &done.ids {
        let Some((before, now)) = entry.before.row(*id).zip(after.row(*id)) else {
            continue;
        };
        notes.extend(before.iter().filter_map(|(name, was)| {
            let is = now.get(name).filter(|is| !is_same(was, is))?;
            (!entry.has_lines_of(name)).then(|| difference(&renderer, (*id, name), (was, is)))
        }));
    }
    Ok(Report {
        text: report_text(access, entry, (text, &notes), &companies),
        after: Some(after),
    })
}

/// The values that restore each record, and notes on what cannot be restored.
async fn restored_values(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    now: &CurrentRecords,
) -> Result<(Vec<(RecordId, Map<String, Value>)>, Vec<String>), OperationError> {
    let writable = access
        .writable_schema(&entry.model, Operation::Write)
        .await?;
    let not_kept = entry.not_kept.iter();
    let mut notes: Vec<String> = not_kept
        .map(|name| format!("`{name}` stays as it is, because its old value is not stored"))
        .collect();
    let mut lists = Vec::new();
    for lines in &entry.lines {
        let list = match now.lists.get(&lines.field) {
            Some(current) => X2manyList::load(access, (lines, current), &now.context).await?,
            None => None,
        };
        match list.filter(|_| writable.field(lines.field.as_str()).is_some()) {
            Some(list) => lists.push(list),
            None => notes.push(format!(
                "`{}` stays as it is, because you may no longer read or write it",
                lines.field
            )),
        }
    }
    let records = entry.before.rows().map(|(_, row)| (&now.schema, row));
    let sources = records.chain(lists.iter().flat_map(X2manyList::sources));
    let lost = find_lost_links(access, sources, &now.context).await?;
    let target = RestoreTarget {
        schema: &now.schema,
        writable: &writable,
        operation: Operation::Write,
        lost: &lost,
        defaulted: &BTreeSet::new(),
    };
    let changed = now.states.iter().filter_map(|(id, state)| {
        let was_read = match state {
            CurrentState::Unchanged => true,
            CurrentState::MatchesRequest => false,
            CurrentState::Changed(_) | CurrentState::Missing => return None,
            CurrentState::Reverted | CurrentState::Unknown => return None,
        };
        let (before, row) = entry.before.row(*id).zip(now.records.row(*id))?;
        Some((*id, was_read, before, row))
    });
    let changed: Vec<_> = changed.collect();
    // The lists that lines moved into give them back to the records they came from.
    let returned: Vec<BTreeSet<RecordId>> = lists
        .iter()
        .map(|list| {
            let records = changed.iter();
            records
                .flat_map(|(_, _, before, row)| list.lines.moved_in(before, row))
                .collect()
        })
        .collect();
    let mut restored = Vec::new();
    for (id, was_read, before, row) in changed {
        let mut plain = before.clone();
        plain.retain(|name, _| {
            let written = entry.fields.iter().any(|field| field.as_str() == name);
            (was_read || written) && !entry.has_lines_of(name)
        });
        let mut values = target.values_to_restore(&plain, row);
        // What Odoo computed from the change it computes again.
        let omitted = values.omitted.into_iter();
        let omitted = omitted.filter(|(name, _)| entry.fields.contains(name));
        notes.extend(omitted.map(|(name, why)| format!("`{name}` of [{id}] {why}")));
        for (list, returned) in lists.iter().zip(&returned) {
            let lines = list.lines;
            // Of several records it is not known whose list named a line that is in none.
            let foreign = match entry.ids.len() {
                1 => lines.foreign_lines(&entry.before),
                _ => lines.moved_in(before, row),
            };
            let mut had = lines.ids_in(before);
            had.retain(|line| !returned.contains(line));
            let ids = (&*had, &*lines.ids_in(row));
            let (commands, missing) = list.restore_commands(&lost, ids, &foreign);
            if !commands.is_empty() {
                let name = lines.field.as_str().to_owned();
                values.values.insert(name, commands.into());
            }
            let missing = missing.into_iter();
            notes.extend(missing.map(|why| format!("`{}`: {why}", lines.field)));
        }
        restored.push((id, values.values));
    }
    notes.dedup();
    Ok((restored, notes))
}
