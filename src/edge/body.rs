//! Reading the body of a request.

use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora::{ErrorType, protocols::http::ServerSession};
use tokio::time::timeout;

use super::{bad_request::BadRequest, bounds::Bounds, head};
use crate::gateway::TooManyBodies;

/// The buffer that a body starts with, in bytes; it grows with what arrives.
const FIRST_BODY_BYTES: usize = 16 << 10;

/// Why the body could not be read.
#[derive(Debug)]
pub(super) enum BodyError {
    /// The client disconnected.
    ClientDisconnected,
    /// It must be rejected.
    BadRequest(BadRequest),
}

/// Reads a body of at most `limit` bytes, all within one deadline. `reserve` takes
/// room for each part.
///
/// # Errors
/// [`BodyError`]; a body whose `Content-Length` is too large is not read at all.
pub(super) async fn read(
    session: &mut ServerSession,
    limit: usize,
    bounds: &Bounds,
    reserve: impl Fn(usize) -> Result<(), TooManyBodies>,
) -> Result<Bytes, BodyError> {
    if !session.is_body_empty() && has_content_encoding(session) {
        return Err(BodyError::BadRequest(BadRequest::BodyEncoded));
    }
    let declared = declared_length(session);
    if declared > limit {
        return Err(BodyError::BadRequest(BadRequest::BodyTooLarge { limit }));
    }
    let reading = async {
        if expects_continue(session) {
            // Pingora would take the 100 for an early response and close.
            session.set_close_on_response_before_downstream_finish(false);
            let written = session.write_continue_response().await;
            session.set_close_on_response_before_downstream_finish(true);
            written.map_err(|_disconnected| BodyError::ClientDisconnected)?;
        }
        // Not all that was declared, because it may never arrive.
        let mut body = BytesMut::with_capacity(declared.min(FIRST_BODY_BYTES));
        loop {
            let part = match session.read_request_body().await {
                Ok(Some(part)) => part,
                Ok(None) => break,
                Err(e) => return Err(read_error(session, &e)),
            };
            if body.len().saturating_add(part.len()) > limit {
                return Err(BodyError::BadRequest(BadRequest::BodyTooLarge { limit }));
            }
            // As it arrives: what is declared may never come.
            if reserve(part.len()).is_err() {
                return Err(BodyError::BadRequest(BadRequest::TooManyBodies));
            }
            body.extend_from_slice(&part);
        }
        Ok(body.freeze())
    };
    match timeout(bounds.body_timeout, reading).await {
        Ok(read) => read,
        Err(_) => Err(BodyError::BadRequest(BadRequest::BodyTooSlow)),
    }
}

fn has_content_encoding(session: &ServerSession) -> bool {
    let headers = &session.req_header().headers;
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The length that the head declares; 0 if it declares none.
fn declared_length(session: &ServerSession) -> usize {
    let length = head::content_length(session).unwrap_or(0);
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Whether the client waits for `100 Continue` before it sends the body
/// (RFC 9110 section 10.1.1).
fn expects_continue(session: &mut ServerSession) -> bool {
    let waits = session
        .get_header(header::EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    waits && session.req_header().version == Version::HTTP_11 && !session.is_body_empty()
}

fn read_error(session: &ServerSession, e: &pingora::Error) -> BodyError {
    let refused =
        head::framing(session).is_some_and(|requests| requests.lock().refused().is_some());
    // Pingora's own names for them are private (`v1/body.rs`). All other errors mean
    // that the rest of the body will never arrive.
    let invalid = ["InvalidChunk", "InvalidTrailerEnd"];
    if refused
        || invalid
            .iter()
            .any(|name| *e.etype() == ErrorType::new(name))
    {
        BodyError::BadRequest(BadRequest::BodyMalformed)
    } else {
        BodyError::ClientDisconnected
    }
}
