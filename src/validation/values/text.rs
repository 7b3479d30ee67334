//! Coerces the values of text fields.

use serde_json::Value;

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::Field;

/// The most bytes of one text.
const MAX_BYTES: usize = 1 << 20;

/// Text. A whole number becomes its digits, as in a phone or order number. Odoo
/// would store the Python form of anything else (`True`, `['a']`).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON will always have six kinds of values"
)]
pub(crate) fn coerce(field: &Field, value: Value) -> Result<Coerced, String> {
    let coerced = match value {
        Value::String(_) => Coerced::plain(value),
        Value::Number(ref number) if number.is_i64() || number.is_u64() => {
            Coerced::from_written(&value, number.to_string().into())
        }
        _ => {
            return Err(format!(
                "is {} and takes text, in quotes, not {}",
                field.kind,
                quoted(&value)
            ));
        }
    };
    let text = coerced.value.as_str().unwrap_or_default();
    if text.len() > MAX_BYTES {
        return Err(format!(
            "has {} bytes; a text may have {MAX_BYTES}",
            text.len()
        ));
    }
    let length = text.chars().count();
    if let Some(size) = field.size.filter(|size| *size > 0 && *size < length) {
        return Err(format!(
            "may have {size} characters, and this has {length}: Odoo would cut it silently"
        ));
    }
    Ok(coerced)
}
