//! What can be wrong with a domain.

use super::{super::InvalidFieldPath, operator::Operator};

/// Not a valid domain. `Display` says what is wrong and shows a correct form.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDomain {
    /// A term is neither a condition nor `&`, `|`, `!`.
    #[error(
        "term {position} of the domain, `{found}`, is neither a condition such as `[\"name\", \"ilike\", \"azure\"]` nor one of `\"&\"`, `\"|\"`, `\"!\"`"
    )]
    BadTerm {
        /// Its position, from 1.
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
    /// The right side does not match the operator.
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
    /// Odoo has no such operator.
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
    /// An `&`, `|` or `!` lacks an operand.
    #[error(
        "the domain needs {missing} more condition(s): put `\"&\"` and `\"|\"` before the two terms they join, `\"!\"` before one, as in `[\"|\", [\"city\", \"=\", \"Gent\"], [\"city\", \"=\", \"Liège\"]]`"
    )]
    Incomplete {
        /// How many conditions are missing.
        missing: usize,
    },
    /// Not a list.
    #[error(
        "a domain is a list of conditions such as `[[\"is_company\", \"=\", true], [\"name\", \"ilike\", \"azure\"]]`, not `{found}`"
    )]
    NotAList {
        /// The value, cut short.
        found: String,
    },
    /// Larger than permitted.
    #[error("the domain is too large: at most {limit} {what}; split the search")]
    TooLarge {
        /// The maximum.
        limit: usize,
        /// What it counts.
        what: &'static str,
    },
}
