//! The result of a tool call.

use crate::telemetry::ChangeOutcome;
use gatepost_mcp::elicitation::ElicitRequest;

/// The result of a tool call.
#[derive(Debug)]
pub enum ToolOutput {
    /// Text for the model about a change, and what became of it.
    Change(ChangeOutcome, String),
    /// A request that the person behind the client must answer first. Only in
    /// [`Elicitation::InputRequired`](crate::elicitation::Elicitation::InputRequired).
    InputRequired(ElicitRequest),
    /// Text for the model.
    Text(String),
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
