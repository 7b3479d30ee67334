//! The way of every change: known already? allowed? approved? once; written
//! down; sent; remembered; told.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tracing::warn;

use super::{
    Change, Done, Found, Proposal, Report, Since, Wish,
    approve::{Approval, Approved, approve},
    change::ODOO_AT_WORK,
    numbers,
    once::{Begun, Claim, Earlier, Once},
    returned,
    undo::{Kept, found_done, new_name},
    wish::hex,
};
use crate::access::{Access, Allowed, Denied};
use gatepost_mcp::elicitation::Question;
use gatepost_odoo::{Call, Effect, Loaded, RecordId, Request};
use gatepost_odoo_client::{CallError, Silence};

/// What becomes of a call that wants to change something.
#[derive(Debug)]
pub enum Told {
    /// A question that a person must answer first.
    Asks(Question),
    /// What the model reads.
    Text(String),
}

/// Where a call stands among those of its change.
#[derive(Clone, Copy)]
struct Place {
    is_first: bool,
    is_last: bool,
}

/// What a change brought, and whether that could be remembered.
type Ended = Result<(Done, Result<(), Denied>), Denied>;

/// Does what a call wishes: at most once, as far as it is allowed, and when it
/// is approved.
///
/// # Errors
/// [`Denied`]; only [`Denied::Lost`] and [`Denied::Partly`] say that something
/// may have been changed.
pub async fn carry_out(
    access: &Access<'_>,
    wish: &Wish,
    change: &impl Change,
) -> Result<Told, Denied> {
    let once = Once::of(access, wish);
    let mut again = None;
    match once.earlier().await? {
        Earlier::None => {}
        Earlier::Done(done) => return repeated(access, change, &done).await,
        Earlier::Unknown(begun) => match find_out(access, change, &once, &begun).await? {
            Some(told) => return Ok(told),
            None => again = Some(begun),
        },
    }
    let (proposal, allowed, approval) = match approve(access, wish, change).await? {
        Approved::Yes(proposal, allowed, approval) => (*proposal, allowed, approval),
        Approved::NotYet(told) => return Ok(told),
    };
    // Boxed: it is much larger than the way to a preview.
    let ready = (proposal, allowed, approval);
    Box::pin(make(access, wish, change, (once, again), ready)).await
}

/// Makes a change that is approved.
async fn make(
    access: &Access<'_>,
    wish: &Wish,
    change: &impl Change,
    (once, again): (Once, Option<Begun>),
    (proposal, allowed, approval): (Proposal, Vec<Allowed>, Approval),
) -> Result<Told, Denied> {
    let name = proposal.undo.as_ref().map(|_| new_name()).transpose()?;
    let since = Since::now(access, &proposal).await?;
    let begun = once.begin(again, &since, name.as_deref()).await?;
    let claim = match begun {
        Ok(claim) => claim,
        // Somebody else was faster.
        Err(Earlier::Done(done)) => return repeated(access, change, &done).await,
        Err(Earlier::None | Earlier::Unknown(_)) => {
            return Err(Denied::Unfit(
                "another call with this `idempotency_key` did not come to its end; call again with the same key in 10 s".to_owned(),
            ));
        }
    };
    // After the key: who calls again with it hears what came of the first call.
    if let Err(denied) = approval.use_up(access).await {
        claim.give_back().await?;
        return Err(denied);
    }
    if let Err(denied) = change.claim(access, name.as_deref(), &since).await {
        approval.give_back(access).await;
        claim.give_back().await?;
        return Err(denied);
    }
    let kept = match Kept::before(access, &proposal, name.as_deref()).await {
        Ok(kept) => kept,
        Err(denied) => {
            give_back(access, change).await;
            approval.give_back(access).await;
            claim.give_back().await?;
            return Err(denied);
        }
    };
    let look = proposal.look.clone();
    // Who brought an id has read them with the preview.
    let notes = match &wish.confirm {
        Some(_) => Vec::new(),
        None => proposal.notes.clone(),
    };
    let effect = proposal.calls.first().map_or(Effect::Read, Call::effect);
    let sent = send(access, proposal, allowed, (&claim, kept.name())).await;
    let (done, remembered) = match sent {
        Ok(ended) => ended,
        Err(denied) => {
            let outcome = if denied.may_come_late(effect) {
                looked(access, change, (&once, &since), denied, kept.name()).await
            } else {
                // Without a key nobody finds out which records it made.
                let found_by_key = effect != Effect::Create || wish.key.is_some();
                let name = kept.name().filter(|_| found_by_key);
                Err(explained(denied, wish, &look, name))
            };
            match outcome {
                Ok(ended) => ended,
                Err(denied) => {
                    if !denied.may_have_run() {
                        kept.forget().await;
                        approval.give_back(access).await;
                    }
                    // Of one that was lost nobody knows; of one that was done in
                    // part the rest is to be done.
                    if !matches!(denied, Denied::Lost { .. }) {
                        give_back(access, change).await;
                    }
                    return Err(denied);
                }
            }
        }
    };
    let report = reported(access, change, &done).await;
    let mut text = report.text;
    for note in &notes {
        text.push_str("\nNote: ");
        text.push_str(note);
    }
    let after = report.after.as_ref();
    text.push_str(&Box::pin(kept.after(access, &done, after)).await);
    if remembered.is_err() && wish.key.is_some() {
        text.push_str("\nThe gateway could not note that this is done: do not call again with this `idempotency_key`.");
    }
    Ok(Told::Text(text))
}

/// What came of a change that Odoo answered with an error of its own making.
/// Almost always such an error takes back what was begun; but some of Odoo's
/// work comes after that was written for good (`Cursor.postcommit`).
async fn looked(
    access: &Access<'_>,
    change: &impl Change,
    (once, since): (&Once, &Since),
    denied: Denied,
    undo: Option<String>,
) -> Ended {
    let Denied::Call(error) = denied else {
        return Err(denied);
    };
    let begun = match once.earlier().await {
        Ok(Earlier::Unknown(begun)) => Some(begun),
        Ok(Earlier::None | Earlier::Done(_)) | Err(_) => None,
    };
    let found = change.find(access, since).await;
    let look = match found {
        Ok(Found::Done(ids)) => {
            let done = Done {
                at: since.at,
                ids,
                result: Value::Null,
                undo,
            };
            let remembered = match begun {
                Some(begun) => once.settle(&begun, &done).await,
                None => Ok(()),
            };
            return Ok((done, remembered));
        }
        Ok(Found::Not) => {
            if let Some(begun) = begun
                && let Err(failed) = once.release(&begun).await
            {
                // Then it is found out again by whoever calls with it.
                warn!(error = %failed, "Failed to give an idempotency key back");
            }
            return Err(Denied::Refused { error });
        }
        Ok(Found::Unclear(look)) => look,
        Err(failed) => {
            warn!(error = %failed, "Failed to find out what came of a change");
            "look at the records.".to_owned()
        }
    };
    Err(Denied::Lost {
        error,
        how: format!(
            "most likely nothing was changed, but that cannot be said for sure: {look} Do not call again before you know"
        ),
    })
}

/// What is told of a change. It is done, whatever looking at it afterwards
/// brings.
async fn reported(access: &Access<'_>, change: &impl Change, done: &Done) -> Report {
    match change.report(access, done).await {
        Ok(report) => report,
        Err(error) => {
            tracing::warn!(error = %error, "Failed to look at what a change had done");
            Report {
                text: format!(
                    "It is done, with these records: {}; do not call again. Only how they are now could not be looked at; read_records shows it.",
                    numbers(&done.ids)
                ),
                after: None,
            }
        }
    }
}

/// Lets go of what a change took that was not made.
async fn give_back(access: &Access<'_>, change: &impl Change) {
    if let Err(error) = change.give_back(access).await {
        // Then it is found out how things are, as of one that was lost.
        tracing::warn!(error = %error, "Failed to give back what a change had taken");
    }
}

/// The answer to a call that was made before.
async fn repeated(access: &Access<'_>, change: &impl Change, done: &Done) -> Result<Told, Denied> {
    let report = reported(access, change, done).await;
    let way_back = found_done(access, done.undo.as_deref(), &done.ids).await;
    Ok(Told::Text(format!(
        "This was done before, at {:.0}, by a call with the same `idempotency_key`; nothing was done now. As it is now:\n{}{way_back}",
        done.at, report.text
    )))
}

/// Finds out what came of a change whose answer was lost. Nothing to tell means
/// that it was not done, and may be.
async fn find_out(
    access: &Access<'_>,
    change: &impl Change,
    once: &Once,
    begun: &Begun,
) -> Result<Option<Told>, Denied> {
    let found = match change.find(access, &begun.since).await {
        // Its own words are those of a change that is refused.
        Err(error @ (Denied::Unfit(_) | Denied::Forbidden(_) | Denied::Context(_))) => {
            warn!(error = %error, "Failed to find out what came of a change");
            Found::Unclear("what it was about has changed since, so that it cannot be looked for; look at the records.".to_owned())
        }
        // Odoo does not show it to this user.
        Err(Denied::Call(error)) if error.is_fault() => {
            warn!(error = %error, "Failed to find out what came of a change");
            Found::Unclear(
                "Odoo does not let this user look; tell the user to look in Odoo.".to_owned(),
            )
        }
        found => found?,
    };
    match found {
        Found::Done(ids) => {
            let done = Done {
                at: begun.since.at,
                ids,
                result: returned::lost(),
                undo: begun.undo.clone(),
            };
            if let Err(failed) = once.settle(begun, &done).await {
                // Then it is found out again.
                warn!(error = %failed, "Failed to note what came of a change");
            }
            let report = reported(access, change, &done).await;
            let way_back = found_done(access, done.undo.as_deref(), &done.ids).await;
            Ok(Some(Told::Text(format!(
                "The earlier call with this `idempotency_key`, of which the answer was lost, was done; nothing was done now.\n{}{way_back}",
                report.text
            ))))
        }
        Found::Not => {
            let age = Timestamp::now()
                .duration_since(begun.since.at)
                .unsigned_abs();
            let at_work = ODOO_AT_WORK + once.until_sent();
            if age >= at_work {
                return Ok(None);
            }
            Err(Denied::Unfit(format!(
                "the answer to the earlier call with this `idempotency_key` was lost, and Odoo shows no trace of it so far, but may still be at work; call again with the same key in {} s: then it is found out, or done",
                at_work.saturating_sub(age).as_secs().max(1)
            )))
        }
        Found::Unclear(look) => Err(Denied::Unfit(format!(
            "the answer to the earlier call with this `idempotency_key` was lost, and whether it was done cannot be said for sure: {look} Only if it was not done, call again with a new key."
        ))),
    }
}

/// Sends the calls, one after the other.
async fn send(
    access: &Access<'_>,
    proposal: Proposal,
    allowed: Vec<Allowed>,
    (claim, undo): (&Claim, Option<String>),
) -> Ended {
    let before = &proposal.before;
    let before: Option<Box<str>> = (!before.is_empty()).then(|| hex(&before.hash()).into());
    let count = allowed.len();
    let mut all = Done {
        at: Timestamp::now(),
        ids: Vec::new(),
        result: Value::Null,
        undo,
    };
    let mut remembered = Ok(());
    for (index, one) in allowed.into_iter().enumerate() {
        let call = Arc::new(one.call().clone());
        let effect = call.effect();
        let (so_far, mine) = (all.clone(), claim.clone());
        let theirs = claim.clone();
        let place = Place {
            is_first: index == 0,
            is_last: index + 1 == count,
        };
        let then = move |answer| end(so_far, call, theirs, place, answer);
        let ended = match access.change(one, before.clone(), then).await {
            Ok(ended) => ended,
            // It was not sent, or nobody knows.
            Err(denied) => Err(unended(&mine, index > 0, effect, denied).await),
        };
        match ended {
            Ok((done, noted)) => (all, remembered) = (done, noted),
            Err(denied) if index == 0 => return Err(denied),
            Err(why) => {
                return Err(Denied::Partly {
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
async fn end(
    mut done: Done,
    call: Arc<Call>,
    claim: Claim,
    place: Place,
    answer: Result<Bytes, Denied>,
) -> Ended {
    let answer = match answer {
        Ok(answer) => answer,
        Err(denied) => return Err(unended(&claim, !place.is_first, call.effect(), denied).await),
    };
    match (call.request(), call.effect()) {
        (Request::Load(load), _) => match Loaded::parse(&answer, load) {
            Ok(loaded) => {
                done.ids.extend(loaded.ids.unwrap_or_default());
                if !loaded.warnings.is_empty() {
                    done.result = Value::from(loaded.warnings.to_string());
                }
            }
            Err(error) => return Err(unended(&claim, true, call.effect(), unread(error)).await),
        },
        (_, Effect::Create) => match serde_json::from_slice::<Vec<RecordId>>(&answer) {
            Ok(made) => done.ids.extend(made),
            Err(error) => return Err(unended(&claim, true, call.effect(), unread(error)).await),
        },
        (_, Effect::Run) => {
            done.ids.extend(call.ids());
            done.result = returned::kept(&answer);
        }
        (_, Effect::Delete | Effect::Read | Effect::Write) => done.ids.extend(call.ids()),
    }
    let remembered = if place.is_last {
        claim.done(&done).await
    } else {
        Ok(())
    };
    Ok((done, remembered))
}

/// Notes that a change has no good end: the key is free again where nothing can
/// have happened, neither by this call nor by one before it.
async fn unended(claim: &Claim, partly: bool, effect: Effect, denied: Denied) -> Denied {
    let noted = if partly || denied.may_have_run() || denied.may_come_late(effect) {
        claim.clone().lost().await
    } else {
        claim.clone().give_back().await
    };
    if let Err(error) = noted {
        // Then it stays begun, and is found out like one that was lost.
        warn!(error = %error, "Failed to note how a change ended");
    }
    denied
}

/// An answer to a change that says nothing we understand: it may have run.
fn unread(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Denied {
    CallError::OutcomeUnknown(Silence::Unreadable(error.into())).into()
}

/// A refusal, with what became of the change; an answer that was lost, with how
/// to find out.
fn explained(denied: Denied, wish: &Wish, look: &str, undo: Option<String>) -> Denied {
    let Denied::Call(error) = &denied else {
        return denied;
    };
    if error.is_fault() {
        return Denied::Refused {
            error: Arc::clone(error),
        };
    }
    if !matches!(**error, CallError::OutcomeUnknown(_)) {
        return denied;
    }
    let how = if wish.key.is_some() {
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
    Denied::Lost {
        error: Arc::clone(error),
        how,
    }
}
