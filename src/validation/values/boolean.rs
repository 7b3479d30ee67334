//! Coerces the values of boolean fields.

use serde_json::Value;

use super::{coerced::Coerced, error::quoted};

/// A boolean, also one written as text or as 0 or 1. Odoo takes any non-empty text
/// as true (Odoo 19, `odoo/orm/fields_misc.py`).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON will always have six kinds of values"
)]
pub(crate) fn coerce(value: &Value) -> Result<Coerced, String> {
    let boolean = match value {
        Value::Bool(boolean) => Some(*boolean),
        Value::Null => Some(false),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    };
    boolean
        .map(|boolean| Coerced::from_written(value, boolean.into()))
        .ok_or_else(|| {
            format!(
                "is a boolean and takes `true` or `false`, not {}",
                quoted(value)
            )
        })
}
