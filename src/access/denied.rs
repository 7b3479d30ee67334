//! Why Odoo's answer does not come.

use std::sync::Arc;

use super::{ReadOnly, UnknownCredential};
use crate::{audit::Unaudited, policy::Forbidden, upstream::CallError};

/// Why a call brought no answer. `Display` is for the model that asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Denied {
    /// Odoo refused, or could not be reached, or answered nonsense.
    #[error(transparent)]
    Call(Arc<CallError>),
    /// The context names what the Odoo user does not have.
    #[error("{0}")]
    Context(String),
    /// The instance does not have the caller's credential.
    #[error(
        "the Odoo user that your calls should act as is not set up for this Odoo instance; retrying will not help, tell the administrator"
    )]
    Credential(#[from] UnknownCredential),
    /// Our own policy says no.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The key may only read.
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    /// There can be no record of the change.
    #[error(transparent)]
    Unaudited(#[from] Unaudited),
    /// An argument does not fit the model's fields.
    #[error("{0}")]
    Unfit(String),
    /// Odoo answered something we cannot read.
    #[error(
        "Odoo answered in a form this gateway does not understand; retrying will not help, tell the administrator"
    )]
    Unreadable(#[source] Arc<serde_json::Error>),
}

impl From<CallError> for Denied {
    fn from(error: CallError) -> Self {
        Self::Call(Arc::new(error))
    }
}

impl From<serde_json::Error> for Denied {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(Arc::new(error))
    }
}

impl From<Arc<Self>> for Denied {
    fn from(shared: Arc<Self>) -> Self {
        Self::clone(&shared)
    }
}
