//! MCP on the wire: JSON-RPC, revisions, headers, content. No I/O.
//!
//! The differences between the two eras are in [`handshake`] (until 2025-11-25) and
//! [`stateless`] (from 2026-07-28); no other code depends on the version.

pub mod content;
pub mod elicitation;
pub mod handshake;
mod headers;
mod jsonrpc;
mod message;
mod method;
mod params;
mod protocol_error;
mod response;
mod revision;
mod session;
pub mod stateless;
#[cfg(test)]
mod tests;
mod transport;

pub use headers::McpHeaders;
pub use jsonrpc::{Envelope, RequestId};
pub use message::{Batch, Body, Inbound, RpcRequest};
pub use method::Method;
pub use params::{Params, ProgressToken};
pub use protocol_error::ProtocolError;
pub use response::{ResponseBuilder, error_response, progress_notification};
pub use revision::{ProtocolEra, Revision};
pub use session::Session;
pub use transport::Transport;
