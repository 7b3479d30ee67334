//! The write that undoes a change.

use super::{
    created, deleted,
    entry::{StoredUndo, UndoAttempt, UndoKind, load_change},
    updated,
};
use crate::{
    access::{OdooSession, OperationError},
    writes::{
        Baseline, CompletedWrite, RecoveredOutcome, Report, WriteOperation, WritePlan,
        find_deleted, idempotency::send_window, operation::MAX_ODOO_WORK_TIME,
    },
};
use gatepost_state::store::StoreTime;

/// The write that undoes a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndoOperation {
    change_id: String,
}

/// The text is not a change ID.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a change ID. A change ID has twelve letters and digits, such as `k3v9mwq2x7pd`, and is at the end of the response that made the change"
)]
pub struct InvalidChangeId;

impl UndoOperation {
    /// Undoes the change with this ID.
    ///
    /// # Errors
    /// [`InvalidChangeId`].
    pub fn parse(change_id: &str) -> Result<Self, InvalidChangeId> {
        let change_id = change_id.trim();
        if change_id.len() != 12 || !change_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(InvalidChangeId);
        }
        Ok(Self {
            change_id: change_id.to_ascii_lowercase(),
        })
    }
}

impl WriteOperation for UndoOperation {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        let stored = load(access, &self.change_id).await?;
        // Boxed: their futures are large.
        Box::pin(check_not_undone(access, &stored)).await?;
        let entry = &stored.entry;
        let mut plan = match entry.kind {
            UndoKind::Create => Box::pin(created::plan(access, entry)).await,
            UndoKind::Delete => Box::pin(deleted::plan(access, entry)).await,
            UndoKind::Update => Box::pin(updated::plan(access, entry)).await,
        }?;
        plan.undoes = Some(self.change_id.clone());
        Ok(plan)
    }

    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        baseline: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let stored = load(access, &self.change_id).await?;
        Box::pin(probe(access, &stored, plan, baseline)).await
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let Some(stored) = load_change(access, &self.change_id).await? else {
            // The entry has expired or was evicted, but the undo is done.
            return Ok(Report {
                text: "The change was undone.".to_owned(),
                after: None,
            });
        };
        let mut entry = stored.entry.clone();
        if !entry.used.as_ref().is_some_and(|used| used.done) {
            entry.used = Some(UndoAttempt {
                at: done.at,
                begun_at: StoreTime::default(),
                by: done.undo.clone(),
                done: true,
                newest: None,
            });
            if let Err(error) = stored.compare_and_replace(&entry).await {
                // Later calls then probe its outcome.
                tracing::warn!(error = %error, "Failed to store that a change was undone");
            }
        }
        match entry.kind {
            UndoKind::Create => Ok(created::summarize(&entry, done)),
            UndoKind::Delete => Box::pin(deleted::summarize(access, &entry, done)).await,
            UndoKind::Update => Box::pin(updated::summarize(access, &entry, done)).await,
        }
    }
}

/// Reserves a change to be undone by the write with the ID `by`.
pub(in super::super) async fn reserve_undo(
    access: &OdooSession<'_>,
    change_id: &str,
    by: Option<&str>,
    baseline: &Baseline,
) -> Result<(), OperationError> {
    let stored = load(access, change_id).await?;
    if let Some(used) = &stored.entry.used
        && (used.done || remaining_seconds(access, used).await? > 0)
    {
        return Err(already_undone_error(used));
    }
    let mut entry = stored.entry.clone();
    entry.used = Some(reservation(by, baseline));
    if stored.compare_and_replace(&entry).await? {
        return Ok(());
    }
    Err(OperationError::OutcomePending(
        "another call is undoing this change. Nothing was done now; call again in 10 s to get its result".to_owned(),
    ))
}

/// Releases a change that [`reserve_undo`] reserved with the same arguments. One
/// that another call has reserved since stays reserved.
pub(in super::super) async fn release_undo(
    access: &OdooSession<'_>,
    change_id: &str,
    by: Option<&str>,
    baseline: &Baseline,
) -> Result<(), OperationError> {
    let stored = load(access, change_id).await?;
    if stored.entry.used != Some(reservation(by, baseline)) {
        return Ok(());
    }
    let mut entry = stored.entry.clone();
    entry.used = None;
    // If another call has replaced the entry, that one is right.
    stored.compare_and_replace(&entry).await.map(|_replaced| ())
}

fn reservation(by: Option<&str>, baseline: &Baseline) -> UndoAttempt {
    UndoAttempt {
        at: baseline.taken_at,
        begun_at: baseline.begun_at,
        by: by.map(str::to_owned),
        done: false,
        newest: baseline.newest_id,
    }
}

async fn load(access: &OdooSession<'_>, change_id: &str) -> Result<StoredUndo, OperationError> {
    load_change(access, change_id).await?.ok_or_else(|| {
        OperationError::InvalidArgument(format!(
            "no change `{change_id}` is known. Nothing was changed. Only your own changes in this Odoo instance can be undone, within {} h. Retrying will not help; change the records themselves",
            access.store.retention().undo_ttl.as_secs() / 3600
        ))
    })
}

/// Allows only a change that is neither undone nor being undone.
async fn check_not_undone(
    access: &OdooSession<'_>,
    stored: &StoredUndo,
) -> Result<(), OperationError> {
    let Some(used) = &stored.entry.used else {
        return Ok(());
    };
    if used.done {
        return Err(already_undone_error(used));
    }
    // An undo was begun, and its outcome is not known.
    let baseline = Baseline {
        newest_id: used.newest,
        ..Baseline::time_only(used.at)
    };
    let left = remaining_seconds(access, used).await?;
    match probe(access, stored, None, &baseline).await? {
        RecoveredOutcome::Done(_) => Err(already_undone_error(used)),
        RecoveredOutcome::NotDone | RecoveredOutcome::Unclear(_) if left > 0 => {
            Err(OperationError::OutcomePending(format!(
                "another call is undoing this change, or its response was lost. Nothing was done now; call again in {left} s: the gateway then finds out whether it was done"
            )))
        }
        RecoveredOutcome::Unclear(hint) if stored.entry.kind == UndoKind::Delete => {
            Err(OperationError::OutcomeUnclear(format!(
                "an undo of this change began at {:.0}, and it is not certain whether it was done. Nothing was done now. {hint} Only if the records do not exist, create them with create_records",
                used.at
            )))
        }
        // The state of each record decides.
        RecoveredOutcome::NotDone | RecoveredOutcome::Unclear(_) => Ok(()),
    }
}

async fn probe(
    access: &OdooSession<'_>,
    stored: &StoredUndo,
    plan: Option<&WritePlan>,
    baseline: &Baseline,
) -> Result<RecoveredOutcome, OperationError> {
    let entry = &stored.entry;
    match entry.kind {
        UndoKind::Create => find_deleted(access, &entry.model, &entry.ids).await,
        UndoKind::Delete => deleted::probe_outcome(access, entry, plan, baseline).await,
        UndoKind::Update => updated::probe_outcome(access, entry).await,
    }
}

fn already_undone_error(used: &UndoAttempt) -> OperationError {
    let redo = match &used.by {
        Some(id) => format!("; to redo it, call undo_change with `change`: \"{id}\""),
        None => String::new(),
    };
    OperationError::NothingToUndo(format!(
        "this change was undone at {:.0}. Nothing was done now{redo}",
        used.at
    ))
}

/// How long Odoo may still be working on an undo that was begun, which may have
/// been queued for a while before it was sent.
async fn remaining_seconds(
    access: &OdooSession<'_>,
    used: &UndoAttempt,
) -> Result<u64, OperationError> {
    let age = access.store.now().await?.saturating_since(used.begun_at);
    let in_flight = MAX_ODOO_WORK_TIME + send_window(access);
    Ok(in_flight.saturating_sub(age).as_secs())
}
