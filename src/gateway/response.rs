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
        self.with_static(header::CACHE_CONTROL, "no-store")
    }

    /// This response with one more header field.
    pub(super) fn with_static(self, name: HeaderName, value: &'static str) -> Self {
        self.with_header(name, HeaderValue::from_static(value))
    }

    /// This response, never cached, with this `WWW-Authenticate`.
    pub(super) fn with_challenge(self, challenge: &str) -> Self {
        // It is of the configuration, in which every text fits a header.
        let value = HeaderValue::from_str(challenge)
            .unwrap_or(HeaderValue::from_static("Bearer realm=\"gatepost\""));
        self.with_header(header::WWW_AUTHENTICATE, value)
            .with_no_store()
    }

    /// This response, never cached, with `Retry-After`: at least a second.
    pub(super) fn with_retry_after(self, wait: std::time::Duration) -> Self {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        self.with_header(header::RETRY_AFTER, seconds)
            .with_no_store()
    }

    /// This response with more header fields.
    #[must_use]
    pub fn with_headers(mut self, fields: &[(HeaderName, HeaderValue)]) -> Self {
        self.headers.extend_from_slice(fields);
        self
    }
}
