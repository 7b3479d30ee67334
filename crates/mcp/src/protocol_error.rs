//! Errors of the protocol.

use super::{ProtocolEra, Revision};

/// A message that violates the protocol. `Display` is the message of the JSON-RPC
/// error.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A header field does not match the body.
    #[error("Header mismatch: {0}")]
    HeaderMismatch(String),
    /// A batch in a revision without batches (all but 2025-03-26), or one that is
    /// empty, too long or contains `initialize`.
    #[error("Invalid Request: {0}")]
    InvalidBatch(&'static str),
    /// The parameters are invalid.
    #[error("Invalid params: {0}")]
    InvalidParams(String),
    /// JSON, but not a JSON-RPC request.
    #[error("Invalid Request: {0}")]
    InvalidRequest(String),
    /// A method that is unknown, not served, or not in the revision.
    #[error("Method not found: {0}")]
    MethodNotFound(String, ProtocolEra),
    /// A stateless request without required metadata.
    #[error("Invalid params: `_meta` of a 2026-07-28 request needs {0}")]
    MissingMeta(&'static str),
    /// Not JSON.
    #[error("Parse error: {0}")]
    ParseError(#[source] serde_json::Error),
    /// An unsupported revision.
    #[error("Unsupported protocol version")]
    UnsupportedVersion {
        /// The requested revision, truncated.
        requested: String,
        /// Those that a request of its form can name.
        supported: &'static [Revision],
    },
}

impl ProtocolError {
    /// The JSON-RPC error code (2026-07-28, schema, "Error Codes").
    pub fn code(&self) -> i32 {
        match self {
            Self::InvalidBatch(_) | Self::InvalidRequest(_) => -32600,
            Self::HeaderMismatch(_) => -32020,
            Self::InvalidParams(_) | Self::MissingMeta(_) => -32602,
            Self::ParseError(_) => -32700,
            Self::MethodNotFound(..) => -32601,
            Self::UnsupportedVersion { .. } => -32022,
        }
    }
}
