//! Requests to Odoo and responses on the wire.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{CallError, OdooApiKey};
use gatepost_odoo::Call;

/// A protocol that Odoo speaks. Does no I/O, so its tests are tables of bytes.
pub trait Dialect {
    /// Encodes a call as a request.
    ///
    /// # Errors
    /// [`CallError::NotSent`] when the credential or the call cannot be encoded.
    fn encode(&self, call: &Call, key: &OdooApiKey) -> Result<WireRequest, CallError>;

    /// Decodes a response to the JSON of the result.
    ///
    /// # Errors
    /// [`CallError::Fault`] when Odoo returned an error, [`CallError::NotOdoo`] when
    /// the response is not from Odoo.
    fn decode(&self, response: WireResponse) -> Result<Bytes, CallError>;
}

/// A request, without `Host` and `Content-Length`, which the client adds.
#[derive(Debug)]
pub struct WireRequest {
    /// The HTTP method.
    pub method: Method,
    /// The path, without the prefix of the server.
    pub path: String,
    /// The header fields. Secret values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// A complete response.
#[derive(Debug)]
pub struct WireResponse {
    /// The HTTP status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The media type, in lower case, without parameters.
    pub media: String,
    /// The body.
    pub body: Bytes,
}
