//! Writing a response.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version, header};
use pingora::{
    apps::{HttpPersistentSettings, ReusedHttpStream},
    http::ResponseHeader,
    protocols::http::ServerSession,
};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{bounds::Bounds, drain::Drain, wire::FramedStream};
use crate::gateway::HttpResponse;
use gatepost_base::TraceId;

/// How long a client whose request was not read to the end may continue to send.
const LINGER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// How much it may send in that time, in bytes.
const MAX_LINGER_BYTES: usize = 4 << 20;

/// The client disconnected, or does not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientDisconnected;

// A response has valid names and values, so only the writing can fail.
impl From<Box<pingora::Error>> for ClientDisconnected {
    fn from(_: Box<pingora::Error>) -> Self {
        Self
    }
}

/// What a response needs besides its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseOptions<'a> {
    pub(super) request_id: TraceId,
    pub(super) bounds: &'a Bounds,
    pub(super) drain: &'a Drain,
    /// Whether the request is a HEAD, whose response has no body.
    pub(super) head_only: bool,
}

/// Writes a whole response.
///
/// # Errors
/// [`ClientDisconnected`].
pub(super) async fn response(
    session: &mut ServerSession,
    response: HttpResponse,
    options: ResponseOptions<'_>,
) -> Result<(), ClientDisconnected> {
    let length = response.body.len();
    let fields = response.headers.len().saturating_add(4);
    let mut head = response_head(response.status, fields, options)?;
    for (name, value) in response.headers {
        // Claude's connector once required exactly this case; Pingora writes names
        // that it does not know in lower case.
        if name == header::WWW_AUTHENTICATE {
            head.append_header("WWW-Authenticate", value)?;
        } else {
            head.append_header(name, value)?;
        }
    }
    // RFC 9110 section 8.6 forbids a `Content-Length` there.
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status);
    if !bodiless {
        let length = HeaderValue::from(length);
        head.insert_header(header::CONTENT_LENGTH, length)?;
    }
    let body = if bodiless || options.head_only {
        Bytes::new()
    } else {
        response.body
    };
    close_if_draining(session, options.drain);
    let written = async {
        session.write_response_header(Box::new(head)).await?;
        session.write_response_body(body, true).await
    };
    with_write_timeout(written, options.bounds).await
}

/// Starts an event stream.
///
/// # Errors
/// [`ClientDisconnected`].
pub(super) async fn start_event_stream(
    session: &mut ServerSession,
    options: ResponseOptions<'_>,
) -> Result<(), ClientDisconnected> {
    let mut head = response_head(StatusCode::OK, 6, options)?;
    for (name, value) in super::events::headers() {
        head.insert_header(name, value)?;
    }
    if session.req_header().version == Version::HTTP_11 {
        let chunked = HeaderValue::from_static("chunked");
        head.insert_header(header::TRANSFER_ENCODING, chunked)?;
    }
    close_if_draining(session, options.drain);
    with_write_timeout(
        session.write_response_header(Box::new(head)),
        options.bounds,
    )
    .await
}

/// Writes one chunk of an event stream, without buffering.
///
/// # Errors
/// [`ClientDisconnected`].
pub(super) async fn chunk(
    session: &mut ServerSession,
    data: Bytes,
    last: bool,
    bounds: &Bounds,
) -> Result<(), ClientDisconnected> {
    with_write_timeout(session.write_response_body(data, last), bounds).await
}

/// Ends a request that was read and answered, and returns its connection if it can
/// be used for the next one.
pub(super) async fn finish_and_reuse(
    session: ServerSession,
    bounds: &Bounds,
) -> Option<ReusedHttpStream> {
    let settings = HttpPersistentSettings::for_session(&session);
    // The last flush and, over TLS, the last record are writes too.
    let reusable = timeout(bounds.write_timeout, session.finish())
        .await
        .ok()?
        .ok()??;
    Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
}

/// Closes a connection whose request was not read to the end, so that the client
/// still receives the response: closing a socket with unread bytes resets the
/// connection, and a reset discards what the client has not read yet.
pub(super) async fn lingering_close(session: ServerSession) {
    let ServerSession::H1(session) = session else {
        return;
    };
    let mut stream = session.into_inner();
    if let Some(requests) = FramedStream::requests_of(&stream) {
        requests.lock().stop();
    }
    let draining = async {
        // This fails only if the client has disconnected.
        drop(tokio::io::AsyncWriteExt::shutdown(&mut stream).await);
        let mut discarded = 0_usize;
        let mut buffer = Vec::with_capacity(16 << 10);
        while let Ok(1..) = stream.read_buf(&mut buffer).await {
            discarded = discarded.saturating_add(buffer.len());
            if discarded > MAX_LINGER_BYTES {
                break;
            }
            buffer.clear();
        }
    };
    drop(timeout(LINGER_TIMEOUT, draining).await);
}

fn response_head(
    status: StatusCode,
    fields: usize,
    options: ResponseOptions<'_>,
) -> Result<ResponseHeader, ClientDisconnected> {
    let mut head = ResponseHeader::build(status, Some(fields))?;
    head.insert_header("X-Request-Id", options.request_id.to_string())?;
    Ok(head)
}

/// Decides whether the connection stays open, just before the head says so.
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
