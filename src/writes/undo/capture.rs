//! Stores what an undo needs, while a change is made.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use gatepost_base::text;
use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;

use super::{
    super::{CompletedWrite, UndoSupport, WritePlan},
    entry::{RequestedValues, UndoEntry, UndoKind, change_key, context_request},
    fingerprints::{FieldFingerprints, is_same},
    instructions::undo_instructions,
    restore::{ids_in, is_empty},
    tracked_fields::{
        can_be_stored, is_owned_list, restorable_fields, tracked_fields_of_new, tracked_fields_with,
    },
    x2many_lines::{MAX_LINES, X2manyLines, list_ids},
};
use crate::access::{OdooSession, OperationError, RecordSnapshot};
use gatepost_odoo::{Call, Context, Field, FieldKind, FieldName, RecordId, Request, Schema};
use gatepost_state::store::{StateStore, StoreKey};

const TOO_LARGE: &str = "\nIt cannot be undone here: there is too much to store.";

/// What is stored of a change that is being made; nothing if it cannot be undone.
#[derive(Debug)]
pub(in super::super) struct UndoCapture(Option<OngoingCapture>);

#[derive(Debug)]
struct OngoingCapture {
    store: Arc<StateStore>,
    key: StoreKey,
    change_id: String,
    entry: UndoEntry,
    context: Context,
    /// The fields that are read before and after.
    tracked: Vec<FieldName>,
    /// What an undo cannot restore.
    unrestorable: Vec<String>,
    too_large: bool,
}

impl UndoCapture {
    /// Stores the records before the change. If that fails, nothing may be
    /// changed.
    pub(in super::super) async fn start(
        access: &OdooSession<'_>,
        plan: &WritePlan,
        change_id: Option<&str>,
    ) -> Result<Self, OperationError> {
        let store = access.store;
        let (Some(undo), Some(change_id), Some(call)) = (&plan.undo, change_id, plan.calls.first())
        else {
            return Ok(Self(None));
        };
        if store.retention().max_undo_bytes == 0 {
            return Ok(Self(None));
        }
        let mut capture = OngoingCapture {
            store: Arc::clone(store),
            key: change_key(access, change_id),
            change_id: change_id.to_owned(),
            entry: UndoEntry {
                at: Timestamp::now(),
                model: call.model().clone(),
                kind: UndoKind::Create,
                ids: affected_ids(plan),
                fields: Vec::new(),
                not_kept: Vec::new(),
                before: RecordSnapshot::default(),
                lines: Vec::new(),
                wanted: requested_values(&plan.calls),
                after: RecordSnapshot::default(),
                marks: None,
                context: context_request(call.context()),
                used: None,
            },
            context: call.context().clone(),
            tracked: Vec::new(),
            unrestorable: Vec::new(),
            too_large: false,
        };
        let schema = access.schema_visible_in_all_records(call.model()).await?;
        match undo {
            UndoSupport::Create => capture.tracked = tracked_fields_of_new(&schema),
            UndoSupport::Delete => {
                capture
                    .capture_delete(access, &schema, &plan.before)
                    .await?;
            }
            UndoSupport::Update(fields) => {
                // The caller may also write fields that are visible in some records only.
                let visible = access.schema(call.model()).await?;
                let schemas = (&schema, &visible);
                capture.capture_update(access, schemas, fields).await?;
            }
        }
        let entry = capture.encode_within_limit(&plan.before)?;
        if !capture.too_large {
            capture.put(entry).await?;
        }
        Ok(Self(Some(capture)))
    }

    /// The ID by which the change can be undone.
    pub(in super::super) fn change_id(&self) -> Option<String> {
        let capture = self.0.as_ref().filter(|capture| !capture.too_large)?;
        Some(capture.change_id.clone())
    }

    /// Deletes the entry: the change was not made.
    pub(in super::super) async fn discard(self) {
        if let Some(capture) = self.0
            && let Err(error) = capture.store.get_and_delete(&capture.key).await
        {
            warn!(error = %error, "Failed to delete the undo entry of a change that was not made");
        }
    }

    /// Stores the records after the change, and says how to undo it.
    pub(in super::super) async fn finish(
        self,
        access: &OdooSession<'_>,
        done: &CompletedWrite,
        after: Option<&RecordSnapshot>,
    ) -> String {
        let Some(mut capture) = self.0 else {
            return String::new();
        };
        if capture.too_large {
            return TOO_LARGE.to_owned();
        }
        capture.entry.ids.clone_from(&done.ids);
        match capture.capture_after(access, after).await {
            Ok(true) => {
                let mut text = undo_instructions(access, &capture.entry, &capture.change_id);
                for value in &capture.unrestorable {
                    text::append(
                        &mut text,
                        format_args!("\nThat would not restore: {value}."),
                    );
                }
                text
            }
            Ok(false) => {
                Self(Some(capture)).discard().await;
                TOO_LARGE.to_owned()
            }
            Err(error) => {
                warn!(error = %error, "Failed to store records after a change");
                "\nIt may not be possible to undo it here.".to_owned()
            }
        }
    }
}

impl OngoingCapture {
    async fn capture_delete(
        &mut self,
        access: &OdooSession<'_>,
        schema: &Schema,
        before: &RecordSnapshot,
    ) -> Result<(), OperationError> {
        let entry = &mut self.entry;
        entry.kind = UndoKind::Delete;
        entry.wanted.clear();
        entry.fields = restorable_fields(schema);
        entry.fields.retain(|name| {
            before
                .rows()
                .any(|(_, row)| row.contains_key(name.as_str()))
        });
        let mut names = entry.fields.clone();
        names.push(FieldName::known("display_name"));
        entry.before = before.select(&names);
        for (_, row) in entry.before.rows_mut() {
            row.retain(|_, value| !is_empty(value));
        }
        let lists = schema.fields().filter(|field| is_owned_list(field));
        self.capture_lines(access, lists).await
    }

    async fn capture_update(
        &mut self,
        access: &OdooSession<'_>,
        (schema, visible): (&Schema, &Schema),
        written: &[FieldName],
    ) -> Result<(), OperationError> {
        self.entry.kind = UndoKind::Update;
        let (fields, not_kept): (Vec<_>, Vec<_>) = written
            .iter()
            .cloned()
            .partition(|name| visible.field(name.as_str()).is_some_and(can_be_stored));
        let not_stored =
            |name: &FieldName| format!("the old value of `{name}`, which is not stored");
        self.unrestorable.extend(not_kept.iter().map(not_stored));
        self.tracked = tracked_fields_with(schema, &fields);
        self.entry.not_kept = not_kept;
        // Odoo also computes other fields from those that are written, and overwrites
        // what they had: all of them are read.
        let records = (&self.entry.model, &*self.entry.ids);
        let now = RecordSnapshot::read(access, records, &self.tracked, &self.context).await?;
        self.entry.before = now.select(&self.tracked);
        let lists = fields
            .iter()
            .filter_map(|name| visible.field(name.as_str()));
        let lists = lists.filter(|field| field.kind == FieldKind::One2many);
        self.capture_lines(access, lists).await?;
        self.entry.fields = fields;
        let linked = self.entry.wanted.iter().flat_map(|wanted| &wanted.values);
        let changed = linked.filter(|(name, value)| {
            let field = visible.field(name);
            field.is_some_and(|field| field.kind == FieldKind::Many2many)
                && changes_linked_records(value)
        });
        let changed = changed.map(|(name, _)| {
            format!("the records that are created, updated or deleted through `{name}`")
        });
        self.unrestorable.extend(changed);
        self.unrestorable.sort();
        self.unrestorable.dedup();
        Ok(())
    }

    async fn capture_lines(
        &mut self,
        access: &OdooSession<'_>,
        lists: impl Iterator<Item = &Field>,
    ) -> Result<(), OperationError> {
        let mut room = MAX_LINES;
        for list in lists {
            let rows = self.entry.before.rows();
            let listed = rows.flat_map(|(_, row)| list_ids(row, &list.name));
            // A command may name any record, in the list or not.
            let wanted = self.entry.wanted.iter();
            let named = wanted
                .filter_map(|wanted| wanted.values.get(list.name.as_str()))
                .flat_map(ids_in_commands);
            let ids: BTreeSet<RecordId> = listed.chain(named).collect();
            let ids: Vec<RecordId> = ids.into_iter().collect();
            if ids.is_empty() && self.entry.kind == UndoKind::Delete {
                continue;
            }
            let lines = if ids.len() <= room {
                X2manyLines::capture(access, list, &ids, &self.context).await?
            } else {
                None
            };
            match lines {
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
            "the records in `{list}`: they are too many, or cannot be seen by you"
        ));
    }

    /// Stores fingerprints of the records as they are now, in place of what was
    /// to be written. `false` if the entry is too large.
    async fn capture_after(
        &mut self,
        access: &OdooSession<'_>,
        after: Option<&RecordSnapshot>,
    ) -> Result<bool, OperationError> {
        if let Some(after) = after {
            self.entry.marks = Some(FieldFingerprints::of(&self.tracked, after));
            self.entry.wanted.clear();
            if self.entry.kind == UndoKind::Update {
                self.entry.after = after.select(&self.entry.fields);
                self.retain_differences(after);
                for lines in &mut self.entry.lines {
                    let ids = lines.all_ids(after);
                    let now = lines.read_current(access, &ids, &self.context).await?;
                    lines.marks = now.map(|now| FieldFingerprints::of(&lines.fields, &now));
                }
            }
        }
        let entry: Bytes = serde_json::to_vec(&self.entry)?.into();
        if entry.len() > self.store.retention().max_undo_bytes {
            return Ok(false);
        }
        self.put(entry).await?;
        Ok(true)
    }

    /// Drops old values that are unchanged, also of computed fields. All old values
    /// of a record that cannot be read any more are retained.
    fn retain_differences(&mut self, after: &RecordSnapshot) {
        let lists: Vec<FieldName> = self
            .entry
            .lines
            .iter()
            .map(|lines| lines.field.clone())
            .collect();
        for (id, row) in self.entry.before.rows_mut() {
            let Some(now) = after.row(id) else {
                continue;
            };
            row.retain(|name, value| {
                let differs = now.get(name).is_some_and(|now| !is_same(value, now));
                differs || lists.iter().any(|list| list.as_str() == name)
            });
        }
    }

    /// The entry within its limit: what an undo needs least is left out first.
    fn encode_within_limit(&mut self, narrow: &RecordSnapshot) -> Result<Bytes, OperationError> {
        let max = self.store.retention().max_undo_bytes;
        let mut bytes = serde_json::to_vec(&self.entry)?;
        if bytes.len() > max && self.entry.kind == UndoKind::Update {
            self.entry.before = narrow.select(&self.entry.fields);
            self.unrestorable
                .push("what Odoo computes in other fields".to_owned());
            bytes = serde_json::to_vec(&self.entry)?;
        }
        if bytes.len() > max {
            self.entry.wanted.clear();
            bytes = serde_json::to_vec(&self.entry)?;
        }
        if bytes.len() > max && !self.entry.lines.is_empty() {
            for lines in std::mem::take(&mut self.entry.lines) {
                self.omit_lines(&lines.field);
            }
            bytes = serde_json::to_vec(&self.entry)?;
        }
        self.too_large = bytes.len() > max;
        Ok(bytes.into())
    }

    async fn put(&self, entry: Bytes) -> Result<(), OperationError> {
        let ttl: Duration = self.store.retention().undo_ttl;
        Ok(self.store.put(&self.key, entry, ttl).await?)
    }
}

/// The records that a change is about, each once.
fn affected_ids(plan: &WritePlan) -> Vec<RecordId> {
    let named = plan.calls.iter().flat_map(Call::ids).copied();
    // The rows of an import name them in their own way.
    let read = plan.before.rows().map(|(id, _)| id);
    let ids: BTreeSet<RecordId> = named.chain(read).collect();
    ids.into_iter().collect()
}

/// What the calls are to write.
fn requested_values(calls: &[Call]) -> Vec<RequestedValues> {
    let mut all = Vec::new();
    for call in calls {
        if let Request::Create(list) = call.request() {
            all.extend(list.iter().map(|values| RequestedValues {
                ids: Vec::new(),
                values: values.clone(),
            }));
        } else if let Request::Write { ids, values } = call.request() {
            all.push(RequestedValues {
                ids: ids.clone(),
                values: values.clone(),
            });
        }
    }
    all
}

/// The records that commands name.
fn ids_in_commands(commands: &Value) -> Vec<RecordId> {
    let commands = commands.as_array().into_iter().flatten();
    let ids = commands.flat_map(|command| {
        let id = command.get(1).and_then(RecordId::from_json);
        let set = command.get(2).map(ids_in).unwrap_or_default();
        id.into_iter().chain(set)
    });
    ids.collect()
}

/// Whether commands do more than link and unlink.
fn changes_linked_records(commands: &Value) -> bool {
    let commands = commands.as_array().into_iter().flatten();
    let mut codes = commands.filter_map(|command| command.get(0)?.as_u64());
    codes.any(|code| code <= 2)
}
