//! How Odoo coerces a value that is written to a field.
//!
//! It checks little: many wrong values are silently changed, and the rest fail
//! wherever Python happens to raise.

use jiff::civil::{Date, DateTime};
use serde_json::{Value, json};

use super::{
    computed::round_to_cents,
    error::FakeOdooError,
    html,
    table::{Field, Table},
    value::{is_truthy, parse_record_id, python_repr, python_type_name},
};

/// Whether a record is created or updated. Only a many2one that is not an id differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WriteContext {
    /// A new record: values go directly to the database.
    Create,
    /// An existing record: values go through the cache, which drops values that are not ids.
    Update,
}

/// The value that is stored for a field that is not x2many.
pub(super) fn coerce(
    table: &Table,
    name: &str,
    field: &Field,
    value: &Value,
    context: WriteContext,
) -> Result<Value, FakeOdooError> {
    match field.kind {
        "boolean" => Ok(is_truthy(value).into()),
        "date" => date(value),
        "datetime" => datetime(value),
        "float" if field.decimals.is_some() => Ok(round_to_cents(float(value)?).into()),
        "float" => Ok(float(value)?.into()),
        "html" => {
            if is_truthy(value) && !value.is_string() {
                return Ok("<p>Unknown error when sanitizing</p>".into());
            }
            let text = coerce_text(value)?;
            Ok(text
                .as_str()
                .map_or(Value::Bool(false), |text| html::sanitize(text).into()))
        }
        "integer" | "many2one_reference" => integer(value),
        "many2one" => many2one(value, context),
        "monetary" => Ok(round_to_cents(float(value)?).into()),
        "selection" => selection(table, name, field, value),
        _ => coerce_text(value),
    }
}

fn coerce_text(value: &Value) -> Result<Value, FakeOdooError> {
    let text = match value {
        Value::Null | Value::Bool(false) => return Ok(Value::Bool(false)),
        Value::String(text) => text.clone(),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            python_repr(value)
        }
    };
    if text.contains('\0') {
        return Err(FakeOdooError::value_error(
            "A string literal cannot contain NUL (0x00) characters.",
        ));
    }
    Ok(text.into())
}

fn integer(value: &Value) -> Result<Value, FakeOdooError> {
    match value {
        Value::Null | Value::Bool(false) => Ok(json!(0)),
        Value::Bool(true) => Ok(json!(1)),
        Value::Number(number) => {
            let cut = number.as_f64().unwrap_or_default().trunc();
            require_int4(format!("{cut}").parse().ok())
        }
        Value::String(text) if text.is_empty() => Ok(json!(0)),
        Value::String(text) => {
            let number = text.trim().parse::<i64>().map_err(|_error| {
                FakeOdooError::value_error(format!(
                    "invalid literal for int() with base 10: {}",
                    python_repr(value)
                ))
            })?;
            require_int4(Some(number))
        }
        // Odoo takes the id of a record (`Integer.convert_to_column`).
        Value::Object(record) => require_int4(record.get("id").and_then(Value::as_i64)),
        Value::Array(_) => Err(FakeOdooError::type_error(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            python_type_name(value)
        ))),
    }
}

/// Checks that a number fits into a 32-bit column.
fn require_int4(number: Option<i64>) -> Result<Value, FakeOdooError> {
    number
        .filter(|number| i32::try_from(*number).is_ok())
        .map(Value::from)
        .ok_or_else(|| {
            FakeOdooError::new(
                500,
                "psycopg2.errors.NumericValueOutOfRange",
                "integer out of range\n",
            )
        })
}

fn float(value: &Value) -> Result<f64, FakeOdooError> {
    match value {
        Value::Null | Value::Bool(false) => Ok(0.0),
        Value::Bool(true) => Ok(1.0),
        Value::Number(number) => Ok(number.as_f64().unwrap_or_default()),
        Value::String(text) if text.is_empty() => Ok(0.0),
        Value::String(text) => {
            let number: Option<f64> = text.trim().parse().ok();
            number.filter(|number| number.is_finite()).ok_or_else(|| {
                FakeOdooError::value_error(format!(
                    "could not convert string to float: {}",
                    python_repr(value)
                ))
            })
        }
        Value::Array(_) | Value::Object(_) => Err(FakeOdooError::type_error(format!(
            "float() argument must be a string or a real number, not '{}'",
            python_type_name(value)
        ))),
    }
}

/// A date; the day of a datetime.
fn date(value: &Value) -> Result<Value, FakeOdooError> {
    match value {
        Value::Null | Value::Bool(false) => Ok(Value::Bool(false)),
        Value::String(text) if text.is_empty() => Ok(Value::Bool(false)),
        Value::String(text) => {
            let day = text.get(..10).unwrap_or(text);
            parse_date(day, "%Y-%m-%d").map(|date| date.to_string().into())
        }
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(FakeOdooError::type_error(format!(
                "'{}' object is not subscriptable",
                python_type_name(value)
            )))
        }
    }
}

/// The format of datetimes.
const DATETIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A datetime in UTC: a date, or a date and a time separated by a space.
fn datetime(value: &Value) -> Result<Value, FakeOdooError> {
    let text = match value {
        Value::Null | Value::Bool(false) => return Ok(Value::Bool(false)),
        Value::String(text) if text.is_empty() => return Ok(Value::Bool(false)),
        Value::String(text) => text,
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            return Err(FakeOdooError::type_error(format!(
                "object of type '{}' has no len()",
                python_type_name(value)
            )));
        }
    };
    let mismatch = || {
        FakeOdooError::value_error(format!(
            "time data {} does not match format '{DATETIME_FORMAT}'",
            python_repr(value)
        ))
    };
    let Some((day, time)) = text.split_once(' ') else {
        if text.chars().count() != 10 {
            return Err(mismatch());
        }
        return Ok(format!("{} 00:00:00", parse_date(text, DATETIME_FORMAT)?).into());
    };
    let date = parse_date(day, DATETIME_FORMAT)?;
    let (time, more) = time.split_at_checked(8).unwrap_or((time, ""));
    let time = if time.len() == 5 {
        format!("{time}:00")
    } else {
        time.to_owned()
    };
    let whole = DateTime::strptime(DATETIME_FORMAT, format!("{date} {time}"))
        .map_err(|_error| mismatch())?;
    if !more.is_empty() {
        return Err(FakeOdooError::value_error(format!(
            "unconverted data remains: {more}"
        )));
    }
    Ok(whole.strftime(DATETIME_FORMAT).to_string().into())
}

fn parse_date(text: &str, format: &str) -> Result<Date, FakeOdooError> {
    let numbers: Vec<i16> = text
        .split('-')
        .filter_map(|part| part.parse().ok())
        .collect();
    let mismatch = || {
        FakeOdooError::value_error(format!(
            "time data '{text}' does not match format '{format}'"
        ))
    };
    let [year, month, day] = numbers.as_slice() else {
        return Err(mismatch());
    };
    let small = |number: &i16| i8::try_from(*number).unwrap_or(0);
    match Date::new(*year, small(month), small(day)) {
        Ok(date) => Ok(date),
        Err(_) if (1..=12).contains(month) && (1..=31).contains(day) => {
            Err(FakeOdooError::value_error("day is out of range for month"))
        }
        Err(_) => Err(mismatch()),
    }
}

fn many2one(value: &Value, context: WriteContext) -> Result<Value, FakeOdooError> {
    let nothing = Ok(Value::Bool(false));
    match (value, context) {
        (Value::Null | Value::Bool(false), _) => nothing,
        (Value::Number(number), _) if number.is_i64() || number.is_u64() => {
            Ok(parse_record_id(value).map_or(Value::Bool(false), Value::from))
        }
        (_, WriteContext::Update) => nothing,
        (Value::Number(_), WriteContext::Create) => {
            Ok(parse_record_id(value).map_or(Value::Bool(false), Value::from))
        }
        (Value::String(text), WriteContext::Create) if text.is_empty() => nothing,
        (Value::String(text), WriteContext::Create) => match text.trim().parse::<u32>() {
            Ok(id) => Ok(id.into()),
            Err(_) => Err(FakeOdooError::invalid_integer(text)),
        },
        (Value::Array(all), WriteContext::Create) => match all.iter().find_map(Value::as_str) {
            Some(text) => Err(FakeOdooError::invalid_integer(text)),
            None => Err(datatype_mismatch("integer[]")),
        },
        (Value::Bool(true), WriteContext::Create) => Err(datatype_mismatch("boolean")),
        (Value::Object(_), WriteContext::Create) => Err(FakeOdooError::new(
            500,
            "psycopg2.ProgrammingError",
            "can't adapt type 'dict'",
        )),
    }
}

/// Python's error for a list or a dict where it needs a single value.
pub(super) fn unhashable_error(value: &Value) -> FakeOdooError {
    FakeOdooError::type_error(format!("unhashable type: '{}'", python_type_name(value)))
}

pub(super) fn datatype_mismatch(kind: &str) -> FakeOdooError {
    FakeOdooError::new(
        500,
        "psycopg2.errors.DatatypeMismatch",
        format!("column is of type integer but expression is of type {kind}\nLINE 1: ...\n"),
    )
}

fn selection(
    table: &Table,
    name: &str,
    field: &Field,
    value: &Value,
) -> Result<Value, FakeOdooError> {
    let key = value.as_str().unwrap_or_default();
    if field.choices.iter().any(|(known, _)| *known == key) {
        return Ok(key.into());
    }
    if !is_truthy(value) {
        return Ok(Value::Bool(false));
    }
    if value.is_array() || value.is_object() {
        return Err(unhashable_error(value));
    }
    Err(FakeOdooError::value_error(format!(
        "Wrong value for {}.{name}: {}",
        table.model,
        python_repr(value)
    )))
}
