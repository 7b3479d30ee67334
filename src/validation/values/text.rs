//! Lines, long texts, HTML.

use serde_json::Value;

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::Field;

/// The most bytes of one text.
const MAX_BYTES: usize = 1 << 20;

/// Text. A whole number is taken for its digits, as in a number of a phone or
/// of an order; Odoo would store what Python writes for anything (`True`, `['a']`).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON has six kinds of values for good"
)]
pub(crate) fn coerce(field: &Field, value: Value) -> Result<Coerced, String> {
    let taken = match value {
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
    let text = taken.value.as_str().unwrap_or_default();
    if text.len() > MAX_BYTES {
        return Err(format!(
            "has {} bytes; a text may have {MAX_BYTES}",
            text.len()
        ));
    }
    let length = text.chars().count();
    if let Some(size) = field.size.filter(|size| *size > 0 && *size < length) {
        return Err(format!(
            "holds at most {size} characters, and this has {length}: Odoo would cut it without a word"
        ));
    }
    Ok(taken)
}
