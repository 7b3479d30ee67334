//! A domain as a whole: how it is made, joined, negated and written.

use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::{Condition, InvalidDomain, Operand, Operator, Term, parse};
use crate::{FieldPath, RecordId};

/// An Odoo search domain: well formed, bounded, and normalised so that every
/// `&` is written out (Odoo's polish notation, `odoo/orm/domains.py`).
///
/// At most 256 terms, sub-domains included, and 4 levels of sub-domains. An
/// empty one matches every record.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Domain {
    /// Invariant: a complete expression in prefix form, or empty.
    terms: Vec<Term>,
}

impl Domain {
    /// Parses a domain as a client sent it.
    ///
    /// # Errors
    /// [`InvalidDomain`], which says what is wrong and shows the right form.
    pub fn parse(value: &Value) -> Result<Self, InvalidDomain> {
        parse::domain(value)
    }

    /// The terms in prefix form, every `&` written out.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The model's own fields in it: the first name of each path.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().filter_map(|term| match term {
            Term::Condition(condition) => Some(condition.path.first()),
            Term::And | Term::Constant(_) | Term::Not | Term::Or => None,
        })
    }

    /// Whether it has no conditions, so that it matches every record.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The terms in prefix form, for a caller that replaces some of them.
    pub fn into_terms(self) -> Vec<Term> {
        self.terms
    }

    /// A domain of terms from [`Domain::into_terms`], where each condition may
    /// have been replaced by a complete expression.
    pub fn from_normalised(terms: Vec<Term>) -> Self {
        Self { terms }
    }

    /// A domain of one condition.
    pub fn of(condition: Condition) -> Self {
        Self {
            terms: vec![Term::Condition(condition)],
        }
    }

    /// A domain that compares a field with a value.
    pub fn compare(path: FieldPath, operator: Operator, value: impl Into<Value>) -> Self {
        let operand = Operand::Value(value.into());
        Self::of(Condition {
            path,
            operator,
            operand,
        })
    }

    /// A domain on the records that a relation links to, for `any` and `not any`.
    pub fn related(path: FieldPath, operator: Operator, inner: Self) -> Self {
        let operand = Operand::Domain(inner);
        Self::of(Condition {
            path,
            operator,
            operand,
        })
    }

    /// The domain of the records with these ids.
    ///
    /// # Errors
    /// [`InvalidDomain`] when there are more than a domain may list.
    pub fn of_ids(ids: &[RecordId]) -> Result<Self, InvalidDomain> {
        Self::parse(&json!([["id", "in", ids]]))
    }

    /// The domain that no record matches.
    pub fn nothing() -> Self {
        Self {
            terms: vec![Term::Constant(false)],
        }
    }

    /// The records that match both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.is_empty() || self == other {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        self.joined(Term::And, other)
    }

    /// The records that match at least one of them.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return Self::default();
        }
        if self == other {
            return self;
        }
        self.joined(Term::Or, other)
    }

    /// The records that do not match.
    #[must_use]
    pub fn negated(self) -> Self {
        if self.is_empty() {
            return Self::nothing();
        }
        let mut terms = vec![Term::Not];
        terms.extend(self.terms);
        Self { terms }
    }

    /// Whether its top-level conditions include all of the other domain's.
    pub fn implies(&self, other: &Self) -> bool {
        let own = conjuncts(&self.terms);
        conjuncts(&other.terms)
            .iter()
            .all(|wanted| own.contains(wanted))
    }

    fn joined(self, by: Term, other: Self) -> Self {
        let mut terms = vec![by];
        terms.extend(self.terms);
        terms.extend(other.terms);
        Self { terms }
    }

    /// The domain in Odoo's form.
    pub fn to_json(&self) -> Value {
        self.terms.iter().map(Term::to_json).collect()
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::parse(&value).map_err(de::Error::custom)
    }
}

/// The expressions that must all hold: those that the leading `&`s join.
fn conjuncts(terms: &[Term]) -> Vec<&[Term]> {
    let mut found = Vec::new();
    let mut rest = terms;
    while !rest.is_empty() {
        if let [Term::And, inside @ ..] = rest {
            // Two expressions follow, or more `&`s; all must hold.
            rest = inside;
            continue;
        }
        let (one, after) = rest.split_at(expression_length(rest));
        found.push(one);
        rest = after;
    }
    found
}

/// The number of terms in the first expression.
fn expression_length(terms: &[Term]) -> usize {
    let mut owed = 1_usize;
    for (at, term) in terms.iter().enumerate() {
        match term {
            Term::And | Term::Or => owed += 1,
            Term::Not => {}
            Term::Condition(_) | Term::Constant(_) => owed -= 1,
        }
        if owed == 0 {
            return at + 1;
        }
    }
    terms.len()
}
