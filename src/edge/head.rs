//! Reading the head of a request.

use std::{net::IpAddr, sync::Arc};

use http::{Version, header};
use pingora::{
    ErrorType, http::RequestHeader, protocols::http::ServerSession, server::ShutdownWatch,
};
use tokio::time::timeout;

use super::{
    bad_request::BadRequest,
    bounds::Bounds,
    framing::{BodyLength, FramingError},
    wire::{FramedStream, RequestFraming},
};
use crate::gateway::Head;

/// The result of waiting for a request.
#[derive(Debug)]
pub(super) enum HeadOutcome {
    /// The connection is closed, or the client sent nothing in time.
    Closed,
    /// A request whose head was read.
    Request,
    /// A request that must be rejected.
    BadRequest(BadRequest),
}

/// Waits for the next request on a connection and reads its head, all within
/// one deadline. A connection that was used before closes at shutdown, and any
/// other when nothing is begun any more.
pub(super) async fn read_head(
    session: &mut ServerSession,
    bounds: &Bounds,
    shutdown: &ShutdownWatch,
    closed: &ShutdownWatch,
) -> HeadOutcome {
    let requests = framing(session);
    let first = requests
        .as_ref()
        .is_none_or(|requests| requests.start_head(bounds.max_head_bytes));
    // Pipelined requests are read without waiting; other tasks have their turn between them.
    tokio::task::consume_budget().await;
    // Otherwise Pingora drops a pipelined request, which appears to be a disconnect.
    session.set_pipelining_enabled(true);
    let (mut shutdown, mut closed) = (shutdown.clone(), closed.clone());
    let read = tokio::select! {
        biased;
        read = timeout(bounds.head_timeout, session.read_request()) => read,
        // `Err` means that the sender is gone, so that no shutdown can come.
        Ok(_) = shutdown.wait_for(|shutdown| *shutdown), if !first => return HeadOutcome::Closed,
        Ok(_) = closed.wait_for(|closed| *closed) => return HeadOutcome::Closed,
    };
    if requests
        .as_ref()
        .is_some_and(|requests| !requests.end_head())
    {
        return HeadOutcome::Closed;
    }
    let refused = requests
        .as_ref()
        .and_then(|requests| requests.lock().refused());
    if let Some(error) = refused {
        return HeadOutcome::BadRequest(match error {
            FramingError::HeadTooLarge => BadRequest::HeadTooLarge {
                limit: bounds.max_head_bytes,
            },
            FramingError::Malformed => BadRequest::HeadMalformed,
        });
    }
    match read {
        Ok(Ok(true)) => match check_head(session, requests.as_deref()) {
            Err(why) => HeadOutcome::BadRequest(why),
            Ok(()) => HeadOutcome::Request,
        },
        Ok(Ok(false)) => HeadOutcome::Closed,
        Ok(Err(e)) if *e.etype() == ErrorType::InvalidHTTPHeader => {
            HeadOutcome::BadRequest(BadRequest::HeadMalformed)
        }
        Ok(Err(_)) => HeadOutcome::Closed,
        Err(_) if requests.is_some_and(|requests| requests.lock().head_bytes() > 0) => {
            HeadOutcome::BadRequest(BadRequest::HeadTooSlow)
        }
        Err(_) => HeadOutcome::Closed,
    }
}

/// The framing of the connection; `None` for HTTP/2, which frames by itself.
pub(super) fn framing(session: &ServerSession) -> Option<Arc<RequestFraming>> {
    session.stream().and_then(FramedStream::requests_of)
}

/// Checks a head that Pingora accepted, and starts its body.
fn check_head(
    session: &ServerSession,
    requests: Option<&RequestFraming>,
) -> Result<(), BadRequest> {
    let request = session.req_header();
    let named = request
        .headers
        .get(header::HOST)
        .is_some_and(|host| host.to_str().is_ok());
    if let (Some(http1), Some(requests)) = (session.as_http1(), requests) {
        // The request as it was sent: Pingora removes fields and escapes characters.
        let sent = http1.get_headers_raw_bytes();
        let mut framing = requests.lock();
        if sent.len() != framing.head_bytes() {
            return Err(BadRequest::HeadMalformed);
        }
        framing.start_body(body_length(session, &sent).ok_or(BadRequest::HeadMalformed)?);
    }
    // RFC 9112 section 3.2. Pingora rejects a second one.
    if request.version == Version::HTTP_11 && !named {
        return Err(BadRequest::MissingHost);
    }
    Ok(())
}

/// How the body is delimited; `None` if that is ambiguous.
fn body_length(session: &ServerSession, sent: &[u8]) -> Option<BodyLength> {
    let headers = &session.req_header().headers;
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let chunked = coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked");
        // RFC 9112 section 6.1 permits both lengths, but warns of request smuggling.
        let alone = codings.next().is_none() && !has_content_length(sent);
        return (chunked && alone).then_some(BodyLength::Chunked);
    }
    // Pingora rejected different lengths (RFC 9112 section 6.3).
    if session.get_header(header::CONTENT_LENGTH).is_none() {
        return Some(BodyLength::Known(0));
    }
    content_length(session).map(BodyLength::Known)
}

/// The length in `Content-Length`, if there is such a field and it is a number.
/// Repeated values are equal, because Pingora rejects different ones.
pub(super) fn content_length(session: &ServerSession) -> Option<u64> {
    let value = session.get_header(header::CONTENT_LENGTH)?;
    let first = value.to_str().ok().and_then(|text| text.split(',').next());
    first?.trim().parse().ok()
}

/// Whether a head as it was sent has a `Content-Length`.
fn has_content_length(sent: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length:";
    sent.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(NAME))
    })
}

/// Whether a query contains `access_token`, in any case and encoding.
fn has_access_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| name.eq_ignore_ascii_case("access_token"))
}

/// The head that was read, without Pingora's types.
pub(super) fn to_gateway_head(session: &ServerSession, local_listener: bool) -> Head {
    let request = session.req_header();
    Head {
        method: request.method.clone(),
        path: request.uri.path().to_owned(),
        token_in_query: request.uri.query().is_some_and(has_access_token),
        host: host(request),
        headers: request.headers.clone(),
        is_http_1_0: request.version == Version::HTTP_10,
        peer: peer(session),
        local_listener,
    }
}

/// The host that a request names: in its target, or else in `Host`.
pub(super) fn host(request: &RequestHeader) -> Option<String> {
    let authority = request.uri.authority().map(ToString::to_string);
    let field = || {
        let host = request.headers.get(header::HOST)?;
        host.to_str().ok().map(ToOwned::to_owned)
    };
    authority.or_else(field)
}

/// The address that the connection came from.
pub(super) fn peer(session: &ServerSession) -> Option<IpAddr> {
    let address = session.client_addr()?.as_inet()?;
    Some(address.ip().to_canonical())
}
