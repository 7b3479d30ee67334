//! Why there is no permission, or not yet.

use super::{Forbidden, MembershipQuery};
use gatepost_odoo::ModelName;

/// Why there is no permission, or not yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Incomplete {
    /// The policy denies the call.
    Denied(Forbidden),
    /// The decision depends on which records these searches find.
    NeedsRecords(Vec<MembershipQuery>),
    /// The decision depends on the fields of this model, which the caller may read.
    NeedsSchema(ModelName),
}

impl Incomplete {
    /// Replaces the reason of a denial.
    pub(super) fn with_denial(self, forbidden: impl FnOnce() -> Forbidden) -> Self {
        match self {
            Self::Denied(_) => Self::Denied(forbidden()),
            Self::NeedsRecords(_) | Self::NeedsSchema(_) => self,
        }
    }
}

impl From<Forbidden> for Incomplete {
    fn from(forbidden: Forbidden) -> Self {
        Self::Denied(forbidden)
    }
}

/// The decision, with `None` for a denial.
///
/// # Errors
/// [`Incomplete`], but never [`Incomplete::Denied`].
pub(super) fn unless_denied<T>(decided: Result<T, Incomplete>) -> Result<Option<T>, Incomplete> {
    match decided {
        Ok(permitted) => Ok(Some(permitted)),
        Err(Incomplete::Denied(_)) => Ok(None),
        Err(needs @ (Incomplete::NeedsRecords(_) | Incomplete::NeedsSchema(_))) => Err(needs),
    }
}
