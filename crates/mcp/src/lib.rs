//! MCP on the wire: JSON-RPC, revisions, headers, content. No I/O.
//!
//! What differs between the two eras lives in [`handshake`] (until 2025-11-25)
//! and [`stateless`] (from 2026-07-28); nobody else asks for a version.

pub mod content;
pub mod elicitation;
pub mod handshake;
mod headers;
mod jsonrpc;
mod malformed;
mod message;
mod params;
mod respond;
mod revision;
mod session;
pub mod stateless;
#[cfg(test)]
mod tests;

pub use headers::McpHeaders;
pub use jsonrpc::{Envelope, RequestId};
pub use malformed::ProtocolError;
pub use message::{Batch, Body, Inbound, Request, Transport};
pub use params::{Params, ProgressToken};
pub use respond::{ResponseBuilder, error_response, progress_notification};
pub use revision::{ProtocolEra, Revision};
pub use session::Session;

/// The methods we answer, and the words for them in log and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `server/discover`, from 2026-07-28.
    Discover,
    /// `initialize`, until 2025-11-25.
    Initialize,
    /// `ping`, until 2025-11-25.
    Ping,
    /// `tools/call`.
    ToolsCall,
    /// `tools/list`.
    ToolsList,
}

impl Method {
    /// The method of a name in an era; `None` if the era has no such method or
    /// we do not offer it.
    pub fn of(name: &str, era: ProtocolEra) -> Option<Self> {
        match (name, era) {
            ("initialize", ProtocolEra::Handshake) => Some(Self::Initialize),
            ("ping", ProtocolEra::Handshake) => Some(Self::Ping),
            ("server/discover", ProtocolEra::Stateless) => Some(Self::Discover),
            ("tools/call", _) => Some(Self::ToolsCall),
            ("tools/list", _) => Some(Self::ToolsList),
            _ => None,
        }
    }

    /// The method as MCP spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "server/discover",
            Self::Initialize => "initialize",
            Self::Ping => "ping",
            Self::ToolsCall => "tools/call",
            Self::ToolsList => "tools/list",
        }
    }
}
