//! The page for a person who opens an endpoint in a browser.

use http::{HeaderMap, Method, StatusCode, header};

use super::{HttpResponse, endpoint::EndpointRoute, head::Head};

/// The page; `{about}` is replaced.
const PAGE: &str = include_str!("landing_page.html");

/// Whether a request comes from a browser that will show a page. MCP clients do not
/// accept HTML, and a request with a token expects a response to that token.
pub(super) fn is_wanted(head: &Head) -> bool {
    let is_read = head.method == Method::GET || head.method == Method::HEAD;
    is_read && !head.headers.contains_key(header::AUTHORIZATION) && accepts_html(&head.headers)
}

/// The page of an endpoint, or of the gateway if there is none. It names no instance
/// whose address its reader does not know already.
pub(super) fn response(route: Option<&EndpointRoute>, path: &str) -> HttpResponse {
    let about = match route {
        Some(route) => {
            let endpoint = &route.endpoint;
            let url = endpoint.public_urls.get(route.url_index);
            let address = match url {
                Some(url) => format!("<pre>{}</pre>", escaped(url)),
                // Canonical, so it needs no escaping, but that is decided elsewhere.
                None => format!("<p>Its path is <code>{}</code> on this host.</p>", escaped(path)),
            };
            format!(
                "<p>This is the address of the Odoo instance <b>{}</b> for AI assistants. It is made for them and not for browsers: add it in your assistant as a remote MCP server (in some of them: a connector) and log in there.</p>{address}",
                endpoint.instance.name()
            )
        }
        None => "<p>This is a gateway between AI assistants and Odoo. Each Odoo has an address of its own here, which ends with <code>/mcp</code>. Ask your administrator for it, and add it in your assistant as a remote MCP server (in some of them: a connector).</p>".to_owned(),
    };
    let body = PAGE.replace("{about}", &about);
    HttpResponse::new(StatusCode::OK, "text/html; charset=utf-8", body.into())
        .with_static(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )
        .with_static(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with_static(header::REFERRER_POLICY, "no-referrer")
        .with_static(header::VARY, "Accept, Authorization")
        .with_no_store()
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let mut types = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    types.any(|one| {
        let name = one.split(';').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("text/html")
    })
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, Method};

    use super::{escaped, is_wanted};
    use crate::gateway::Head;

    fn head(method: Method, fields: &[(&'static str, &'static str)]) -> Head {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        Head {
            method,
            path: "/mcp".to_owned(),
            token_in_query: false,
            host: None,
            headers: fields.collect::<HeaderMap>(),
            is_http_1_0: false,
            peer: None,
            local_listener: false,
        }
    }

    #[test]
    fn only_a_browser_without_a_token_wants_the_page() {
        let firefox = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        assert!(is_wanted(&head(Method::GET, &[firefox])));
        assert!(is_wanted(&head(
            Method::HEAD,
            &[("accept", "TEXT/HTML;q=0.9")]
        )));
        for (method, fields) in [
            (Method::GET, vec![("accept", "text/event-stream")]),
            (Method::GET, vec![("accept", "*/*")]),
            (Method::GET, vec![]),
            (Method::GET, vec![firefox, ("authorization", "Bearer x")]),
            (Method::POST, vec![firefox]),
        ] {
            assert!(!is_wanted(&head(method, &fields)), "{fields:?}");
        }
    }

    #[test]
    fn text_cannot_leave_its_place_in_the_page() {
        assert_eq!(
            escaped("<a href=\"x\">&"),
            "&lt;a href=&quot;x&quot;&gt;&amp;"
        );
    }
}
