//! `text/event-stream`, as MCP's Streamable HTTP uses it.
//!
//! Each event carries one JSON-RPC message; streams are not resumed, so events
//! have no id.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::gateway::HttpResponse;

/// A line that only says that the stream lives.
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b": still working\n\n");

/// The header fields of a stream.
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
        // Nginx on the way would gather the events until the end.
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
    // JSON as we write it has no line ends; should it, each line is its own.
    for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
        event.put_slice(b"data: ");
        event.put_slice(line);
        event.put_u8(b'\n');
    }
    event.put_u8(b'\n');
    event.freeze()
}

/// The same answer as a stream of one event, for a client that takes no JSON.
/// Answers that are no JSON stay as they are, and so do errors: their status
/// says what must be known.
pub(super) fn into_event_stream(reply: HttpResponse) -> HttpResponse {
    let json = reply.headers.iter().any(|(name, value)| {
        name == header::CONTENT_TYPE && value.as_bytes().starts_with(b"application/json")
    });
    if !json || reply.status != StatusCode::OK || reply.body.is_empty() {
        return reply;
    }
    let mut fields = reply.headers;
    fields.retain(|(name, _)| name != header::CONTENT_TYPE && name != header::CACHE_CONTROL);
    fields.extend(headers());
    HttpResponse {
        status: reply.status,
        headers: fields,
        body: event(&reply.body),
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
