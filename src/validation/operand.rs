//! Coerces the operands of a domain to the fields that they are compared with.

use serde_json::Value;

use super::values::option_list;
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
                .map(|value| coerce_value(field, path, value))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => Ok(other),
            other @ (Value::String(_) | Value::Object(_)) => Ok(other),
        },
        OperandKind::Scalar | OperandKind::Sortable => coerce_value(field, path, value),
        OperandKind::Domain | OperandKind::Hierarchy | OperandKind::Text => Ok(value),
    }
}

/// One value in the form that the field takes. Some clients can only send text, so
/// numbers and booleans may be written as text.
fn coerce_value(field: &Field, path: &FieldPath, value: Value) -> Result<Value, OperationError> {
    let Value::String(text) = &value else {
        return match (field.kind, &value) {
            (FieldKind::Boolean, Value::Number(number))
                if matches!(number.as_u64(), Some(0 | 1)) =>
            {
                Ok(Value::Bool(number.as_u64() == Some(1)))
            }
            (FieldKind::Boolean, Value::Number(_)) => {
                Err(incompatible_value(path, field, "`true` or `false`", &value))
            }
            (FieldKind::Date | FieldKind::Datetime, Value::Number(_)) => Err(incompatible_value(
                path,
                field,
                "a day such as `\"2026-01-31\"`",
                &value,
            )),
            _ => Ok(value),
        };
    };
    match field.kind {
        FieldKind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" | "" => Ok(Value::Bool(false)),
            _ => Err(incompatible_value(path, field, "`true` or `false`", &value)),
        },
        FieldKind::Integer | FieldKind::Many2oneReference => text
            .trim()
            .parse::<i64>()
            .ok()
            .map(Value::from)
            .ok_or_else(|| incompatible_value(path, field, "a whole number", &value)),
        FieldKind::Float | FieldKind::Monetary => text
            .trim()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number)
            .ok_or_else(|| incompatible_value(path, field, "a number", &value)),
        // Odoo looks up names; digits alone are an id.
        FieldKind::Many2one | FieldKind::Many2many | FieldKind::One2many => Ok(text
            .trim()
            .parse::<u32>()
            .map_or_else(|_name| value.clone(), Value::from)),
        FieldKind::Selection if !field.selection.is_empty() && !text.is_empty() => {
            if field.selection.iter().any(|choice| *choice.key == **text) {
                return Ok(value);
            }
            // People use the label.
            let by_label = field
                .selection
                .iter()
                .find(|choice| choice.label.eq_ignore_ascii_case(text));
            by_label
                .map(|choice| Value::from(&*choice.key))
                .ok_or_else(|| {
                    incompatible_value(path, field, &option_list(&field.selection), &value)
                })
        }
        FieldKind::Date | FieldKind::Datetime => Ok(Value::from(datetime_to_utc(text))),
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
        | FieldKind::Unknown => Ok(value),
    }
}

/// Converts a time with an offset to UTC in Odoo's form, because Odoo fails on
/// offsets. Anything else, such as `today -7d`, is left to Odoo.
pub(crate) fn datetime_to_utc(text: &str) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(
        |_no_offset| text.to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
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
