//! The flow of every write: idempotency, policy, approval, undo entry, audit,
//! send, and the report.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;

use super::{
    Baseline, CompletedWrite, RecoveredOutcome, Report, RequestFingerprint, WriteOperation,
    WriteOutcome, WritePlan,
    approval::approve::{Approval, Approved, approve},
    id_list,
    idempotency::entry::{Attempt, IdempotencyKey, PriorAttempt},
    method_result,
    operation::MAX_ODOO_WORK_TIME,
    undo::{UndoCapture, finish_recovered, new_change_id, release_undo, reserve_undo},
};
use crate::access::{AuthorizedWrite, OdooSession, OperationError};
use gatepost_base::digest::hex;
use gatepost_odoo::{Call, LoadResult, Operation, RecordId, Request};
use gatepost_odoo_client::{CallError, UnknownOutcome};

/// The position of a call among those of its write.
#[derive(Clone, Copy)]
struct CallPosition {
    is_first: bool,
    is_last: bool,
}

/// What a write did, and whether that could be stored under its key.
type ExecutionResult = Result<(CompletedWrite, Result<(), OperationError>), OperationError>;

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
    let unfinished = match key.prior_attempt().await? {
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
    (plan, allowed, approval): (WritePlan, Vec<AuthorizedWrite>, Approval),
) -> Result<WriteOutcome, OperationError> {
    let change_id = plan.undo.as_ref().map(|_| new_change_id()).transpose()?;
    let baseline = Baseline::capture(access, &plan).await?;
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
    if let Err(denied) = approval.consume(access).await {
        attempt.release().await?;
        return Err(denied);
    }
    let capture = match prepare_undo(access, &plan, change_id.as_deref(), &baseline).await {
        Ok(capture) => capture,
        Err(denied) => {
            approval.release(access).await;
            attempt.release().await?;
            return Err(denied);
        }
    };
    let change_id = capture.change_id();
    let sent = match send_calls(access, &plan, allowed, &attempt, change_id.clone()).await {
        Err(denied) if denied.may_fail_after_commit(operation_of(&plan)) => {
            let context = (&key, &baseline);
            verify_after_error(access, operation, &plan, context, denied, change_id).await
        }
        Err(denied) => Err(explain_error(denied, request, &plan, change_id)),
        sent => sent,
    };
    let (done, stored) = match sent {
        Ok(sent) => sent,
        Err(denied) => {
            if !denied.may_have_run() {
                capture.discard().await;
                approval.release(access).await;
            }
            // If the outcome is unknown, the change may be undone already. If only
            // a part was done, the rest can be.
            if !matches!(denied, OperationError::OutcomeUnknown { .. }) {
                release_reserved_undo(access, &plan).await;
            }
            return Err(denied);
        }
    };
    let report = summarize_done(access, operation, Some(&plan), &done).await;
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
    Ok(WriteOutcome::Done(text))
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
        release_reserved_undo(access, plan).await;
    }
    capture
}

async fn release_reserved_undo(access: &OdooSession<'_>, plan: &WritePlan) {
    if let Some(undoes) = &plan.undoes
        && let Err(error) = release_undo(access, undoes).await
    {
        // Later calls then probe the outcome, as after a lost response.
        warn!(error = %error, "Failed to release a change reserved for undo");
    }
}

/// Finds out what came of a write that Odoo answered with an internal error.
/// Almost always Odoo rolls it back, but it does some work after the commit
/// (`Cursor.postcommit`).
async fn verify_after_error(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    plan: &WritePlan,
    (key, baseline): (&IdempotencyKey, &Baseline),
    denied: OperationError,
    undo: Option<String>,
) -> ExecutionResult {
    let OperationError::Call(error) = denied else {
        return Err(denied);
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
async fn summarize_done(
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
async fn repeat_response(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    done: &CompletedWrite,
) -> WriteOutcome {
    let head = format!(
        "This was done before, at {:.0}, by a call with the same `idempotency_key`; nothing was done now. The records now:",
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
    WriteOutcome::Done(format!("{head}\n{}{undo}", report.text))
}

/// Finds out what came of an earlier attempt whose response was lost. `None`
/// means that it was not done, and can be sent now.
async fn recover(
    access: &OdooSession<'_>,
    operation: &impl WriteOperation,
    attempt: &Attempt,
) -> Result<Option<WriteOutcome>, OperationError> {
    let baseline = &attempt.baseline;
    let outcome = match operation.probe_outcome(access, None, baseline).await {
        // Their texts would say that this call is refused.
        Err(
            error @ (OperationError::InvalidArgument(_)
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
            let age = Timestamp::now().duration_since(baseline.taken_at);
            let in_flight = MAX_ODOO_WORK_TIME + attempt.send_window();
            let left = in_flight.saturating_sub(age.unsigned_abs());
            if left.is_zero() {
                return Ok(None);
            }
            Err(OperationError::InvalidArgument(format!(
                "the response to the earlier call with this `idempotency_key` was lost. Odoo shows no trace of it yet but may still be working on it. Call again with the same key in {} s: the gateway then finds out whether it was done, or does it",
                left.as_secs().max(1)
            )))
        }
        RecoveredOutcome::Unclear(hint) => Err(OperationError::InvalidArgument(format!(
            "the response to the earlier call with this `idempotency_key` was lost, and it is not certain whether it was done: {hint} Only if it was not done, call again with a new key."
        ))),
    }
}

/// Sends the calls, one after the other.
async fn send_calls(
    access: &OdooSession<'_>,
    plan: &WritePlan,
    allowed: Vec<AuthorizedWrite>,
    attempt: &Arc<Attempt>,
    undo: Option<String>,
) -> ExecutionResult {
    let before = &plan.before;
    let before: Option<Box<str>> = (!before.is_empty()).then(|| hex(&before.hash()).into());
    let count = allowed.len();
    let mut done = CompletedWrite {
        at: Timestamp::now(),
        ids: Vec::new(),
        result: Value::Null,
        undo,
    };
    let mut stored = Ok(());
    for (index, write) in allowed.into_iter().enumerate() {
        let call = Arc::new(write.call().clone());
        let operation = call.operation();
        let position = CallPosition {
            is_first: index == 0,
            is_last: index + 1 == count,
        };
        let (so_far, own) = (done.clone(), Arc::clone(attempt));
        let then = move |response| record_response(so_far, call, own, position, response);
        let ended = match access.send_write(write, before.clone(), then).await {
            Ok(ended) => ended,
            // It was not sent, or its outcome is unknown.
            Err(denied) => Err(record_failure(attempt, index > 0, operation, denied).await),
        };
        (done, stored) = match ended {
            Ok(ended) => ended,
            Err(denied) if index == 0 => return Err(denied),
            Err(why) => {
                return Err(OperationError::PartiallyApplied {
                    done: index,
                    of: count,
                    why: Box::new(why),
                });
            }
        };
    }
    Ok((done, stored))
}

/// Stores the outcome when the response is there, or the error. The client may
/// have disconnected by then.
async fn record_response(
    mut done: CompletedWrite,
    call: Arc<Call>,
    attempt: Arc<Attempt>,
    position: CallPosition,
    response: Result<Bytes, OperationError>,
) -> ExecutionResult {
    let parsed = match &response {
        Ok(response) => add_result(&mut done, &call, response),
        Err(denied) => Err(denied.clone()),
    };
    if let Err(denied) = parsed {
        // A response that cannot be read comes after the write.
        let partly = !position.is_first || response.is_ok();
        return Err(record_failure(&attempt, partly, call.operation(), denied).await);
    }
    let stored = if position.is_last {
        attempt.complete(&done).await
    } else {
        Ok(())
    };
    Ok((done, stored))
}

/// Adds the records of a call, and what it returned.
fn add_result(
    done: &mut CompletedWrite,
    call: &Call,
    response: &[u8],
) -> Result<(), OperationError> {
    match (call.request(), call.operation()) {
        (Request::Load(load), _) => {
            let loaded = LoadResult::parse(response, load).map_err(unreadable_response)?;
            done.ids.extend(loaded.ids.unwrap_or_default());
            if !loaded.warnings.is_empty() {
                done.result = Value::from(loaded.warnings.to_string());
            }
        }
        (_, Operation::Create) => {
            let created: Vec<RecordId> =
                serde_json::from_slice(response).map_err(unreadable_response)?;
            done.ids.extend(created);
        }
        (_, Operation::Call) => {
            done.ids.extend(call.ids());
            done.result = method_result::stored_result(response);
        }
        (_, Operation::Delete | Operation::Read | Operation::Write) => done.ids.extend(call.ids()),
    }
    Ok(())
}

/// Stores that an attempt failed. The key is released if nothing can have
/// happened, neither by this call nor by one before it.
async fn record_failure(
    attempt: &Attempt,
    partly: bool,
    operation: Operation,
    denied: OperationError,
) -> OperationError {
    let stored = if partly || denied.may_have_run() || denied.may_fail_after_commit(operation) {
        attempt.mark_outcome_unknown().await
    } else {
        attempt.release().await
    };
    if let Err(error) = stored {
        // It then stays in progress until its timeout, and is probed afterwards.
        warn!(error = %error, "Failed to store the outcome of a write");
    }
    denied
}

/// The error for a response that cannot be read: the write may have run.
fn unreadable_response(error: serde_json::Error) -> OperationError {
    CallError::OutcomeUnknown(UnknownOutcome::Unreadable(error.into())).into()
}

/// The error with what became of the write or, if the response was lost, how to
/// find out.
fn explain_error(
    denied: OperationError,
    request: &RequestFingerprint,
    plan: &WritePlan,
    change_id: Option<String>,
) -> OperationError {
    let OperationError::Call(error) = &denied else {
        return denied;
    };
    let error = Arc::clone(error);
    if error.is_fault() {
        return OperationError::WriteRejected { error };
    }
    if !matches!(*error, CallError::OutcomeUnknown(_)) {
        return denied;
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
        how.push_str(&format!(
            ". If it was done, undo_change with `change`: \"{id}\" undoes it"
        ));
    }
    OperationError::OutcomeUnknown { error, how }
}
