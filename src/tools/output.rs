//! What a tool gives.

use gatepost_mcp::elicitation::ElicitRequest;

/// What a tool gives.
#[derive(Debug)]
pub enum ToolOutput {
    /// A question that the person behind the client must answer first. Only
    /// where [`WayToAsk::ByResult`](crate::access::WayToAsk::ByResult) is the way.
    InputRequired(ElicitRequest),
    /// What the model reads.
    Text(String),
}

impl From<String> for ToolOutput {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
