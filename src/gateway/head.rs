//! The head of a request, free of any server's types.

use std::net::IpAddr;

use http::{HeaderMap, Method};

/// All of a request but its body.
#[derive(Debug)]
pub struct Head {
    /// The HTTP method.
    pub method: Method,
    /// The path as it was sent: not decoded, not normalised, without the query.
    pub path: String,
    /// Whether the query names a token (RFC 6750 section 2.3, which MCP
    /// forbids). Of the query nothing else is kept.
    pub token_in_query: bool,
    /// Host and port the client named (`Host`, or `:authority` in HTTP/2).
    pub host: Option<String>,
    /// All header fields.
    pub headers: HeaderMap,
    /// The address of the socket's other end.
    pub peer: Option<IpAddr>,
    /// Whether the listener is bound to loopback.
    pub local_listener: bool,
}
