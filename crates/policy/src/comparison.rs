//! Compares values as Odoo does, where the result is certain.

use std::cmp::Ordering;

use serde_json::Value;

use gatepost_odoo::{FieldKind, OperandKind, Operator};

/// Whether `value` matches the condition, or `None` where only Odoo knows.
pub(super) fn compare(
    kind: FieldKind,
    operator: Operator,
    value: &Value,
    wanted: &Value,
) -> Option<bool> {
    let (positive, negated) = operator.without_negation();
    let matches = match operator.operand_kind() {
        OperandKind::List => is_in(value, wanted)?,
        OperandKind::Scalar => equal(value, wanted)?,
        OperandKind::Sortable => match order(kind, value, wanted)? {
            Ordering::Equal => {
                matches!(positive, Operator::GreaterOrEqual | Operator::LessOrEqual)
            }
            Ordering::Greater => {
                matches!(positive, Operator::Greater | Operator::GreaterOrEqual)
            }
            Ordering::Less => matches!(positive, Operator::Less | Operator::LessOrEqual),
        },
        OperandKind::Domain | OperandKind::Hierarchy | OperandKind::Text => return None,
    };
    Some(matches != negated)
}

/// Whether a value is Odoo's for an empty field.
pub(super) fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Null | Value::Bool(false))
}

/// Whether a value names no record by a text.
pub fn only_ids(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(only_ids),
        Value::Bool(_) | Value::Null | Value::Number(_) => true,
        Value::Object(_) | Value::String(_) => false,
    }
}

/// Whether two values are equal. `null` and `false` both mean empty; an empty
/// text or a zero may mean that, too, but only Odoo knows.
fn equal(value: &Value, wanted: &Value) -> Option<bool> {
    match (value, wanted) {
        (Value::Bool(one), Value::Bool(other)) => Some(one == other),
        (Value::Null, Value::Null | Value::Bool(false)) | (Value::Bool(false), Value::Null) => {
            Some(true)
        }
        (Value::Number(one), Value::Number(other)) => {
            Some(one.as_f64()?.partial_cmp(&other.as_f64()?)?.is_eq())
        }
        (Value::String(one), Value::String(other)) => Some(one == other),
        (Value::Number(one), empty) | (empty, Value::Number(one)) if is_empty(empty) => {
            (one.as_f64()? != 0.0).then_some(false)
        }
        (Value::String(one), empty) | (empty, Value::String(one)) if is_empty(empty) => {
            (!one.is_empty()).then_some(false)
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => None,
    }
}

fn is_in(value: &Value, wanted: &Value) -> Option<bool> {
    let mut unknown = false;
    for one in wanted.as_array()? {
        match equal(value, one) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(false)
}

/// The order of numbers and of dates. That of texts depends on the database.
fn order(kind: FieldKind, value: &Value, wanted: &Value) -> Option<Ordering> {
    if let (Some(one), Some(other)) = (value.as_f64(), wanted.as_f64()) {
        return one.partial_cmp(&other);
    }
    let (one, other) = (value.as_str()?, wanted.as_str()?);
    let is_date = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    (kind.is_date() && one.len() == other.len() && is_date(one) && is_date(other))
        .then(|| one.cmp(other))
}
