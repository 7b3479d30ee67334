//! A search domain, parsed.

mod expression;
mod invalid;
mod operator;
mod parse;
mod term;
#[cfg(test)]
mod tests;

pub use expression::Domain;
pub use invalid::InvalidDomain;
pub use operator::{OperandKind, Operator};
pub use term::{Condition, Operand, Term};
