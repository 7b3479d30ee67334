//! From the values that Odoo gave to those that put them back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    fingerprints::{SnapshotRows, is_same},
    tracked_fields::can_be_written,
    x2many_lines::X2manyLines,
};
use gatepost_odoo::{Field, FieldKind, FieldName, ModelName, Operation, RecordId, Schema};

/// Records that are not there any more, or not to be seen.
pub(super) type DeletedLinks = BTreeSet<(ModelName, RecordId)>;

/// A model whose records get their values back.
#[derive(Debug)]
pub(super) struct RestoreTarget<'a> {
    /// The fields that may be seen.
    pub(super) schema: &'a Schema,
    /// The fields that policy lets be written.
    pub(super) writable: &'a Schema,
    /// Whether records are changed or made.
    pub(super) effect: Operation,
    /// What cannot be linked to any more.
    pub(super) deleted: &'a DeletedLinks,
    /// The fields in which Odoo puts something where nothing is said.
    pub(super) defaulted: &'a BTreeSet<FieldName>,
}

/// Values, and what is not among them.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct RestoredValues {
    pub(super) values: Map<String, Value>,
    /// Fields with why they are left out.
    pub(super) omitted: Vec<(FieldName, String)>,
}

impl RestoreTarget<'_> {
    /// The value that gives the field what Odoo gave for it.
    ///
    /// # Errors
    /// Why there is none; reads on from the field's name.
    pub(super) fn restored_value(&self, name: &FieldName, given: &Value) -> Result<Value, String> {
        let Some(field) = self.schema.field(name.as_str()) else {
            return Err("is not to be seen any more".to_owned());
        };
        if !can_be_written(field, self.effect) {
            return Err(
                "is read-only: only methods of the model, or Odoo itself, set it".to_owned(),
            );
        }
        if self.writable.field(name.as_str()).is_none() {
            return Err("may not be written by you through this gateway".to_owned());
        }
        if let Some((model, id)) = links_in_value(field, given)
            .into_iter()
            .find(|link| self.deleted.contains(link))
            && field.kind != FieldKind::Many2many
        {
            return Err(format!(
                "linked to the record {id} of `{model}`, which is not there any more or not to be seen"
            ));
        }
        to_written_form(field, given, self.deleted).ok_or_else(|| "is not kept".to_owned())
    }

    /// The values of a new record that has what the old one had. What was empty
    /// is only said where Odoo would fill it in.
    pub(super) fn values_to_recreate(
        &self,
        fields: &[FieldName],
        row: &Map<String, Value>,
    ) -> RestoredValues {
        let mut made = RestoredValues::default();
        for name in fields {
            let given = row.get(name.as_str()).filter(|given| !is_empty(given));
            let field = self.schema.field(name.as_str());
            if field.is_some_and(|field| field.kind == FieldKind::One2many) {
                continue;
            }
            if let Some(given) = given {
                match self.restored_value(name, given) {
                    Ok(value) => {
                        self.add_lost_members(field, given, &mut made);
                        made.values.insert(name.as_str().to_owned(), value);
                    }
                    Err(why) => made.omitted.push((name.clone(), why)),
                }
            } else if let Some(field) = field.filter(|field| !field.required)
                && self.defaulted.contains(name)
                && can_be_written(field, self.effect)
                && self.writable.field(name.as_str()).is_some()
            {
                made.values
                    .insert(name.as_str().to_owned(), empty_value(field));
            }
        }
        made
    }

    /// The values of a record that is there that give these fields what they
    /// had, as far as they have something else now.
    pub(super) fn values_to_restore(
        &self,
        before: &Map<String, Value>,
        now: &Map<String, Value>,
    ) -> RestoredValues {
        let mut back = RestoredValues::default();
        for (name, given) in before {
            let Ok(name) = FieldName::try_from(name.as_str()) else {
                continue;
            };
            let Some(is) = now.get(name.as_str()) else {
                continue;
            };
            if is_same(given, is) {
                continue;
            }
            match self.restored_value(&name, given) {
                Ok(value) => {
                    let field = self.schema.field(name.as_str());
                    self.add_lost_members(field, given, &mut back);
                    back.values.insert(name.as_str().to_owned(), value);
                }
                Err(why) => back.omitted.push((name, why)),
            }
        }
        back
    }

    /// Names the records of a list that cannot be linked to any more.
    fn add_lost_members(&self, field: Option<&Field>, given: &Value, values: &mut RestoredValues) {
        let Some(field) = field.filter(|field| field.kind == FieldKind::Many2many) else {
            return;
        };
        let lost: Vec<String> = links_in_value(field, given)
            .into_iter()
            .filter(|link| self.deleted.contains(link))
            .map(|(_, id)| id.to_string())
            .collect();
        if !lost.is_empty() {
            let why = format!(
                "had these, which are not there any more: {}",
                lost.join(", ")
            );
            values.omitted.push((field.name.clone(), why));
        }
    }
}

/// The commands that give a list the records that it had, and them their values.
///
/// `others` were changed through the list, and belonged to other records or to
/// none. `rows` has all that are there now.
pub(super) fn list_commands(
    lines: &X2manyLines,
    (before, now, others): (&[i64], &[i64], &[i64]),
    rows: &SnapshotRows,
    (changing, making): (&RestoreTarget<'_>, &RestoreTarget<'_>),
) -> (Vec<Value>, Vec<String>) {
    let mut commands = Vec::new();
    let mut lacking = Vec::new();
    let made = |id: &&i64| !before.contains(*id) && !others.contains(*id);
    for id in now.iter().filter(made) {
        commands.push(json!([2, id, 0]));
    }
    for id in before {
        match (rows.get(id), lines.rows.get(id)) {
            (Some(row), _) if !now.contains(id) => {
                let link = row.get(lines.inverse.as_str());
                if link.is_none_or(is_empty) {
                    commands.push(json!([4, id, 0]));
                } else {
                    lacking.push(format!("[{id}] belongs to another record now"));
                }
            }
            (Some(row), Some(old)) => {
                let back = restored_line_values(lines, changing, (*id, old, row), &mut lacking);
                if !back.is_empty() {
                    commands.push(json!([1, id, back]));
                }
            }
            (Some(_), None) => {}
            // It is there, and only not to be seen any more.
            (None, _) if now.contains(id) => {
                lacking.push(format!(
                    "[{id}] is not to be seen by you any more, and stays"
                ));
            }
            (None, Some(old)) => {
                let made = making.values_to_recreate(&lines.fields, old);
                commands.push(json!([0, 0, made.values]));
                for (name, why) in made.omitted {
                    lacking.push(format!("`{name}` of the deleted [{id}] {why}"));
                }
            }
            (None, None) => lacking.push(format!("the deleted [{id}] was not kept")),
        }
    }
    for id in others {
        let (Some(row), Some(old)) = (rows.get(id), lines.rows.get(id)) else {
            lacking.push(format!(
                "the deleted [{id}] belonged to another record, and stays deleted"
            ));
            continue;
        };
        let mut back = restored_line_values(lines, changing, (*id, old, row), &mut lacking);
        let inverse = lines.inverse.as_str();
        let was = old.get(inverse).unwrap_or(&Value::Null);
        if now.contains(id) && is_empty(was) {
            commands.push(json!([3, id, 0]));
        } else if now.contains(id) {
            let owner = was.get(0).unwrap_or(was);
            back.insert(inverse.to_owned(), owner.clone());
        }
        if !back.is_empty() {
            commands.push(json!([1, id, back]));
        }
    }
    (commands, lacking)
}

/// The values that a record of a list gets back.
fn restored_line_values(
    lines: &X2manyLines,
    target: &RestoreTarget<'_>,
    (id, old, row): (i64, &Map<String, Value>, &Map<String, Value>),
    lacking: &mut Vec<String>,
) -> Map<String, Value> {
    let back = target.values_to_restore(&select_members(old, &lines.fields), row);
    for (name, why) in back.omitted {
        lacking.push(format!("`{name}` of [{id}] {why}"));
    }
    back.values
}

/// Records with the same values together, in the order of their ids.
pub(super) fn grouped(
    list: impl IntoIterator<Item = (RecordId, Map<String, Value>)>,
) -> Vec<(Vec<RecordId>, Map<String, Value>)> {
    let mut groups: BTreeMap<String, (Vec<RecordId>, Map<String, Value>)> = BTreeMap::new();
    for (id, values) in list {
        let key = serde_json::to_string(&values).unwrap_or_default();
        let group = groups.entry(key);
        group.or_insert_with(|| (Vec::new(), values)).0.push(id);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by(|(one, _), (other, _)| one.cmp(other));
    groups
}

/// The records that a value as Odoo gives it links to, but for lists of parts.
pub(super) fn links_in_value(field: &Field, given: &Value) -> Vec<(ModelName, RecordId)> {
    let of = |ids: Vec<RecordId>| match &field.relation {
        Some(model) => ids.into_iter().map(|id| (model.clone(), id)).collect(),
        None => Vec::new(),
    };
    match field.kind {
        FieldKind::Many2one => {
            let id = given.get(0).unwrap_or(given);
            of(RecordId::from_json(id).into_iter().collect())
        }
        FieldKind::Many2many => {
            let ids = given.as_array().into_iter().flatten();
            of(ids.filter_map(RecordId::from_json).collect())
        }
        FieldKind::Reference => {
            let pair = given.as_str().and_then(|text| text.split_once(','));
            let link = pair.and_then(|(model, id)| {
                let id: i64 = id.parse().ok()?;
                Some((
                    ModelName::try_from(model).ok()?,
                    RecordId::try_from(id).ok()?,
                ))
            });
            link.into_iter().collect()
        }
        FieldKind::Binary
        | FieldKind::Boolean
        | FieldKind::Char
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Float
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Integer
        | FieldKind::Json
        | FieldKind::Many2oneReference
        | FieldKind::Monetary
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Selection
        | FieldKind::Text
        | FieldKind::Unknown => Vec::new(),
    }
}

/// Whether there is nothing in a value as Odoo gives it.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Object(_) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
    }
}

/// A value as Odoo gives it in the form in which it is written.
fn to_written_form(field: &Field, given: &Value, gone: &DeletedLinks) -> Option<Value> {
    match field.kind {
        FieldKind::Many2one => Some(match given {
            Value::Array(pair) => pair.first()?.clone(),
            Value::Number(id) => id.clone().into(),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Object(_) => false.into(),
        }),
        FieldKind::Many2many => {
            let ids: Vec<u32> = links_in_value(field, given)
                .into_iter()
                .filter(|link| !gone.contains(link))
                .map(|(_, id)| id.get())
                .collect();
            Some(json!([[6, 0, ids]]))
        }
        FieldKind::Binary
        | FieldKind::Image
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::Unknown => None,
        FieldKind::Boolean
        | FieldKind::Char
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Float
        | FieldKind::Html
        | FieldKind::Integer
        | FieldKind::Json
        | FieldKind::Many2oneReference
        | FieldKind::Monetary
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text => Some(match given {
            Value::Null => false.into(),
            Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => given.clone(),
        }),
    }
}

/// The value that says that there is none.
fn empty_value(field: &Field) -> Value {
    match field.kind {
        FieldKind::Float | FieldKind::Integer | FieldKind::Monetary => 0.into(),
        FieldKind::Many2many => json!([[6, 0, []]]),
        FieldKind::Binary
        | FieldKind::Boolean
        | FieldKind::Char
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::Many2one
        | FieldKind::Many2oneReference
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text
        | FieldKind::Unknown => false.into(),
    }
}

/// These members only.
fn select_members(row: &Map<String, Value>, fields: &[FieldName]) -> Map<String, Value> {
    let members = fields.iter().filter_map(|name| {
        let value = row.get(name.as_str())?;
        Some((name.as_str().to_owned(), value.clone()))
    });
    members.collect()
}
