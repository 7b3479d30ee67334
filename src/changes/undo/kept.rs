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
    super::{Done, Proposal, Shot, Undo},
    back::is_empty,
    entry::{Entry, Kind, Rows, Wanted, asked_for, key, recall},
    lines::{Lines, MAX_LINES, is_list},
    marks::{Marks, is_same},
    watched::{can_be_kept, restorable, watched_of_new, watched_with},
};
use crate::access::{Access, Denied};
use gatepost_odoo::{
    Call, Context, Effect, Field, FieldKind, FieldName, RecordId, Request, Schema,
};
use gatepost_state::store::{Key, Ledger};

/// What is kept of a change that is being made.
#[derive(Debug)]
pub(in super::super) struct Kept(Option<Under>);

#[derive(Debug)]
struct Under {
    ledger: Arc<Ledger>,
    key: Key,
    name: String,
    entry: Entry,
    context: Context,
    keep: Duration,
    /// Fields that are looked at, before and after.
    watched: Vec<FieldName>,
    /// What cannot be put back, for whoever makes the change.
    lacking: Vec<String>,
    /// Whether there is too much to keep.
    too_large: bool,
}

impl Kept {
    /// Keeps what is there before the change, under a name.
    ///
    /// # Errors
    /// [`Denied`]; then nothing may be changed.
    pub(in super::super) async fn before(
        access: &Access<'_>,
        proposal: &Proposal,
        name: Option<&str>,
    ) -> Result<Self, Denied> {
        let (Some(undo), Some(name), Some(call)) = (&proposal.undo, name, proposal.calls.first())
        else {
            return Ok(Self(None));
        };
        let ledger = access.ledger;
        if ledger.settings().max_undo_bytes == 0 {
            return Ok(Self(None));
        }
        let mut under = Under {
            ledger: Arc::clone(ledger),
            key: key(access, name),
            name: name.to_owned(),
            entry: Entry {
                at: Timestamp::now(),
                model: call.model().clone(),
                kind: Kind::Create,
                ids: ids_of(proposal),
                fields: Vec::new(),
                not_kept: Vec::new(),
                before: Rows::new(),
                lines: Vec::new(),
                wanted: wanted(&proposal.calls),
                after: Rows::new(),
                marks: None,
                context: asked_for(call.context()),
                used: None,
            },
            context: call.context().clone(),
            keep: ledger.settings().keep_undo,
            watched: Vec::new(),
            lacking: Vec::new(),
            too_large: false,
        };
        let schema = access.schema_of_all(call.model()).await?;
        match undo {
            Undo::Create => under.watched = watched_of_new(&schema),
            Undo::Delete => {
                under
                    .before_delete(access, &schema, &proposal.before)
                    .await?;
            }
            Undo::Update(fields) => {
                // What the caller may see of these records only is written, too.
                let seen = access.schema(call.model()).await?;
                under
                    .before_update(access, (&schema, &seen), fields)
                    .await?;
            }
        }
        let written = under.within_bounds(&proposal.before)?;
        if !under.too_large {
            ledger.put(&under.key, written, under.keep).await?;
        }
        Ok(Self(Some(under)))
    }

    /// Under which name it can be undone.
    pub(in super::super) fn name(&self) -> Option<String> {
        let under = self.0.as_ref().filter(|under| !under.too_large)?;
        Some(under.name.clone())
    }

    /// The change was not made.
    pub(in super::super) async fn forget(self) {
        if let Some(under) = self.0
            && let Err(error) = under.ledger.take(&under.key).await
        {
            warn!(error = %error, "Failed to forget what was kept of a change that was not made");
        }
    }

    /// Keeps how things are after the change, and says how to take it back.
    pub(in super::super) async fn after(
        self,
        access: &Access<'_>,
        done: &Done,
        after: Option<&Shot>,
    ) -> String {
        let Some(mut under) = self.0 else {
            return String::new();
        };
        if under.too_large {
            return "\nIt cannot be undone here: there was too much to keep.".to_owned();
        }
        under.entry.ids.clone_from(&done.ids);
        let kept = under.look_after(access, after).await;
        match kept {
            Ok(true) => {
                let mut text = way_back(access, &under.entry, &under.name, under.keep);
                for lacking in &under.lacking {
                    text::add(
                        &mut text,
                        format_args!("\nThat would not bring back: {lacking}."),
                    );
                }
                text
            }
            Ok(false) => {
                Self(Some(under)).forget().await;
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
pub(in super::super) async fn found_done(
    access: &Access<'_>,
    name: Option<&str>,
    ids: &[RecordId],
) -> String {
    let Some(name) = name else {
        return String::new();
    };
    note_found(access, name, ids).await.unwrap_or_else(|error| {
        // Done it is all the same.
        warn!(error = %error, "Failed to note how a change can be taken back");
        String::new()
    })
}

async fn note_found(access: &Access<'_>, name: &str, ids: &[RecordId]) -> Result<String, Denied> {
    let Some(stored) = recall(access, name).await? else {
        return Ok(String::new());
    };
    let mut entry = stored.entry.clone();
    if entry.used.is_some() {
        return Ok(String::new());
    }
    if entry.ids.is_empty() {
        entry.ids = ids.to_vec();
        if entry.kind == Kind::Create {
            mark_untouched(access, &mut entry).await?;
        }
        stored.replace_by(&entry).await?;
    }
    let keep = access.ledger.settings().keep_undo;
    Ok(way_back(access, &entry, name, keep))
}

/// The marks of new records that nobody wrote since they were made: so the
/// change left them.
async fn mark_untouched(access: &Access<'_>, entry: &mut Entry) -> Result<(), Denied> {
    let (context, _) = entry.context(access).await?;
    let schema = access.schema_of_all(&entry.model).await?;
    let watched = watched_of_new(&schema);
    let mut fields = watched.clone();
    fields.push(FieldName::known("create_date"));
    let shot = Shot::take(access, (&entry.model, &entry.ids), &fields, &context).await?;
    let is_new = |row: &Map<String, Value>| {
        let made = row.get("create_date").and_then(Value::as_str);
        made.is_some() && made == row.get("write_date").and_then(Value::as_str)
    };
    if shot.len() == entry.ids.len() && shot.rows().all(|(_, row)| is_new(row)) {
        entry.marks = Some(Marks::of(&watched, &shot));
        entry.wanted.clear();
    }
    Ok(())
}

/// How to take a change back; nothing where the caller may not.
fn way_back(access: &Access<'_>, entry: &Entry, name: &str, keep: Duration) -> String {
    let effect = match entry.kind {
        Kind::Create => Effect::Delete,
        Kind::Delete => Effect::Create,
        Kind::Update => Effect::Write,
    };
    if access.may_change(&entry.model, effect).is_err() {
        return String::new();
    }
    let hours = keep.as_secs() / 3600;
    format!("\nTo take it back within {hours} h: undo_change with `change`: \"{name}\".")
}

impl Under {
    async fn before_delete(
        &mut self,
        access: &Access<'_>,
        schema: &Schema,
        before: &Shot,
    ) -> Result<(), Denied> {
        self.entry.kind = Kind::Delete;
        self.entry.wanted.clear();
        let seen = |name: &FieldName| {
            before
                .rows()
                .any(|(_, row)| row.contains_key(name.as_str()))
        };
        self.entry.fields = restorable(schema).into_iter().filter(seen).collect();
        let names: BTreeSet<&str> = self.entry.fields.iter().map(FieldName::as_str).collect();
        self.entry.before = before
            .rows()
            .map(|(id, row)| {
                let filled = row.iter().filter(|(name, value)| {
                    !is_empty(value) && (names.contains(name.as_str()) || *name == "display_name")
                });
                (
                    *id,
                    filled
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect(),
                )
            })
            .collect();
        let lists: Vec<&Field> = schema.fields().filter(|field| is_list(field)).collect();
        self.look_at_lines(access, &lists).await
    }

    async fn before_update(
        &mut self,
        access: &Access<'_>,
        (schema, seen): (&Schema, &Schema),
        written: &[FieldName],
    ) -> Result<(), Denied> {
        self.entry.kind = Kind::Update;
        let (fields, not_kept): (Vec<_>, Vec<_>) = written.iter().cloned().partition(|name| {
            let field = seen.field(name.as_str());
            field.is_some_and(can_be_kept)
        });
        self.entry.fields = fields;
        for name in &not_kept {
            self.lacking
                .push(format!("what was in `{name}`, which is not kept"));
        }
        self.entry.not_kept = not_kept;
        self.watched = watched_with(schema, &self.entry.fields);
        let records = (&self.entry.model, &*self.entry.ids);
        // Odoo works out other fields from those that are written, past what was in
        // them: all of them are looked at.
        let shot = Shot::take(access, records, &self.watched, &self.context).await?;
        self.entry.before = only(&shot, &self.watched);
        let lists: Vec<&Field> = self
            .entry
            .fields
            .iter()
            .filter_map(|name| seen.field(name.as_str()))
            .filter(|field| field.kind == FieldKind::One2many)
            .collect();
        self.look_at_lines(access, &lists).await?;
        let linked = self.entry.wanted.iter().flat_map(|wanted| &wanted.values);
        for (name, value) in linked {
            let field = seen.field(name);
            if field.is_some_and(|field| field.kind == FieldKind::Many2many) && goes_through(value)
            {
                self.lacking.push(format!(
                    "how the records were that are made, changed or deleted through `{name}`"
                ));
            }
        }
        self.lacking.sort();
        self.lacking.dedup();
        Ok(())
    }

    async fn look_at_lines(&mut self, access: &Access<'_>, lists: &[&Field]) -> Result<(), Denied> {
        let mut room = MAX_LINES;
        for list in lists {
            let mut ids = listed(self.entry.before.values(), &list.name);
            // A command may name any record, in the list or not.
            let wanted = self.entry.wanted.iter();
            ids.extend(wanted.flat_map(|wanted| named(wanted.values.get(list.name.as_str()))));
            ids.sort_unstable();
            ids.dedup();
            if ids.is_empty() && self.entry.kind == Kind::Delete {
                continue;
            }
            let taken = if ids.len() <= room {
                Lines::take(access, list, &ids, &self.context).await?
            } else {
                None
            };
            match taken {
                Some(lines) => {
                    room = room.saturating_sub(ids.len());
                    self.entry.lines.push(lines);
                }
                None => self.without_lines(&list.name),
            }
        }
        Ok(())
    }

    fn without_lines(&mut self, list: &FieldName) {
        self.entry.not_kept.push(list.clone());
        self.lacking.push(format!(
            "the records in `{list}`: they are too many, or not to be seen by you"
        ));
    }

    /// The marks of how it is now, in the place of what was wanted. False where
    /// that is too much.
    async fn look_after(
        &mut self,
        access: &Access<'_>,
        after: Option<&Shot>,
    ) -> Result<bool, Denied> {
        if let Some(after) = after {
            self.entry.marks = Some(Marks::of(&self.watched, after));
            self.entry.wanted.clear();
            if self.entry.kind == Kind::Update {
                self.entry.after = only(after, &self.entry.fields);
                self.keep_what_differs(after);
            }
        }
        for lines in &mut self.entry.lines {
            let (Kind::Update, Some(after)) = (self.entry.kind, after) else {
                continue;
            };
            let mut ids = listed(after.rows().map(|(_, row)| row), &lines.field);
            let old = lines.rows.keys();
            ids.extend(old.filter_map(|id| RecordId::try_from(*id).ok()));
            ids.sort_unstable();
            ids.dedup();
            let looked = lines.look(access, &ids, &self.context).await?;
            lines.marks = looked.map(|shot| Marks::of(&lines.fields, &shot));
        }
        let written: Bytes = serde_json::to_vec(&self.entry)?.into();
        if written.len() > self.ledger.settings().max_undo_bytes {
            return Ok(false);
        }
        self.ledger.put(&self.key, written, self.keep).await?;
        Ok(true)
    }

    /// Of what was there before, only what is different now: also what Odoo
    /// worked out anew. A record that is not to be seen any more keeps all.
    fn keep_what_differs(&mut self, after: &Shot) {
        let has_list = |name: &str| {
            let mut lines = self.entry.lines.iter();
            lines.any(|lines| lines.field.as_str() == name)
        };
        let rows: BTreeMap<i64, &Map<String, Value>> =
            after.rows().map(|(id, row)| (*id, row)).collect();
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
    fn within_bounds(&mut self, narrow: &Shot) -> Result<Bytes, Denied> {
        let max = self.ledger.settings().max_undo_bytes;
        let mut written = serde_json::to_vec(&self.entry)?;
        if written.len() > max && self.entry.kind == Kind::Update {
            self.entry.before = only(narrow, &self.entry.fields);
            self.lacking
                .push("what Odoo works out anew in other fields".to_owned());
            written = serde_json::to_vec(&self.entry)?;
        }
        if written.len() > max {
            self.entry.wanted.clear();
            written = serde_json::to_vec(&self.entry)?;
        }
        if written.len() > max && !self.entry.lines.is_empty() {
            for lines in std::mem::take(&mut self.entry.lines) {
                self.without_lines(&lines.field);
            }
            written = serde_json::to_vec(&self.entry)?;
        }
        self.too_large = written.len() > max;
        Ok(written.into())
    }
}

/// The records that a change is about, each once.
fn ids_of(proposal: &Proposal) -> Vec<RecordId> {
    let named = proposal.calls.iter().flat_map(Call::ids).copied();
    // A table names them in its own way.
    let seen = proposal.before.rows();
    let seen = seen.filter_map(|(id, _)| RecordId::try_from(*id).ok());
    let ids: BTreeSet<RecordId> = named.chain(seen).collect();
    ids.into_iter().collect()
}

/// The ids that stand in a list of these records.
fn listed<'r>(
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
fn only(shot: &Shot, fields: &[FieldName]) -> Rows {
    let names: BTreeSet<&str> = fields.iter().map(FieldName::as_str).collect();
    let rows = shot.rows().map(|(id, row)| {
        let own = row.iter().filter(|(name, _)| names.contains(name.as_str()));
        let own = own.map(|(name, value)| (name.clone(), value.clone()));
        (*id, own.collect())
    });
    rows.collect()
}

/// What calls are to write.
fn wanted(calls: &[Call]) -> Vec<Wanted> {
    let mut all = Vec::new();
    for call in calls {
        match call.request() {
            Request::Create(list) => all.extend(list.iter().map(|values| Wanted {
                ids: Vec::new(),
                values: values.clone(),
            })),
            Request::Write { ids, values } => all.push(Wanted {
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
            | Request::Names { .. }
            | Request::Read { .. }
            | Request::Run { .. }
            | Request::Search(_)
            | Request::WhoAmI => {}
        }
    }
    all
}

/// The records that commands name.
fn named(commands: Option<&Value>) -> Vec<RecordId> {
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
fn goes_through(commands: &Value) -> bool {
    let commands = commands.as_array().into_iter().flatten();
    let mut codes = commands.filter_map(|command| command.get(0)?.as_u64());
    codes.any(|code| code <= 2)
}

/// A name for people and models to copy: twelve letters and digits.
///
/// # Errors
/// [`Denied::Unsealable`].
pub(in super::super) fn new_name() -> Result<String, Denied> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random)?;
    let letters = random
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter));
    Ok(letters.collect())
}
