//! The walk over the values of a record, and of the records inside.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::{
    Fitted, Link, Listed, Missing, Needs, Note, Owner, Place, Pointer, Problem, binary, moment,
    number, problem::quoted, properties, record, selection, taken::Taken, text, truth,
    writable::writable,
};
use gatepost_odoo::{Effect, Field, FieldKind, FieldName, ModelName, Schema};

/// The most fields of one record.
const MAX_FIELDS: usize = 500;

/// Levels of records inside the values of others; as many as policy looks into.
const MAX_DEPTH: usize = 6;

/// Levels of lists and objects inside one value.
const MAX_NESTING: usize = 32;

/// A walk over the values of one record.
pub(super) struct Fitting<'a> {
    pub(super) known: &'a BTreeMap<ModelName, Schema>,
    zone: Option<&'a TimeZone>,
    fitted: Fitted,
}

/// A place on the walk.
#[derive(Clone)]
pub(super) struct Spot {
    /// In what the caller wrote.
    place: Place,
    /// In what is sent.
    pointer: Pointer,
    /// How many records it is inside of.
    depth: usize,
    /// The field that Odoo fills in with the record around.
    back: Option<FieldName>,
    /// The record whose values these are.
    pub(super) owner: Owner,
}

impl Spot {
    pub(super) fn root(place: &Place, effect: Effect) -> Self {
        let owner = match effect {
            Effect::Create => Owner::New,
            Effect::Delete | Effect::Read | Effect::Run | Effect::Write => Owner::These,
        };
        Self {
            owner,
            place: place.clone(),
            pointer: Pointer::default(),
            depth: 0,
            back: None,
        }
    }

    fn member(&self, name: &str) -> Self {
        Self {
            place: self.place.member(name),
            pointer: self.pointer.member(name),
            ..self.clone()
        }
    }

    /// The element of a list, in what was written and at this path in what is sent.
    pub(super) fn element(&self, written: usize, sent: &[usize]) -> Self {
        let pointer = sent.iter();
        Self {
            place: self.place.at(written),
            pointer: pointer.fold(self.pointer.clone(), |pointer, at| pointer.at(*at)),
            ..self.clone()
        }
    }

    /// The same place, for the values of another record.
    pub(super) fn inside(self, back: Option<FieldName>, owner: Owner) -> Self {
        Self {
            depth: self.depth + 1,
            back,
            owner,
            ..self
        }
    }
}

impl<'a> Fitting<'a> {
    pub(super) fn new(known: &'a BTreeMap<ModelName, Schema>, zone: Option<&'a TimeZone>) -> Self {
        Self {
            known,
            zone,
            fitted: Fitted::default(),
        }
    }

    pub(super) fn finish(self, values: Map<String, Value>) -> Fitted {
        Fitted {
            values,
            ..self.fitted
        }
    }

    /// The values of one record, each fitted to its field.
    ///
    /// # Errors
    /// [`Needs`].
    pub(super) fn record(
        &mut self,
        model: &ModelName,
        effect: Effect,
        values: Map<String, Value>,
        spot: &Spot,
    ) -> Result<Map<String, Value>, Needs> {
        if spot.depth > MAX_DEPTH {
            let text =
                format!("is inside {MAX_DEPTH} other records; make the inner ones by themselves");
            self.problem(spot, text);
            return Ok(Map::new());
        }
        let known = self.known;
        let schema = known.get(model).ok_or_else(|| Needs(model.clone()))?;
        if values.len() > MAX_FIELDS {
            let text = format!(
                "has {} fields; a record may have {MAX_FIELDS}",
                values.len()
            );
            self.problem(spot, text);
            return Ok(Map::new());
        }
        let models = models_named(schema, &values);
        if effect == Effect::Create {
            self.look_for_missing(schema, model, &values, spot);
        }
        let mut fitted = Map::with_capacity(values.len());
        for (name, value) in values {
            let spot = spot.member(&name);
            if effect == Effect::Create
                && spot
                    .back
                    .as_ref()
                    .is_some_and(|back| *back.as_str() == *name)
            {
                self.note(&spot, "is set by Odoo to the record around it".to_owned());
                continue;
            }
            let (field, note) = match writable(schema, model, &name, effect) {
                Ok(field) => field,
                Err(text) => {
                    self.problem(&spot, text);
                    continue;
                }
            };
            if let Some(note) = note {
                self.note(&spot, note);
            }
            if let Some(text) = unsound(&value) {
                self.problem(&spot, text);
                continue;
            }
            if field.kind.is_x2many() {
                if let Some(value) = self.many(field, effect, value, &spot)? {
                    fitted.insert(name, value);
                }
                continue;
            }
            let around = (schema, models.get(&field.name), self.zone);
            match one(field, effect, value, around) {
                Ok(taken) => {
                    let value = self.take(field, taken, &spot);
                    fitted.insert(name, value);
                }
                Err(text) => self.problem(&spot, text),
            }
        }
        Ok(fitted)
    }

    /// A value that fits, with what there is to say of it written down.
    pub(super) fn take(&mut self, field: &Field, taken: Taken, spot: &Spot) -> Value {
        self.take_listed(field, taken, None, spot)
    }

    /// The same, of a value in a list.
    pub(super) fn take_listed(
        &mut self,
        field: &Field,
        taken: Taken,
        listed: Option<Listed>,
        spot: &Spot,
    ) -> Value {
        if let Some(text) = taken.note {
            self.note(spot, text);
        }
        if let Some((model, wanted)) = taken.link {
            self.fitted.links.push(Link {
                place: spot.place.clone(),
                pointer: spot.pointer.clone(),
                label: field.label.clone(),
                model,
                wanted,
                listed,
            });
        }
        taken.value
    }

    pub(super) fn problem(&mut self, spot: &Spot, text: String) {
        self.fitted.problems.push(Problem {
            place: spot.place.clone(),
            text,
        });
    }

    pub(super) fn note(&mut self, spot: &Spot, text: String) {
        self.fitted.notes.push(Note {
            place: spot.place.clone(),
            text,
        });
    }

    /// Fields that the record must have and that nobody can be seen to fill in.
    fn look_for_missing(
        &mut self,
        schema: &Schema,
        model: &ModelName,
        values: &Map<String, Value>,
        spot: &Spot,
    ) {
        for field in schema.fields() {
            let name = &field.name;
            let wanted = field.required
                && field.stored
                && !field.readonly
                && field.depends.is_empty()
                && field.shows.is_none()
                // The database does not hold these to it.
                && !field.kind.is_x2many();
            if wanted
                && !values.contains_key(name.as_str())
                && spot.back.as_ref() != Some(name)
                && !is_made_along(schema, name)
            {
                self.fitted.missing.push(Missing {
                    place: spot.place.member(name.as_str()),
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
fn is_made_along(schema: &Schema, link: &FieldName) -> bool {
    schema.fields().any(|field| {
        let path = field.shows.as_ref();
        !field.readonly
            && path.is_some_and(|path| path.steps().eq([link.as_str(), field.name.as_str()]))
    })
}

/// For each id of a record of any model: the model that is named beside it.
fn models_named(schema: &Schema, values: &Map<String, Value>) -> BTreeMap<FieldName, ModelName> {
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
fn one(
    field: &Field,
    effect: Effect,
    value: Value,
    (schema, model, zone): (&Schema, Option<&ModelName>, Option<&TimeZone>),
) -> Result<Taken, String> {
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
                Taken::read_as(empty, "is emptied, for the text is blank".to_owned())
            }
            Value::Array(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_) => Taken::plain(empty),
        });
    }
    match field.kind {
        FieldKind::Binary | FieldKind::Image => binary::fit(schema, field, &value),
        FieldKind::Boolean => truth::fit(&value),
        FieldKind::Char | FieldKind::Html | FieldKind::Text => text::fit(field, value),
        FieldKind::Date => moment::fit_date(&value),
        FieldKind::Datetime => moment::fit_datetime(&value, zone),
        FieldKind::Float | FieldKind::Monetary => number::fit_float(field, &value),
        FieldKind::Integer => number::fit_integer(&value),
        FieldKind::Json => Ok(Taken::plain(value)),
        FieldKind::Many2one => record::fit_many2one(field, &value),
        FieldKind::Many2oneReference => record::fit_id_of_any(model, &value),
        FieldKind::Properties => properties::fit(effect, value),
        FieldKind::PropertiesDefinition => properties::fit_definition(value),
        FieldKind::Reference => record::fit_reference(field, &value),
        FieldKind::Selection => selection::fit(field, value),
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
fn unsound(value: &Value) -> Option<String> {
    fn look(value: &Value, level: usize) -> Option<String> {
        if level > MAX_NESTING {
            return Some(format!("is nested deeper than {MAX_NESTING} levels"));
        }
        let zero = |text: &str| {
            text.contains('\0')
                .then(|| "holds a NUL character, which Odoo cannot store; leave it out".to_owned())
        };
        match value {
            Value::Array(values) => values.iter().find_map(|value| look(value, level + 1)),
            Value::Bool(_) | Value::Null | Value::Number(_) => None,
            Value::Object(members) => members
                .iter()
                .find_map(|(name, value)| zero(name).or_else(|| look(value, level + 1))),
            Value::String(text) => zero(text),
        }
    }
    look(value, 0)
}
