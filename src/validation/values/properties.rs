//! Coerces the values of properties, which a parent record defines.

use serde_json::Value;

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::{Operation, RecordId};

/// The most properties of one record.
const MAX_PROPERTIES: usize = 200;

/// The values of properties. Odoo writes them as a whole: it silently empties those
/// that are missing and drops unknown names. So an existing record takes them as
/// Odoo returns them, which is all of them, and only a new one takes
/// `{"name": value}`. Their definition, which all records of the parent share, is
/// never changed along with them.
pub(crate) fn coerce(operation: Operation, value: Value) -> Result<Coerced, String> {
    let fits = match &value {
        Value::Array(list) => {
            let flags = ["definition_changed", "definition_deleted"];
            let changes = |one: &Value| flags.iter().any(|flag| one.get(flag).is_some());
            if list.iter().any(changes) {
                return Err(
                    "would change the definition of these properties, which all records of the \
                     parent share; change it on the parent record"
                        .to_owned(),
                );
            }
            list.len() <= MAX_PROPERTIES
                && list
                    .iter()
                    .all(|one| is_definition(one) && one.get("value").is_none_or(is_value))
        }
        Value::Object(members) if operation == Operation::Create => {
            members.len() <= MAX_PROPERTIES
                && members
                    .iter()
                    .all(|(name, value)| is_property_name(name) && is_value(value))
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
            false
        }
    };
    if fits {
        let note = "is written as a whole: Odoo empties properties that are missing, and drops \
             unknown names";
        return Ok(Coerced::with_note(value, note.to_owned()));
    }
    let form = if operation == Operation::Create {
        "properties as `{\"name\": value}`, by their technical names"
    } else {
        "all properties of the record, because Odoo empties those that are missing: read the \
         field, and write the list with each `value` as it should be"
    };
    Err(format!("takes {form}, not {}", quoted(&value)))
}

/// The definitions of properties, each with a name and a type. Odoo validates the
/// rest, and reports errors.
pub(crate) fn coerce_definition(value: Value) -> Result<Coerced, String> {
    let fits = value
        .as_array()
        .is_some_and(|list| list.len() <= MAX_PROPERTIES && list.iter().all(is_definition));
    if fits {
        Ok(Coerced::plain(value))
    } else {
        Err(format!(
            "takes a list of definitions, each with `name`, `type` and `string`, and with a `default` of that type or false (a link is an id), not {}",
            quoted(&value)
        ))
    }
}

fn is_definition(one: &Value) -> bool {
    let name = one.get("name").and_then(Value::as_str);
    let kind = one.get("type").and_then(Value::as_str);
    name.is_some_and(is_property_name)
        && kind.is_some_and(|kind| {
            ["default", "value"]
                .iter()
                .filter_map(|member| one.get(member))
                .all(|value| fits_type(kind, value))
        })
}

/// Whether a property of this type can have the value, as Odoo returns it. Odoo does not
/// check a `default`, and then fails to create any record of the parent.
fn fits_type(kind: &str, value: &Value) -> bool {
    if matches!(value, Value::Null | Value::Bool(false)) {
        return true;
    }
    let all = |fits: &dyn Fn(&Value) -> bool| {
        value
            .as_array()
            .is_some_and(|values| values.iter().all(fits))
    };
    match kind {
        "boolean" => value.is_boolean(),
        "char" | "date" | "datetime" | "html" | "selection" | "signature" | "text" => {
            value.is_string()
        }
        "float" | "monetary" => value.is_number(),
        "integer" => value.is_i64(),
        "many2many" => all(&is_link),
        "many2one" => is_link(value),
        "tags" => all(&Value::is_string),
        _ => true,
    }
}

/// The id of a record, or a pair of id and name.
fn is_link(value: &Value) -> bool {
    let is_id = |value: &Value| RecordId::from_json(value).is_some();
    match value.as_array().map(Vec::as_slice) {
        Some([id, name]) => is_id(id) && (name.is_string() || name.is_null()),
        Some(_) => false,
        None => is_id(value),
    }
}

/// A scalar, or a list of scalars or of pairs of id and name.
fn is_value(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| match value {
            Value::Array(pair) => pair.iter().all(is_scalar),
            Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_)
            | Value::String(_) => is_scalar(value),
        }),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => true,
        Value::Object(_) => false,
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// The names that Odoo gives properties.
fn is_property_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
