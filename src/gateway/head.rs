//! The head of a request, without any server's types.

use std::net::IpAddr;

use http::{HeaderMap, Method};

/// A request without its body.
#[derive(Debug)]
pub struct Head {
    /// The HTTP method.
    pub method: Method,
    /// The path as it was sent: neither decoded nor normalized, without the query.
    pub path: String,
    /// Whether the query names a token (RFC 6750 section 2.3, which MCP
    /// forbids). Nothing else of the query is retained.
    pub token_in_query: bool,
    /// Host and port that the client named (`Host`, or `:authority` in HTTP/2).
    pub host: Option<String>,
    /// All header fields.
    pub headers: HeaderMap,
    /// Whether the request is of HTTP/1.0.
    pub is_http_1_0: bool,
    /// The address of the socket's peer.
    pub peer: Option<IpAddr>,
    /// Whether the listener is bound to loopback.
    pub local_listener: bool,
}
