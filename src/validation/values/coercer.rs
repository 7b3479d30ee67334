//! The walk over the values of a record, and of the records inside.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{
    ArgumentPath, CoercedValues, CoercionNote, FieldValueError, JsonPointer, LineRef, LinkOwner,
    MissingRequired, MissingSchema, RecordLink, binary, boolean, coerced::Coerced, datetime,
    error::quoted, number, properties, record, selection, text, writable::writable_field,
};
use gatepost_odoo::{Field, FieldKind, FieldName, ModelName, Operation, Schema};

/// The most fields of one record.
const MAX_FIELDS: usize = 500;

/// Levels of records inside the values of others; as many as policy looks into.
const MAX_DEPTH: usize = 6;

/// Levels of lists and objects inside one value.
const MAX_NESTING: usize = 32;

/// A walk over the values of one record.
pub(crate) struct RecordCoercer<'a> {
    pub(crate) schemas: &'a BTreeMap<ModelName, Schema>,
    zone: Option<&'a TimeZone>,
    coerced: CoercedValues,
}

/// A place on the walk.
#[derive(Clone)]
pub(crate) struct FieldContext {
    /// In what the caller wrote.
    path: ArgumentPath,
    /// In what is sent.
    pointer: JsonPointer,
    /// How many records it is inside of.
    depth: usize,
    /// The field that Odoo fills in with the record around.
    inverse: Option<FieldName>,
    /// The record whose values these are.
    pub(crate) owner: LinkOwner,
}

impl FieldContext {
    pub(crate) fn root(place: &ArgumentPath, effect: Operation) -> Self {
        let owner = match effect {
            Operation::Create => LinkOwner::New,
            Operation::Delete | Operation::Read | Operation::Call | Operation::Write => {
                LinkOwner::Written
            }
        };
        Self {
            owner,
            path: place.clone(),
            pointer: JsonPointer::default(),
            depth: 0,
            inverse: None,
        }
    }

    fn member(&self, name: &str) -> Self {
        Self {
            path: self.path.member(name),
            pointer: self.pointer.member(name),
            ..self.clone()
        }
    }

    /// The element of a list, in what was written and at this path in what is sent.
    pub(crate) fn element(&self, written: usize, sent: &[usize]) -> Self {
        let pointer = sent.iter();
        Self {
            path: self.path.at(written),
            pointer: pointer.fold(self.pointer.clone(), |pointer, at| pointer.at(*at)),
            ..self.clone()
        }
    }

    /// The same place, for the values of another record.
    pub(crate) fn nested(self, back: Option<FieldName>, owner: LinkOwner) -> Self {
        Self {
            depth: self.depth + 1,
            inverse: back,
            owner,
            ..self
        }
    }
}

impl<'a> RecordCoercer<'a> {
    pub(crate) fn new(
        schemas: &'a BTreeMap<ModelName, Schema>,
        zone: Option<&'a TimeZone>,
    ) -> Self {
        Self {
            schemas,
            zone,
            coerced: CoercedValues::default(),
        }
    }

    pub(crate) fn finish(self, values: Map<String, Value>) -> CoercedValues {
        CoercedValues {
            values,
            ..self.coerced
        }
    }

    /// The values of one record, each fitted to its field.
    ///
    /// # Errors
    /// [`Needs`].
    pub(crate) fn coerce_record(
        &mut self,
        model: &ModelName,
        effect: Operation,
        values: Map<String, Value>,
        spot: &FieldContext,
    ) -> Result<Map<String, Value>, MissingSchema> {
        if spot.depth > MAX_DEPTH {
            let text =
                format!("is inside {MAX_DEPTH} other records; make the inner ones by themselves");
            self.add_error(spot, text);
            return Ok(Map::new());
        }
        let known = self.schemas;
        let schema = known
            .get(model)
            .ok_or_else(|| MissingSchema(model.clone()))?;
        if values.len() > MAX_FIELDS {
            let text = format!(
                "has {} fields; a record may have {MAX_FIELDS}",
                values.len()
            );
            self.add_error(spot, text);
            return Ok(Map::new());
        }
        let models = models_by_field(schema, &values);
        if effect == Operation::Create {
            self.find_missing(schema, model, &values, spot);
        }
        let mut fitted = Map::with_capacity(values.len());
        for (name, value) in values {
            let spot = spot.member(&name);
            if effect == Operation::Create
                && spot
                    .inverse
                    .as_ref()
                    .is_some_and(|back| *back.as_str() == *name)
            {
                self.add_note(&spot, "is set by Odoo to the record around it".to_owned());
                continue;
            }
            let (field, note) = match writable_field(schema, model, &name, effect) {
                Ok(field) => field,
                Err(text) => {
                    self.add_error(&spot, text);
                    continue;
                }
            };
            if let Some(note) = note {
                self.add_note(&spot, note);
            }
            if let Some(text) = unstorable(&value) {
                self.add_error(&spot, text);
                continue;
            }
            if field.kind.is_x2many() {
                if let Some(value) = self.coerce_x2many(field, effect, value, &spot)? {
                    fitted.insert(name, value);
                }
                continue;
            }
            let around = (schema, models.get(&field.name), self.zone);
            match coerce_scalar(field, effect, value, around) {
                Ok(taken) => {
                    let value = self.accept(field, taken, &spot);
                    fitted.insert(name, value);
                }
                Err(text) => self.add_error(&spot, text),
            }
        }
        Ok(fitted)
    }

    /// A value that fits, with what there is to say of it written down.
    pub(crate) fn accept(&mut self, field: &Field, taken: Coerced, spot: &FieldContext) -> Value {
        self.accept_line(field, taken, None, spot)
    }

    /// The same, of a value in a list.
    pub(crate) fn accept_line(
        &mut self,
        field: &Field,
        taken: Coerced,
        listed: Option<LineRef>,
        spot: &FieldContext,
    ) -> Value {
        if let Some(text) = taken.note {
            self.add_note(spot, text);
        }
        if let Some((model, wanted)) = taken.link {
            self.coerced.links.push(RecordLink {
                path: spot.path.clone(),
                pointer: spot.pointer.clone(),
                label: field.label.clone(),
                model,
                target: wanted,
                line: listed,
            });
        }
        taken.value
    }

    pub(crate) fn add_error(&mut self, spot: &FieldContext, text: String) {
        self.coerced.errors.push(FieldValueError {
            path: spot.path.clone(),
            text,
        });
    }

    pub(crate) fn add_note(&mut self, spot: &FieldContext, text: String) {
        self.coerced.notes.push(CoercionNote {
            path: spot.path.clone(),
            text,
        });
    }

    /// Fields that the record must have and that nobody can be seen to fill in.
    fn find_missing(
        &mut self,
        schema: &Schema,
        model: &ModelName,
        values: &Map<String, Value>,
        spot: &FieldContext,
    ) {
        for field in schema.fields() {
            let name = &field.name;
            let wanted = field.required
                && field.stored
                && !field.readonly
                && field.depends.is_empty()
                && field.related.is_none()
                // The database does not hold these to it.
                && !field.kind.is_x2many();
            if wanted
                && !values.contains_key(name.as_str())
                && spot.inverse.as_ref() != Some(name)
                && !is_inherited_parent(schema, name)
            {
                self.coerced.missing.push(MissingRequired {
                    path: spot.path.member(name.as_str()),
                    model: model.clone(),
                    field: name.clone(),
                    label: field.label.clone(),
                });
            }
        }
    }
}

/// Whether the record behind this link is made along with its child
/// (`_inherits`), as the contact is with its user: then fields of the child show
/// the same fields of that record, and may be written.
fn is_inherited_parent(schema: &Schema, link: &FieldName) -> bool {
    schema.fields().any(|field| {
        let path = field.related.as_ref();
        !field.readonly
            && path.is_some_and(|path| path.steps().eq([link.as_str(), field.name.as_str()]))
    })
}

/// For each id of a record of any model: the model that is named beside it.
fn models_by_field(schema: &Schema, values: &Map<String, Value>) -> BTreeMap<FieldName, ModelName> {
    let mut models = BTreeMap::new();
    for field in values.keys().filter_map(|name| schema.field(name)) {
        let named = field
            .model_field
            .as_ref()
            .and_then(|name| values.get(name.as_str())?.as_str());
        if let Some(Ok(model)) = named.map(ModelName::try_from) {
            models.insert(field.name.clone(), model);
        }
    }
    models
}

/// A value of a field that holds no list of records.
fn coerce_scalar(
    field: &Field,
    effect: Operation,
    value: Value,
    (schema, model, zone): (&Schema, Option<&ModelName>, Option<&TimeZone>),
) -> Result<Coerced, String> {
    if clears(field, &value) {
        if field.required {
            return Err(format!(
                "must have a value, and {} would leave it empty",
                quoted(&value)
            ));
        }
        let empty = Value::Bool(false);
        return Ok(match value {
            Value::String(_) => {
                Coerced::with_note(empty, "is emptied, for the text is blank".to_owned())
            }
            Value::Array(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_) => Coerced::plain(empty),
        });
    }
    match field.kind {
        FieldKind::Binary | FieldKind::Image => binary::coerce(schema, field, &value),
        FieldKind::Boolean => boolean::coerce(&value),
        FieldKind::Char | FieldKind::Html | FieldKind::Text => text::coerce(field, value),
        FieldKind::Date => datetime::coerce_date(&value),
        FieldKind::Datetime => datetime::coerce_datetime(&value, zone),
        FieldKind::Float | FieldKind::Monetary => number::coerce_float(field, &value),
        FieldKind::Integer => number::coerce_integer(&value),
        FieldKind::Json => Ok(Coerced::plain(value)),
        FieldKind::Many2one => record::coerce_many2one(field, &value),
        FieldKind::Many2oneReference => record::coerce_many2one_reference(model, &value),
        FieldKind::Properties => properties::coerce(effect, value),
        FieldKind::PropertiesDefinition => properties::coerce_definition(value),
        FieldKind::Reference => record::coerce_reference(field, &value),
        FieldKind::Selection => selection::coerce(field, value),
        // These two were dealt with before.
        FieldKind::Many2many | FieldKind::One2many | FieldKind::Unknown => {
            Err("takes no single value".to_owned())
        }
    }
}

/// Whether the value empties the field. Numbers and booleans are never empty.
fn clears(field: &Field, value: &Value) -> bool {
    let never = matches!(
        field.kind,
        FieldKind::Boolean | FieldKind::Float | FieldKind::Integer | FieldKind::Monetary
    );
    // In a text that need not be there, the empty one is a value.
    let blank = field.required
        || !matches!(
            field.kind,
            FieldKind::Char | FieldKind::Html | FieldKind::Json | FieldKind::Text
        );
    !never
        && match value {
            Value::Bool(truth) => !truth,
            Value::Null => true,
            Value::String(text) => blank && field.kind != FieldKind::Json && text.trim().is_empty(),
            // Odoo gives an empty one back as 0.
            Value::Number(number) => {
                field.kind == FieldKind::Many2oneReference && number.as_f64() == Some(0.0)
            }
            Value::Array(_) | Value::Object(_) => false,
        }
}

/// What PostgreSQL or Odoo cannot hold, wherever it stands in the value.
fn unstorable(value: &Value) -> Option<String> {
    fn inspect(value: &Value, level: usize) -> Option<String> {
        if level > MAX_NESTING {
            return Some(format!("is nested deeper than {MAX_NESTING} levels"));
        }
        let zero = |text: &str| {
            text.contains('\0')
                .then(|| "holds a NUL character, which Odoo cannot store; leave it out".to_owned())
        };
        match value {
            Value::Array(values) => values.iter().find_map(|value| inspect(value, level + 1)),
            Value::Bool(_) | Value::Null | Value::Number(_) => None,
            Value::Object(members) => members
                .iter()
                .find_map(|(name, value)| zero(name).or_else(|| inspect(value, level + 1))),
            Value::String(text) => zero(text),
        }
    }
    inspect(value, 0)
}
