//! The outcome of a write that is not known from its response: after an internal
//! error of Odoo, after a lost response, and for a repeated call.

use serde_json::Value;
use tracing::warn;

use super::{
    Baseline, CompletedWrite, RecoveredOutcome, Report, WriteOperation, WriteOutcome, WritePlan,
    id_list,
    idempotency::entry::{Attempt, IdempotencyKey, PriorAttempt},
    method_result,
    operation::MAX_ODOO_WORK_TIME,
    send::ExecutionResult,
    undo::finish_recovered,
};
use crate::access::{OdooSession, OperationError};

/// Finds out what came of a write that Odoo answered with an internal error.
/// Almost always Odoo rolls it back, but it does some work after the commit
/// (`Cursor.postcommit`).
pub(super) async fn verify_after_error(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    plan: &WritePlan,
    (key, baseline): (&IdempotencyKey, &Baseline),
    failure: OperationError,
    undo: Option<String>,
) -> ExecutionResult {
    let OperationError::Call(error) = failure else {
        return Err(failure);
    };
    let attempt = match key.prior_attempt().await {
        Ok(PriorAttempt::Unknown(attempt)) => Some(attempt),
        Ok(PriorAttempt::None | PriorAttempt::Done(_)) | Err(_) => None,
    };
    let hint = match operation.probe_outcome(access, Some(plan), baseline).await {
        Ok(RecoveredOutcome::Done(ids)) => {
            let done = CompletedWrite {
                at: baseline.taken_at,
                ids,
                result: Value::Null,
                undo,
            };
            let stored = match attempt {
                Some(attempt) => attempt.complete(&done).await,
                None => Ok(()),
            };
            return Ok((done, stored));
        }
        Ok(RecoveredOutcome::NotDone) => {
            if let Some(attempt) = attempt
                && let Err(failed) = attempt.release().await
            {
                // The next call with the key then probes the outcome.
                warn!(error = %failed, "Failed to release an idempotency key");
            }
            return Err(OperationError::WriteRejected { error });
        }
        Ok(RecoveredOutcome::Unclear(hint)) => hint,
        Err(failed) => {
            warn!(error = %failed, "Failed to probe the outcome of a write");
            "read the records.".to_owned()
        }
    };
    Err(OperationError::OutcomeUnknown {
        error,
        how: format!(
            "most likely nothing was changed, but that is not certain: {hint} Do not call again before you know"
        ),
    })
}

/// The report on a write that is done, even if its records cannot be read.
pub(super) async fn summarize_done(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    plan: Option<&WritePlan>,
    done: &CompletedWrite,
) -> Report {
    match operation.summarize(access, plan, done).await {
        Ok(report) => report,
        Err(error) => {
            warn!(error = %error, "Failed to read records after a write");
            Report {
                text: format!(
                    "It is done, on these records: {}. Do not call again. Reading them afterwards failed; read_records shows them.",
                    id_list(&done.ids)
                ),
                after: None,
            }
        }
    }
}

/// The response to a call that was done before.
pub(super) async fn repeat_response(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    done: &CompletedWrite,
) -> WriteOutcome {
    let head = format!(
        "This was done before, at {:.0}, by a call with the same `idempotency_key`; nothing was done now. What that call did, and the records as they are now:",
        done.at
    );
    report_earlier(access, operation, &head, done).await
}

async fn report_earlier(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    head: &str,
    done: &CompletedWrite,
) -> WriteOutcome {
    let report = summarize_done(access, operation, None, done).await;
    let undo = finish_recovered(access, done.undo.as_deref(), &done.ids).await;
    WriteOutcome::Repeated(format!("{head}\n{}{undo}", report.text))
}

/// Finds out what came of an earlier attempt whose response was lost. `None`
/// means that it was not done, and can be sent now.
pub(super) async fn recover(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    attempt: &Attempt,
) -> Result<Option<WriteOutcome>, OperationError> {
    let baseline = &attempt.baseline;
    let outcome = match operation.probe_outcome(access, None, baseline).await {
        // Their texts would say that this call is refused.
        Err(
            error @ (OperationError::InvalidArgument(_)
            | OperationError::NothingToUndo(_)
            | OperationError::Forbidden(_)
            | OperationError::InvalidContext(_)),
        ) => {
            warn!(error = %error, "Failed to probe the outcome of a write");
            RecoveredOutcome::Unclear("the records or your permissions have changed since, so it cannot be looked up. Read the records.".to_owned())
        }
        Err(OperationError::Call(error)) if error.is_fault() => {
            warn!(error = %error, "Failed to probe the outcome of a write");
            RecoveredOutcome::Unclear(
                "this Odoo user may not read the records. Ask the user to check in Odoo."
                    .to_owned(),
            )
        }
        outcome => outcome?,
    };
    match outcome {
        RecoveredOutcome::Done(ids) => {
            let done = CompletedWrite {
                at: baseline.taken_at,
                ids,
                result: method_result::lost_result(),
                undo: attempt.change_id.clone(),
            };
            if let Err(failed) = attempt.complete(&done).await {
                // The next call with the key then probes the outcome again.
                warn!(error = %failed, "Failed to store the outcome of a write");
            }
            let head = "The earlier call with this `idempotency_key`, whose response was lost, was done; nothing was done now.";
            Ok(Some(report_earlier(access, operation, head, &done).await))
        }
        RecoveredOutcome::NotDone => {
            let age = access
                .store
                .now()
                .await?
                .saturating_since(baseline.begun_at);
            let in_flight = MAX_ODOO_WORK_TIME + attempt.send_window();
            let left = in_flight.saturating_sub(age);
            if left.is_zero() {
                return Ok(None);
            }
            Err(OperationError::OutcomePending(format!(
                "the response to the earlier call with this `idempotency_key` was lost. Odoo shows no trace of it yet but may still be working on it. Call again with the same key in {} s: the gateway then finds out whether it was done, or does it",
                left.as_secs().max(1)
            )))
        }
        RecoveredOutcome::Unclear(hint) => Err(OperationError::OutcomeUnclear(format!(
            "the response to the earlier call with this `idempotency_key` was lost, and it is not certain whether it was done: {hint} Only if it was not done, call again with a new key."
        ))),
    }
}
