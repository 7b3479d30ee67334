//! Why there is no permission yet.

use super::Forbidden;
use crate::odoo::ModelName;

/// Why there is no permission, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undecided {
    /// There is none.
    Forbidden(Forbidden),
    /// It depends on the fields of this model, which the caller may read.
    Needs(ModelName),
}

impl From<Forbidden> for Undecided {
    fn from(forbidden: Forbidden) -> Self {
        Self::Forbidden(forbidden)
    }
}
