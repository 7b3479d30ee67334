//! Audit records of calls and of denials.

use super::{ArgumentSummary, OdooSession, OperationError, ReadOnly};
use crate::audit::{AuditOutcome, DeniedAttempt, PendingRecord};
use gatepost_odoo::Call;
use gatepost_odoo_client::CallError;
use gatepost_policy::Forbidden;

impl OdooSession<'_> {
    /// Records that the policy, or the Odoo user that the caller acts as, denied
    /// a tool call with these arguments. To be called once, when the denial is
    /// sent to the client: tools check on the way what they could do.
    pub fn audit_denial(&self, error: &OperationError, arguments: &str) {
        let (reason, forbidden, operation) = match error {
            OperationError::UnknownCredential(_) => ("unknown_credential", None, None),
            OperationError::Forbidden(why) => (why.kind(), Some(why), why.operation()),
            OperationError::ReadOnly(ReadOnly(operation)) => ("read_only", None, Some(*operation)),
            OperationError::NotApproved(_) => ("unapproved", None, None),
            // These either have the record of their call or never became one.
            OperationError::AuditUnavailable(_)
            | OperationError::Call(_)
            | OperationError::Elicitation(_)
            | OperationError::IdempotencyKeyReused
            | OperationError::InvalidArgument(_)
            | OperationError::InvalidContext(_)
            | OperationError::InvalidRequestState
            | OperationError::NoEntropy(_)
            | OperationError::NothingToUndo(_)
            | OperationError::OutcomePending(_)
            | OperationError::OutcomeUnclear(_)
            | OperationError::OutcomeUnknown { .. }
            | OperationError::PartiallyApplied { .. }
            | OperationError::StoreUnavailable(_)
            | OperationError::UndoConflict(_)
            | OperationError::UndescribedModel { .. }
            | OperationError::UnreadableResponse(_)
            | OperationError::WriteRejected { .. } => return,
        };
        let summary = ArgumentSummary::from_json(arguments)
            .limited_to_model(forbidden.and_then(Forbidden::model));
        let ids = forbidden.map_or(&[][..], Forbidden::ids);
        let method = forbidden.and_then(Forbidden::method).cloned();
        let attempt = DeniedAttempt {
            model: summary.model,
            method: method.or(summary.method),
            effect: operation,
            ids: if ids.is_empty() {
                summary.ids
            } else {
                ids.to_vec()
            },
        };
        self.audit
            .record_denial(self.caller, self.instance.name(), attempt, reason);
    }

    /// Starts the record of a call; for a write with the hash of the records
    /// before it.
    ///
    /// # Errors
    /// [`OperationError::AuditUnavailable`].
    pub(super) async fn start_audit(
        &self,
        call: &Call,
        is_system_query: bool,
        before: Option<Box<str>>,
    ) -> Result<PendingRecord, OperationError> {
        let instance = self.instance.name();
        Ok(self
            .audit
            .start_call(self.caller, instance, call, is_system_query, before)
            .await?)
    }
}

/// The audit outcome of a failed call.
pub(super) fn audit_outcome(error: &CallError) -> AuditOutcome {
    match error {
        CallError::Fault(fault) => AuditOutcome::Refused(fault.kind()),
        CallError::OutcomeUnknown(_) => AuditOutcome::Unknown(error.kind()),
        CallError::Busy { .. }
        | CallError::CutOff(_)
        | CallError::NotOdoo(_)
        | CallError::NotSent(_)
        | CallError::Paused { .. }
        | CallError::TimedOut { .. }
        | CallError::TooLarge { .. }
        | CallError::Unreachable(_) => AuditOutcome::Failed(error.kind()),
    }
}
