//! Coerces the values of a record, and of the records inside them.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{
    ArgumentPath, CoercedValues, JsonPointer, LineRef, LinkOwner, MissingRequired, MissingSchema,
    RecordLink, ValueMessage,
    coerced::Coerced,
    scalar::{check_storable, coerce_scalar},
    writable::writable_field,
};
use gatepost_odoo::{Field, FieldName, ModelName, Operation, Schema};

/// The most fields of one record.
const MAX_FIELDS: usize = 500;

/// Errors of one record that may name similar fields.
const MAX_SUGGESTIONS: usize = 20;

/// Levels of records inside the values of others; as many as policy follows.
const MAX_DEPTH: usize = 6;

/// Coerces the values of one record, and collects errors and notes.
pub(crate) struct RecordCoercer<'a> {
    pub(crate) schemas: &'a BTreeMap<ModelName, Schema>,
    zone: Option<&'a TimeZone>,
    coerced: CoercedValues,
    missing_schema: Option<MissingSchema>,
}

/// The place of a value.
#[derive(Clone)]
pub(crate) struct FieldContext {
    /// The path in the arguments.
    path: ArgumentPath,
    /// The path in the coerced values.
    pointer: JsonPointer,
    /// How many records it is inside of.
    depth: usize,
    /// The field that Odoo fills in with the record around.
    inverse: Option<FieldName>,
    /// The record whose values these are.
    pub(crate) owner: LinkOwner,
}

impl FieldContext {
    pub(crate) fn root(path: &ArgumentPath, operation: Operation) -> Self {
        Self {
            owner: if operation == Operation::Create {
                LinkOwner::New
            } else {
                LinkOwner::Written
            },
            path: path.clone(),
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

    /// The element of a list, by its index in the arguments and its path in the
    /// coerced value.
    pub(crate) fn element(&self, index: usize, coerced: &[usize]) -> Self {
        let pointer = coerced.iter();
        Self {
            path: self.path.at(index),
            pointer: pointer.fold(self.pointer.clone(), |pointer, at| pointer.at(*at)),
            ..self.clone()
        }
    }

    /// The same place, for the values of another record.
    pub(crate) fn nested(self, inverse: Option<FieldName>, owner: LinkOwner) -> Self {
        Self {
            depth: self.depth + 1,
            inverse,
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
            missing_schema: None,
        }
    }

    /// The coerced values, with what was collected.
    ///
    /// # Errors
    /// [`MissingSchema`].
    pub(crate) fn finish(self, values: Map<String, Value>) -> Result<CoercedValues, MissingSchema> {
        let coerced = self.coerced;
        let missing = self.missing_schema;
        missing.map_or(Ok(CoercedValues { values, ..coerced }), Err)
    }

    /// Coerces the values of one record, each to its field. Of a model whose fields
    /// are not known nothing is coerced.
    pub(crate) fn coerce_record(
        &mut self,
        model: &ModelName,
        operation: Operation,
        values: Map<String, Value>,
        place: &FieldContext,
    ) -> Map<String, Value> {
        if place.depth > MAX_DEPTH {
            let text =
                format!("is inside {MAX_DEPTH} other records; write the inner ones by themselves");
            self.add_error(place, text);
            return Map::new();
        }
        let known = self.schemas;
        let Some(schema) = known.get(model) else {
            self.missing_schema = Some(MissingSchema(model.clone()));
            return Map::new();
        };
        if values.len() > MAX_FIELDS {
            let count = values.len();
            let text = format!("has {count} fields; a record may have {MAX_FIELDS}");
            self.add_error(place, text);
            return Map::new();
        }
        let models = models_by_field(schema, &values);
        if operation == Operation::Create {
            self.find_missing(schema, model, &values, place);
        }
        let mut coerced = Map::with_capacity(values.len());
        for (name, value) in values {
            let inverse = place.inverse.as_ref().map(FieldName::as_str);
            let is_inverse = operation == Operation::Create && inverse == Some(&*name);
            let place = place.member(&name);
            if is_inverse {
                self.add_note(&place, "is set by Odoo to the record around it".to_owned());
                continue;
            }
            let what = (schema, model, operation);
            match self.coerce_field(what, (&name, value), &models, &place) {
                Ok(value) => {
                    coerced.insert(name, value);
                }
                Err(text) => self.add_error(&place, text),
            }
        }
        coerced
    }

    /// Coerces one value to its field.
    fn coerce_field(
        &mut self,
        (schema, model, operation): (&Schema, &ModelName, Operation),
        (name, value): (&str, Value),
        models: &BTreeMap<FieldName, ModelName>,
        place: &FieldContext,
    ) -> Result<Value, String> {
        let (field, note) = writable_field(
            schema,
            model,
            name,
            operation,
            self.coerced.errors.len() < MAX_SUGGESTIONS,
        )?;
        if let Some(note) = note {
            self.add_note(place, note);
        }
        check_storable(&value, 0)?;
        if field.kind.is_x2many() {
            return self.coerce_x2many(field, operation, value, place);
        }
        let context = (schema, models.get(&field.name), self.zone);
        let coerced = coerce_scalar(field, operation, value, context)?;
        Ok(self.accept(field, coerced, None, place))
    }

    /// The coerced value, after its errors and notes are recorded.
    pub(crate) fn accept(
        &mut self,
        field: &Field,
        coerced: Coerced,
        line: Option<LineRef>,
        place: &FieldContext,
    ) -> Value {
        if let Some(text) = coerced.note {
            self.add_note(place, text);
        }
        if let Some((model, target)) = coerced.link {
            self.coerced.links.push(RecordLink {
                path: place.path.clone(),
                pointer: place.pointer.clone(),
                label: field.label.clone(),
                model,
                target,
                line,
            });
        }
        coerced.value
    }

    pub(crate) fn add_error(&mut self, place: &FieldContext, text: String) {
        let path = place.path.clone();
        self.coerced.errors.push(ValueMessage { path, text });
    }

    pub(crate) fn add_note(&mut self, place: &FieldContext, text: String) {
        let path = place.path.clone();
        self.coerced.notes.push(ValueMessage { path, text });
    }

    /// Collects the required fields that have no value and that Odoo is not known
    /// to fill in.
    fn find_missing(
        &mut self,
        schema: &Schema,
        model: &ModelName,
        values: &Map<String, Value>,
        place: &FieldContext,
    ) {
        for field in schema.fields() {
            let name = &field.name;
            let is_required = field.required
                && field.stored
                && !field.readonly
                && field.depends.is_empty()
                && field.related.is_none()
                // The database does not enforce these.
                && !field.kind.is_x2many();
            if is_required
                && !values.contains_key(name.as_str())
                && place.inverse.as_ref() != Some(name)
                && !is_inherited_parent(schema, name)
            {
                self.coerced.missing.push(MissingRequired {
                    path: place.path.member(name.as_str()),
                    model: model.clone(),
                    field: name.clone(),
                    label: field.label.clone(),
                });
            }
        }
    }
}

/// Whether the record behind this link is created along with its child
/// (`_inherits`), as the contact is with its user. Fields of the child then show
/// the same fields of that record, and can be written.
fn is_inherited_parent(schema: &Schema, link: &FieldName) -> bool {
    schema.fields().any(|field| {
        let path = field.related.as_ref();
        !field.readonly
            && path.is_some_and(|path| path.steps().eq([link.as_str(), field.name.as_str()]))
    })
}

/// For each field with an id of any model, the model that another value names.
fn models_by_field(schema: &Schema, values: &Map<String, Value>) -> BTreeMap<FieldName, ModelName> {
    let fields = values.keys().filter_map(|name| schema.field(name));
    let models = fields.filter_map(|field| {
        let model = values.get(field.model_field.as_ref()?.as_str())?.as_str()?;
        Some((field.name.clone(), ModelName::try_from(model).ok()?))
    });
    models.collect()
}
