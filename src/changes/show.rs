//! Changes as text: what is there, and what would be.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value};

use super::Shot;
use crate::{
    odoo::{Field, FieldKind, ModelName, RecordId, Schema},
    shape::one_line,
};

/// Characters of one value.
const VALUE_CHARS: usize = 160;
/// Records that are shown one by one.
const MAX_RECORDS: usize = 20;
/// Fields that are shown of one record.
const MAX_FIELDS: usize = 40;
/// Ids that are named in one text.
const MAX_IDS: usize = 50;
/// Items that are shown of one list.
const MAX_ITEMS: usize = 10;

/// The names of linked records.
pub type Names = BTreeMap<(ModelName, RecordId), String>;

/// The records and the names that stand for them, as text.
#[derive(Debug)]
pub struct Show<'a> {
    /// The fields of the model.
    pub schema: &'a Schema,
    /// The names of records that values link to.
    pub names: &'a Names,
}

impl Show<'_> {
    /// New records, one a line.
    pub fn new_records(&self, list: &[Map<String, Value>]) -> String {
        let mut text = String::new();
        for (index, values) in list.iter().take(MAX_RECORDS).enumerate() {
            line(
                &mut text,
                format_args!("{}. {}", index + 1, self.values(values)),
            );
        }
        more(&mut text, list.len());
        text
    }

    /// Records with what is there and what would be, one a line. A field that
    /// has its value already says so.
    pub fn updates(&self, ids: &[RecordId], before: &Shot, values: &Map<String, Value>) -> String {
        let mut text = String::new();
        for id in ids.iter().take(MAX_RECORDS) {
            let row = before.row(*id);
            let mut parts = Vec::new();
            for (name, value) in values.iter().take(MAX_FIELDS) {
                let field = self.schema.field(name);
                let old = row.and_then(|row| row.get(name));
                let old = old.map_or_else(
                    || "(not to be seen)".to_owned(),
                    |old| self.value(field, old),
                );
                let new = self.value(field, value);
                if old == new {
                    parts.push(format!("{name}: {old} (as it is)"));
                } else {
                    parts.push(format!("{name}: {old} -> {new}"));
                }
            }
            let head = title(*id, before);
            line(&mut text, format_args!("{head}: {}", parts.join("; ")));
        }
        more(&mut text, ids.len());
        text
    }

    /// Records by their names, one a line.
    pub fn titles(ids: &[RecordId], shot: &Shot) -> String {
        let mut text = String::new();
        for id in ids.iter().take(MAX_RECORDS) {
            line(&mut text, format_args!("{}", title(*id, shot)));
        }
        more(&mut text, ids.len());
        text
    }

    /// The values of one record.
    pub fn values(&self, values: &Map<String, Value>) -> String {
        if values.is_empty() {
            return "(nothing but defaults)".to_owned();
        }
        let mut parts: Vec<String> = values
            .iter()
            .take(MAX_FIELDS)
            .map(|(name, value)| format!("{name}: {}", self.value(self.schema.field(name), value)))
            .collect();
        if values.len() > MAX_FIELDS {
            parts.push(format!("and {} more fields", values.len() - MAX_FIELDS));
        }
        parts.join("; ")
    }

    /// One value, as it is written or as Odoo gives it.
    pub fn value(&self, field: Option<&Field>, value: &Value) -> String {
        let kind = field.map_or(FieldKind::Unknown, |field| field.kind);
        let relation = field.and_then(|field| field.relation.as_ref());
        match value {
            Value::Null => "(empty)".to_owned(),
            Value::Bool(false) if kind != FieldKind::Boolean => "(empty)".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => match (kind, relation) {
                (FieldKind::Many2one, Some(relation)) => self.link(relation, number.as_i64()),
                // Odoo says `4200.0` for what was written as `4200`.
                _ => match (number.is_f64(), number.as_f64()) {
                    (true, Some(plain)) => plain.to_string(),
                    (_, _) => number.to_string(),
                },
            },
            Value::String(text) if kind.is_binary() => format!("({} bytes of base64)", text.len()),
            Value::String(text) if text.is_empty() => "(empty)".to_owned(),
            Value::String(text) => choice(field, text),
            Value::Array(items) => match (kind, relation) {
                (FieldKind::Many2one, Some(_)) => reference(items),
                (FieldKind::Many2many | FieldKind::One2many, Some(relation)) => {
                    self.list(relation, items)
                }
                _ => one_line(&value.to_string(), VALUE_CHARS),
            },
            Value::Object(_) => one_line(&value.to_string(), VALUE_CHARS),
        }
    }

    fn link(&self, relation: &ModelName, id: Option<i64>) -> String {
        let Some(id) = id.and_then(|id| RecordId::try_from(id).ok()) else {
            return "(empty)".to_owned();
        };
        match self.names.get(&(relation.clone(), id)) {
            Some(name) => format!("{} [{id}]", one_line(name, VALUE_CHARS)),
            None => format!("[{id}]"),
        }
    }

    /// Ids, or the commands that change a list (Odoo 19, `odoo/orm/commands.py`).
    fn list(&self, relation: &ModelName, items: &[Value]) -> String {
        if items.is_empty() {
            return "(none)".to_owned();
        }
        let mut parts: Vec<String> = items
            .iter()
            .take(MAX_ITEMS)
            .map(|item| match item {
                Value::Array(parts) => self.command(relation, parts),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Object(_) => self.link(relation, item.as_i64()),
            })
            .collect();
        if items.len() > MAX_ITEMS {
            parts.push(format!("and {} more", items.len() - MAX_ITEMS));
        }
        parts.join(", ")
    }

    fn command(&self, relation: &ModelName, parts: &[Value]) -> String {
        let part = |at: usize| parts.get(at).unwrap_or(&Value::Null);
        let link = || self.link(relation, part(1).as_i64());
        let values = || one_line(&part(2).to_string(), VALUE_CHARS);
        match part(0).as_u64() {
            Some(0) => format!("new {}", values()),
            Some(1) => format!("change {}: {}", link(), values()),
            Some(2) => format!("delete {}", link()),
            Some(3) => format!("take out {}", link()),
            Some(4) => format!("add {}", link()),
            Some(5) => "take out all".to_owned(),
            Some(6) => match part(2).as_array() {
                Some(ids) if !ids.is_empty() => format!("just {}", self.list(relation, ids)),
                Some(_) | None => "none".to_owned(),
            },
            Some(_) | None => one_line(&Value::Array(parts.to_vec()).to_string(), VALUE_CHARS),
        }
    }
}

/// Ids as a list.
pub fn numbers(ids: &[RecordId]) -> String {
    let mut parts: Vec<String> = ids.iter().take(MAX_IDS).map(ToString::to_string).collect();
    if ids.len() > MAX_IDS {
        parts.push(format!("… ({} in all)", ids.len()));
    }
    format!("[{}]", parts.join(", "))
}

/// A choice with its label; any other text in quotes.
fn choice(field: Option<&Field>, text: &str) -> String {
    let choice = field
        .filter(|field| field.kind == FieldKind::Selection)
        .and_then(|field| field.choices.iter().find(|choice| &*choice.key == text));
    match choice {
        Some(choice) if *choice.label != *choice.key => {
            format!("{} ({})", choice.key, one_line(&choice.label, VALUE_CHARS))
        }
        Some(choice) => choice.key.to_string(),
        None => format!("\"{}\"", one_line(text, VALUE_CHARS)),
    }
}

/// A record as Odoo gives a link: its id and its name.
fn reference(items: &[Value]) -> String {
    match items {
        [Value::Number(id), Value::String(name)] => {
            format!("{} [{id}]", one_line(name, VALUE_CHARS))
        }
        _ => one_line(&Value::Array(items.to_vec()).to_string(), VALUE_CHARS),
    }
}

/// A record: its id and its name.
fn title(id: RecordId, shot: &Shot) -> String {
    let name = shot.name(id);
    if name.is_empty() {
        format!("[{id}]")
    } else {
        format!("[{id}] {}", one_line(name, VALUE_CHARS))
    }
}

fn line(text: &mut String, part: std::fmt::Arguments<'_>) {
    let written = writeln!(text, "{part}");
    debug_assert!(written.is_ok(), "a String takes all");
}

fn more(text: &mut String, count: usize) {
    if count > MAX_RECORDS {
        line(
            text,
            format_args!("and {} more, likewise", count - MAX_RECORDS),
        );
    }
    text.truncate(text.trim_end().len());
}
