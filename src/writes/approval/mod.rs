//! Whether a change is approved: directly, by the person, or by the model with a
//! signed token.

pub(crate) mod approve;
pub(crate) mod token;
