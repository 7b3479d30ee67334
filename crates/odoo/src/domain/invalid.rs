//! What can be wrong with a domain.

use super::{super::InvalidFieldPath, operator::Operator};

/// A domain that cannot be used. `Display` says what is wrong and what would
/// be right; the form is shown by each.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDomain {
    /// A term is neither a condition nor `&`, `|`, `!`.
    #[error(
        "term {position} of the domain, `{found}`, is neither a condition such as `[\"name\", \"ilike\", \"azure\"]` nor one of `\"&\"`, `\"|\"`, `\"!\"`"
    )]
    BadTerm {
        /// Which, from 1.
        position: usize,
        /// The term, cut short.
        found: String,
    },
    /// The field of a condition is not a field path.
    #[error("term {position} of the domain: {source}")]
    BadField {
        /// Which, from 1.
        position: usize,
        /// What is wrong with it.
        source: InvalidFieldPath,
    },
    /// The right side does not fit the operator.
    #[error(
        "term {position} of the domain: `{operator}` compares with {wanted}, not with `{found}`"
    )]
    BadOperand {
        /// Which, from 1.
        position: usize,
        /// The operator as Odoo spells it.
        operator: &'static str,
        /// What would be right, with an example.
        wanted: &'static str,
        /// The right side, cut short.
        found: String,
    },
    /// The operator is none of Odoo's.
    #[error(
        "term {position} of the domain: `{found}` is not an operator; use one of {}",
        Operator::all()
    )]
    BadOperator {
        /// Which, from 1.
        position: usize,
        /// The operator as it was sent, cut short.
        found: String,
    },
    /// An `&`, `|` or `!` lacks what it joins.
    #[error(
        "the domain needs {missing} more condition(s): `\"&\"` and `\"|\"` stand before the two terms they join, `\"!\"` before one, as in `[\"|\", [\"city\", \"=\", \"Gent\"], [\"city\", \"=\", \"Liège\"]]`"
    )]
    Incomplete {
        /// How many conditions are missing.
        missing: usize,
    },
    /// It is no list at all.
    #[error(
        "a domain is a list of conditions such as `[[\"is_company\", \"=\", true], [\"name\", \"ilike\", \"azure\"]]`, not `{found}`"
    )]
    NotAList {
        /// What came instead, cut short.
        found: String,
    },
    /// It is larger than we let through.
    #[error("the domain is too large: at most {limit} {what}; split the search")]
    TooLarge {
        /// How many are allowed.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
}
