//! What is kept of a change while it is made.

use gatepost_base::text;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::warn;

use super::{
    super::{CompletedWrite, UndoSupport, WritePlan},
    entry::{RequestedValues, UndoEntry, UndoKind, change_key, context_request, load_change},
    fingerprints::{FieldFingerprints, SnapshotRows, is_same},
    restore::is_empty,
    tracked_fields::{
        can_be_stored, is_owned_list, restorable_fields, tracked_fields_of_new, tracked_fields_with,
    },
    x2many_lines::{MAX_LINES, X2manyLines},
};
use crate::access::RecordSnapshot;
use crate::access::{OdooSession, OperationError};
use gatepost_odoo::{
    Call, Context, Field, FieldKind, FieldName, Operation, RecordId, Request, Schema,
};
use gatepost_state::store::{StateStore, StoreKey};

/// What is kept of a change that is being made.
#[derive(Debug)]
pub(in super::super) struct UndoCapture(Option<OngoingCapture>);

#[derive(Debug)]
struct OngoingCapture {
    ledger: Arc<StateStore>,
    key: StoreKey,
    change_id: String,
    entry: UndoEntry,
    context: Context,
    retention: Duration,
    /// Fields that are looked at, before and after.
    tracked: Vec<FieldName>,
    /// What cannot be put back, for whoever makes the change.
    unrestorable: Vec<String>,
    /// Whether there is too much to keep.
    too_large: bool,
}

impl UndoCapture {
    /// Keeps what is there before the change, under a name.
    ///
    /// # Errors
    /// [`Denied`]; then nothing may be changed.
    pub(in super::super) async fn start(
        access: &OdooSession<'_>,
        proposal: &WritePlan,
        name: Option<&str>,
    ) -> Result<Self, OperationError> {
        let (Some(undo), Some(name), Some(call)) = (&proposal.undo, name, proposal.calls.first())
        else {
            return Ok(Self(None));
        };
        let ledger = access.store;
        if ledger.retention().max_undo_bytes == 0 {
            return Ok(Self(None));
        }
        let mut under = OngoingCapture {
            ledger: Arc::clone(ledger),
            key: change_key(access, name),
            change_id: name.to_owned(),
            entry: UndoEntry {
                at: Timestamp::now(),
                model: call.model().clone(),
                kind: UndoKind::Create,
                ids: affected_ids(proposal),
                fields: Vec::new(),
                not_kept: Vec::new(),
                before: SnapshotRows::new(),
                lines: Vec::new(),
                wanted: requested_values(&proposal.calls),
                after: SnapshotRows::new(),
                marks: None,
                context: context_request(call.context()),
                used: None,
            },
            context: call.context().clone(),
            retention: ledger.retention().undo_ttl,
            tracked: Vec::new(),
            unrestorable: Vec::new(),
            too_large: false,
        };
        let schema = access.schema_visible_in_all_records(call.model()).await?;
        match undo {
            UndoSupport::Create => under.tracked = tracked_fields_of_new(&schema),
            UndoSupport::Delete => {
                under
                    .capture_delete(access, &schema, &proposal.before)
                    .await?;
            }
            UndoSupport::Update(fields) => {
                // What the caller may see of these records only is written, too.
                let seen = access.schema(call.model()).await?;
                under
                    .capture_update(access, (&schema, &seen), fields)
                    .await?;
            }
        }
        let written = under.encode_within_limit(&proposal.before)?;
        if !under.too_large {
            ledger.put(&under.key, written, under.retention).await?;
        }
        Ok(Self(Some(under)))
    }

    /// Under which name it can be undone.
    pub(in super::super) fn change_id(&self) -> Option<String> {
        let under = self.0.as_ref().filter(|under| !under.too_large)?;
        Some(under.change_id.clone())
    }

    /// The change was not made.
    pub(in super::super) async fn discard(self) {
        if let Some(under) = self.0
            && let Err(error) = under.ledger.get_and_delete(&under.key).await
        {
            warn!(error = %error, "Failed to forget what was kept of a change that was not made");
        }
    }

    /// Keeps how things are after the change, and says how to take it back.
    pub(in super::super) async fn finish(
        self,
        access: &OdooSession<'_>,
        done: &CompletedWrite,
        after: Option<&RecordSnapshot>,
    ) -> String {
        let Some(mut under) = self.0 else {
            return String::new();
        };
        if under.too_large {
            return "\nIt cannot be undone here: there was too much to keep.".to_owned();
        }
        under.entry.ids.clone_from(&done.ids);
        let kept = under.capture_after(access, after).await;
        match kept {
            Ok(true) => {
                let mut text =
                    undo_instructions(access, &under.entry, &under.change_id, under.retention);
                for lacking in &under.unrestorable {
                    text::append(
                        &mut text,
                        format_args!("\nThat would not bring back: {lacking}."),
                    );
                }
                text
            }
            Ok(false) => {
                Self(Some(under)).discard().await;
                "\nIt cannot be undone here: there was too much to keep.".to_owned()
            }
            Err(error) => {
                warn!(error = %error, "Failed to keep how things are after a change");
                "\nIt may not be possible to undo it here.".to_owned()
            }
        }
    }
}

/// Notes the records of a change of which it was found out later that it was
/// done, and says how to take it back.
pub(in super::super) async fn finish_recovered(
    access: &OdooSession<'_>,
    name: Option<&str>,
    ids: &[RecordId],
) -> String {
    let Some(name) = name else {
        return String::new();
    };
    record_recovered(access, name, ids)
        .await
        .unwrap_or_else(|error| {
            // Done it is all the same.
            warn!(error = %error, "Failed to note how a change can be taken back");
            String::new()
        })
}

async fn record_recovered(
    access: &OdooSession<'_>,
    name: &str,
    ids: &[RecordId],
) -> Result<String, OperationError> {
    let Some(stored) = load_change(access, name).await? else {
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
    let keep = access.store.retention().undo_ttl;
    Ok(undo_instructions(access, &entry, name, keep))
}

/// The marks of new records that nobody wrote since they were made: so the
/// change left them.
async fn fingerprint_untouched(
    access: &OdooSession<'_>,
    entry: &mut UndoEntry,
) -> Result<(), OperationError> {
    let (context, _) = entry.context(access).await?;
    let schema = access.schema_visible_in_all_records(&entry.model).await?;
    let watched = tracked_fields_of_new(&schema);
    let mut fields = watched.clone();
    fields.push(FieldName::known("create_date"));
    let shot = RecordSnapshot::read(access, (&entry.model, &entry.ids), &fields, &context).await?;
    let is_new = |row: &Map<String, Value>| {
        let made = row.get("create_date").and_then(Value::as_str);
        made.is_some() && made == row.get("write_date").and_then(Value::as_str)
    };
    if shot.len() == entry.ids.len() && shot.rows().all(|(_, row)| is_new(row)) {
        entry.marks = Some(FieldFingerprints::of(&watched, &shot));
        entry.wanted.clear();
    }
    Ok(())
}

/// How to take a change back; nothing where the caller may not.
fn undo_instructions(
    access: &OdooSession<'_>,
    entry: &UndoEntry,
    name: &str,
    keep: Duration,
) -> String {
    let effect = match entry.kind {
        UndoKind::Create => Operation::Delete,
        UndoKind::Delete => Operation::Create,
        UndoKind::Update => Operation::Write,
    };
    if access.may_write(&entry.model, effect).is_err() {
        return String::new();
    }
    let hours = keep.as_secs() / 3600;
    format!("\nTo take it back within {hours} h: undo_change with `change`: \"{name}\".")
}

impl OngoingCapture {
    async fn capture_delete(
        &mut self,
        access: &OdooSession<'_>,
        schema: &Schema,
        before: &RecordSnapshot,
    ) -> Result<(), OperationError> {
        self.entry.kind = UndoKind::Delete;
        self.entry.wanted.clear();
        let seen = |name: &FieldName| {
            before
                .rows()
                .any(|(_, row)| row.contains_key(name.as_str()))
        };
        self.entry.fields = restorable_fields(schema).into_iter().filter(seen).collect();
        let names: BTreeSet<&str> = self.entry.fields.iter().map(FieldName::as_str).collect();
        self.entry.before = before
            .rows()
            .map(|(id, row)| {
                let filled = row.iter().filter(|(name, value)| {
                    !is_empty(value) && (names.contains(name.as_str()) || *name == "display_name")
                });
                (
                    i64::from(id.get()),
                    filled
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                )
            })
            .collect();
        let lists: Vec<&Field> = schema
            .fields()
            .filter(|field| is_owned_list(field))
            .collect();
        self.capture_lines(access, &lists).await
    }

    async fn capture_update(
        &mut self,
        access: &OdooSession<'_>,
        (schema, seen): (&Schema, &Schema),
        written: &[FieldName],
    ) -> Result<(), OperationError> {
        self.entry.kind = UndoKind::Update;
        let (fields, not_kept): (Vec<_>, Vec<_>) = written.iter().cloned().partition(|name| {
            let field = seen.field(name.as_str());
            field.is_some_and(can_be_stored)
        });
        self.entry.fields = fields;
        for name in &not_kept {
            self.unrestorable
                .push(format!("what was in `{name}`, which is not kept"));
        }
        self.entry.not_kept = not_kept;
        self.tracked = tracked_fields_with(schema, &self.entry.fields);
        let records = (&self.entry.model, &*self.entry.ids);
        // Odoo works out other fields from those that are written, past what was in
        // them: all of them are looked at.
        let shot = RecordSnapshot::read(access, records, &self.tracked, &self.context).await?;
        self.entry.before = select_fields(&shot, &self.tracked);
        let lists: Vec<&Field> = self
            .entry
            .fields
            .iter()
            .filter_map(|name| seen.field(name.as_str()))
            .filter(|field| field.kind == FieldKind::One2many)
            .collect();
        self.capture_lines(access, &lists).await?;
        let linked = self.entry.wanted.iter().flat_map(|wanted| &wanted.values);
        for (name, value) in linked {
            let field = seen.field(name);
            if field.is_some_and(|field| field.kind == FieldKind::Many2many)
                && changes_linked_records(value)
            {
                self.unrestorable.push(format!(
                    "how the records were that are made, changed or deleted through `{name}`"
                ));
            }
        }
        self.unrestorable.sort();
        self.unrestorable.dedup();
        Ok(())
    }

    async fn capture_lines(
        &mut self,
        access: &OdooSession<'_>,
        lists: &[&Field],
    ) -> Result<(), OperationError> {
        let mut room = MAX_LINES;
        for list in lists {
            let mut ids = ids_in_list(self.entry.before.values(), &list.name);
            // A command may name any record, in the list or not.
            let wanted = self.entry.wanted.iter();
            ids.extend(
                wanted.flat_map(|wanted| ids_in_commands(wanted.values.get(list.name.as_str()))),
            );
            ids.sort_unstable();
            ids.dedup();
            if ids.is_empty() && self.entry.kind == UndoKind::Delete {
                continue;
            }
            let taken = if ids.len() <= room {
                X2manyLines::capture(access, list, &ids, &self.context).await?
            } else {
                None
            };
            match taken {
                Some(lines) => {
                    room = room.saturating_sub(ids.len());
                    self.entry.lines.push(lines);
                }
                None => self.omit_lines(&list.name),
            }
        }
        Ok(())
    }

    fn omit_lines(&mut self, list: &FieldName) {
        self.entry.not_kept.push(list.clone());
        self.unrestorable.push(format!(
            "the records in `{list}`: they are too many, or not to be seen by you"
        ));
    }

    /// The marks of how it is now, in the place of what was wanted. False where
    /// that is too much.
    async fn capture_after(
        &mut self,
        access: &OdooSession<'_>,
        after: Option<&RecordSnapshot>,
    ) -> Result<bool, OperationError> {
        if let Some(after) = after {
            self.entry.marks = Some(FieldFingerprints::of(&self.tracked, after));
            self.entry.wanted.clear();
            if self.entry.kind == UndoKind::Update {
                self.entry.after = select_fields(after, &self.entry.fields);
                self.retain_differences(after);
            }
        }
        for lines in &mut self.entry.lines {
            let (UndoKind::Update, Some(after)) = (self.entry.kind, after) else {
                continue;
            };
            let mut ids = ids_in_list(after.rows().map(|(_, row)| row), &lines.field);
            let old = lines.rows.keys();
            ids.extend(old.filter_map(|id| RecordId::try_from(*id).ok()));
            ids.sort_unstable();
            ids.dedup();
            let looked = lines.read_current(access, &ids, &self.context).await?;
            lines.marks = looked.map(|shot| FieldFingerprints::of(&lines.fields, &shot));
        }
        let written: Bytes = serde_json::to_vec(&self.entry)?.into();
        if written.len() > self.ledger.retention().max_undo_bytes {
            return Ok(false);
        }
        self.ledger.put(&self.key, written, self.retention).await?;
        Ok(true)
    }

    /// Of what was there before, only what is different now: also what Odoo
    /// worked out anew. A record that is not to be seen any more keeps all.
    fn retain_differences(&mut self, after: &RecordSnapshot) {
        let has_list = |name: &str| {
            let mut lines = self.entry.lines.iter();
            lines.any(|lines| lines.field.as_str() == name)
        };
        let rows: BTreeMap<i64, &Map<String, Value>> = after
            .rows()
            .map(|(id, row)| (i64::from(id.get()), row))
            .collect();
        let mut before = std::mem::take(&mut self.entry.before);
        for (id, row) in &mut before {
            let Some(now) = rows.get(id) else {
                continue;
            };
            row.retain(|name, value| {
                let differs = now.get(name).is_some_and(|now| !is_same(value, now));
                differs || has_list(name)
            });
        }
        self.entry.before = before;
    }

    /// The entry within its bound, by leaving out what is least missed.
    fn encode_within_limit(&mut self, narrow: &RecordSnapshot) -> Result<Bytes, OperationError> {
        let max = self.ledger.retention().max_undo_bytes;
        let mut written = serde_json::to_vec(&self.entry)?;
        if written.len() > max && self.entry.kind == UndoKind::Update {
            self.entry.before = select_fields(narrow, &self.entry.fields);
            self.unrestorable
                .push("what Odoo works out anew in other fields".to_owned());
            written = serde_json::to_vec(&self.entry)?;
        }
        if written.len() > max {
            self.entry.wanted.clear();
            written = serde_json::to_vec(&self.entry)?;
        }
        if written.len() > max && !self.entry.lines.is_empty() {
            for lines in std::mem::take(&mut self.entry.lines) {
                self.omit_lines(&lines.field);
            }
            written = serde_json::to_vec(&self.entry)?;
        }
        self.too_large = written.len() > max;
        Ok(written.into())
    }
}

/// The records that a change is about, each once.
fn affected_ids(proposal: &WritePlan) -> Vec<RecordId> {
    let named = proposal.calls.iter().flat_map(Call::ids).copied();
    // A table names them in its own way.
    let seen = proposal.before.rows();
    let seen = seen.map(|(id, _)| id);
    let ids: BTreeSet<RecordId> = named.chain(seen).collect();
    ids.into_iter().collect()
}

/// The ids that stand in a list of these records.
fn ids_in_list<'r>(
    rows: impl Iterator<Item = &'r Map<String, Value>>,
    list: &FieldName,
) -> Vec<RecordId> {
    let ids = rows
        .filter_map(|row| row.get(list.as_str())?.as_array())
        .flatten()
        .filter_map(RecordId::from_json);
    let ids: BTreeSet<RecordId> = ids.collect();
    ids.into_iter().collect()
}

/// These fields of the records.
fn select_fields(shot: &RecordSnapshot, fields: &[FieldName]) -> SnapshotRows {
    let names: BTreeSet<&str> = fields.iter().map(FieldName::as_str).collect();
    let rows = shot.rows().map(|(id, row)| {
        let own = row.iter().filter(|(name, _)| names.contains(name.as_str()));
        let own = own.map(|(name, value)| (name.clone(), value.clone()));
        (i64::from(id.get()), own.collect())
    });
    rows.collect()
}

/// What calls are to write.
fn requested_values(calls: &[Call]) -> Vec<RequestedValues> {
    let mut all = Vec::new();
    for call in calls {
        match call.request() {
            Request::Create(list) => all.extend(list.iter().map(|values| RequestedValues {
                ids: Vec::new(),
                values: values.clone(),
            })),
            Request::Write { ids, values } => all.push(RequestedValues {
                ids: ids.clone(),
                values: values.clone(),
            }),
            Request::Count(_)
            | Request::Defaults(_)
            | Request::Delete(_)
            | Request::Documentation
            | Request::Fields
            | Request::Load { .. }
            | Request::Models
            | Request::NameSearch { .. }
            | Request::Read { .. }
            | Request::Run { .. }
            | Request::Search(_)
            | Request::WhoAmI => {}
        }
    }
    all
}

/// The records that commands name.
fn ids_in_commands(commands: Option<&Value>) -> Vec<RecordId> {
    let commands = commands.and_then(Value::as_array).into_iter().flatten();
    let mut ids = Vec::new();
    for command in commands {
        ids.extend(command.get(1).and_then(RecordId::from_json));
        let set = command.get(2).and_then(Value::as_array);
        ids.extend(set.into_iter().flatten().filter_map(RecordId::from_json));
    }
    ids
}

/// Whether commands do more than to link.
fn changes_linked_records(commands: &Value) -> bool {
    let commands = commands.as_array().into_iter().flatten();
    let mut codes = commands.filter_map(|command| command.get(0)?.as_u64());
    codes.any(|code| code <= 2)
}

/// A name for people and models to copy: twelve letters and digits.
///
/// # Errors
/// [`Denied::Unsealable`].
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
