//! What came of a write.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::RecordSnapshot;
use gatepost_mcp::elicitation::ElicitRequest;
use gatepost_odoo::RecordId;

/// The result of a tool call that writes.
#[derive(Debug)]
pub enum WriteOutcome {
    /// The change was made. The text is for the model.
    Applied(String),
    /// A person has to answer this first.
    NeedsApproval(ElicitRequest),
    /// Nothing was changed yet; the preview is for the model.
    Previewed(String),
    /// Nothing was sent, because the records have the values already. The text is for
    /// the model.
    Unchanged(String),
    /// An earlier call with the same key made the change. The text is for the model.
    Repeated(String),
}

/// A write that was done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CompletedWrite {
    /// When.
    pub at: Timestamp,
    /// The records that it created or changed.
    pub ids: Vec<RecordId>,
    /// What the method returned.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// The change ID by which it can be undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// What became of a write whose response was lost.
#[derive(Clone, PartialEq, Debug)]
pub enum RecoveredOutcome {
    /// It was done, to these records.
    Done(Vec<RecordId>),
    /// Odoo shows no trace of it.
    NotDone,
    /// Odoo's records do not show it; the text says where the model can check.
    Unclear(String),
}

/// What the model reads about a write that was done.
#[derive(Debug, Default)]
pub struct Report {
    /// The text for the model.
    pub text: String,
    /// The records after the write, if they could be read.
    pub after: Option<RecordSnapshot>,
}
