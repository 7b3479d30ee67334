//! Reading the head of a request.

use http::{Version, header};
use pingora::{ErrorType, protocols::http::ServerSession, server::ShutdownWatch};
use tokio::time::timeout;

use super::{bounds::Bounds, unreadable::Unreadable, wire::Gauged};
use crate::gateway::Head;

/// What came of waiting for a request.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Nothing: the client left, or never said a word.
    Nothing,
    /// A request; its head is read.
    Request,
    /// Something that must be refused.
    Unreadable(Unreadable),
}

/// Waits for the next request on a connection and reads its head, all within
/// one deadline. A connection that was used before ends when we leave.
pub(super) async fn arrive(
    session: &mut ServerSession,
    bounds: &Bounds,
    leaving: &ShutdownWatch,
) -> Arrival {
    let gauge = session
        .stream()
        .and_then(|stream| stream.as_any().downcast_ref::<Gauged>())
        .map(Gauged::gauge);
    let first = gauge
        .as_ref()
        .is_none_or(|gauge| gauge.head_begins(bounds.head_bytes));
    // Else a request that follows closely is dropped, and looks like a hang-up.
    session.set_pipelining_enabled(true);
    let mut leaving = leaving.clone();
    let read = tokio::select! {
        biased;
        read = timeout(bounds.head, session.read_request()) => read,
        // `Err` says that nobody can tell us to leave any more: then we stay.
        Ok(_) = leaving.wait_for(|leaving| *leaving), if !first => return Arrival::Nothing,
    };
    let exhausted = gauge.as_ref().is_some_and(|gauge| gauge.exhausted());
    let said = gauge.as_ref().map_or(0, |gauge| gauge.read());
    if let Some(gauge) = gauge {
        gauge.head_ends();
    }
    let limit = bounds.head_bytes;
    match read {
        Ok(Ok(true)) => match objection(session, limit) {
            Some(why) => Arrival::Unreadable(why),
            None => Arrival::Request,
        },
        Ok(Ok(false)) => Arrival::Nothing,
        Ok(Err(_)) if exhausted => Arrival::Unreadable(Unreadable::HeadTooLarge { limit }),
        Ok(Err(e)) if *e.etype() == ErrorType::InvalidHTTPHeader => {
            Arrival::Unreadable(Unreadable::HeadMalformed)
        }
        Ok(Err(_)) => Arrival::Nothing,
        Err(_) if said > 0 => Arrival::Unreadable(Unreadable::HeadTooSlow),
        Err(_) => Arrival::Nothing,
    }
}

/// What is wrong with a head that Pingora found right.
fn objection(session: &ServerSession, limit: usize) -> Option<Unreadable> {
    // Of a pipelined request, a part may have been read with the one before.
    if let Some(http1) = session.as_http1()
        && http1.get_headers_raw_bytes().len() > limit
    {
        return Some(Unreadable::HeadTooLarge { limit });
    }
    let request = session.req_header();
    // RFC 9112 section 6.1 allows to take both lengths, and warns of smuggling.
    let mut codings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some()
            || !coding
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"chunked")
            || request.headers.contains_key(header::CONTENT_LENGTH))
    {
        return Some(Unreadable::HeadMalformed);
    }
    let named = request
        .headers
        .get(header::HOST)
        .is_some_and(|host| host.to_str().is_ok());
    // RFC 9112 section 3.2. Of two, Pingora has seen to it.
    (request.version == Version::HTTP_11 && !named).then_some(Unreadable::NoHost)
}

/// Whether a query holds `access_token`, in whatever way it is spelled.
fn names_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, _)| name.eq_ignore_ascii_case("access_token"))
}

/// The head that was read, free of Pingora's types.
pub(super) fn head(session: &ServerSession, local_listener: bool) -> Head {
    let request = session.req_header();
    let authority = request.uri.authority().map(ToString::to_string);
    let host = || {
        let host = request.headers.get(header::HOST)?;
        host.to_str().ok().map(ToOwned::to_owned)
    };
    Head {
        method: request.method.clone(),
        path: request.uri.path().to_owned(),
        token_in_query: request.uri.query().is_some_and(names_token),
        host: authority.or_else(host),
        headers: request.headers.clone(),
        peer: session
            .client_addr()
            .and_then(|address| address.as_inet())
            .map(|address| address.ip().to_canonical()),
        local_listener,
    }
}
