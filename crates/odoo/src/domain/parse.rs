//! From a client's JSON to a domain.

use serde_json::Value;

use super::{Condition, Domain, InvalidDomain, Operand, OperandKind, Operator, Term};
use crate::FieldPath;
use gatepost_base::text;

/// Terms in one domain, sub-domains included.
const MAX_TERMS: usize = 256;
/// Levels of sub-domains in `any` and `not any`.
const MAX_DEPTH: usize = 4;
/// Values in one list.
const MAX_LIST: usize = 5_000;
/// Bytes in one text value.
const MAX_TEXT: usize = 2_000;
/// Characters of an invalid value that the error shows.
const MAX_EXCERPT_CHARS: usize = 80;

pub(super) fn domain(value: &Value) -> Result<Domain, InvalidDomain> {
    let mut budget = MAX_TERMS;
    // Some models send the list as text that holds the list; the meaning is clear.
    if let Value::String(text) = value
        && let Ok(list @ Value::Array(_)) = serde_json::from_str(text)
    {
        return parse(&list, 0, &mut budget);
    }
    parse(value, 0, &mut budget)
}

fn parse(value: &Value, depth: usize, budget: &mut usize) -> Result<Domain, InvalidDomain> {
    let Value::Array(items) = value else {
        return Err(InvalidDomain::NotAList {
            found: excerpt(value),
        });
    };
    if depth > MAX_DEPTH {
        return Err(InvalidDomain::TooLarge {
            limit: MAX_DEPTH,
            what: "levels of sub-domains",
        });
    }
    // One condition without the list around it; the meaning is clear, too.
    if let [Value::String(field), Value::String(operator), _] = items.as_slice()
        && !matches!(field.as_str(), "&" | "|" | "!")
        && Operator::parse(operator).is_some()
        && FieldPath::try_from(field.as_str()).is_ok()
    {
        return parse(&Value::Array(vec![value.clone()]), depth, budget);
    }
    let mut terms = Vec::with_capacity(items.len() * 2);
    // How many complete expressions are missing, as Odoo's `normalize_domain` counts.
    let mut owed = 1_usize;
    for (index, item) in items.iter().enumerate() {
        *budget = budget.checked_sub(1).ok_or(InvalidDomain::TooLarge {
            limit: MAX_TERMS,
            what: "terms",
        })?;
        if owed == 0 {
            terms.insert(0, Term::And);
            owed = 1;
        }
        let term = parse_term(item, index + 1, depth, budget)?;
        match term {
            Term::And | Term::Or => owed += 1,
            Term::Not => {}
            Term::Condition(_) | Term::Constant(_) => owed -= 1,
        }
        terms.push(term);
    }
    if owed > 0 && !terms.is_empty() {
        return Err(InvalidDomain::Incomplete { missing: owed });
    }
    Ok(Domain::from_normalised(terms))
}

fn parse_term(
    item: &Value,
    position: usize,
    depth: usize,
    budget: &mut usize,
) -> Result<Term, InvalidDomain> {
    let bad = || InvalidDomain::BadTerm {
        position,
        found: excerpt(item),
    };
    match item {
        Value::String(sign) => match sign.as_str() {
            "&" => Ok(Term::And),
            "|" => Ok(Term::Or),
            "!" => Ok(Term::Not),
            _ => Err(bad()),
        },
        Value::Array(parts) => {
            let [field, operator, operand] = parts.as_slice() else {
                return Err(bad());
            };
            let Value::String(spelling) = operator else {
                return Err(bad());
            };
            let operator = Operator::parse(spelling).ok_or_else(|| InvalidDomain::BadOperator {
                position,
                found: text::excerpt(spelling, MAX_EXCERPT_CHARS),
            })?;
            // Odoo's own TRUE_LEAF and FALSE_LEAF.
            if let (Some(left @ (0 | 1)), Operator::Equal, Some(1)) =
                (field.as_u64(), operator, operand.as_u64())
            {
                return Ok(Term::Constant(left == 1));
            }
            let Value::String(path) = field else {
                return Err(bad());
            };
            let path = FieldPath::try_from(path.as_str())
                .map_err(|source| InvalidDomain::BadField { position, source })?;
            let operand = parse_operand(operator, operand, position, depth, budget)?;
            Ok(Term::Condition(Condition {
                path,
                operator,
                operand,
            }))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(bad()),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON has six kinds of values for good"
)]
fn parse_operand(
    operator: Operator,
    value: &Value,
    position: usize,
    depth: usize,
    budget: &mut usize,
) -> Result<Operand, InvalidDomain> {
    let bad = |wanted| InvalidDomain::BadOperand {
        position,
        operator: operator.as_str(),
        wanted,
        found: excerpt(value),
    };
    let scalar = |value: &Value| match value {
        // NUL makes PostgreSQL fail; Odoo would answer with an SQL error.
        Value::String(text) => text.len() <= MAX_TEXT && !text.contains('\0'),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::Array(_) | Value::Object(_) => false,
    };
    let list = |values: &[Value]| values.len() <= MAX_LIST && values.iter().all(scalar);
    let value = match operator.operand_kind() {
        OperandKind::Domain => return parse(value, depth + 1, budget).map(Operand::Domain),
        OperandKind::Hierarchy => match value {
            Value::Number(_) | Value::String(_) if scalar(value) => value.clone(),
            Value::Array(ids) if list(ids) && ids.iter().all(Value::is_number) => value.clone(),
            _ => return Err(bad("an id, a list of ids or a name")),
        },
        // Without a list Odoo silently matches nothing.
        OperandKind::List => match value {
            Value::Array(values) if list(values) => {
                Value::Array(values.iter().map(null_to_false).collect())
            }
            _ => {
                return Err(bad(
                    "a list of values such as `[\"draft\", \"sent\"]` (at most 5000)",
                ));
            }
        },
        OperandKind::Scalar => match value {
            Value::Array(_) | Value::Object(_) => {
                return Err(bad("one value; for a list use `in`"));
            }
            other if scalar(other) => null_to_false(other),
            _ => return Err(bad("a text of at most 2000 characters, without NUL")),
        },
        OperandKind::Sortable => match value {
            Value::Number(_) | Value::String(_) if scalar(value) => value.clone(),
            _ => return Err(bad("a number, a date such as `\"2026-01-31\"` or a text")),
        },
        OperandKind::Text => match value {
            Value::String(_) if scalar(value) => value.clone(),
            _ => return Err(bad("a text such as `\"azure\"`")),
        },
    };
    Ok(Operand::Value(value))
}

/// Odoo represents an empty field as `false`.
fn null_to_false(value: &Value) -> Value {
    if value.is_null() {
        Value::Bool(false)
    } else {
        value.clone()
    }
}

fn excerpt(value: &Value) -> String {
    text::excerpt(&value.to_string(), MAX_EXCERPT_CHARS)
}
