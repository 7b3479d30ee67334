//! Why there is no permission yet.

use super::{Forbidden, Search};
use gatepost_odoo::ModelName;

/// Why there is no permission, or not yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecided {
    /// There is none.
    Forbidden(Forbidden),
    /// It depends on the fields of this model, which the caller may read.
    Needs(ModelName),
    /// It depends on which records these searches find.
    Seeks(Vec<Search>),
}

impl From<Forbidden> for Undecided {
    fn from(forbidden: Forbidden) -> Self {
        Self::Forbidden(forbidden)
    }
}
