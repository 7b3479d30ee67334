//! A request that could not be read, and the response to it.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use crate::{
    gateway::HttpResponse,
    telemetry::{ErrorSource, RequestLog},
};

/// Why a request could not be read.
///
/// The text is the body of the response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum BadRequest {
    /// The framing of the body is invalid.
    #[error("the request body is not framed as HTTP/1.1 requires")]
    BodyMalformed,
    /// The body exceeds the limit.
    #[error("the request body must be at most {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the request body did not arrive in time")]
    BodyTooSlow,
    /// The body is compressed.
    #[error("the request body must not be compressed; omit `Content-Encoding`")]
    BodyEncoded,
    /// The head is not valid HTTP.
    #[error("the request head is not HTTP/1.1; HTTP/2 is served only with TLS")]
    HeadMalformed,
    /// The head exceeds the limit.
    #[error("the request head must be at most {limit} bytes")]
    HeadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The head did not arrive in time.
    #[error("the request head did not arrive in time")]
    HeadTooSlow,
    /// An HTTP/1.1 request has no valid `Host` header.
    #[error("the request must have one `Host` header")]
    MissingHost,
    /// The gateway is stopping and begins nothing more.
    #[error("this gateway is stopping and did not serve the request; send it again")]
    Stopping,
    /// The request bodies that are held, those of all callers or of this one, leave
    /// no room for this one.
    #[error(
        "too many large requests are in flight, so this one was not served; send it again when others have been answered"
    )]
    TooManyBodies,
}

impl BadRequest {
    /// The status, and the word in logs and metrics.
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
            Self::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            Self::TooManyBodies => (StatusCode::SERVICE_UNAVAILABLE, "too_many_bodies"),
        }
    }

    /// The response; records the error in the log.
    pub(super) fn to_response(self, log: &mut RequestLog) -> HttpResponse {
        let (status, kind) = self.classify();
        log.error_source = Some(if self == Self::Stopping {
            ErrorSource::Us
        } else {
            ErrorSource::Client
        });
        log.error_type = Some(kind);
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let mut response = HttpResponse::empty(status).with_header(header::CONTENT_TYPE, text);
        response.body = Bytes::from(self.to_string());
        match self {
            // RFC 9110 section 15.5.16: name the encoding that is accepted.
            Self::BodyEncoded => {
                let identity = HeaderValue::from_static("identity");
                response.with_header(header::ACCEPT_ENCODING, identity)
            }
            Self::Stopping | Self::TooManyBodies => {
                response.with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
            Self::BodyMalformed
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow
            | Self::HeadMalformed
            | Self::HeadTooLarge { .. }
            | Self::HeadTooSlow
            | Self::MissingHost => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BadRequest;
    use crate::telemetry::RequestLog;
    use gatepost_base::TraceId;

    #[test]
    fn each_bad_request_has_its_own_status_and_text() {
        let all = [
            BadRequest::BodyMalformed,
            BadRequest::BodyTooLarge { limit: 1 },
            BadRequest::BodyTooSlow,
            BadRequest::BodyEncoded,
            BadRequest::HeadMalformed,
            BadRequest::HeadTooLarge { limit: 1 },
            BadRequest::HeadTooSlow,
            BadRequest::MissingHost,
            BadRequest::Stopping,
            BadRequest::TooManyBodies,
        ];
        let table: Vec<_> = all
            .into_iter()
            .map(|why| {
                let mut log = RequestLog::new(TraceId::new(1));
                let response = why.to_response(&mut log);
                let body = String::from_utf8(response.body.to_vec()).unwrap();
                format!(
                    "{} {} {body}",
                    response.status.as_u16(),
                    log.error_type.unwrap()
                )
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        400 body_malformed the request body is not framed as HTTP/1.1 requires
        413 body_too_large the request body must be at most 1 bytes
        408 body_too_slow the request body did not arrive in time
        415 body_encoded the request body must not be compressed; omit `Content-Encoding`
        400 head_malformed the request head is not HTTP/1.1; HTTP/2 is served only with TLS
        431 head_too_large the request head must be at most 1 bytes
        408 head_too_slow the request head did not arrive in time
        400 no_host the request must have one `Host` header
        503 stopping this gateway is stopping and did not serve the request; send it again
        503 too_many_bodies too many large requests are in flight, so this one was not served; send it again when others have been answered
        ");
    }
}
