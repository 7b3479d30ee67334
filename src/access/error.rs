//! Why a call to Odoo, or a write of several calls, failed.

use std::sync::Arc;

use crate::{audit::AuditUnavailable, elicitation::ElicitationError};
use gatepost_base::{CredentialName, InstanceName};
use gatepost_odoo::{InvalidDomain, ModelName, OdooError, Operation};
use gatepost_odoo_client::CallError;
use gatepost_policy::Forbidden;
use gatepost_state::store::StoreError;

/// Why an operation failed. `Display` is for the model that requested it.
///
/// Only [`OutcomeUnknown`](Self::OutcomeUnknown),
/// [`PartiallyApplied`](Self::PartiallyApplied) and a [`Call`](Self::Call) whose
/// outcome is unknown may have changed anything
/// ([`may_have_run`](Self::may_have_run)).
#[derive(Debug, Clone, thiserror::Error)]
pub enum OperationError {
    /// The audit record cannot be written. Nothing was sent.
    #[error(transparent)]
    AuditUnavailable(#[from] AuditUnavailable),
    /// Odoo refused the call, could not be reached, or returned nonsense. The
    /// inner error says whether the call was sent.
    #[error(transparent)]
    Call(Arc<CallError>),
    /// The person behind the client was not asked or did not answer. Nothing was
    /// changed.
    #[error(transparent)]
    Elicitation(Arc<ElicitationError>),
    /// The policy forbids the operation. It was not sent.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The idempotency key was used for another call. Nothing was sent.
    #[error(
        "this `idempotency_key` was used for another call or with other arguments. Nothing was changed. Use a new key for a new change; repeat a key only with the same arguments"
    )]
    IdempotencyKeyReused,
    /// An argument does not fit the model's fields. Nothing was changed.
    #[error("{0}")]
    InvalidArgument(String),
    /// The context names what the Odoo user does not have. Nothing was changed.
    #[error("{0}")]
    InvalidContext(String),
    /// The `requestState` of an answered approval request is not the one that
    /// this call got. Nothing was changed.
    #[error(
        "`requestState` does not belong to this call. Nothing was changed; call again without it"
    )]
    InvalidRequestState,
    /// There is no randomness for a secret. Nothing was sent.
    #[error(
        "the gateway had an internal error. Nothing was sent; try again, then tell the administrator"
    )]
    NoEntropy(#[source] Arc<getrandom::Error>),
    /// The write was not approved. Nothing was changed.
    #[error("{0}")]
    NotApproved(String),
    /// The change is undone already, or had no effect. Nothing was changed.
    #[error("{0}")]
    NothingToUndo(String),
    /// The outcome of an earlier attempt at this change is not known yet. Nothing
    /// was sent now.
    #[error("{0}")]
    OutcomePending(String),
    /// The outcome of an earlier attempt at this change cannot be determined.
    /// Nothing was sent now.
    #[error("{0}")]
    OutcomeUnclear(String),
    /// A write was sent, and its response was lost.
    #[error("{error}; {how}")]
    OutcomeUnknown {
        /// What happened.
        #[source]
        error: Arc<CallError>,
        /// How to find out whether it was done.
        how: String,
    },
    /// Some calls of a write were done, and a later one failed.
    #[error(
        "{done} of {of} steps were done and stay so. The next one failed, and what follows is about it alone: {why}"
    )]
    PartiallyApplied {
        /// The number of calls done.
        done: usize,
        /// The number of calls of the write.
        of: usize,
        /// Why the next call failed.
        #[source]
        why: Box<Self>,
    },
    /// The Odoo user may only read. Nothing was changed.
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    /// The state store is unavailable or full. Nothing was sent.
    #[error(transparent)]
    StoreUnavailable(Arc<StoreError>),
    /// The records were changed since the change that was to be undone. Nothing was
    /// changed.
    #[error("{0}")]
    UndoConflict(String),
    /// The instance does not have the caller's credential. Nothing was sent.
    #[error(
        "the Odoo user that your calls should act as is not configured for this Odoo instance. Nothing was sent. Retrying will not help; tell the administrator"
    )]
    UnknownCredential(#[from] UnknownCredential),
    /// The response to a read has an unknown form. Nothing was changed.
    #[error(
        "Odoo's response has a form that this gateway does not understand. Retrying will not help; tell the administrator"
    )]
    UnreadableResponse(#[source] Arc<serde_json::Error>),
    /// Odoo fails to describe a model, by a bug of the model. Nothing was changed.
    #[error(
        "Odoo itself fails to describe the model `{model}`, so it cannot be used now; other models are not affected. Nothing was changed. Retrying at once will not help; tell the administrator, who finds the cause in Odoo's log"
    )]
    UndescribedModel {
        /// The model.
        model: ModelName,
        /// How it failed.
        #[source]
        error: Arc<CallError>,
    },
    /// Odoo refused a write and rolled it back.
    #[error("{error}{}", after(error))]
    WriteRejected {
        /// How it refused.
        #[source]
        error: Arc<CallError>,
    },
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
    fn from(error: ElicitationError) -> Self {
        Self::Elicitation(Arc::new(error))
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
    /// Returns whether Odoo may report this error although it committed the
    /// write: work after the commit (`Cursor.postcommit`) can fail with a Python
    /// error, but not with a refusal. Errors about the arguments of a method do
    /// not count, because almost always the method did not run.
    pub fn may_fail_after_commit(&self, operation: Operation) -> bool {
        let Self::Call(error) = self else {
            return false;
        };
        let CallError::Fault(fault) = &**error else {
            return false;
        };
        match fault {
            OdooError::Unknown => true,
            OdooError::Database | OdooError::Invalid(_) => operation != Operation::Call,
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

    /// Returns whether Odoo answered with an error of its own.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::UndescribedModel { .. })
            || matches!(self, Self::Call(error) if error.is_fault())
    }

    /// Returns whether the model does not exist or the Odoo user has no access.
    pub fn is_model_unavailable(&self) -> bool {
        let Self::Call(error) = self else {
            return false;
        };
        matches!(
            **error,
            CallError::Fault(OdooError::Access(_) | OdooError::UnknownModel)
        )
    }

    /// Returns whether something may have been changed.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Call(error) => matches!(**error, CallError::OutcomeUnknown(_)),
            Self::OutcomeUnknown { .. } | Self::PartiallyApplied { .. } => true,
            Self::AuditUnavailable(_)
            | Self::Elicitation(_)
            | Self::Forbidden(_)
            | Self::IdempotencyKeyReused
            | Self::InvalidArgument(_)
            | Self::InvalidContext(_)
            | Self::InvalidRequestState
            | Self::NoEntropy(_)
            | Self::NotApproved(_)
            | Self::NothingToUndo(_)
            | Self::OutcomePending(_)
            | Self::OutcomeUnclear(_)
            | Self::ReadOnly(_)
            | Self::StoreUnavailable(_)
            | Self::UndoConflict(_)
            | Self::UnknownCredential(_)
            | Self::UndescribedModel { .. }
            | Self::UnreadableResponse(_)
            | Self::WriteRejected { .. } => false,
        }
    }
}

/// A write with a key that may only read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "you may not {} records here: your calls act as the gateway's own Odoo user, which is read-only. Nothing was changed. Retrying will not help; ask the administrator for an Odoo user of your own",
    .0.as_str()
)]
pub struct ReadOnly(pub Operation);

/// A credential that the instance does not have. `Display` is for the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the instance `{instance}` has no credential `{credential}`")]
pub struct UnknownCredential {
    /// The instance.
    pub instance: InstanceName,
    /// The missing credential.
    pub credential: CredentialName,
}

/// Whether no call to this database with this key can work.
pub(super) fn is_rejection(error: &CallError) -> bool {
    is_key_rejected(error) || matches!(error, CallError::Fault(OdooError::UnknownDatabase))
}

/// Whether Odoo rejected the API key.
pub fn is_key_rejected(error: &CallError) -> bool {
    matches!(error, CallError::Fault(OdooError::KeyRejected))
}

/// Queries that Odoo may refuse.
pub(super) trait NoneIfFault<T> {
    /// Returns `None` if Odoo answered with an error of its own, because this
    /// Odoo user may not know.
    fn none_if_fault(self) -> Result<Option<T>, OperationError>;
}

impl<T> NoneIfFault<T> for Result<T, OperationError> {
    fn none_if_fault(self) -> Result<Option<T>, OperationError> {
        match self {
            Err(error) if error.is_fault() => Ok(None),
            other => other.map(Some),
        }
    }
}

/// What a refused write left behind.
fn after(error: &CallError) -> &'static str {
    if let CallError::Fault(fault) = error {
        fault.after_failed_write()
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{ReadOnly, UnknownCredential},
        OperationError,
    };
    use gatepost_base::{CredentialName, InstanceName};
    use gatepost_odoo::{ModelName, OdooError, Operation};
    use gatepost_odoo_client::CallError;

    /// The texts of transparent variants are pinned in the crates of the inner errors.
    #[test]
    fn errors_say_what_happened_and_what_to_do() {
        let call = || Arc::new(CallError::Fault(OdooError::UnknownModel));
        let no_entropy = || OperationError::from(getrandom::Error::UNSUPPORTED);
        let errors = [
            OperationError::IdempotencyKeyReused,
            OperationError::InvalidRequestState,
            no_entropy(),
            OperationError::OutcomeUnknown {
                error: call(),
                how: "read_records shows whether it was done".to_owned(),
            },
            OperationError::PartiallyApplied {
                done: 1,
                of: 2,
                why: Box::new(no_entropy()),
            },
            ReadOnly(Operation::Write).into(),
            UnknownCredential {
                instance: InstanceName::try_from("production").unwrap(),
                credential: CredentialName::try_from("sales").unwrap(),
            }
            .into(),
            OperationError::UndescribedModel {
                model: ModelName::try_from("product.pricelist").unwrap(),
                error: call(),
            },
            serde_json::from_str::<u8>("x").unwrap_err().into(),
            OperationError::WriteRejected { error: call() },
        ];
        let inner = call().to_string();
        let texts = errors.map(|error| error.to_string().replace(&inner, "<call error>"));
        insta::assert_snapshot!(texts.join("\n"));
    }
}
