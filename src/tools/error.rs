//! Why a tool call failed.

use crate::{
    access::OperationError, elicitation::ElicitationError, render::InvalidCursor,
    telemetry::ErrorSource,
};
use gatepost_base::error_chain;
use gatepost_state::store::StoreError;

/// Why a tool call failed. `Display` is for the model: what failed, whether
/// anything was changed, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The arguments are invalid. Nothing was sent.
    #[error("{0}")]
    InvalidArguments(String),
    /// The cursor belongs to another search. Nothing was sent.
    #[error(transparent)]
    InvalidCursor(#[from] InvalidCursor),
    /// The operation failed.
    #[error(transparent)]
    Operation(#[from] OperationError),
}

impl ToolError {
    /// The word for logs and metrics.
    pub fn operation_error_kind(&self) -> &'static str {
        match self {
            Self::InvalidArguments(_) => "arguments",
            Self::InvalidCursor(_) => "cursor",
            Self::Operation(error) => operation_error_kind(error),
        }
    }

    /// Whose fault it is.
    pub fn error_source(&self) -> ErrorSource {
        match self {
            Self::InvalidArguments(_) | Self::InvalidCursor(_) => ErrorSource::Client,
            Self::Operation(error) => operation_error_source(error),
        }
    }

    /// What only we may read of it: the chain of causes.
    pub fn cause_chain(&self) -> Option<String> {
        error_chain::sources(self)
    }
}

fn operation_error_kind(error: &OperationError) -> &'static str {
    match error {
        OperationError::Call(error)
        | OperationError::OutcomeUnknown { error, .. }
        | OperationError::UndescribedModel { error, .. }
        | OperationError::WriteRejected { error } => error.kind(),
        OperationError::InvalidContext(_) => "context",
        OperationError::UnknownCredential(_) => "unknown_credential",
        OperationError::Forbidden(_) => "forbidden",
        OperationError::InvalidRequestState => "foreign_state",
        OperationError::PartiallyApplied { .. } => "partly_done",
        OperationError::ReadOnly(_) => "read_only",
        OperationError::NotApproved(_) => "unapproved",
        OperationError::Elicitation(unasked) => unasked.kind(),
        OperationError::AuditUnavailable(_) => "unaudited",
        OperationError::IdempotencyKeyReused => "key_reused",
        OperationError::InvalidArgument(_) => "unfit",
        OperationError::NothingToUndo(_) => "nothing_to_undo",
        OperationError::OutcomePending(_) => "outcome_pending",
        OperationError::OutcomeUnclear(_) => "outcome_unclear",
        OperationError::UndoConflict(_) => "undo_conflict",
        OperationError::UnreadableResponse(_) => "unreadable",
        OperationError::StoreUnavailable(_) => "unremembered",
        OperationError::NoEntropy(_) => "no_randomness",
    }
}

fn operation_error_source(error: &OperationError) -> ErrorSource {
    match error {
        OperationError::IdempotencyKeyReused
        | OperationError::InvalidArgument(_)
        | OperationError::InvalidContext(_)
        | OperationError::InvalidRequestState
        | OperationError::NotApproved(_)
        | OperationError::NothingToUndo(_)
        | OperationError::OutcomePending(_)
        | OperationError::UndoConflict(_) => ErrorSource::Client,
        OperationError::Elicitation(unasked) => match **unasked {
            ElicitationError::TooManyPending
            | ElicitationError::PermissionsChanged
            | ElicitationError::ClientDisconnected
            | ElicitationError::Unsupported
            | ElicitationError::Cancelled
            | ElicitationError::TimedOut(_)
            | ElicitationError::InvalidResponse => ErrorSource::Client,
            ElicitationError::ShuttingDown | ElicitationError::NoEntropy(_) => ErrorSource::Us,
        },
        OperationError::UnknownCredential(_)
        | OperationError::Forbidden(_)
        | OperationError::ReadOnly(_) => ErrorSource::Policy,
        OperationError::Call(_)
        | OperationError::OutcomeUnclear(_)
        | OperationError::OutcomeUnknown { .. }
        | OperationError::UndescribedModel { .. }
        | OperationError::WriteRejected { .. }
        | OperationError::UnreadableResponse(_) => ErrorSource::Odoo,
        OperationError::PartiallyApplied { why, .. } => operation_error_source(why),
        OperationError::AuditUnavailable(_) => ErrorSource::Storage,
        OperationError::StoreUnavailable(error) => match **error {
            StoreError::Full | StoreError::ShareUsed | StoreError::Unavailable(_) => {
                ErrorSource::Storage
            }
            StoreError::TooLarge { .. } => ErrorSource::Client,
        },
        OperationError::NoEntropy(_) => ErrorSource::Us,
    }
}
