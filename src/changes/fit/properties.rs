//! Fields that are defined on a parent record.

use serde_json::{Map, Value};

use super::{problem::quoted, taken::Taken};

/// The most properties of one record.
const MAX: usize = 200;

/// The values of properties, as `{"name": value}` or in the form in which Odoo
/// gives them back. Their definition, which all records of the parent share, is
/// not changed along the way.
pub(super) fn fit(value: Value) -> Result<Taken, String> {
    let wrong = |value: &Value| {
        format!(
            "takes properties as `{{\"name\": value}}`, by their technical names, not {}",
            quoted(value)
        )
    };
    match value {
        Value::Object(ref members) if sound(members) => {
            let note = "takes names that its definition does not have without a word: read it back";
            Ok(Taken::read_as(value, note.to_owned()))
        }
        Value::Array(ref list) if list.len() <= MAX => {
            let Some(definitions) = list
                .iter()
                .map(Value::as_object)
                .collect::<Option<Vec<_>>>()
            else {
                return Err(wrong(&value));
            };
            let changes = |definition: &&Map<String, Value>| {
                ["definition_changed", "definition_deleted"]
                    .iter()
                    .any(|flag| definition.contains_key(*flag))
            };
            if definitions.iter().any(|definition| changes(&definition)) {
                return Err(
                    "would change the definition of these properties, which all records of \
                     the parent share; change it on the parent record"
                        .to_owned(),
                );
            }
            let named = definitions.iter().all(|definition| {
                definition.get("name").is_some_and(is_name)
                    && definition.get("type").is_some_and(Value::is_string)
            });
            if named {
                Ok(Taken::plain(value))
            } else {
                Err(wrong(&value))
            }
        }
        Value::Array(_)
        | Value::Bool(_)
        | Value::Null
        | Value::Number(_)
        | Value::Object(_)
        | Value::String(_) => Err(wrong(&value)),
    }
}

/// The definitions of properties, each with a name and a type. Odoo checks the
/// rest, and refuses loudly.
pub(super) fn fit_definition(value: Value) -> Result<Taken, String> {
    let fits = value.as_array().is_some_and(|list| {
        list.len() <= MAX
            && list.iter().all(|definition| {
                definition.get("name").is_some_and(is_name)
                    && definition.get("type").is_some_and(Value::is_string)
            })
    });
    if fits {
        Ok(Taken::plain(value))
    } else {
        Err(format!(
            "takes a list of definitions, each with `name`, `type` and `string`, not {}",
            quoted(&value)
        ))
    }
}

fn sound(members: &Map<String, Value>) -> bool {
    members.len() <= MAX
        && members
            .iter()
            .all(|(name, value)| is_word(name) && is_value(value))
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

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(is_word)
}

/// The names that Odoo gives properties.
fn is_word(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
