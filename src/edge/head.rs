//! Reading the head of a request.

use http::{Version, header};
use pingora::{ErrorType, protocols::http::ServerSession, server::ShutdownWatch};
use tokio::time::timeout;

use super::{bad_request::BadRequest, bounds::Bounds, wire::HeadLimited};
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
/// one deadline. A connection that was used before closes at shutdown.
pub(super) async fn read_head(
    session: &mut ServerSession,
    bounds: &Bounds,
    shutdown: &ShutdownWatch,
) -> HeadOutcome {
    let head_limit = session
        .stream()
        .and_then(|stream| stream.as_any().downcast_ref::<HeadLimited>())
        .map(HeadLimited::head_limit);
    let first = head_limit
        .as_ref()
        .is_none_or(|limit| limit.start_head(bounds.max_head_bytes));
    // Otherwise Pingora drops a pipelined request, which appears to be a disconnect.
    session.set_pipelining_enabled(true);
    let mut shutdown = shutdown.clone();
    let read = tokio::select! {
        biased;
        read = timeout(bounds.head_timeout, session.read_request()) => read,
        // `Err` means that the sender is gone, so that no shutdown can come.
        Ok(_) = shutdown.wait_for(|shutdown| *shutdown), if !first => return HeadOutcome::Closed,
    };
    let exceeded = head_limit.as_ref().is_some_and(|limit| limit.is_exceeded());
    let bytes_read = head_limit.as_ref().map_or(0, |limit| limit.bytes_read());
    if let Some(head_limit) = head_limit {
        head_limit.end_head();
    }
    let limit = bounds.max_head_bytes;
    match read {
        Ok(Ok(true)) => match protocol_violation(session, limit) {
            Some(why) => HeadOutcome::BadRequest(why),
            None => HeadOutcome::Request,
        },
        Ok(Ok(false)) => HeadOutcome::Closed,
        Ok(Err(_)) if exceeded => HeadOutcome::BadRequest(BadRequest::HeadTooLarge { limit }),
        Ok(Err(e)) if *e.etype() == ErrorType::InvalidHTTPHeader => {
            HeadOutcome::BadRequest(BadRequest::HeadMalformed)
        }
        Ok(Err(_)) => HeadOutcome::Closed,
        Err(_) if bytes_read > 0 => HeadOutcome::BadRequest(BadRequest::HeadTooSlow),
        Err(_) => HeadOutcome::Closed,
    }
}

/// What is wrong with a head that Pingora accepted.
fn protocol_violation(session: &ServerSession, limit: usize) -> Option<BadRequest> {
    // Part of a pipelined request may have been read with the one before.
    if let Some(http1) = session.as_http1()
        && http1.get_headers_raw_bytes().len() > limit
    {
        return Some(BadRequest::HeadTooLarge { limit });
    }
    let request = session.req_header();
    // RFC 9112 section 6.1 permits both lengths, but warns of request smuggling.
    let mut codings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some()
            || !coding
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"chunked")
            || request.headers.contains_key(header::CONTENT_LENGTH))
    {
        return Some(BadRequest::HeadMalformed);
    }
    let named = request
        .headers
        .get(header::HOST)
        .is_some_and(|host| host.to_str().is_ok());
    // RFC 9112 section 3.2. Pingora rejects a second one.
    (request.version == Version::HTTP_11 && !named).then_some(BadRequest::MissingHost)
}

/// Whether a query contains `access_token`, in any case and encoding.
fn has_access_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| name.eq_ignore_ascii_case("access_token"))
}

/// The head that was read, without Pingora's types.
pub(super) fn to_gateway_head(session: &ServerSession, local_listener: bool) -> Head {
    let request = session.req_header();
    let authority = request.uri.authority().map(ToString::to_string);
    let host = || {
        let host = request.headers.get(header::HOST)?;
        host.to_str().ok().map(ToOwned::to_owned)
    };
    Head {
        method: request.method.clone(),
        path: request.uri.path().to_owned(),
        token_in_query: request.uri.query().is_some_and(has_access_token),
        host: authority.or_else(host),
        headers: request.headers.clone(),
        peer: session
            .client_addr()
            .and_then(|address| address.as_inet())
            .map(|address| address.ip().to_canonical()),
        local_listener,
    }
}
