//! What can be wrong with a message before anything is done with it.

use super::ProtocolEra;

/// A message that is refused by the protocol itself. `Display` is the message
/// of the JSON-RPC error.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A batch where there are none (all but 2025-03-26), or one that is empty,
    /// too long or holds `initialize`.
    #[error("Invalid Request: {0}")]
    InvalidBatch(&'static str),
    /// A header and the body do not say the same.
    #[error("Header mismatch: {0}")]
    HeaderMismatch(String),
    /// The parameters do not fit the method.
    #[error("Invalid params: {0}")]
    InvalidParams(String),
    /// A stateless request without the metadata it must carry.
    #[error("Invalid params: `_meta` of a 2026-07-28 request needs {0}")]
    MissingMeta(&'static str),
    /// Not JSON.
    #[error("Parse error: {0}")]
    ParseError(#[source] serde_json::Error),
    /// JSON, but no JSON-RPC request.
    #[error("Invalid Request: {0}")]
    InvalidRequest(String),
    /// A method we do not know, do not offer, or that its revision has not.
    #[error("Method not found: {0}")]
    MethodNotFound(String, ProtocolEra),
    /// A revision that we do not speak.
    #[error("Unsupported protocol version")]
    UnsupportedVersion {
        /// The revision that was asked for, cut short.
        requested: String,
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
