//! Coerces the operands of a domain to the fields that they are compared with.

use serde_json::{Number, Value, json};

use super::{
    date_operand::{self, VALID_DATE, VALID_DATETIME, VALID_EXACT_TIME},
    values::option_list,
};
use crate::access::OperationError;
use gatepost_odoo::{Field, FieldKind, FieldPath, OperandKind, Operator};

/// The operand in the form that the field takes.
pub(crate) fn coerce_operand(
    field: &Field,
    path: &FieldPath,
    operator: Operator,
    value: Value,
) -> Result<Value, OperationError> {
    match operator.operand_kind() {
        OperandKind::List => match value {
            Value::Array(values) => values
                .into_iter()
                .map(|value| coerce_value(field, path, operator, value))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Ok(other),
            other @ (Value::String(_) | Value::Object(_)) => Ok(other),
        },
        OperandKind::Scalar | OperandKind::Sortable => coerce_value(field, path, operator, value),
        OperandKind::Text if field.kind == FieldKind::Selection => {
            pattern_of_keys(field, path, value)
        }
        OperandKind::Domain | OperandKind::Hierarchy | OperandKind::Text => Ok(value),
    }
}

/// A part of a key. Odoo looks for it in the keys only, so a part of a label would
/// silently match nothing.
fn pattern_of_keys(field: &Field, path: &FieldPath, value: Value) -> Result<Value, OperationError> {
    let part = value.as_str().unwrap_or_default().to_lowercase();
    let is_known = field.selection.is_empty()
        || part.contains(['%', '_', '\\'])
        || field
            .selection
            .iter()
            .any(|option| option.key.to_lowercase().contains(&part));
    if is_known {
        return Ok(value);
    }
    Err(incompatible_value(
        path,
        field,
        &option_list(&field.selection),
        &value,
    ))
}

/// One value in the form that the field takes. Some clients can only send text, so
/// numbers and booleans may be written as text. `false` stands for an empty field.
fn coerce_value(
    field: &Field,
    path: &FieldPath,
    operator: Operator,
    value: Value,
) -> Result<Value, OperationError> {
    if value == Value::Bool(false) {
        return Ok(value);
    }
    let text = value.as_str().map(str::trim);
    let (coerced, wanted) = match field.kind {
        FieldKind::Boolean => (boolean(&value), "`true` or `false`"),
        FieldKind::Date => (
            text.and_then(date_operand::coerce_date).map(Value::from),
            VALID_DATE,
        ),
        FieldKind::Datetime => {
            let time = text.and_then(date_operand::coerce_datetime);
            if operator.operand_kind() == OperandKind::Sortable {
                (time.map(Value::from), VALID_DATETIME)
            } else {
                let end = time.as_deref().and_then(date_operand::day_after);
                if let (Some(start), Some(end)) = (&time, end) {
                    return Err(whole_day(path, operator, start, &end));
                }
                (time.map(Value::from), VALID_EXACT_TIME)
            }
        }
        FieldKind::Float | FieldKind::Monetary => (number(&value), "a number"),
        FieldKind::Integer | FieldKind::Many2oneReference => {
            (whole_number(&value), "a whole number")
        }
        // Odoo looks up names; digits alone are an id.
        FieldKind::Many2one | FieldKind::Many2many | FieldKind::One2many => {
            let id = text.and_then(|text| text.parse::<u32>().ok());
            return Ok(id.map_or(value, Value::from));
        }
        // An empty text may be an empty field.
        FieldKind::Selection if !field.selection.is_empty() && value != "" => {
            let wanted = || option_list(&field.selection);
            return option_key(field, &value)
                .ok_or_else(|| incompatible_value(path, field, &wanted(), &value));
        }
        FieldKind::Binary
        | FieldKind::Char
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text
        | FieldKind::Unknown => return Ok(value),
    };
    coerced.ok_or_else(|| incompatible_value(path, field, wanted, &value))
}

fn boolean(value: &Value) -> Option<Value> {
    let written = match value {
        Value::Number(_) => whole_number(value)?.to_string(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        Value::Bool(_) => return Some(value.clone()),
        Value::Array(_) | Value::Null | Value::Object(_) => return None,
    };
    match written.as_str() {
        "true" | "1" => Some(true.into()),
        "false" | "0" | "" => Some(false.into()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => Number::from_f64(text.trim().parse().ok()?).map(Value::from),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => None,
    }
}

/// A whole number in any notation. Odoo cuts off a fraction, which would compare with
/// another number than was sent.
fn whole_number(value: &Value) -> Option<Value> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => return None,
    };
    let whole = || {
        let number: f64 = text.parse().ok()?;
        // Beyond, several whole numbers have the same notation.
        let is_whole = number.fract() == 0.0 && number.abs() < MAX_EXACT;
        is_whole.then(|| format!("{number:.0}").parse().ok())?
    };
    text.parse::<i64>().ok().or_else(whole).map(Value::from)
}

/// The first whole number that is not the only one of its notation as `f64`: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The key of an option, of which people use the label.
fn option_key(field: &Field, value: &Value) -> Option<Value> {
    let written = match value {
        // Keys are text even if they look like numbers, such as those of a priority.
        Value::Number(number) => {
            whole_number(value).map_or_else(|| number.to_string(), |whole| whole.to_string())
        }
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_) => return None,
    };
    let by_key = field.selection.iter();
    let by_key = by_key.clone().find(|option| *option.key == *written);
    let by_label = || {
        let mut options = field.selection.iter();
        options.find(|option| option.label.eq_ignore_ascii_case(&written))
    };
    by_key
        .or_else(by_label)
        .map(|option| Value::from(&*option.key))
}

/// The error for a day, of which the operator would find one second.
fn whole_day(path: &FieldPath, operator: Operator, start: &str, end: &str) -> OperationError {
    let name = path.to_string();
    let (_, is_negated) = operator.without_negation();
    let instead = if is_negated {
        json!(["|", [name, "<", start], [name, ">=", end]])
    } else {
        json!([[name, ">=", start], [name, "<", end]])
    };
    OperationError::InvalidArgument(format!(
        "`{path}` is datetime, so `{}` compares with one second of `{start}`, not with the whole day; write two conditions instead: `{instead}`",
        operator.as_str()
    ))
}

fn incompatible_value(
    path: &FieldPath,
    field: &Field,
    wanted: &str,
    value: &Value,
) -> OperationError {
    let found: String = value.to_string().chars().take(60).collect();
    OperationError::InvalidArgument(format!(
        "`{path}` is {} and compares with {wanted}, not with `{found}`",
        field.kind
    ))
}
