//! The response to a request.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

/// A complete response.
#[derive(Debug)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header fields, without `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, which may be empty.
    pub body: Bytes,
}

impl HttpResponse {
    /// A response without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// A response with a body of this media type.
    pub fn new(status: StatusCode, media_type: &'static str, body: Bytes) -> Self {
        let media_type = HeaderValue::from_static(media_type);
        Self {
            status,
            headers: vec![(header::CONTENT_TYPE, media_type)],
            body,
        }
    }

    /// A response with one JSON text.
    pub fn json(status: StatusCode, body: Bytes) -> Self {
        Self::new(status, "application/json", body)
    }

    /// A response with one line of plain text.
    pub fn text(status: StatusCode, text: &str) -> Self {
        let body = format!("{text}\n").into();
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// This response with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// This response with `Cache-Control: no-store`.
    #[must_use]
    pub fn with_no_store(self) -> Self {
        let never = HeaderValue::from_static("no-store");
        self.with_header(header::CACHE_CONTROL, never)
    }

    /// This response with more header fields.
    #[must_use]
    pub fn with_headers(mut self, fields: &[(HeaderName, HeaderValue)]) -> Self {
        self.headers.extend_from_slice(fields);
        self
    }
}
