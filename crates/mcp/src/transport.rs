//! How a message arrived.

use super::McpHeaders;

/// How a message arrived. Over HTTP, header fields must agree with the message.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Over HTTP, with these header fields.
    Http(McpHeaders),
    /// Over standard input, without header fields.
    Stdio,
}

impl Transport {
    /// The revision in `MCP-Protocol-Version`, if there is one.
    pub(super) fn declared_version(&self) -> Option<&str> {
        match self {
            Self::Http(headers) => headers.version.as_deref(),
            Self::Stdio => None,
        }
    }
}
