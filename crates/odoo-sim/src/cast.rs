//! What Odoo makes of a value that is written to a field.
//!
//! It checks little: much of what does not fit becomes something else without
//! a word, and the rest fails wherever Python trips over it.

use jiff::civil::{Date, DateTime};
use serde_json::{Value, json};

use super::{
    computed::round_to_cents,
    domain::python_repr,
    html,
    refusal::FakeOdooError,
    table::{Field, Table},
};

/// How a record is written. A many2one that is no id differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WriteContext {
    /// A new record: values go to the database as they are.
    Create,
    /// An old one: values go through the cache, which drops what is no id.
    Update,
}

/// The value of any field that holds no several records, as it is kept.
pub(super) fn coerce(
    table: &Table,
    name: &str,
    field: &Field,
    value: &Value,
    writing: WriteContext,
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
        "many2one" => many2one(value, writing),
        "monetary" => Ok(round_to_cents(float(value)?).into()),
        "selection" => selection(table, name, field, value),
        _ => coerce_text(value),
    }
}

/// A whole positive number that can be an id.
pub(super) fn parse_record_id(value: &Value) -> Option<u32> {
    let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
    // 10.0 is 10 for Python, and is printed as 10 here.
    let id = id.or_else(|| format!("{}", value.as_f64()?).parse().ok());
    id.filter(|id| *id > 0)
}

/// Whether Python takes it for true.
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
fn python_type_name(value: &Value) -> &'static str {
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
        // Odoo takes the id out of a record (`Integer.convert_to_column`).
        Value::Object(record) => require_int4(record.get("id").and_then(Value::as_i64)),
        Value::Array(_) => Err(FakeOdooError::type_error(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            python_type_name(value)
        ))),
    }
}

/// A number that its column can hold.
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

/// A date; of a time, its day.
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

/// How times are written.
const DATETIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

/// A time in UTC: a date, or a date and a time with a blank between.
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
    let [year, month, day] = numbers.as_slice() else {
        return Err(FakeOdooError::value_error(format!(
            "time data '{text}' does not match format '{format}'"
        )));
    };
    let small = |number: &i16| i8::try_from(*number).unwrap_or(0);
    match Date::new(*year, small(month), small(day)) {
        Ok(date) => Ok(date),
        Err(_) if (1..=12).contains(month) && (1..=31).contains(day) => {
            Err(FakeOdooError::value_error("day is out of range for month"))
        }
        Err(_) => Err(FakeOdooError::value_error(format!(
            "time data '{text}' does not match format '{format}'"
        ))),
    }
}

fn many2one(value: &Value, writing: WriteContext) -> Result<Value, FakeOdooError> {
    let nothing = Ok(Value::Bool(false));
    match (value, writing) {
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

/// What Python says of a list or a dict where it wants one value.
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
