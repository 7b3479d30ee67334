//! The media types of a request: what it sends, and what it accepts.

use http::{HeaderMap, header};

/// Whether `Content-Type` is `application/json`.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// Which of the two response types `Accept` allows.
#[derive(Default)]
pub(super) struct AcceptHeader {
    pub(super) json: bool,
    pub(super) event_stream: bool,
}

impl AcceptHeader {
    /// A client that names no type accepts JSON: all revisions allow it for a
    /// response of one message.
    pub(super) fn parse(headers: &HeaderMap) -> Self {
        let mut accepts = Self::default();
        let mut names_any = false;
        for value in headers.get_all(header::ACCEPT) {
            for part in value.to_str().unwrap_or_default().split(',') {
                let mut pieces = part.split(';').map(str::trim);
                let media = pieces.next().unwrap_or_default().to_ascii_lowercase();
                let excluded = pieces.any(|piece| {
                    piece
                        .strip_prefix("q=")
                        .and_then(|q| q.parse::<f32>().ok())
                        .is_some_and(|q| q <= 0.0)
                });
                names_any |= !media.is_empty();
                if excluded {
                    continue;
                }
                accepts.json |=
                    matches!(media.as_str(), "application/json" | "application/*" | "*/*");
                accepts.event_stream |=
                    matches!(media.as_str(), "text/event-stream" | "text/*" | "*/*");
            }
        }
        accepts.json |= !names_any;
        accepts
    }
}
