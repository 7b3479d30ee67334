//! Sends the calls of a write, and stores their outcome under its key.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;

use super::{CompletedWrite, WritePlan, idempotency::entry::Attempt, method_result};
use crate::access::{AuthorizedWrite, OdooSession, OperationError};
use gatepost_base::digest::hex;
use gatepost_odoo::{Call, LoadResult, Operation, RecordId, Request};
use gatepost_odoo_client::{CallError, UnknownOutcome};

/// What a write did, and whether that could be stored under its key.
pub(super) type ExecutionResult =
    Result<(CompletedWrite, Result<(), OperationError>), OperationError>;

/// Sends the calls, one after the other.
pub(super) async fn send_calls(
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
        let position = (index == 0, index + 1 == count);
        let (so_far, own) = (done.clone(), Arc::clone(attempt));
        let then = move |response| record_response(so_far, call, own, position, response);
        let sent = match attempt.check_may_send().await {
            Ok(()) => access.send_write(write, before.clone(), then).await,
            Err(error) => Err(error),
        };
        let ended = match sent {
            Ok(ended) => ended,
            // It was not sent, or its outcome is unknown.
            Err(error) => Err(record_failure(attempt, index > 0, operation, error).await),
        };
        (done, stored) = match ended {
            Ok(ended) => ended,
            Err(error) if index == 0 => return Err(error),
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
    (is_first, is_last): (bool, bool),
    response: Result<Bytes, OperationError>,
) -> ExecutionResult {
    let parsed = match &response {
        Ok(response) => add_result(&mut done, &call, response),
        Err(error) => Err(error.clone()),
    };
    if let Err(error) = parsed {
        // A response that cannot be read comes after the write.
        let partly = !is_first || response.is_ok();
        return Err(record_failure(&attempt, partly, call.operation(), error).await);
    }
    let stored = if is_last {
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
    error: OperationError,
) -> OperationError {
    let stored = if partly || error.may_have_run() || error.may_fail_after_commit(operation) {
        attempt.mark_outcome_unknown().await
    } else {
        attempt.release().await
    };
    if let Err(error) = stored {
        // It then stays in progress until its timeout, and is probed afterwards.
        warn!(error = %error, "Failed to store the outcome of a write");
    }
    error
}

/// The error for a response that cannot be read: the write may have run.
fn unreadable_response(error: serde_json::Error) -> OperationError {
    CallError::OutcomeUnknown(UnknownOutcome::Unreadable(error.into())).into()
}
