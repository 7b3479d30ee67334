//! Why there is no permission yet.

use super::{Forbidden, MembershipQuery};
use gatepost_odoo::ModelName;

/// Why there is no permission, or not yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Incomplete {
    /// There is none.
    Denied(Forbidden),
    /// It depends on the fields of this model, which the caller may read.
    NeedsSchema(ModelName),
    /// It depends on which records these searches find.
    NeedsRecords(Vec<MembershipQuery>),
}

impl From<Forbidden> for Incomplete {
    fn from(forbidden: Forbidden) -> Self {
        Self::Denied(forbidden)
    }
}
