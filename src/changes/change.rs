//! What a tool that changes records must know to do.

use std::{future::Future, time::Duration};

use serde_json::Value;

use super::{Done, Shot, Since};
use crate::access::{Access, Denied};
use gatepost_odoo::{Call, ModelName, RecordId};

/// One kind of change, with the arguments of one call of its tool.
///
/// It only says what is to be done and how to find out; that it is allowed,
/// approved, done once, written down and undone is the same for all of them
/// ([`carry_out`](super::carry_out())).
pub trait Change: Sync {
    /// What is to be done, from how things are now. Asked again when a person
    /// took their time to agree.
    fn propose(&self, access: &Access<'_>)
    -> impl Future<Output = Result<Proposal, Denied>> + Send;

    /// Takes what must not be used twice, once it is approved and right before
    /// it is sent. `name` is that under which it can be taken back.
    fn claim(
        &self,
        _access: &Access<'_>,
        _name: Option<&str>,
        _since: &Since,
    ) -> impl Future<Output = Result<(), Denied>> + Send {
        async { Ok(()) }
    }

    /// Gives that back: the change was not made, or not all of it.
    fn give_back(&self, _access: &Access<'_>) -> impl Future<Output = Result<(), Denied>> + Send {
        async { Ok(()) }
    }

    /// What came of it, where the answer was lost: from what Odoo has now.
    fn find(
        &self,
        access: &Access<'_>,
        since: &Since,
    ) -> impl Future<Output = Result<Found, Denied>> + Send;

    /// What the model is told when it is done.
    fn report(
        &self,
        access: &Access<'_>,
        done: &Done,
    ) -> impl Future<Output = Result<Report, Denied>> + Send;
}

/// What is told of a change, and how things are after it.
#[derive(Debug, Default)]
pub struct Report {
    /// What the model reads.
    pub text: String,
    /// The records, where they were looked at.
    pub after: Option<Shot>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Proposal {
    /// The calls, one after the other; almost always one.
    pub calls: Vec<Call>,
    /// What they would do, for a model and for the person behind it.
    pub preview: String,
    /// How its values were understood; part of the preview, and told with the
    /// answer where no model has read that.
    pub notes: Vec<String>,
    /// What is there before.
    pub before: Shot,
    /// What else the preview shows of how things are.
    pub beside: Value,
    /// How it can be taken back.
    pub undo: Option<Undo>,
    /// Of which model it makes records by which it can be found out whether it
    /// was done.
    pub makes: Option<ModelName>,
    /// What to look at where the answer is lost.
    pub look: String,
}

/// How a change can be taken back.
#[derive(Clone, PartialEq, Debug)]
pub enum Undo {
    /// The new records are deleted.
    Create,
    /// The records are made again, as far as that goes.
    Delete,
    /// The fields get the values that they had.
    Update(Vec<gatepost_odoo::FieldName>),
}

/// What came of a change whose answer was lost.
#[derive(Clone, PartialEq, Debug)]
pub enum Found {
    /// It was done, with these records.
    Done(Vec<RecordId>),
    /// Odoo has no trace of it.
    Not,
    /// It cannot be said; what the model should look at.
    Unclear(String),
}

/// How long Odoo may be at work on a call of which nothing is heard any more
/// (its own limit is two minutes by default, `limit_time_real`).
pub(super) const ODOO_AT_WORK: Duration = Duration::from_secs(150);
