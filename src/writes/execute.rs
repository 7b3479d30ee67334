//! The way of every change: known already? allowed? approved? once; written
//! down; sent; remembered; told.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;

use super::{
    Baseline, CompletedWrite, RecoveredOutcome, Report, RequestFingerprint, WriteOperation,
    WritePlan, id_list, method_result,
    operation::MAX_ODOO_WORK_TIME,
    undo::{UndoCapture, finish_recovered, new_change_id},
};
use crate::access::{AuthorizedWrite, OdooSession, OperationError};
use crate::writes::{
    approval::approve::{Approval, Approved, approve},
    idempotency::entry::{IdempotencyKey, IdempotencyReservation, PriorAttempt, UnfinishedAttempt},
};
use gatepost_base::digest::hex;
use gatepost_mcp::elicitation::ElicitRequest;
use gatepost_odoo::{Call, LoadResult, Operation, RecordId, Request};
use gatepost_odoo_client::{CallError, UnknownOutcome};

/// What becomes of a call that wants to change something.
#[derive(Debug)]
pub enum WriteOutcome {
    /// A question that a person must answer first.
    NeedsApproval(ElicitRequest),
    /// What the model reads.
    Done(String),
}

/// Where a call stands among those of its change.
#[derive(Clone, Copy)]
struct CallPosition {
    is_first: bool,
    is_last: bool,
}

/// What a change brought, and whether that could be remembered.
type ExecutionResult = Result<(CompletedWrite, Result<(), OperationError>), OperationError>;

/// Does what a call wishes: at most once, as far as it is allowed, and when it
/// is approved.
///
/// # Errors
/// [`Denied`]; only [`Denied::Lost`] and [`Denied::Partly`] say that something
/// may have been changed.
pub async fn execute(
    access: &OdooSession<'_>,
    wish: &RequestFingerprint,
    change: &impl WriteOperation,
) -> Result<WriteOutcome, OperationError> {
    let once = IdempotencyKey::of(access, wish);
    let mut again = None;
    match once.prior_attempt().await? {
        PriorAttempt::None => {}
        PriorAttempt::Done(done) => return repeated_response(access, change, &done).await,
        PriorAttempt::Unknown(begun) => match probe_outcome(access, change, &once, &begun).await? {
            Some(told) => return Ok(told),
            None => again = Some(begun),
        },
    }
    let (proposal, allowed, approval) = match approve(access, wish, change).await? {
        Approved::Granted(proposal, allowed, approval) => (*proposal, allowed, approval),
        Approved::NeedsApproval(told) => return Ok(told),
    };
    // Boxed: it is much larger than the way to a preview.
    let ready = (proposal, allowed, approval);
    Box::pin(apply(access, wish, change, (once, again), ready)).await
}

/// Makes a change that is approved.
async fn apply(
    access: &OdooSession<'_>,
    wish: &RequestFingerprint,
    change: &impl WriteOperation,
    (once, again): (IdempotencyKey, Option<UnfinishedAttempt>),
    (proposal, allowed, approval): (WritePlan, Vec<AuthorizedWrite>, Approval),
) -> Result<WriteOutcome, OperationError> {
    let name = proposal
        .undo
        .as_ref()
        .map(|_| new_change_id())
        .transpose()?;
    let since = Baseline::capture(access, &proposal).await?;
    let begun = once.begin(again, &since, name.as_deref()).await?;
    let claim = match begun {
        Ok(claim) => claim,
        // Somebody else was faster.
        Err(PriorAttempt::Done(done)) => return repeated_response(access, change, &done).await,
        Err(PriorAttempt::None | PriorAttempt::Unknown(_)) => {
            return Err(OperationError::InvalidArgument(
                "another call with this `idempotency_key` did not come to its end; call again with the same key in 10 s".to_owned(),
            ));
        }
    };
    // After the key: who calls again with it hears what came of the first call.
    if let Err(denied) = approval.consume(access).await {
        claim.release().await?;
        return Err(denied);
    }
    if let Err(denied) = change.reserve(access, name.as_deref(), &since).await {
        approval.release(access).await;
        claim.release().await?;
        return Err(denied);
    }
    let kept = match UndoCapture::start(access, &proposal, name.as_deref()).await {
        Ok(kept) => kept,
        Err(denied) => {
            release_reserved(access, change).await;
            approval.release(access).await;
            claim.release().await?;
            return Err(denied);
        }
    };
    let look = proposal.verification_hint.clone();
    // Who brought an id has read them with the preview.
    let notes = match &wish.confirm_token {
        Some(_) => Vec::new(),
        None => proposal.notes.clone(),
    };
    let effect = proposal
        .calls
        .first()
        .map_or(Operation::Read, Call::operation);
    let sent = send_calls(access, proposal, allowed, (&claim, kept.change_id())).await;
    let (done, remembered) = match sent {
        Ok(ended) => ended,
        Err(denied) => {
            let outcome = if denied.may_fail_after_commit(effect) {
                verify_after_error(access, change, (&once, &since), denied, kept.change_id()).await
            } else {
                // Without a key nobody finds out which records it made.
                let found_by_key = effect != Operation::Create || wish.idempotency_key.is_some();
                let name = kept.change_id().filter(|_| found_by_key);
                Err(explain_error(denied, wish, &look, name))
            };
            match outcome {
                Ok(ended) => ended,
                Err(denied) => {
                    if !denied.may_have_run() {
                        kept.discard().await;
                        approval.release(access).await;
                    }
                    // Of one that was lost nobody knows; of one that was done in
                    // part the rest is to be done.
                    if !matches!(denied, OperationError::OutcomeUnknown { .. }) {
                        release_reserved(access, change).await;
                    }
                    return Err(denied);
                }
            }
        }
    };
    let report = summarize_done(access, change, &done).await;
    let mut text = report.text;
    for note in &notes {
        text.push_str("\nNote: ");
        text.push_str(note);
    }
    let after = report.after.as_ref();
    text.push_str(&Box::pin(kept.finish(access, &done, after)).await);
    if remembered.is_err() && wish.idempotency_key.is_some() {
        text.push_str("\nThe gateway could not note that this is done: do not call again with this `idempotency_key`.");
    }
    Ok(WriteOutcome::Done(text))
}

/// What came of a change that Odoo answered with an error of its own making.
/// Almost always such an error takes back what was begun; but some of Odoo's
/// work comes after that was written for good (`Cursor.postcommit`).
async fn verify_after_error(
    access: &OdooSession<'_>,
    change: &impl WriteOperation,
    (once, since): (&IdempotencyKey, &Baseline),
    denied: OperationError,
    undo: Option<String>,
) -> ExecutionResult {
    let OperationError::Call(error) = denied else {
        return Err(denied);
    };
    let begun = match once.prior_attempt().await {
        Ok(PriorAttempt::Unknown(begun)) => Some(begun),
        Ok(PriorAttempt::None | PriorAttempt::Done(_)) | Err(_) => None,
    };
    let found = change.probe_outcome(access, since).await;
    let look = match found {
        Ok(RecoveredOutcome::Done(ids)) => {
            let done = CompletedWrite {
                at: since.taken_at,
                ids,
                result: Value::Null,
                undo,
            };
            let remembered = match begun {
                Some(begun) => once.complete(&begun, &done).await,
                None => Ok(()),
            };
            return Ok((done, remembered));
        }
        Ok(RecoveredOutcome::NotDone) => {
            if let Some(begun) = begun
                && let Err(failed) = once.release(&begun).await
            {
                // Then it is found out again by whoever calls with it.
                warn!(error = %failed, "Failed to give an idempotency key back");
            }
            return Err(OperationError::WriteRejected { error });
        }
        Ok(RecoveredOutcome::Unclear(look)) => look,
        Err(failed) => {
            warn!(error = %failed, "Failed to find out what came of a change");
            "look at the records.".to_owned()
        }
    };
    Err(OperationError::OutcomeUnknown {
        error,
        how: format!(
            "most likely nothing was changed, but that cannot be said for sure: {look} Do not call again before you know"
        ),
    })
}

/// What is told of a change. It is done, whatever looking at it afterwards
/// brings.
async fn summarize_done(
    access: &OdooSession<'_>,
    change: &impl WriteOperation,
    done: &CompletedWrite,
) -> Report {
    match change.summarize(access, done).await {
        Ok(report) => report,
        Err(error) => {
            tracing::warn!(error = %error, "Failed to look at what a change had done");
            Report {
                text: format!(
                    "It is done, with these records: {}; do not call again. Only how they are now could not be looked at; read_records shows it.",
                    id_list(&done.ids)
                ),
                after: None,
            }
        }
    }
}

/// Lets go of what a change took that was not made.
async fn release_reserved(access: &OdooSession<'_>, change: &impl WriteOperation) {
    if let Err(error) = change.release(access).await {
        // Then it is found out how things are, as of one that was lost.
        tracing::warn!(error = %error, "Failed to give back what a change had taken");
    }
}

/// The answer to a call that was made before.
async fn repeated_response(
    access: &OdooSession<'_>,
    change: &impl WriteOperation,
    done: &CompletedWrite,
) -> Result<WriteOutcome, OperationError> {
    let report = summarize_done(access, change, done).await;
    let way_back = finish_recovered(access, done.undo.as_deref(), &done.ids).await;
    Ok(WriteOutcome::Done(format!(
        "This was done before, at {:.0}, by a call with the same `idempotency_key`; nothing was done now. As it is now:\n{}{way_back}",
        done.at, report.text
    )))
}

/// Finds out what came of a change whose answer was lost. Nothing to tell means
/// that it was not done, and may be.
async fn probe_outcome(
    access: &OdooSession<'_>,
    change: &impl WriteOperation,
    once: &IdempotencyKey,
    begun: &UnfinishedAttempt,
) -> Result<Option<WriteOutcome>, OperationError> {
    let found = match change.probe_outcome(access, &begun.baseline).await {
        // Its own words are those of a change that is refused.
        Err(
            error @ (OperationError::InvalidArgument(_)
            | OperationError::Forbidden(_)
            | OperationError::InvalidContext(_)),
        ) => {
            warn!(error = %error, "Failed to find out what came of a change");
            RecoveredOutcome::Unclear("what it was about has changed since, so that it cannot be looked for; look at the records.".to_owned())
        }
        // Odoo does not show it to this user.
        Err(OperationError::Call(error)) if error.is_fault() => {
            warn!(error = %error, "Failed to find out what came of a change");
            RecoveredOutcome::Unclear(
                "Odoo does not let this user look; tell the user to look in Odoo.".to_owned(),
            )
        }
        found => found?,
    };
    match found {
        RecoveredOutcome::Done(ids) => {
            let done = CompletedWrite {
                at: begun.baseline.taken_at,
                ids,
                result: method_result::lost_result(),
                undo: begun.change_id.clone(),
            };
            if let Err(failed) = once.complete(begun, &done).await {
                // Then it is found out again.
                warn!(error = %failed, "Failed to note what came of a change");
            }
            let report = summarize_done(access, change, &done).await;
            let way_back = finish_recovered(access, done.undo.as_deref(), &done.ids).await;
            Ok(Some(WriteOutcome::Done(format!(
                "The earlier call with this `idempotency_key`, of which the answer was lost, was done; nothing was done now.\n{}{way_back}",
                report.text
            ))))
        }
        RecoveredOutcome::NotDone => {
            let age = Timestamp::now()
                .duration_since(begun.baseline.taken_at)
                .unsigned_abs();
            let at_work = MAX_ODOO_WORK_TIME + once.send_window();
            if age >= at_work {
                return Ok(None);
            }
            Err(OperationError::InvalidArgument(format!(
                "the answer to the earlier call with this `idempotency_key` was lost, and Odoo shows no trace of it so far, but may still be at work; call again with the same key in {} s: then it is found out, or done",
                at_work.saturating_sub(age).as_secs().max(1)
            )))
        }
        RecoveredOutcome::Unclear(look) => Err(OperationError::InvalidArgument(format!(
            "the answer to the earlier call with this `idempotency_key` was lost, and whether it was done cannot be said for sure: {look} Only if it was not done, call again with a new key."
        ))),
    }
}

/// Sends the calls, one after the other.
async fn send_calls(
    access: &OdooSession<'_>,
    proposal: WritePlan,
    allowed: Vec<AuthorizedWrite>,
    (claim, undo): (&IdempotencyReservation, Option<String>),
) -> ExecutionResult {
    let before = &proposal.before;
    let before: Option<Box<str>> = (!before.is_empty()).then(|| hex(&before.hash()).into());
    let count = allowed.len();
    let mut all = CompletedWrite {
        at: Timestamp::now(),
        ids: Vec::new(),
        result: Value::Null,
        undo,
    };
    let mut remembered = Ok(());
    for (index, one) in allowed.into_iter().enumerate() {
        let call = Arc::new(one.call().clone());
        let effect = call.operation();
        let (so_far, mine) = (all.clone(), claim.clone());
        let theirs = claim.clone();
        let place = CallPosition {
            is_first: index == 0,
            is_last: index + 1 == count,
        };
        let then = move |answer| record_response(so_far, call, theirs, place, answer);
        let ended = match access.send_write(one, before.clone(), then).await {
            Ok(ended) => ended,
            // It was not sent, or nobody knows.
            Err(denied) => Err(record_without_outcome(&mine, index > 0, effect, denied).await),
        };
        match ended {
            Ok((done, noted)) => (all, remembered) = (done, noted),
            Err(denied) if index == 0 => return Err(denied),
            Err(why) => {
                return Err(OperationError::PartiallyApplied {
                    done: index,
                    of: count,
                    why: Box::new(why),
                });
            }
        }
    }
    Ok((all, remembered))
}

/// What is noted when an answer came, or none. The client may be gone by now.
async fn record_response(
    mut done: CompletedWrite,
    call: Arc<Call>,
    claim: IdempotencyReservation,
    place: CallPosition,
    answer: Result<Bytes, OperationError>,
) -> ExecutionResult {
    let answer = match answer {
        Ok(answer) => answer,
        Err(denied) => {
            return Err(
                record_without_outcome(&claim, !place.is_first, call.operation(), denied).await,
            );
        }
    };
    match (call.request(), call.operation()) {
        (Request::Load(load), _) => match LoadResult::parse(&answer, load) {
            Ok(loaded) => {
                done.ids.extend(loaded.ids.unwrap_or_default());
                if !loaded.warnings.is_empty() {
                    done.result = Value::from(loaded.warnings.to_string());
                }
            }
            Err(error) => {
                return Err(record_without_outcome(
                    &claim,
                    true,
                    call.operation(),
                    unreadable_response(error),
                )
                .await);
            }
        },
        (_, Operation::Create) => match serde_json::from_slice::<Vec<RecordId>>(&answer) {
            Ok(made) => done.ids.extend(made),
            Err(error) => {
                return Err(record_without_outcome(
                    &claim,
                    true,
                    call.operation(),
                    unreadable_response(error),
                )
                .await);
            }
        },
        (_, Operation::Call) => {
            done.ids.extend(call.ids());
            done.result = method_result::stored_result(&answer);
        }
        (_, Operation::Delete | Operation::Read | Operation::Write) => done.ids.extend(call.ids()),
    }
    let remembered = if place.is_last {
        claim.complete(&done).await
    } else {
        Ok(())
    };
    Ok((done, remembered))
}

/// Notes that a change has no good end: the key is free again where nothing can
/// have happened, neither by this call nor by one before it.
async fn record_without_outcome(
    claim: &IdempotencyReservation,
    partly: bool,
    effect: Operation,
    denied: OperationError,
) -> OperationError {
    let noted = if partly || denied.may_have_run() || denied.may_fail_after_commit(effect) {
        claim.clone().mark_outcome_unknown().await
    } else {
        claim.clone().release().await
    };
    if let Err(error) = noted {
        // Then it stays begun, and is found out like one that was lost.
        warn!(error = %error, "Failed to note how a change ended");
    }
    denied
}

/// An answer to a change that says nothing we understand: it may have run.
fn unreadable_response(
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> OperationError {
    CallError::OutcomeUnknown(UnknownOutcome::Unreadable(error.into())).into()
}

/// A refusal, with what became of the change; an answer that was lost, with how
/// to find out.
fn explain_error(
    denied: OperationError,
    wish: &RequestFingerprint,
    look: &str,
    undo: Option<String>,
) -> OperationError {
    let OperationError::Call(error) = &denied else {
        return denied;
    };
    if error.is_fault() {
        return OperationError::WriteRejected {
            error: Arc::clone(error),
        };
    }
    if !matches!(**error, CallError::OutcomeUnknown(_)) {
        return denied;
    }
    let how = if wish.idempotency_key.is_some() {
        "call again with the same arguments and the same `idempotency_key`: it is found out whether it was done, and not done twice".to_owned()
    } else {
        format!("do not call again before you know: {look}")
    };
    let how = match undo {
        Some(name) => {
            format!("{how}. If it was done, undo_change with `change`: \"{name}\" takes it back")
        }
        None => how,
    };
    OperationError::OutcomeUnknown {
        error: Arc::clone(error),
        how,
    }
}
