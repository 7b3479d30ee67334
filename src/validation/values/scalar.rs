//! Coerces the value of a field that is not a list of records.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{
    binary, boolean, coerced::Coerced, datetime, error::quoted, number, properties, record,
    selection, text,
};
use gatepost_odoo::{Field, FieldKind, ModelName, Operation, Schema};

/// Levels of lists and objects inside one value.
const MAX_NESTING: usize = 32;

/// Coerces the value of a field that is not a list of records.
pub(crate) fn coerce_scalar(
    field: &Field,
    operation: Operation,
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
        let note = "is emptied, because the text is blank".to_owned();
        return Ok(Coerced {
            note: value.is_string().then_some(note),
            ..Coerced::plain(false.into())
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
        FieldKind::Properties => properties::coerce(operation, value),
        FieldKind::PropertiesDefinition => properties::coerce_definition(value),
        FieldKind::Reference => record::coerce_reference(field, &value),
        FieldKind::Selection => selection::coerce(field, value),
        // Handled before.
        FieldKind::Many2many | FieldKind::One2many | FieldKind::Unknown => {
            Err("takes no single value".to_owned())
        }
    }
}

/// Whether the value empties the field. Numbers and booleans are never empty.
fn clears(field: &Field, value: &Value) -> bool {
    // In an optional text field, an empty text is a value.
    let blank = field.required
        || !matches!(
            field.kind,
            FieldKind::Char | FieldKind::Html | FieldKind::Json | FieldKind::Text
        );
    field.kind.can_be_empty()
        && match value {
            Value::Bool(truth) => !truth,
            Value::Null => true,
            Value::String(text) => blank && field.kind != FieldKind::Json && text.trim().is_empty(),
            // Odoo returns an empty one as 0.
            Value::Number(number) => {
                field.kind == FieldKind::Many2oneReference && number.as_f64() == Some(0.0)
            }
            Value::Array(_) | Value::Object(_) => false,
        }
}

/// Allows only what PostgreSQL and Odoo can store, anywhere in the value.
pub(crate) fn check_storable(value: &Value, level: usize) -> Result<(), String> {
    if level > MAX_NESTING {
        return Err(format!("is nested deeper than {MAX_NESTING} levels"));
    }
    let check_text = |text: &str| {
        if text.contains('\0') {
            Err("contains a NUL character, which Odoo cannot store; leave it out".to_owned())
        } else {
            Ok(())
        }
    };
    match value {
        Value::Array(values) => values
            .iter()
            .try_for_each(|value| check_storable(value, level + 1)),
        Value::Bool(_) | Value::Null | Value::Number(_) => Ok(()),
        Value::Object(members) => members.iter().try_for_each(|(name, value)| {
            check_text(name)?;
            check_storable(value, level + 1)
        }),
        Value::String(text) => check_text(text),
    }
}
