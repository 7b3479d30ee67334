//! JSON values as Python sees them.

use serde_json::Value;

/// The ids in a value: one, several, or none.
pub(super) fn ids(value: &Value) -> Vec<u32> {
    let all = value
        .as_array()
        .map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    all.iter().filter_map(id).collect()
}

/// A positive whole number that can be an id.
pub(super) fn parse_record_id(value: &Value) -> Option<u32> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    // Python treats 10.0 as 10; Rust prints it as 10.
    let id = id.or_else(|| format!("{}", value.as_f64()?).parse().ok());
    id.filter(|id| *id > 0)
}

/// Whether Python treats the value as true.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// The name of a value's type in Python.
pub(super) fn python_type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// A value as Python prints it.
pub(super) fn python_repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => format!("'{text}'"),
        Value::Array(all) => {
            let all: Vec<_> = all.iter().map(python_repr).collect();
            format!("[{}]", all.join(", "))
        }
        Value::Object(all) => {
            let entry =
                |(key, value): (&String, &Value)| format!("'{key}': {}", python_repr(value));
            let all: Vec<_> = all.iter().map(entry).collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::Number(_) => value.to_string(),
    }
}
