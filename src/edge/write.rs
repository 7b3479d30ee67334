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
use crate::gateway::Reply;
use gatepost_base::TraceId;

/// How long a client whose request was not read to its end may go on sending.
const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

/// How much it may send meanwhile, in bytes.
const LINGER_BYTES: usize = 4 << 20;

/// The client left, or takes nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;

// An answer is made of checked names and values, so what fails is the writing.
impl From<Box<pingora::Error>> for Gone {
    fn from(_: Box<pingora::Error>) -> Self {
        Self
    }
}

/// What is the same for every answer on one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
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
pub(super) async fn reply(
    session: &mut ServerSession,
    reply: Reply,
    manner: Manner<'_>,
) -> Result<(), Gone> {
    let length = reply.body.len();
    let fields = reply.headers.len().saturating_add(4);
    let mut head = head(reply.status, fields, manner)?;
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
    last_look(session, manner.drain);
    let written = async {
        session.write_response_header(Box::new(head)).await?;
        session.write_response_body(body, true).await
    };
    in_time(written, manner.bounds).await
}

/// Begins an event stream.
///
/// # Errors
/// [`Gone`].
pub(super) async fn begin_events(
    session: &mut ServerSession,
    manner: Manner<'_>,
) -> Result<(), Gone> {
    let mut head = head(StatusCode::OK, 6, manner)?;
    for (name, value) in super::events::headers() {
        head.insert_header(name, value)?;
    }
    if session.req_header().version == Version::HTTP_11 {
        let chunked = HeaderValue::from_static("chunked");
        head.insert_header(header::TRANSFER_ENCODING, chunked)?;
    }
    last_look(session, manner.drain);
    in_time(session.write_response_header(Box::new(head)), manner.bounds).await
}

/// Writes one piece of an event stream; it leaves at once.
///
/// # Errors
/// [`Gone`].
pub(super) async fn piece(
    session: &mut ServerSession,
    piece: Bytes,
    last: bool,
    bounds: &Bounds,
) -> Result<(), Gone> {
    in_time(session.write_response_body(piece, last), bounds).await
}

/// Ends a request that was read and answered, and gives back its connection
/// if that may carry the next one.
pub(super) async fn keep(session: ServerSession, bounds: &Bounds) -> Option<ReusedHttpStream> {
    let settings = HttpPersistentSettings::for_session(&session);
    // A last flush and, over TLS, a last record are writes like all others.
    let kept = timeout(bounds.write, session.finish()).await.ok()?.ok()??;
    Some(ReusedHttpStream::from_reusable_stream(kept, settings))
}

/// Closes a connection whose request was not read to its end, so that the
/// client still sees the answer: to close a socket with unread bytes resets
/// the connection, and a reset destroys what the client has not read yet.
pub(super) async fn linger(session: ServerSession) {
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
            if taken > LINGER_BYTES {
                break;
            }
            scratch.clear();
        }
    };
    drop(timeout(LINGER, parting).await);
}

fn head(status: StatusCode, fields: usize, manner: Manner<'_>) -> Result<ResponseHeader, Gone> {
    let mut head = ResponseHeader::build(status, Some(fields))?;
    head.insert_header("X-Request-Id", manner.request_id.to_string())?;
    Ok(head)
}

/// Decides whether the connection lives on, just before the head says so.
fn last_look(session: &mut ServerSession, drain: &Drain) {
    if drain.leaving() {
        session.set_keepalive(None);
    }
}

async fn in_time(
    written: impl Future<Output = pingora::Result<()>>,
    bounds: &Bounds,
) -> Result<(), Gone> {
    match timeout(bounds.write, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}
