//! Why Odoo's answer does not come.

use std::sync::Arc;

use super::{ReadOnly, Unasked, UnknownCredential};
use crate::audit::Unaudited;
use gatepost_odoo::{Effect, Fault, InvalidDomain};
use gatepost_odoo_client::CallError;
use gatepost_policy::Forbidden;
use gatepost_state::store::LedgerError;

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
    /// What came back to a question is not what was given out with it.
    #[error("`requestState` is not the one that was given out for this call; call anew without it")]
    ForeignState,
    /// Our own policy says no.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// A change was sent, and no answer came.
    #[error("{error}; {how}")]
    Lost {
        /// What happened.
        #[source]
        error: Arc<CallError>,
        /// How to find out what came of it.
        how: String,
    },
    /// Of several changes some were made.
    #[error("{done} of {of} steps were done, the rest was not: {why}")]
    Partly {
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
    Refused {
        /// How it refused.
        #[source]
        error: Arc<CallError>,
    },
    /// Nobody approved of the change.
    #[error("{0}")]
    Unapproved(String),
    /// The person behind the client could not be asked.
    #[error(transparent)]
    Unasked(Arc<Unasked>),
    /// There can be no record of the change.
    #[error(transparent)]
    Unaudited(#[from] Unaudited),
    /// An argument does not fit the model's fields.
    #[error("{0}")]
    Unfit(String),
    /// What must be remembered of a change cannot be.
    #[error(transparent)]
    Unremembered(Arc<LedgerError>),
    /// There is no randomness for what must not be guessed.
    #[error("the gateway failed inside; nothing was sent, try again, then tell the administrator")]
    Unsealable(#[source] Arc<getrandom::Error>),
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

impl From<InvalidDomain> for Denied {
    fn from(error: InvalidDomain) -> Self {
        Self::Unfit(error.to_string())
    }
}

impl From<Arc<Self>> for Denied {
    fn from(shared: Arc<Self>) -> Self {
        Self::clone(&shared)
    }
}

impl From<Unasked> for Denied {
    fn from(unasked: Unasked) -> Self {
        Self::Unasked(Arc::new(unasked))
    }
}

impl From<LedgerError> for Denied {
    fn from(error: LedgerError) -> Self {
        Self::Unremembered(Arc::new(error))
    }
}

impl From<getrandom::Error> for Denied {
    fn from(error: getrandom::Error) -> Self {
        Self::Unsealable(Arc::new(error))
    }
}

impl Denied {
    /// Whether Odoo failed in a way in which it may fail after it wrote a change
    /// of this effect for good, too (`Cursor.postcommit`): by an error of Python,
    /// and not by a refusal. What a method makes of its arguments is left out,
    /// for whether it ran can hardly be seen, and it is almost always that.
    pub fn may_come_late(&self, effect: Effect) -> bool {
        let Self::Call(error) = self else {
            return false;
        };
        let CallError::Fault(fault) = &**error else {
            return false;
        };
        match fault {
            Fault::Unknown => true,
            Fault::Database | Fault::Invalid(_) => effect != Effect::Run,
            Fault::Access(_)
            | Fault::Arguments(_)
            | Fault::Conflict
            | Fault::Identity
            | Fault::Key
            | Fault::Missing
            | Fault::Rows(_)
            | Fault::Rule(_)
            | Fault::UnknownDatabase
            | Fault::UnknownMethod
            | Fault::UnknownModel => false,
        }
    }

    /// Whether the Odoo user has no such model.
    pub fn is_no_model(&self) -> bool {
        let Self::Call(error) = self else {
            return false;
        };
        matches!(
            **error,
            CallError::Fault(Fault::Access(_) | Fault::UnknownModel)
        )
    }

    /// Whether something may have been changed all the same.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Call(error) => matches!(**error, CallError::OutcomeUnknown(_)),
            Self::Lost { .. } | Self::Partly { .. } => true,
            Self::Context(_)
            | Self::Credential(_)
            | Self::Forbidden(_)
            | Self::ForeignState
            | Self::ReadOnly(_)
            | Self::Refused { .. }
            | Self::Unapproved(_)
            | Self::Unasked(_)
            | Self::Unaudited(_)
            | Self::Unfit(_)
            | Self::Unreadable(_)
            | Self::Unremembered(_)
            | Self::Unsealable(_) => false,
        }
    }
}

/// What became of a change that was refused.
fn after(error: &CallError) -> &'static str {
    if let CallError::Fault(fault) = error {
        fault.of_change()
    } else {
        ""
    }
}
