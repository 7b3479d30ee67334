//! Whether a record is still one that may be changed, with its new values.
//!
//! A change is one transaction in Odoo, and cannot be taken back when it turns
//! out wrong. So a rule's domain is judged before: its conditions on fields that
//! are written are decided on the new values, and what is left of it is asked of
//! the records as they are.

use serde_json::{Map, Value};

use super::{Forbidden, Undecided, evidence::Evidence};
use crate::odoo::{
    Condition, Domain, Effect, Field, FieldKind, FieldName, FieldPath, ModelName, Operand,
    Operator, RecordId, Term,
};

/// What is left of an expression.
enum Left {
    /// Nothing: it is decided.
    Known(bool),
    /// What is to be asked of the record as it is.
    Open(Domain),
}

/// One judgement.
struct Judge<'a> {
    evidence: &'a Evidence<'a>,
    model: &'a ModelName,
    effect: Effect,
    values: &'a Map<String, Value>,
    /// A field whose new value decided something.
    decided: Option<FieldName>,
}

/// Allows values with which the records are within the cover.
///
/// # Errors
/// [`Undecided`].
pub(super) fn stays(
    evidence: &Evidence<'_>,
    (model, effect): (&ModelName, Effect),
    ids: &[RecordId],
    values: &Map<String, Value>,
    cover: Domain,
) -> Result<(), Undecided> {
    if cover.is_empty() {
        return Ok(());
    }
    let mut judge = Judge {
        evidence,
        model,
        effect,
        values,
        decided: None,
    };
    let terms = cover.into_terms();
    let left = judge.expression(&mut terms.into_iter())?;
    let outside = |field: Option<FieldName>| {
        Undecided::from(Forbidden::Outside {
            model: model.clone(),
            effect,
            field: field.unwrap_or_else(|| FieldName::known("id")),
        })
    };
    match left {
        Left::Known(true) => Ok(()),
        Left::Known(false) => Err(outside(judge.decided)),
        // Of a new record nobody knows what Odoo fills in.
        Left::Open(domain) if effect == Effect::Create => {
            let field = domain
                .fields()
                .next()
                .and_then(|name| FieldName::try_from(name).ok());
            Err(judge.unjudged(field))
        }
        Left::Open(domain) => {
            if evidence.outside(model, ids, &domain).is_empty() {
                Ok(())
            } else {
                Err(outside(judge.decided))
            }
        }
    }
}

impl Judge<'_> {
    /// The next expression of a domain in prefix form.
    fn expression(&mut self, terms: &mut impl Iterator<Item = Term>) -> Result<Left, Undecided> {
        let Some(term) = terms.next() else {
            return Ok(Left::Known(true));
        };
        Ok(match term {
            Term::And => {
                let (one, other) = (self.expression(terms)?, self.expression(terms)?);
                match (one, other) {
                    (Left::Known(false), _) | (_, Left::Known(false)) => Left::Known(false),
                    (Left::Known(true), left) | (left, Left::Known(true)) => left,
                    (Left::Open(one), Left::Open(other)) => Left::Open(one.and(other)),
                }
            }
            Term::Condition(condition) => self.condition(condition)?,
            Term::Constant(truth) => Left::Known(truth),
            Term::Not => match self.expression(terms)? {
                Left::Known(truth) => Left::Known(!truth),
                Left::Open(domain) => Left::Open(domain.negated()),
            },
            Term::Or => {
                let (one, other) = (self.expression(terms)?, self.expression(terms)?);
                match (one, other) {
                    (Left::Known(true), _) | (_, Left::Known(true)) => Left::Known(true),
                    (Left::Known(false), left) | (left, Left::Known(false)) => left,
                    (Left::Open(one), Left::Open(other)) => Left::Open(one.or(other)),
                }
            }
        })
    }

    fn condition(&mut self, condition: Condition) -> Result<Left, Undecided> {
        let (first, rest) = condition.path.split_first();
        let Some(value) = self.values.get(first) else {
            return Ok(Left::Open(Domain::of(condition)));
        };
        let name = FieldName::try_from(first).ok();
        self.decided.clone_from(&name);
        let field = self.evidence.schemas.of(self.model)?.field(first);
        let field = field.ok_or_else(|| self.unjudged(name.clone()))?;
        let truth = self
            .truth(field, value, &condition, rest)
            .ok_or_else(|| self.unjudged(name))?;
        Ok(Left::Known(truth))
    }

    /// Whether the condition holds for the new value; none where that cannot
    /// be said.
    fn truth(
        &self,
        field: &Field,
        value: &Value,
        condition: &Condition,
        rest: Option<FieldPath>,
    ) -> Option<bool> {
        let Condition {
            operator, operand, ..
        } = condition;
        if field.kind.is_x2many() {
            return None;
        }
        let Some(relation) = field
            .relation
            .as_ref()
            .filter(|_| field.kind == FieldKind::Many2one)
        else {
            return match (rest, operand) {
                (None, Operand::Value(wanted)) => compare(field.kind, *operator, value, wanted),
                (Some(_), _) | (None, Operand::Domain(_)) => None,
            };
        };
        let path = |name: FieldPath| {
            Domain::of(Condition {
                path: name,
                operator: *operator,
                operand: operand.clone(),
            })
        };
        let (asked, holds) = match (rest, operand, operator) {
            (Some(rest), _, _) => (path(rest), true),
            (None, Operand::Domain(inner), Operator::Any) => (inner.clone(), true),
            (None, Operand::Domain(inner), Operator::NotAny) => (inner.clone(), false),
            (None, _, Operator::ChildOf | Operator::ParentOf) => {
                (path(FieldPath::from(&FieldName::known("id"))), true)
            }
            (None, Operand::Value(wanted), _) => {
                return compare(field.kind, *operator, value, wanted);
            }
            (None, Operand::Domain(_), _) => return None,
        };
        // Nothing linked: what Odoo makes of that depends on the operator.
        let id = value.as_i64().and_then(|id| RecordId::try_from(id).ok())?;
        let is_within = self.evidence.outside(relation, &[id], &asked).is_empty();
        Some(is_within == holds)
    }

    fn unjudged(&self, field: Option<FieldName>) -> Undecided {
        Forbidden::Unjudged {
            model: self.model.clone(),
            effect: self.effect,
            field: field.unwrap_or_else(|| FieldName::known("id")),
        }
        .into()
    }
}

/// A comparison of values as Odoo would make it; none where only Odoo knows.
fn compare(kind: FieldKind, operator: Operator, value: &Value, wanted: &Value) -> Option<bool> {
    match operator {
        Operator::Equal => equal(value, wanted),
        Operator::NotEqual => equal(value, wanted).map(|same| !same),
        Operator::In => among(value, wanted),
        Operator::NotIn => among(value, wanted).map(|among| !among),
        Operator::Greater => Some(order(kind, value, wanted)?.is_gt()),
        Operator::GreaterOrEqual => Some(order(kind, value, wanted)?.is_ge()),
        Operator::Less => Some(order(kind, value, wanted)?.is_lt()),
        Operator::LessOrEqual => Some(order(kind, value, wanted)?.is_le()),
        Operator::Any
        | Operator::ChildOf
        | Operator::EqualIlike
        | Operator::EqualLike
        | Operator::Ilike
        | Operator::Like
        | Operator::NotAny
        | Operator::NotEqualIlike
        | Operator::NotEqualLike
        | Operator::NotIlike
        | Operator::NotLike
        | Operator::ParentOf => None,
    }
}

/// Whether two values of the same kind are the same. Nothing is `null` or
/// `false`; an empty text or a nought may be nothing too, which only Odoo knows.
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
        (Value::Number(one), Value::Null | Value::Bool(false))
        | (Value::Null | Value::Bool(false), Value::Number(one)) => {
            (one.as_f64()? != 0.0).then_some(false)
        }
        (Value::String(one), Value::Null | Value::Bool(false))
        | (Value::Null | Value::Bool(false), Value::String(one)) => {
            (!one.is_empty()).then_some(false)
        }
        (Value::Null | Value::Bool(_), Value::Null | Value::Bool(_))
        | (Value::Array(_) | Value::Object(_), _)
        | (_, Value::Array(_) | Value::Object(_))
        | (Value::Bool(true), Value::Number(_) | Value::String(_))
        | (Value::Number(_) | Value::String(_), Value::Bool(true))
        | (Value::Number(_), Value::String(_))
        | (Value::String(_), Value::Number(_)) => None,
    }
}

fn among(value: &Value, wanted: &Value) -> Option<bool> {
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

/// The order of numbers, days and moments; that of texts depends on the
/// database.
fn order(kind: FieldKind, value: &Value, wanted: &Value) -> Option<std::cmp::Ordering> {
    match (value, wanted) {
        (Value::Number(one), Value::Number(other)) => one.as_f64()?.partial_cmp(&other.as_f64()?),
        (Value::String(one), Value::String(other))
            if matches!(kind, FieldKind::Date | FieldKind::Datetime)
                && one.len() == other.len()
                && [one, other]
                    .iter()
                    .all(|text| text.starts_with(|c: char| c.is_ascii_digit())) =>
        {
            Some(one.cmp(other))
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
