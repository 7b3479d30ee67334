//! The answer to a request.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// A whole answer: it has a length, and nothing in it comes from a client
/// unescaped.
#[derive(Debug)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header fields, without `Content-Length`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body, perhaps empty.
    pub body: Bytes,
}

impl HttpResponse {
    /// An answer that is its status.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// An answer of one JSON text.
    pub fn json(status: StatusCode, body: Bytes) -> Self {
        let json = HeaderValue::from_static("application/json");
        Self {
            status,
            headers: vec![(http::header::CONTENT_TYPE, json)],
            body,
        }
    }

    /// An answer of one line of plain text.
    pub fn text(status: StatusCode, text: &str) -> Self {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let body = format!("{text}\n").into();
        Self {
            status,
            headers: vec![(http::header::CONTENT_TYPE, plain)],
            body,
        }
    }

    /// The same answer with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same answer, for nobody to keep.
    #[must_use]
    pub fn with_no_store(self) -> Self {
        let never = HeaderValue::from_static("no-store");
        self.with_header(http::header::CACHE_CONTROL, never)
    }

    /// The same answer with more header fields.
    #[must_use]
    pub fn with_headers(mut self, fields: &[(HeaderName, HeaderValue)]) -> Self {
        self.headers.extend_from_slice(fields);
        self
    }
}
