//! Turns values that Odoo returned into values that restore them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{fingerprints::is_same, tracked_fields::can_be_written};
use gatepost_odoo::{
    Field, FieldClass, FieldKind, FieldName, ModelName, Operation, RecordId, Schema,
};

/// Links that cannot be restored.
#[derive(Debug, Default)]
pub(super) struct LostLinks {
    /// Linked records that do not exist any more, or that the caller cannot see.
    pub(super) records: BTreeSet<(ModelName, RecordId)>,
    /// Models to which the caller may not link, because it may not read them.
    pub(super) models: BTreeSet<ModelName>,
}

/// A model whose records get their values back.
#[derive(Debug)]
pub(super) struct RestoreTarget<'a> {
    /// The fields that the caller may read.
    pub(super) schema: &'a Schema,
    /// The fields that policy lets the caller write.
    pub(super) writable: &'a Schema,
    /// Whether records are updated or created.
    pub(super) operation: Operation,
    pub(super) lost: &'a LostLinks,
    /// The fields that Odoo fills in if they get no value.
    pub(super) defaulted: &'a BTreeSet<FieldName>,
}

/// Values to write, and what is missing from them.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct RestoredValues {
    pub(super) values: Map<String, Value>,
    /// The fields that cannot be restored, each with the reason.
    pub(super) omitted: Vec<(FieldName, String)>,
}

impl RestoreTarget<'_> {
    /// The value to write so that the field has what Odoo returned for it.
    ///
    /// # Errors
    /// The reason why there is none; continues the name of the field.
    pub(super) fn restored_value(&self, name: &FieldName, given: &Value) -> Result<Value, String> {
        let Some(field) = self.schema.field(name.as_str()) else {
            return Err("can no longer be seen by you".to_owned());
        };
        if !can_be_written(field, self.operation) {
            return Err(
                "is read-only: only methods of the model, or Odoo itself, set it".to_owned(),
            );
        }
        if self.writable.field(name.as_str()).is_none() {
            return Err("may not be written by you through this gateway".to_owned());
        }
        let links = links_in_value(field, given);
        if let Some((model, _)) = links
            .iter()
            .find(|(model, _)| self.lost.models.contains(model))
        {
            return Err(format!(
                "linked to `{model}`, which you may not read, so that it cannot be linked again"
            ));
        }
        let mut links = links.iter();
        if field.kind != FieldKind::Many2many
            && let Some((model, id)) = links.find(|link| self.lost.records.contains(link))
        {
            return Err(format!(
                "linked to the record {id} of `{model}`, which does not exist any more or cannot be seen by you"
            ));
        }
        to_written_form(field, given, self.lost).ok_or_else(|| "is not stored".to_owned())
    }

    /// The values that create a record again. Empty values are written only
    /// where Odoo would otherwise fill the field in.
    pub(super) fn values_to_recreate(
        &self,
        fields: &[FieldName],
        row: &Map<String, Value>,
    ) -> RestoredValues {
        let mut created = RestoredValues::default();
        for name in fields {
            let given = row.get(name.as_str()).filter(|given| !is_empty(given));
            let field = self.schema.field(name.as_str());
            if field.is_some_and(|field| field.kind == FieldKind::One2many) {
                continue;
            }
            let relation = field.and_then(|field| field.relation.as_ref());
            if given.is_none() && relation.is_some_and(|model| self.lost.models.contains(model)) {
                continue;
            }
            if let Some(given) = given {
                self.restore(name, given, &mut created);
            } else if let Some(field) =
                field.filter(|field| !field.required || !field.kind.can_be_empty())
                && self.defaulted.contains(name)
                && can_be_written(field, self.operation)
                && self.writable.field(name.as_str()).is_some()
            {
                created
                    .values
                    .insert(name.as_str().to_owned(), empty_value(field));
            }
        }
        created
    }

    /// The values that restore an existing record, for the fields that differ
    /// now.
    pub(super) fn values_to_restore(
        &self,
        before: &Map<String, Value>,
        now: &Map<String, Value>,
    ) -> RestoredValues {
        let mut restored = RestoredValues::default();
        for (name, given) in before {
            if let Ok(field) = FieldName::try_from(name.as_str())
                && now.get(name).is_some_and(|now| !is_same(given, now))
            {
                self.restore(&field, given, &mut restored);
            }
        }
        restored
    }

    /// Adds the value of a field, or why it cannot be restored.
    fn restore(&self, name: &FieldName, given: &Value, restored: &mut RestoredValues) {
        match self.restored_value(name, given) {
            Ok(value) => {
                let field = self.schema.field(name.as_str());
                self.add_lost_members(field, given, restored);
                restored.values.insert(name.as_str().to_owned(), value);
            }
            Err(why) => restored.omitted.push((name.clone(), why)),
        }
    }

    /// Names the records of a list that cannot be linked to any more.
    fn add_lost_members(
        &self,
        field: Option<&Field>,
        given: &Value,
        restored: &mut RestoredValues,
    ) {
        let Some(field) = field.filter(|field| field.kind == FieldKind::Many2many) else {
            return;
        };
        let lost: Vec<String> = links_in_value(field, given)
            .into_iter()
            .filter(|link| self.lost.records.contains(link))
            .map(|(_, id)| id.to_string())
            .collect();
        if !lost.is_empty() {
            let why = format!(
                "had these, which do not exist any more: {}",
                lost.join(", ")
            );
            restored.omitted.push((field.name.clone(), why));
        }
    }
}

/// Groups records with the same values, in the order of their ids.
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

/// The records that a value links to, as Odoo returned it; none for lines.
pub(super) fn links_in_value(field: &Field, given: &Value) -> Vec<(ModelName, RecordId)> {
    if field.kind == FieldKind::Reference {
        let pair = given.as_str().and_then(|text| text.split_once(','));
        let link = pair.and_then(|(model, id)| {
            let id = RecordId::try_from(id.parse::<i64>().ok()?).ok()?;
            Some((ModelName::try_from(model).ok()?, id))
        });
        return link.into_iter().collect();
    }
    let ids = if field.kind == FieldKind::Many2one {
        let id = RecordId::from_json(given.get(0).unwrap_or(given));
        id.into_iter().collect()
    } else if field.kind == FieldKind::Many2many {
        ids_in(given)
    } else {
        Vec::new()
    };
    let model = field.relation.iter();
    model
        .flat_map(|model| ids.iter().map(|id| (model.clone(), *id)))
        .collect()
}

/// The ids in a list that Odoo returned.
pub(super) fn ids_in(list: &Value) -> Vec<RecordId> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(RecordId::from_json).collect()
}

/// Whether a value that Odoo returned is empty.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Object(_) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
    }
}

/// A value that Odoo returned, in the form in which it is written.
fn to_written_form(field: &Field, given: &Value, lost: &LostLinks) -> Option<Value> {
    match field.kind.class() {
        FieldClass::Binary
        | FieldClass::One2many
        | FieldClass::Properties
        | FieldClass::Unknown => None,
        FieldClass::Many2one => {
            let id = RecordId::from_json(given.get(0).unwrap_or(given));
            Some(id.map_or(Value::Bool(false), |id| id.get().into()))
        }
        FieldClass::Many2many => {
            let links = links_in_value(field, given).into_iter();
            let ids: Vec<RecordId> = links
                .filter(|link| !lost.records.contains(link))
                .map(|(_, id)| id)
                .collect();
            Some(json!([[6, 0, ids]]))
        }
        FieldClass::Document
        | FieldClass::Number
        | FieldClass::Reference
        | FieldClass::Scalar
        | FieldClass::UntypedId => Some(if given.is_null() {
            false.into()
        } else {
            given.clone()
        }),
    }
}

/// The value that empties a field.
fn empty_value(field: &Field) -> Value {
    match field.kind.class() {
        FieldClass::Number => 0.into(),
        FieldClass::Many2many => json!([[6, 0, []]]),
        FieldClass::Binary
        | FieldClass::Document
        | FieldClass::Many2one
        | FieldClass::One2many
        | FieldClass::Properties
        | FieldClass::Reference
        | FieldClass::Scalar
        | FieldClass::Unknown
        | FieldClass::UntypedId => false.into(),
    }
}
