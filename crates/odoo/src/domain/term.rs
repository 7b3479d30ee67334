//! The terms of a domain.

use serde_json::Value;

use super::{Domain, Operator};
use crate::FieldPath;

/// One term of a domain in prefix form.
#[derive(Clone, PartialEq, Debug)]
pub enum Term {
    /// Both of the next two expressions.
    And,
    /// One comparison.
    Condition(Condition),
    /// Every record (`true`) or no record.
    Constant(bool),
    /// Not the next expression.
    Not,
    /// At least one of the next two expressions.
    Or,
}

/// One comparison: a field, an operator and a right side.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// The field, perhaps through relations.
    pub path: FieldPath,
    /// How they are compared.
    pub operator: Operator,
    /// The right side.
    pub operand: Operand,
}

/// The right side of a condition.
#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    /// A domain on the related model, for `any` and `not any`.
    Domain(Domain),
    /// A value: text, number, boolean, or a list of those.
    Value(Value),
}

impl Term {
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::And => Value::from("&"),
            Self::Condition(condition) => {
                let operand = match &condition.operand {
                    Operand::Domain(domain) => domain.to_json(),
                    Operand::Value(value) => value.clone(),
                };
                Value::Array(vec![
                    Value::from(condition.path.as_str()),
                    Value::from(condition.operator.as_str()),
                    operand,
                ])
            }
            Self::Constant(truth) => Value::Array(vec![
                Value::from(u8::from(*truth)),
                Value::from("="),
                Value::from(1),
            ]),
            Self::Not => Value::from("!"),
            Self::Or => Value::from("|"),
        }
    }
}
