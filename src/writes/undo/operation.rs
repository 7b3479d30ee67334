//! A change that takes another one back.

use jiff::Timestamp;

use super::{
    created, deleted,
    entry::{StoredUndo, UndoAttempt, UndoKind, load_change},
    updated,
};
use crate::{
    access::{OdooSession, OperationError},
    writes::{
        Baseline, CompletedWrite, RecoveredOutcome, Report, WriteOperation, WritePlan,
        operation::MAX_ODOO_WORK_TIME,
    },
};

/// A change that takes another one back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndoOperation {
    change_id: String,
}

/// A text that is no name of a change.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is no name of a change: they are twelve letters and digits, such as `k3v9mwq2x7pd`, and stand below the answer of the tool that made the change; copy it from there"
)]
pub struct InvalidChangeId;

impl UndoOperation {
    /// Takes back the change of this name.
    ///
    /// # Errors
    /// [`InvalidChangeName`].
    pub fn parse(name: &str) -> Result<Self, InvalidChangeId> {
        let name = name.trim();
        if name.len() != 12 || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(InvalidChangeId);
        }
        Ok(Self {
            change_id: name.to_ascii_lowercase(),
        })
    }

    async fn load(&self, access: &OdooSession<'_>) -> Result<StoredUndo, OperationError> {
        load_change(access, &self.change_id).await?.ok_or_else(|| {
            OperationError::InvalidArgument(format!(
                "no change `{}` is known; nothing was changed. Only changes that you made yourself in this Odoo instance can be taken back, for {} h. Retrying will not help: change the records themselves",
                self.change_id,
                access.store.retention().undo_ttl.as_secs() / 3600
            ))
        })
    }

    /// Refuses what was taken back, or is being taken back.
    async fn check_not_undone(
        &self,
        access: &OdooSession<'_>,
        stored: &StoredUndo,
    ) -> Result<(), OperationError> {
        let Some(used) = &stored.entry.used else {
            return Ok(());
        };
        if used.done {
            return Err(already_undone_error(used));
        }
        // Somebody began, and it is not known how that ended.
        let since = Baseline {
            newest_id: used.newest,
            ..Baseline::time_only(used.at)
        };
        match self.probe(access, stored, &since).await? {
            RecoveredOutcome::Done(_) => Err(already_undone_error(used)),
            RecoveredOutcome::NotDone | RecoveredOutcome::Unclear(_) if may_be_in_flight(used) => {
                Err(OperationError::InvalidArgument(format!(
                    "another call is taking this change back, or its answer was lost; nothing was done now. Call again in {} s: then it is found out",
                    remaining_seconds(used)
                )))
            }
            RecoveredOutcome::Unclear(look) if stored.entry.kind == UndoKind::Delete => {
                Err(OperationError::InvalidArgument(format!(
                    "this change was begun to be taken back at {:.0}, and whether that was done cannot be said for sure; nothing was done now. {look} Only if they are not there, make the records with create_records",
                    used.at
                )))
            }
            // How each record is now decides.
            RecoveredOutcome::NotDone | RecoveredOutcome::Unclear(_) => Ok(()),
        }
    }

    async fn probe(
        &self,
        access: &OdooSession<'_>,
        stored: &StoredUndo,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        match stored.entry.kind {
            UndoKind::Create => created::probe_outcome(access, &stored.entry).await,
            UndoKind::Delete => deleted::probe_outcome(access, &stored.entry, since).await,
            UndoKind::Update => updated::probe_outcome(access, &stored.entry).await,
        }
    }
}

impl WriteOperation for UndoOperation {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        let stored = self.load(access).await?;
        // Boxed: it looks at much.
        Box::pin(self.check_not_undone(access, &stored)).await?;
        let entry = &stored.entry;
        match entry.kind {
            UndoKind::Create => Box::pin(created::plan(access, entry)).await,
            UndoKind::Delete => Box::pin(deleted::plan(access, entry)).await,
            UndoKind::Update => Box::pin(updated::plan(access, entry)).await,
        }
    }

    async fn reserve(
        &self,
        access: &OdooSession<'_>,
        name: Option<&str>,
        since: &Baseline,
    ) -> Result<(), OperationError> {
        let stored = self.load(access).await?;
        if let Some(used) = &stored.entry.used
            && (used.done || may_be_in_flight(used))
        {
            return Err(already_undone_error(used));
        }
        let mut entry = stored.entry.clone();
        entry.used = Some(UndoAttempt {
            at: since.taken_at,
            by: name.map(str::to_owned),
            done: false,
            newest: since.newest_id,
        });
        if stored.compare_and_replace(&entry).await? {
            return Ok(());
        }
        Err(OperationError::InvalidArgument(
            "another call is taking this change back; nothing was done now. Call again in 10 s to hear what came of it".to_owned(),
        ))
    }

    async fn release(&self, access: &OdooSession<'_>) -> Result<(), OperationError> {
        let stored = self.load(access).await?;
        let mut entry = stored.entry.clone();
        entry.used = None;
        // Whoever was faster has put something truer there.
        stored.compare_and_replace(&entry).await.map(|_first| ())
    }

    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let stored = self.load(access).await?;
        Box::pin(self.probe(access, &stored, since)).await
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let Some(stored) = load_change(access, &self.change_id).await? else {
            // Its time is over, or there was no room for it; done it is.
            return Ok(Report {
                text: "The change was taken back.".to_owned(),
                after: None,
            });
        };
        let mut entry = stored.entry.clone();
        if !entry.used.as_ref().is_some_and(|used| used.done) {
            entry.used = Some(UndoAttempt {
                at: done.at,
                by: done.undo.clone(),
                done: true,
                newest: None,
            });
            let noted = stored.compare_and_replace(&entry).await;
            if let Err(error) = noted {
                // Then it stays begun, and is found out.
                tracing::warn!(error = %error, "Failed to note that a change was taken back");
            }
        }
        match entry.kind {
            UndoKind::Create => created::summarize(access, &entry, done).await,
            UndoKind::Delete => Box::pin(deleted::summarize(access, &entry, done)).await,
            UndoKind::Update => Box::pin(updated::summarize(access, &entry, done)).await,
        }
    }
}

fn already_undone_error(used: &UndoAttempt) -> OperationError {
    let again = match &used.by {
        Some(name) => format!("; to make it again, undo_change with `change`: \"{name}\""),
        None => String::new(),
    };
    OperationError::InvalidArgument(format!(
        "this change was taken back at {:.0}; nothing was done now{again}",
        used.at
    ))
}

/// Whether Odoo may still be at work on it.
fn may_be_in_flight(used: &UndoAttempt) -> bool {
    remaining_seconds(used) > 0
}

fn remaining_seconds(used: &UndoAttempt) -> u64 {
    let age = Timestamp::now().duration_since(used.at).unsigned_abs();
    MAX_ODOO_WORK_TIME.saturating_sub(age).as_secs()
}
