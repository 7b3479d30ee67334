//! Fields that are defined on a parent record.

use serde_json::Value;

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::Operation;

/// The most properties of one record.
const MAX_PROPERTIES: usize = 200;

/// The values of properties. Odoo writes them as a whole: those that are not
/// named are emptied, names that it does not know are dropped, both without a
/// word. So a record that is there takes them as Odoo gives them back, which is
/// all of them, and only a new one as `{"name": value}`. Their definition, which
/// all records of the parent share, is not changed along the way.
pub(crate) fn coerce(effect: Operation, value: Value) -> Result<Coerced, String> {
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
        Value::Object(members) if effect == Operation::Create => {
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
        let note = "is written as a whole: Odoo empties properties that are not in it, and drops \
             names that it does not know";
        return Ok(Coerced::with_note(value, note.to_owned()));
    }
    let form = if effect == Operation::Create {
        "properties as `{\"name\": value}`, by their technical names"
    } else {
        "all properties of the record, for Odoo empties those that are left out: read the field, \
         and give the list back with each `value` as it is to be"
    };
    Err(format!("takes {form}, not {}", quoted(&value)))
}

/// The definitions of properties, each with a name and a type. Odoo checks the
/// rest, and refuses loudly.
pub(crate) fn coerce_definition(value: Value) -> Result<Coerced, String> {
    let fits = value
        .as_array()
        .is_some_and(|list| list.len() <= MAX_PROPERTIES && list.iter().all(is_definition));
    if fits {
        Ok(Coerced::plain(value))
    } else {
        Err(format!(
            "takes a list of definitions, each with `name`, `type` and `string`, not {}",
            quoted(&value)
        ))
    }
}

fn is_definition(one: &Value) -> bool {
    let name = one.get("name").and_then(Value::as_str);
    name.is_some_and(is_property_name) && one.get("type").is_some_and(Value::is_string)
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
