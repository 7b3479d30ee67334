//! What a write would do, and all that is known about it before it is sent.

use serde_json::{Map, Value};

use crate::access::{DisplayNames, RecordSnapshot};
use gatepost_odoo::{Call, Context, FieldName, ModelName, Request};

/// What a write would do: the calls with their validated values, and the records
/// that those values were checked against.
#[derive(Debug, Default)]
pub struct WritePlan {
    /// The calls to send, in this order; almost always one.
    pub calls: Vec<Call>,
    /// What they would do, for the model and for the person behind it.
    pub preview: String,
    /// The records as they are, if each is known to have the values already.
    pub unchanged: Option<String>,
    /// How the values were understood. Part of the preview; repeated in the
    /// response if no model has read the preview.
    pub notes: Vec<String>,
    /// The records before the write.
    pub before: RecordSnapshot,
    /// The records that the values link to. An approval covers their state, too.
    pub names: DisplayNames,
    /// How it can be undone, if it can.
    pub undo: Option<UndoSupport>,
    /// The ID of the change that this one undoes. It is reserved right before
    /// sending, so that two calls cannot undo it twice.
    pub undoes: Option<String>,
    /// The model of the records that it creates, if they show whether it was done.
    pub created_model: Option<ModelName>,
    /// Where the model finds out whether it was done if the response is lost.
    pub verification_hint: String,
}

/// How a change can be undone.
#[derive(Clone, PartialEq, Debug)]
pub enum UndoSupport {
    /// The new records are deleted.
    Create,
    /// The records are created again, as far as Odoo allows.
    Delete,
    /// These fields get their old values back.
    Update(Vec<FieldName>),
}

impl WritePlan {
    /// The validated values of the first call: one map per record to create, or
    /// the one of an update; empty for other calls.
    pub fn values(&self) -> &[Map<String, Value>] {
        match self.calls.first().map(Call::request) {
            Some(Request::Create(list)) => list,
            Some(Request::Write { values, .. }) => std::slice::from_ref(values),
            Some(_) | None => &[],
        }
    }

    /// The context of its calls.
    pub fn context(&self) -> Context {
        let call = self.calls.first();
        call.map(|call| call.context().clone()).unwrap_or_default()
    }
}
