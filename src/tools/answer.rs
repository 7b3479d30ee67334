//! What a tool gives.

use gatepost_mcp::elicitation::Question;

/// What a tool gives.
#[derive(Debug)]
pub enum Answer {
    /// A question that the person behind the client must answer first. Only
    /// where [`WayToAsk::ByResult`](crate::access::WayToAsk::ByResult) is the way.
    Asks(Question),
    /// What the model reads.
    Text(String),
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
