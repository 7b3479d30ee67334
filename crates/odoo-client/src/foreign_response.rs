//! Responses that are not from Odoo's API: from a proxy in front of it, or one of
//! Odoo's own web pages.

use std::{error::Error, fmt, time::Duration};

use http::{HeaderMap, Uri, header};

use super::WireResponse;
use gatepost_base::text::without_hidden;

/// The longest excerpt of a response, for the log, in characters.
const MAX_EXCERPT_CHARS: usize = 200;
/// The beginning of a page that is searched for its meaning, in bytes.
const MAX_PAGE_BYTES: usize = 64 << 10;
/// The longest pause that a server can ask for.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// The pause after a 429 that does not say how long.
const DEFAULT_PAUSE: Duration = Duration::from_secs(1);

/// A response that is not from Odoo's API. `Display` is for the client; the source
/// says what the administrator can do, and may contain addresses.
#[derive(Debug)]
pub struct ForeignResponse {
    /// The HTTP status.
    pub status: u16,
    /// What it means.
    pub cause: ForeignCause,
    /// When to try again (`Retry-After`), at most a minute.
    pub retry_after: Option<Duration>,
    detail: ResponseDetail,
}

/// What a response means that is not from Odoo's API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForeignCause {
    /// A firewall, a bot protection or a login in front of Odoo.
    Blocked,
    /// The body is compressed, which was not requested.
    Compressed,
    /// Odoo's login page or its list of databases.
    LoginPage,
    /// Anything else.
    Other,
    /// A redirect to another address.
    Redirect,
    /// The request is too large for the proxy.
    RequestTooLarge,
    /// Too many requests.
    Throttled,
    /// Odoo is starting, overloaded or down, and its proxy answers instead.
    Unavailable,
}

/// What the administrator can do, and the beginning of the response.
#[derive(Debug, thiserror::Error)]
#[error("{remedy}; the response begins with `{excerpt}`")]
struct ResponseDetail {
    remedy: String,
    excerpt: String,
}

impl ForeignResponse {
    /// Classifies a response by its status, header fields and page.
    pub(super) fn new(response: &WireResponse) -> Self {
        let page = response.body.get(..MAX_PAGE_BYTES);
        let page = String::from_utf8_lossy(page.unwrap_or(&response.body));
        let location = response.headers.get(header::LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        let cause = classify(response, &page, location);
        let excerpt: String = without_hidden(&page)
            .filter(|char| *char != '\n')
            .take(MAX_EXCERPT_CHARS)
            .collect();
        Self {
            status: response.status,
            cause,
            retry_after: retry_after(&response.headers),
            detail: ResponseDetail {
                remedy: remedy(cause, location, &page),
                excerpt,
            },
        }
    }

    /// How long no call should be sent, if the server asks for that.
    pub fn pause(&self) -> Option<Duration> {
        match self.cause {
            ForeignCause::Throttled => Some(self.retry_after.unwrap_or(DEFAULT_PAUSE)),
            ForeignCause::Unavailable => self.retry_after,
            ForeignCause::Blocked
            | ForeignCause::Compressed
            | ForeignCause::LoginPage
            | ForeignCause::Other
            | ForeignCause::Redirect
            | ForeignCause::RequestTooLarge => None,
        }
    }

    /// What the administrator can do.
    pub(super) fn remedy(&self) -> &str {
        &self.detail.remedy
    }

    /// The beginning of the response.
    pub(super) fn excerpt(&self) -> &str {
        &self.detail.excerpt
    }

    /// What happened, without advice.
    pub(super) fn what(&self) -> String {
        let status = self.status;
        match self.cause {
            ForeignCause::Blocked => {
                format!("a firewall or proxy in front of Odoo refused the call (HTTP {status})")
            }
            ForeignCause::Compressed => {
                "the response is compressed although that was not requested".to_owned()
            }
            ForeignCause::LoginPage => format!(
                "Odoo answered with its login or database page instead of its API (HTTP {status})"
            ),
            ForeignCause::Other => format!("the response is not from Odoo's API (HTTP {status})"),
            ForeignCause::Redirect => {
                format!("Odoo's address redirects to another one (HTTP {status})")
            }
            ForeignCause::RequestTooLarge => {
                format!("the call is too large for the proxy in front of Odoo (HTTP {status})")
            }
            ForeignCause::Throttled => {
                format!("Odoo accepts no more calls for the moment (HTTP {status})")
            }
            ForeignCause::Unavailable => {
                format!("Odoo is starting, overloaded or down (HTTP {status})")
            }
        }
    }
}

impl fmt::Display for ForeignResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TELL: &str = "retrying will not help, so tell the administrator";
        f.write_str(&self.what())?;
        match (self.cause, self.retry_after) {
            (ForeignCause::Blocked, _) => {
                write!(
                    f,
                    ", which has nothing to do with access rights in Odoo; {TELL}"
                )
            }
            (ForeignCause::Compressed | ForeignCause::LoginPage | ForeignCause::Redirect, _) => {
                write!(f, "; {TELL}")
            }
            (ForeignCause::RequestTooLarge, _) => {
                f.write_str(". Nothing was changed; send fewer records or smaller files at once")
            }
            (ForeignCause::Throttled, after) => {
                let seconds = after.unwrap_or(DEFAULT_PAUSE).as_secs().max(1);
                write!(f, ". The call did not run; try again in {seconds} s")
            }
            (ForeignCause::Unavailable, Some(after)) => {
                write!(f, "; try again in {} s", after.as_secs().max(1))
            }
            (ForeignCause::Other | ForeignCause::Unavailable, _) => {
                f.write_str("; try again in a minute, then tell the administrator")
            }
        }
    }
}

impl Error for ForeignResponse {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.detail)
    }
}

fn classify(response: &WireResponse, page: &str, location: Option<&str>) -> ForeignCause {
    let is_web_page = |text: &str| {
        ["/web/login", "/web/database/", "oe_login_form"]
            .iter()
            .any(|sign| text.contains(sign))
    };
    match response.status {
        200 if is_compressed(&response.headers) => ForeignCause::Compressed,
        300..=399 if location.is_some_and(is_web_page) => ForeignCause::LoginPage,
        300..=399 => ForeignCause::Redirect,
        // Odoo answers these in JSON, with its own error object.
        401 | 403 | 407 => ForeignCause::Blocked,
        413 => ForeignCause::RequestTooLarge,
        429 => ForeignCause::Throttled,
        503 if page.contains("Just a moment") => ForeignCause::Blocked,
        502..=504 => ForeignCause::Unavailable,
        // Odoo.sh wakes a build that slept.
        _ if is_sleeping_build(page) => ForeignCause::Unavailable,
        _ if is_web_page(page) => ForeignCause::LoginPage,
        _ => ForeignCause::Other,
    }
}

/// Whether the body has an encoding, which was not requested
/// (`Accept-Encoding: identity`).
pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn is_sleeping_build(page: &str) -> bool {
    let page = page.to_ascii_lowercase();
    page.contains("odoo.sh")
        && ["sleep", "asleep", "starting", "waking", "build is"]
            .iter()
            .any(|sign| page.contains(sign))
}

/// What the administrator can do.
fn remedy(cause: ForeignCause, location: Option<&str>, page: &str) -> String {
    let text = match cause {
        ForeignCause::Blocked => {
            "let the gateway through the firewall, bot protection or login in front of Odoo, or set `url` to an address behind it"
        }
        ForeignCause::Compressed => {
            "the proxy in front of Odoo compresses although the request has `Accept-Encoding: identity`: switch that off for `/json/2/`"
        }
        ForeignCause::LoginPage => {
            "Odoo has no database for this request: check `database`, and Odoo's `dbfilter` and `proxy_mode`; its version must be 19 or later"
        }
        // nginx and Apache, in their pages for status 400.
        ForeignCause::Other
            if page.contains("plain HTTP request was sent to HTTPS port")
                || page.contains("plain HTTP to an SSL-enabled server port") =>
        {
            "this port speaks TLS: write `https://` in `url`"
        }
        ForeignCause::Other => "check that `url` is the address of an Odoo 19 or later",
        ForeignCause::Redirect => {
            let location = location.unwrap_or("an address that it does not name");
            return match target_url(location) {
                Some(url) => format!("it redirects to {location}: set `url` to `{url}`"),
                None => format!("it redirects to {location}: correct `url`"),
            };
        }
        ForeignCause::RequestTooLarge => {
            "raise the limit of the proxy in front of Odoo for bodies (nginx: `client_max_body_size`)"
        }
        ForeignCause::Throttled => {
            "set `max_calls_per_second` to what the server allows; Odoo Online allows about one"
        }
        ForeignCause::Unavailable => {
            "the proxy in front of Odoo gets no answer from it: see whether Odoo runs; an Odoo.sh build that sleeps wakes up by itself"
        }
    };
    text.to_owned()
}

/// The `url` that would reach the target of a redirect.
fn target_url(location: &str) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    let prefix = uri.path().split("/json/2/").next().unwrap_or_default();
    let prefix = if prefix == uri.path() { "" } else { prefix };
    Some(format!("{}://{}{prefix}", uri.scheme()?, uri.authority()?))
}

/// `Retry-After` (RFC 9110, section 10.2.3), at most a minute.
#[expect(
    clippy::disallowed_types,
    reason = "the server names a time of day, and nothing is decided by it but a pause"
)]
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_not_seconds) => {
            let at = httpdate::parse_http_date(text).ok()?;
            at.duration_since(std::time::SystemTime::now())
                .unwrap_or_default()
        }
    };
    Some(after.min(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use std::{error::Error as _, fmt::Write as _};

    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::ForeignResponse;
    use crate::WireResponse;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> WireResponse {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::try_from(*value).unwrap())
        });
        WireResponse {
            status,
            headers: headers.collect::<HeaderMap>(),
            media: "text/html".to_owned(),
            body: body.as_bytes().to_vec().into(),
        }
    }

    // BC-48 to BC-53.
    #[test]
    fn each_foreign_response_has_its_own_cause_and_advice() {
        let responses = [
            response(
                301,
                &[(
                    "location",
                    "https://odoo.example.com/json/2/res.partner/search_read",
                )],
                "",
            ),
            response(303, &[("location", "/web/database/selector")], ""),
            response(
                303,
                &[("location", "http://odoo.example.com/web/login?redirect=x")],
                "",
            ),
            response(307, &[("location", "/elsewhere")], ""),
            response(200, &[], "<form class='oe_login_form' action='/web/login'>"),
            response(
                200,
                &[],
                "<a href='/web/database/manager'>Manage databases</a>",
            ),
            response(200, &[("content-encoding", "gzip")], "\u{1f}"),
            response(200, &[], "<h1>Welcome to nginx!</h1>"),
            response(
                400,
                &[],
                "<h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port",
            ),
            response(
                202,
                &[],
                "<p>This Odoo.sh build is sleeping, it will be started</p>",
            ),
            response(403, &[], "<title>Just a moment...</title>"),
            response(413, &[], "<h1>413 Request Entity Too Large</h1>"),
            response(429, &[("retry-after", "7")], ""),
            response(429, &[], ""),
            response(502, &[], "<h1>502 Bad Gateway</h1>"),
            response(503, &[("retry-after", "20")], ""),
            response(503, &[("retry-after", "99999999999")], ""),
            response(503, &[], ""),
            response(504, &[], ""),
        ];
        let mut table = String::new();
        for response in responses {
            let foreign = ForeignResponse::new(&response);
            let advice = foreign.source().unwrap().to_string();
            let (advice, _) = advice.split_once("; the response begins").unwrap();
            writeln!(table, "{foreign}\n    {advice}").unwrap();
            assert!(!foreign.to_string().contains("example.com"), "{foreign}");
        }
        insta::assert_snapshot!(table);
    }
}
