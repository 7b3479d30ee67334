//! Why Odoo's answer does not come.

use std::sync::Arc;

use super::{ReadOnly, UnknownCredential};
use crate::audit::AuditUnavailable;
use crate::elicitation::ElicitationError;
use gatepost_odoo::{InvalidDomain, OdooError, Operation};
use gatepost_odoo_client::CallError;
use gatepost_policy::Forbidden;
use gatepost_state::store::StoreError;

/// Why a call brought no answer. `Display` is for the model that asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OperationError {
    /// Odoo refused, or could not be reached, or answered nonsense.
    #[error(transparent)]
    Call(Arc<CallError>),
    /// The context names what the Odoo user does not have.
    #[error("{0}")]
    InvalidContext(String),
    /// The instance does not have the caller's credential.
    #[error(
        "the Odoo user that your calls should act as is not set up for this Odoo instance; retrying will not help, tell the administrator"
    )]
    UnknownCredential(#[from] UnknownCredential),
    /// What came back to a question is not what was given out with it.
    #[error("`requestState` is not the one that was given out for this call; call anew without it")]
    InvalidRequestState,
    /// Our own policy says no.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// A change was sent, and no answer came.
    #[error("{error}; {how}")]
    OutcomeUnknown {
        /// What happened.
        #[source]
        error: Arc<CallError>,
        /// How to find out what came of it.
        how: String,
    },
    /// Of several changes some were made.
    #[error("{done} of {of} steps were done, the rest was not: {why}")]
    PartiallyApplied {
        /// How many were made.
        done: usize,
        /// How many there were.
        of: usize,
        /// Why the next was not.
        #[source]
        why: Box<Self>,
    },
    /// The key may only read.
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    /// Odoo refused a change, and took back what it had begun.
    #[error("{error}{}", after(error))]
    WriteRejected {
        /// How it refused.
        #[source]
        error: Arc<CallError>,
    },
    /// Nobody approved of the change.
    #[error("{0}")]
    NotApproved(String),
    /// The person behind the client could not be asked.
    #[error(transparent)]
    Elicitation(Arc<ElicitationError>),
    /// There can be no record of the change.
    #[error(transparent)]
    AuditUnavailable(#[from] AuditUnavailable),
    /// An argument does not fit the model's fields.
    #[error("{0}")]
    InvalidArgument(String),
    /// What must be remembered of a change cannot be.
    #[error(transparent)]
    StoreUnavailable(Arc<StoreError>),
    /// There is no randomness for what must not be guessed.
    #[error("the gateway failed inside; nothing was sent, try again, then tell the administrator")]
    NoEntropy(#[source] Arc<getrandom::Error>),
    /// Odoo answered something we cannot read.
    #[error(
        "Odoo answered in a form this gateway does not understand; retrying will not help, tell the administrator"
    )]
    UnreadableResponse(#[source] Arc<serde_json::Error>),
}

impl From<CallError> for OperationError {
    fn from(error: CallError) -> Self {
        Self::Call(Arc::new(error))
    }
}

impl From<serde_json::Error> for OperationError {
    fn from(error: serde_json::Error) -> Self {
        Self::UnreadableResponse(Arc::new(error))
    }
}

impl From<InvalidDomain> for OperationError {
    fn from(error: InvalidDomain) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}

impl From<Arc<Self>> for OperationError {
    fn from(shared: Arc<Self>) -> Self {
        Self::clone(&shared)
    }
}

impl From<ElicitationError> for OperationError {
    fn from(unasked: ElicitationError) -> Self {
        Self::Elicitation(Arc::new(unasked))
    }
}

impl From<StoreError> for OperationError {
    fn from(error: StoreError) -> Self {
        Self::StoreUnavailable(Arc::new(error))
    }
}

impl From<getrandom::Error> for OperationError {
    fn from(error: getrandom::Error) -> Self {
        Self::NoEntropy(Arc::new(error))
    }
}

impl OperationError {
    /// Whether Odoo failed in a way in which it may fail after it wrote a change
    /// of this effect for good, too (`Cursor.postcommit`): by an error of Python,
    /// and not by a refusal. What a method makes of its arguments is left out,
    /// for whether it ran can hardly be seen, and it is almost always that.
    pub fn may_fail_after_commit(&self, effect: Operation) -> bool {
        let Self::Call(error) = self else {
            return false;
        };
        let CallError::Fault(fault) = &**error else {
            return false;
        };
        match fault {
            OdooError::Unknown => true,
            OdooError::Database | OdooError::Invalid(_) => effect != Operation::Call,
            OdooError::Access(_)
            | OdooError::Arguments(_)
            | OdooError::Conflict
            | OdooError::IdentityCheck
            | OdooError::KeyRejected
            | OdooError::MissingRecord
            | OdooError::Rows(_)
            | OdooError::RuleViolation(_)
            | OdooError::UnknownDatabase
            | OdooError::UnknownMethod
            | OdooError::UnknownModel => false,
        }
    }

    /// Whether the Odoo user has no such model.
    pub fn is_model_unavailable(&self) -> bool {
        let Self::Call(error) = self else {
            return false;
        };
        matches!(
            **error,
            CallError::Fault(OdooError::Access(_) | OdooError::UnknownModel)
        )
    }

    /// Whether something may have been changed all the same.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Call(error) => matches!(**error, CallError::OutcomeUnknown(_)),
            Self::OutcomeUnknown { .. } | Self::PartiallyApplied { .. } => true,
            Self::InvalidContext(_)
            | Self::UnknownCredential(_)
            | Self::Forbidden(_)
            | Self::InvalidRequestState
            | Self::ReadOnly(_)
            | Self::WriteRejected { .. }
            | Self::NotApproved(_)
            | Self::Elicitation(_)
            | Self::AuditUnavailable(_)
            | Self::InvalidArgument(_)
            | Self::UnreadableResponse(_)
            | Self::StoreUnavailable(_)
            | Self::NoEntropy(_) => false,
        }
    }
}

/// What became of a change that was refused.
fn after(error: &CallError) -> &'static str {
    if let CallError::Fault(fault) = error {
        fault.after_failed_write()
    } else {
        ""
    }
}
