//! Writing an answer.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version, header};
use pingora::{
    apps::{HttpPersistentSettings, ReusedHttpStream},
    http::ResponseHeader,
    protocols::http::ServerSession,
};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{bounds::Bounds, drain::Drain};
use crate::gateway::HttpResponse;
use gatepost_base::TraceId;

/// How long a client whose request was not read to its end may go on sending.
const LINGER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// How much it may send meanwhile, in bytes.
const MAX_LINGER_BYTES: usize = 4 << 20;

/// The client left, or takes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientDisconnected;

// An answer is made of checked names and values, so what fails is the writing.
impl From<Box<pingora::Error>> for ClientDisconnected {
    fn from(_: Box<pingora::Error>) -> Self {
        Self
    }
}

/// What is the same for every answer on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseOptions<'a> {
    pub(super) request_id: TraceId,
    pub(super) bounds: &'a Bounds,
    pub(super) drain: &'a Drain,
    /// The request was a HEAD: the answer is its head.
    pub(super) head_only: bool,
}

/// Writes a whole answer.
///
/// # Errors
/// [`Gone`].
pub(super) async fn response(
    session: &mut ServerSession,
    reply: HttpResponse,
    manner: ResponseOptions<'_>,
) -> Result<(), ClientDisconnected> {
    let length = reply.body.len();
    let fields = reply.headers.len().saturating_add(4);
    let mut head = response_head(reply.status, fields, manner)?;
    for (name, value) in reply.headers {
        // Claude's connector once looked for it in exactly this case; Pingora
        // writes the names it does not know of in lower case.
        if name == header::WWW_AUTHENTICATE {
            head.append_header("WWW-Authenticate", value)?;
        } else {
            head.append_header(name, value)?;
        }
    }
    // RFC 9110 section 8.6 forbids it there.
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&reply.status);
    if !bodiless {
        let length = HeaderValue::from(length);
        head.insert_header(header::CONTENT_LENGTH, length)?;
    }
    let body = if bodiless || manner.head_only {
        Bytes::new()
    } else {
        reply.body
    };
    close_if_draining(session, manner.drain);
    let written = async {
        session.write_response_header(Box::new(head)).await?;
        session.write_response_body(body, true).await
    };
    with_write_timeout(written, manner.bounds).await
}

/// Begins an event stream.
///
/// # Errors
/// [`Gone`].
pub(super) async fn start_event_stream(
    session: &mut ServerSession,
    manner: ResponseOptions<'_>,
) -> Result<(), ClientDisconnected> {
    let mut head = response_head(StatusCode::OK, 6, manner)?;
    for (name, value) in super::events::headers() {
        head.insert_header(name, value)?;
    }
    if session.req_header().version == Version::HTTP_11 {
        let chunked = HeaderValue::from_static("chunked");
        head.insert_header(header::TRANSFER_ENCODING, chunked)?;
    }
    close_if_draining(session, manner.drain);
    with_write_timeout(session.write_response_header(Box::new(head)), manner.bounds).await
}

/// Writes one piece of an event stream; it leaves at once.
///
/// # Errors
/// [`Gone`].
pub(super) async fn chunk(
    session: &mut ServerSession,
    piece: Bytes,
    last: bool,
    bounds: &Bounds,
) -> Result<(), ClientDisconnected> {
    with_write_timeout(session.write_response_body(piece, last), bounds).await
}

/// Ends a request that was read and answered, and gives back its connection
/// if that may carry the next one.
pub(super) async fn finish_and_reuse(
    session: ServerSession,
    bounds: &Bounds,
) -> Option<ReusedHttpStream> {
    let settings = HttpPersistentSettings::for_session(&session);
    // A last flush and, over TLS, a last record are writes like all others.
    let kept = timeout(bounds.write_timeout, session.finish())
        .await
        .ok()?
        .ok()??;
    Some(ReusedHttpStream::from_reusable_stream(kept, settings))
}

/// Closes a connection whose request was not read to its end, so that the
/// client still sees the answer: to close a socket with unread bytes resets
/// the connection, and a reset destroys what the client has not read yet.
pub(super) async fn lingering_close(session: ServerSession) {
    let ServerSession::H1(session) = session else {
        return;
    };
    let mut stream = session.into_inner();
    let parting = async {
        // Whatever fails here fails because the client has left.
        drop(tokio::io::AsyncWriteExt::shutdown(&mut stream).await);
        let mut taken = 0_usize;
        let mut scratch = Vec::with_capacity(16 << 10);
        while let Ok(1..) = stream.read_buf(&mut scratch).await {
            taken = taken.saturating_add(scratch.len());
            if taken > MAX_LINGER_BYTES {
                break;
            }
            scratch.clear();
        }
    };
    drop(timeout(LINGER_TIMEOUT, parting).await);
}

fn response_head(
    status: StatusCode,
    fields: usize,
    manner: ResponseOptions<'_>,
) -> Result<ResponseHeader, ClientDisconnected> {
    let mut head = ResponseHeader::build(status, Some(fields))?;
    head.insert_header("X-Request-Id", manner.request_id.to_string())?;
    Ok(head)
}

/// Decides whether the connection lives on, just before the head says so.
fn close_if_draining(session: &mut ServerSession, drain: &Drain) {
    if drain.is_draining() {
        session.set_keepalive(None);
    }
}

async fn with_write_timeout(
    written: impl Future<Output = pingora::Result<()>>,
    bounds: &Bounds,
) -> Result<(), ClientDisconnected> {
    match timeout(bounds.write_timeout, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(ClientDisconnected),
    }
}
