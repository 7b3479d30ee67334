//! Which host names are served, and which web pages may call (CORS).

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{error_response::RequestError, head::Head, response::HttpResponse, routes::Routes};
use gatepost_base::text::first_chars;

/// Checks `Host`, so that a web page cannot reach a gateway on its reader's
/// machine through a host name that it points there (DNS rebinding; MCP,
/// Streamable HTTP, "Security Warning"). If host names are configured, only
/// those are served; a loopback listener also serves the names of loopback.
///
/// # Errors
/// [`RequestError::HostNotAllowed`].
pub(super) fn check_host(head: &Head, routes: &Routes) -> Result<(), RequestError> {
    let Some(host) = head.host.as_deref() else {
        return Ok(());
    };
    if head.local_listener && is_loopback_name(without_port(host)) {
        return Ok(());
    }
    match routes.serves_host(host) {
        Some(true) => Ok(()),
        None if !head.local_listener => Ok(()),
        Some(false) | None => Err(RequestError::HostNotAllowed(first_chars(host, 120))),
    }
}

/// Checks that the web page in `Origin` may call.
///
/// # Errors
/// [`RequestError::OriginNotAllowed`].
pub(super) fn check_origin(
    head: &Head,
    routes: &Routes,
    allowed: &[String],
) -> Result<(), RequestError> {
    let mut origins = head.headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Ok(());
    };
    let text = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    let local = is_local_request(head)
        && ["http://", "https://"]
            .iter()
            .filter_map(|scheme| text.strip_prefix(scheme))
            .any(|authority| is_loopback_name(without_port(authority)));
    let known =
        allowed.iter().any(|one| one.eq_ignore_ascii_case(&text)) || routes.is_public_origin(&text);
    if origins.next().is_none() && (local || known) {
        Ok(())
    } else {
        Err(RequestError::OriginNotAllowed(first_chars(&text, 120)))
    }
}

/// Parts of the names of header fields that proxies add.
const PROXY_FIELD_PARTS: [&str; 19] = [
    "amzn",
    "azure",
    "cdn",
    "cf-",
    "client-ip",
    "clientip",
    "cluster",
    "connecting-ip",
    "edge",
    "envoy",
    "fastly",
    "fly-",
    "forwarded",
    "original",
    "proxy",
    "real-ip",
    "scheme",
    "tailscale",
    "x-true",
];

/// Whether a program on this machine sent the request to it, without a proxy in
/// between: a proxy names another host, says that it is there, or speaks HTTP/1.0, as
/// nginx does by default. One that does nothing of that cannot be recognized.
pub(super) fn is_direct_local_request(head: &Head) -> bool {
    let mut names = head.headers.keys().map(HeaderName::as_str);
    let is_of_proxy =
        |name: &str| name == "via" || PROXY_FIELD_PARTS.iter().any(|part| name.contains(part));
    is_local_request(head) && !head.is_http_1_0 && !names.any(is_of_proxy)
}

/// Whether the request came to a loopback listener under a name of loopback.
fn is_local_request(head: &Head) -> bool {
    let host = head.host.as_deref();
    head.local_listener && host.is_some_and(|host| is_loopback_name(without_port(host)))
}

/// The header fields that MCP clients may send.
pub(super) const MCP_HEADERS: &str = "authorization, content-type, accept, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id, last-event-id, traceparent, tracestate";

/// The response to `OPTIONS`: of an allowed page, as a preflight request (Fetch
/// standard, "CORS preflight request"), and of anyone else (RFC 9110 section 9.3.7).
pub(super) fn preflight_response(methods: &'static str, headers: &'static str) -> HttpResponse {
    HttpResponse::empty(http::StatusCode::NO_CONTENT)
        .with_static(header::ALLOW, methods)
        .with_static(header::ACCESS_CONTROL_ALLOW_METHODS, methods)
        .with_static(header::ACCESS_CONTROL_ALLOW_HEADERS, headers)
}

/// The header fields that let an allowed page read the response.
pub(super) fn cors_headers(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    headers.get(header::ORIGIN).map_or_else(Vec::new, |origin| {
        vec![
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()),
            (
                header::ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static("www-authenticate, mcp-session-id, mcp-protocol-version, x-request-id, retry-after"),
            ),
            (header::VARY, HeaderValue::from_static("Origin")),
        ]
    })
}

/// The header fields of responses that every page may read.
pub(super) fn any_origin_header() -> [(HeaderName, HeaderValue); 1] {
    let any = HeaderValue::from_static("*");
    [(header::ACCESS_CONTROL_ALLOW_ORIGIN, any)]
}

/// The host of an authority.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_loopback_name(host: &str) -> bool {
    let bracketed = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_v6 = |text: &str| {
        text.parse::<Ipv6Addr>()
            .is_ok_and(|address| address.is_loopback())
    };
    let is_v4 = |text: &str| {
        text.parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
    };
    bracketed.is_some_and(is_v6) || is_v4(host) || host.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::{is_loopback_name, without_port};

    #[test]
    fn only_real_loopback_names_count_as_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:80",
            "127.1.2.3",
            "[::1]:8080",
            "[::1]",
        ] {
            assert!(is_loopback_name(without_port(host)), "{host}");
        }
        for host in [
            "localhost.evil.com",
            "127.0.0.1.nip.io",
            "[[[::1]]]",
            "[127.0.0.1]",
            "::1",
            "evil.com",
            "10.0.0.1",
            "",
        ] {
            assert!(!is_loopback_name(without_port(host)), "{host}");
        }
    }
}
