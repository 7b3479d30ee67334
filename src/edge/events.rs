//! `text/event-stream`, as MCP's Streamable HTTP uses it.
//!
//! Each event carries one JSON-RPC message; streams are not resumed, so events
//! have no id.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::gateway::HttpResponse;

/// A comment that keeps the connection of a quiet stream open.
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b": still working\n\n");

/// The header fields of an event stream.
pub(super) fn headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        ),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-transform"),
        ),
        // Otherwise Nginx buffers the events until the end.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ]
}

/// One JSON text as one event.
pub(super) fn event(json: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(json.len().saturating_add(32));
    event.put_slice(b"event: message\n");
    // Our JSON has no line ends; if it did, each line would need its own field.
    for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.put_slice(b"data: ");
        event.put_slice(line);
        event.put_u8(b'\n');
    }
    event.put_u8(b'\n');
    event.freeze()
}

/// The same response as a stream of one event, for a client that does not accept
/// JSON. Other responses stay as they are, and so do errors, because their status
/// says enough.
pub(super) fn into_event_stream(response: HttpResponse) -> HttpResponse {
    let json = response.headers.iter().any(|(name, value)| {
        name == header::CONTENT_TYPE && value.as_bytes().starts_with(b"application/json")
    });
    if !json || response.status != StatusCode::OK || response.body.is_empty() {
        return response;
    }
    let mut fields = response.headers;
    fields.retain(|(name, _)| name != header::CONTENT_TYPE && name != header::CACHE_CONTROL);
    fields.extend(headers());
    HttpResponse {
        status: response.status,
        headers: fields,
        body: event(&response.body),
    }
}

#[cfg(test)]
mod tests {
    use super::event;

    #[test]
    fn line_end_in_message_does_not_end_event() {
        assert_eq!(&event(b"{}")[..], b"event: message\ndata: {}\n\n");
        assert_eq!(
            &event(b"{\n\r\n}")[..],
            b"event: message\ndata: {\ndata: \ndata: \ndata: }\n\n"
        );
    }
}
