//! Coerces the values of number fields.

use serde_json::{Number, Value};

use super::{coerced::Coerced, error::quoted};
use gatepost_odoo::Field;

/// A whole number in the range of PostgreSQL's `int4`.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON will always have six kinds of values"
)]
pub(crate) fn coerce_integer(value: &Value) -> Result<Coerced, String> {
    let number = match value {
        Value::Null | Value::Bool(false) => return Ok(zero_for_empty()),
        Value::Number(number) => whole(number),
        Value::String(text) if text.trim().is_empty() => return Ok(zero_for_empty()),
        Value::String(text) => text.trim().parse::<i32>().ok(),
        _ => None,
    };
    number
        .map(|number| Coerced::from_written(value, number.into()))
        .ok_or_else(|| {
            format!(
                "is an integer and takes a whole number from -2147483648 to 2147483647, not {}",
                quoted(value)
            )
        })
}

/// The number as an integer, if it is one in any notation.
pub(crate) fn whole(number: &Number) -> Option<i32> {
    if let Some(number) = number.as_i64() {
        return i32::try_from(number).ok();
    }
    let number = number
        .as_f64()
        .filter(|number| number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX))?;
    // Also turns -0.0 into 0.
    format!("{number:.0}").parse().ok()
}

/// A number with a fraction.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON will always have six kinds of values"
)]
pub(crate) fn coerce_float(field: &Field, value: &Value) -> Result<Coerced, String> {
    let coerced = match value {
        Value::Null | Value::Bool(false) => return Ok(zero_for_empty()),
        Value::Number(_) => Coerced::plain(value.clone()),
        Value::String(text) if text.trim().is_empty() => return Ok(zero_for_empty()),
        Value::String(text) => Coerced::from_written(value, parse_float(field, text)?),
        _ => {
            return Err(format!(
                "is {} and takes a number such as `1234.56`, not {}",
                field.kind,
                quoted(value)
            ));
        }
    };
    Ok(with_rounding_note(field, coerced))
}

/// A number written as text, with a point and nothing else: a comma separates
/// thousands in some places and decimals in others.
fn parse_float(field: &Field, text: &str) -> Result<Value, String> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain
        .then(|| text.parse::<f64>().ok())
        .flatten()
        .and_then(Number::from_f64)
        .map(Value::Number)
        .ok_or_else(|| {
            format!(
                "is {} and takes a number with a point and no separators, units or currency \
                 signs, such as `1234.56`, not {}",
                field.kind,
                quoted(&text.into())
            )
        })
}

/// Adds a note if Odoo will round the number to the decimals of the field.
fn with_rounding_note(field: &Field, mut coerced: Coerced) -> Coerced {
    let written = coerced.value.to_string();
    let decimals = written
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.trim_end_matches('0').len());
    if let Some(kept) = field.decimals.filter(|kept| *kept < decimals) {
        coerced.note = Some(format!(
            "has {kept} decimals, so Odoo rounds {}",
            quoted(&coerced.value)
        ));
    }
    coerced
}

fn zero_for_empty() -> Coerced {
    let note = "is a number, which Odoo never leaves empty: it becomes 0";
    Coerced::with_note(0.into(), note.to_owned())
}
