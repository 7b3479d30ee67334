//! What goes over the wire to Odoo, and what comes back.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};

use super::{ApiKey, CallError};
use gatepost_odoo::Call;

/// A protocol that Odoo speaks. No I/O: its tests are tables of bytes.
pub trait Dialect {
    /// The request that makes the call.
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the credential or the call cannot be written.
    fn encode(&self, call: &Call, key: &ApiKey) -> Result<WireRequest, CallError>;

    /// The JSON of what the method returned.
    ///
    /// # Errors
    /// [`CallError::Fault`] when Odoo refused, [`CallError::NotOdoo`] when this
    /// is no answer of Odoo.
    fn decode(&self, response: WireResponse) -> Result<Bytes, CallError>;
}

/// A request, without host and length, which the link knows.
#[derive(Debug)]
pub struct WireRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path, without the prefix of the server.
    pub path: String,
    /// The header fields. A value that is secret is marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// A whole response.
#[derive(Debug)]
pub struct WireResponse {
    /// The HTTP status.
    pub status: u16,
    /// The media type, in lower case, without parameters.
    pub media: String,
    /// The body.
    pub body: Bytes,
}
