//! The flow of every write: idempotency, policy, approval, undo entry, audit,
//! send, and the report.

use std::sync::Arc;

use super::{
    Baseline, RequestFingerprint, WriteOperation, WriteOutcome, WritePlan,
    approval::approve::{ApprovalUse, Approved, approve},
    idempotency::entry::{Attempt, IdempotencyKey, PriorAttempt},
    recover::{recover, repeat_response, summarize_done, verify_after_error},
    send::send_calls,
    undo::{UndoCapture, new_change_id, release_undo, reserve_undo},
};
use crate::access::{AuthorizedWrite, OdooSession, OperationError};
use gatepost_base::text::append;
use gatepost_odoo::{Call, Operation};
use gatepost_odoo_client::CallError;

/// Executes a write at most once, if policy allows it and it is approved.
///
/// # Errors
/// Only [`OperationError::OutcomeUnknown`] and
/// [`OperationError::PartiallyApplied`] mean that something may have been changed.
pub async fn execute(
    access: &OdooSession<'_>,
    request: &RequestFingerprint,
    operation: &impl WriteOperation,
) -> Result<WriteOutcome, OperationError> {
    let key = IdempotencyKey::of(access, request);
    let prior = key.prior_attempt().await?;
    let unfinished = match prior {
        PriorAttempt::None => None,
        PriorAttempt::Done(done) => return Ok(repeat_response(access, operation, &done).await),
        PriorAttempt::Unknown(attempt) => match recover(access, operation, &attempt).await? {
            Some(outcome) => return Ok(outcome),
            None => Some(attempt),
        },
    };
    let (plan, allowed, approval) = match approve(access, request, operation).await? {
        Approved::Granted(plan, allowed, approval) => (*plan, allowed, approval),
        Approved::NeedsApproval(outcome) => return Ok(outcome),
    };
    // Boxed: its future is much larger than that of a preview.
    let approved = (plan, allowed, approval);
    Box::pin(apply(
        access,
        request,
        operation,
        (key, unfinished),
        approved,
    ))
    .await
}

/// Sends a write that is approved.
async fn apply(
    access: &OdooSession<'_>,
    request: &RequestFingerprint,
    operation: &impl WriteOperation,
    (key, unfinished): (IdempotencyKey, Option<Attempt>),
    (plan, allowed, approval): (WritePlan, Vec<AuthorizedWrite>, ApprovalUse),
) -> Result<WriteOutcome, OperationError> {
    let change_id = plan.undo.as_ref().map(|_| new_change_id()).transpose()?;
    let mut baseline = Baseline::capture(access, &plan).await?;
    if request.idempotency_key.is_some() || plan.undoes.is_some() {
        baseline.begun_at = access.store.now().await?;
    }
    let begun = key
        .begin(unfinished, &baseline, change_id.as_deref())
        .await?;
    let attempt = match begun {
        Ok(attempt) => Arc::new(attempt),
        // Another call was faster.
        Err(PriorAttempt::Done(done)) => {
            return Ok(repeat_response(access, operation, &done).await);
        }
        Err(PriorAttempt::None | PriorAttempt::Unknown(_)) => {
            return Err(OperationError::InvalidArgument(
                "another call with this `idempotency_key` did not finish. Call again with the same key in 10 s".to_owned(),
            ));
        }
    };
    // After the key: a repeated call gets the first result, not a used approval.
    if let Err(error) = approval.consume(access).await {
        attempt.release().await?;
        return Err(error);
    }
    let own_id = change_id;
    let capture = match prepare_undo(access, &plan, own_id.as_deref(), &baseline).await {
        Ok(capture) => capture,
        Err(error) => {
            approval.release(access).await;
            attempt.release().await?;
            return Err(error);
        }
    };
    let change_id = capture.change_id();
    let sent = match send_calls(access, &plan, allowed, &attempt, change_id.clone()).await {
        Err(error) if error.may_fail_after_commit(operation_of(&plan)) => {
            let context = (&key, &baseline);
            verify_after_error(access, operation, &plan, context, error, change_id).await
        }
        Err(error) => Err(explain_error(error, request, &plan, change_id)),
        sent => sent,
    };
    let (done, stored) = match sent {
        Ok(sent) => sent,
        Err(error) => {
            if !error.may_have_run() {
                capture.discard().await;
                approval.release(access).await;
            }
            // If the outcome is unknown, the change may be undone already. If only
            // a part was done, the rest can be.
            if !matches!(error, OperationError::OutcomeUnknown { .. }) {
                release_reserved_undo(access, &plan, own_id.as_deref(), &baseline).await;
            }
            return Err(error);
        }
    };
    let report = Box::pin(summarize_done(access, operation, Some(&plan), &done)).await;
    let mut text = report.text;
    // A model that sends a token has read the notes in the preview.
    let notes = plan
        .notes
        .iter()
        .filter(|_| request.confirm_token.is_none());
    for note in notes {
        text.push_str("\nNote: ");
        text.push_str(note);
    }
    let after = report.after.as_ref();
    text.push_str(&Box::pin(capture.finish(access, &done, after)).await);
    if stored.is_err() && request.idempotency_key.is_some() {
        text.push_str("\nThe gateway failed to store that this is done: do not call again with this `idempotency_key`.");
    }
    Ok(WriteOutcome::Applied(text))
}

fn operation_of(plan: &WritePlan) -> Operation {
    plan.calls.first().map_or(Operation::Read, Call::operation)
}

/// Reserves the change that this write undoes, and stores what its own undo needs.
async fn prepare_undo(
    access: &OdooSession<'_>,
    plan: &WritePlan,
    change_id: Option<&str>,
    baseline: &Baseline,
) -> Result<UndoCapture, OperationError> {
    if let Some(undoes) = &plan.undoes {
        reserve_undo(access, undoes, change_id, baseline).await?;
    }
    let capture = UndoCapture::start(access, plan, change_id).await;
    if capture.is_err() {
        release_reserved_undo(access, plan, change_id, baseline).await;
    }
    capture
}

async fn release_reserved_undo(
    access: &OdooSession<'_>,
    plan: &WritePlan,
    change_id: Option<&str>,
    baseline: &Baseline,
) {
    if let Some(undoes) = &plan.undoes
        && let Err(error) = release_undo(access, undoes, change_id, baseline).await
    {
        // Later calls then probe the outcome, as after a lost response.
        tracing::warn!(error = %error, "Failed to release a change reserved for undo");
    }
}

/// The error with what became of the write or, if the response was lost, how to
/// find out.
fn explain_error(
    failure: OperationError,
    request: &RequestFingerprint,
    plan: &WritePlan,
    change_id: Option<String>,
) -> OperationError {
    let OperationError::Call(error) = &failure else {
        return failure;
    };
    let error = Arc::clone(error);
    if error.is_fault() {
        return OperationError::WriteRejected { error };
    }
    if !matches!(*error, CallError::OutcomeUnknown(_)) {
        return failure;
    }
    let has_key = request.idempotency_key.is_some();
    let mut how = if has_key {
        "call again with the same arguments and the same `idempotency_key`: the gateway finds out whether it was done, and does not do it twice".to_owned()
    } else {
        format!(
            "do not call again before you know: {}",
            plan.verification_hint
        )
    };
    // Without a key the gateway never learns which records were created.
    if let Some(id) = change_id.filter(|_| has_key || operation_of(plan) != Operation::Create) {
        let undo = format_args!(". If it was done, undo_change with `change`: \"{id}\" undoes it");
        append(&mut how, undo);
    }
    OperationError::OutcomeUnknown { error, how }
}
