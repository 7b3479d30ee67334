//! What a tool that changes records must know to do.

use std::{future::Future, time::Duration};

use serde_json::Value;

use super::{Baseline, CompletedWrite};
use crate::access::RecordSnapshot;
use crate::access::{OdooSession, OperationError};
use gatepost_odoo::{Call, ModelName, RecordId};

/// One kind of change, with the arguments of one call of its tool.
///
/// It only says what is to be done and how to find out; that it is allowed,
/// approved, done once, written down and undone is the same for all of them
/// ([`carry_out`](super::carry_out())).
pub trait WriteOperation: Sync {
    /// What is to be done, from how things are now. Asked again when a person
    /// took their time to agree.
    fn plan(
        &self,
        access: &OdooSession<'_>,
    ) -> impl Future<Output = Result<WritePlan, OperationError>> + Send;

    /// Takes what must not be used twice, once it is approved and right before
    /// it is sent. `name` is that under which it can be taken back.
    fn reserve(
        &self,
        _access: &OdooSession<'_>,
        _name: Option<&str>,
        _since: &Baseline,
    ) -> impl Future<Output = Result<(), OperationError>> + Send {
        async { Ok(()) }
    }

    /// Gives that back: the change was not made, or not all of it.
    fn release(
        &self,
        _access: &OdooSession<'_>,
    ) -> impl Future<Output = Result<(), OperationError>> + Send {
        async { Ok(()) }
    }

    /// What came of it, where the answer was lost: from what Odoo has now.
    fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        since: &Baseline,
    ) -> impl Future<Output = Result<RecoveredOutcome, OperationError>> + Send;

    /// What the model is told when it is done.
    fn summarize(
        &self,
        access: &OdooSession<'_>,
        done: &CompletedWrite,
    ) -> impl Future<Output = Result<Report, OperationError>> + Send;
}

/// What is told of a change, and how things are after it.
#[derive(Debug, Default)]
pub struct Report {
    /// What the model reads.
    pub text: String,
    /// The records, where they were looked at.
    pub after: Option<RecordSnapshot>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct WritePlan {
    /// The calls, one after the other; almost always one.
    pub calls: Vec<Call>,
    /// What they would do, for a model and for the person behind it.
    pub preview: String,
    /// How its values were understood; part of the preview, and told with the
    /// answer where no model has read that.
    pub notes: Vec<String>,
    /// What is there before.
    pub before: RecordSnapshot,
    /// What else the preview shows of how things are.
    pub related_state: Value,
    /// How it can be taken back.
    pub undo: Option<UndoSupport>,
    /// Of which model it makes records by which it can be found out whether it
    /// was done.
    pub created_model: Option<ModelName>,
    /// What to look at where the answer is lost.
    pub verification_hint: String,
}

/// How a change can be taken back.
#[derive(Clone, PartialEq, Debug)]
pub enum UndoSupport {
    /// The new records are deleted.
    Create,
    /// The records are made again, as far as that goes.
    Delete,
    /// The fields get the values that they had.
    Update(Vec<gatepost_odoo::FieldName>),
}

/// What came of a change whose answer was lost.
#[derive(Clone, PartialEq, Debug)]
pub enum RecoveredOutcome {
    /// It was done, with these records.
    Done(Vec<RecordId>),
    /// Odoo has no trace of it.
    NotDone,
    /// It cannot be said; what the model should look at.
    Unclear(String),
}

/// How long Odoo may be at work on a call of which nothing is heard any more
/// (its own limit is two minutes by default, `limit_time_real`).
pub(super) const MAX_ODOO_WORK_TIME: Duration = Duration::from_secs(150);
