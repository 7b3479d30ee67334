//! A request that could not be read, and how that is answered.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use crate::{
    gateway::HttpResponse,
    telemetry::{ErrorSource, RequestLog},
};

/// Why a request could not be read.
///
/// Its text goes to the client, as the plain body of the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum BadRequest {
    /// The framing of the body is broken.
    #[error("the request body is not framed as HTTP/1.1 demands")]
    BodyMalformed,
    /// The body is larger than it may be.
    #[error("the request body must be at most {limit} bytes")]
    BodyTooLarge {
        /// The most it may have, in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the request body did not arrive in time")]
    BodyTooSlow,
    /// The body is compressed.
    #[error("the request body must come as it is, without `Content-Encoding`")]
    BodyEncoded,
    /// The head is no HTTP.
    #[error("the request head is not HTTP/1.1")]
    HeadMalformed,
    /// The head is larger than it may be.
    #[error("the request head must be at most {limit} bytes")]
    HeadTooLarge {
        /// The most it may have, in bytes.
        limit: usize,
    },
    /// The head did not arrive in time.
    #[error("the request head did not arrive in time")]
    HeadTooSlow,
    /// An HTTP/1.1 request does not say which host it is for.
    #[error("the request must have one `Host` header")]
    MissingHost,
}

impl BadRequest {
    /// Status and metric label; the one table of them.
    fn classify(self) -> (StatusCode, &'static str) {
        match self {
            Self::BodyMalformed => (StatusCode::BAD_REQUEST, "body_malformed"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::BodyEncoded => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "body_encoded"),
            Self::HeadMalformed => (StatusCode::BAD_REQUEST, "head_malformed"),
            Self::HeadTooLarge { .. } => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
            ),
            Self::HeadTooSlow => (StatusCode::REQUEST_TIMEOUT, "head_too_slow"),
            Self::MissingHost => (StatusCode::BAD_REQUEST, "no_host"),
        }
    }

    /// The answer to give, noted in the story.
    pub(super) fn to_response(self, story: &mut RequestLog) -> HttpResponse {
        let (status, kind) = self.classify();
        story.error_source = Some(ErrorSource::Client);
        story.error_type = Some(kind);
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let mut reply = HttpResponse::empty(status).with_header(header::CONTENT_TYPE, text);
        reply.body = Bytes::from(self.to_string());
        if self == Self::BodyEncoded {
            // RFC 9110 section 15.5.16: say what would have been taken.
            let identity = HeaderValue::from_static("identity");
            reply = reply.with_header(header::ACCEPT_ENCODING, identity);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::BadRequest;
    use crate::telemetry::RequestLog;
    use gatepost_base::TraceId;

    #[test]
    fn bad_request_table() {
        let all = [
            BadRequest::BodyMalformed,
            BadRequest::BodyTooLarge { limit: 1 },
            BadRequest::BodyTooSlow,
            BadRequest::BodyEncoded,
            BadRequest::HeadMalformed,
            BadRequest::HeadTooLarge { limit: 1 },
            BadRequest::HeadTooSlow,
            BadRequest::MissingHost,
        ];
        let table: Vec<_> = all
            .into_iter()
            .map(|why| {
                let mut story = RequestLog::new(TraceId::new(1));
                let reply = why.to_response(&mut story);
                let said = String::from_utf8(reply.body.to_vec()).unwrap();
                format!(
                    "{} {} {said}",
                    reply.status.as_u16(),
                    story.error_type.unwrap()
                )
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        400 body_malformed the request body is not framed as HTTP/1.1 demands
        413 body_too_large the request body must be at most 1 bytes
        408 body_too_slow the request body did not arrive in time
        415 body_encoded the request body must come as it is, without `Content-Encoding`
        400 head_malformed the request head is not HTTP/1.1
        431 head_too_large the request head must be at most 1 bytes
        408 head_too_slow the request head did not arrive in time
        400 no_host the request must have one `Host` header
        ");
    }
}
