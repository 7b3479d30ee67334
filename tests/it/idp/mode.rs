//! The faults of a provider.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a list of faults, each of one sort; the rest is of another sort"
)]

use std::{io::Write as _, time::Duration};

use flate2::{Compression, write::GzEncoder};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{
    http1::{Connection, IdpResponse, ignore_result},
    keys::{SigningKey, unsigned},
};

/// The behaviour of an endpoint. The names are those of the attack table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Correct behaviour.
    #[default]
    Pass,
    /// `active` is the number 1.
    Active1,
    /// `active` is the string `true`.
    ActiveString,
    /// An array that contains the response.
    Array,
    /// `aud` is an array that contains the right audience.
    AudArray,
    /// `aud` has the right audience as a prefix.
    AudPrefix,
    /// A valid response of 64 MiB.
    Big,
    /// A byte order mark before the response.
    Bom,
    /// A body that never ends.
    Drip,
    /// Both `active: false` and `active: true`.
    DupActive,
    /// `exp` has a fraction.
    ExpFloat,
    /// `exp` is beyond the range of any clock.
    ExpHuge,
    /// `exp` is in the past.
    ExpPast,
    /// `exp` is a string.
    ExpString,
    /// 256 MiB of spaces, compressed.
    GzipBomb,
    /// Accepts the request and never responds.
    Hang,
    /// Responds correctly, but only after [`Idp::release`](super::Idp::release).
    Held,
    /// An HTML page that contains the response.
    Html,
    /// An HTML page with the media type of JSON.
    HtmlAsJson,
    /// `iss` is another issuer.
    IssEvil,
    /// A key set without keys.
    JwksEmpty,
    /// `nbf` is in the future.
    NbfFuture,
    /// No `active`.
    NoActive,
    /// No `aud`.
    NoAud,
    /// No `exp`.
    NoExp,
    /// No `iss`.
    NoIss,
    /// No `sub`.
    NoSub,
    /// 302 to this URL.
    Redirect(String),
    /// 307 to this URL, where a client would repeat the request with its body.
    Redirect307(String),
    /// This JSON instead of the response.
    Replaced(String),
    /// Closes the connection without a response.
    Reset,
    /// Roles nested 4,000 levels deep.
    RolesDeep,
    /// 400, as for a token type that cannot be introspected.
    S400,
    /// 401, `invalid_client`.
    S401,
    /// 401 with an empty body.
    S401Empty,
    /// 401 that is about the token: Rauthy, about a revoked one.
    S401Revoked,
    /// 403.
    S403,
    /// 403 with an HTML page, as from a firewall.
    S403Page,
    /// 429 with this `Retry-After`, in seconds.
    S429(u32),
    /// 500.
    S500,
    /// 503 with this `Retry-After`, in seconds.
    S503(u32),
    /// `scope` is an array.
    ScopeArray,
    /// Signed with another issuer's key (RFC 9701).
    SignedByAnother,
    /// Signed for another audience.
    SignedForAnother,
    /// Signed as another issuer.
    SignedFromAnother,
    /// Signed with the algorithm `none`.
    SignedNone,
    /// A signed response from an hour ago.
    SignedOld,
    /// Signed with the type of an access token.
    SignedTyp,
    /// A response whose head never ends.
    Slow,
    /// `sub` contains a line break.
    SubControl,
    /// A body that is cut short.
    Trunc,
    /// A token bound to a key that the gateway cannot check.
    TypeDpop,
    /// No `token_type`, as for a refresh token.
    TypeRefresh,
}

/// The interval between dripped bytes: several fit into any timeout of a test.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);

impl Mode {
    /// Handles modes without an ordinary response. Returns false for other modes.
    pub(super) fn break_connection(&self, connection: &mut Connection) -> bool {
        match self {
            Self::Hang => connection.wait_for_close(),
            Self::Slow => {
                ignore_result(connection.write(b"HTTP/1.1 200 OK\r\nContent-Ty"));
                connection.wait_for_close();
            }
            Self::Drip => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n";
                ignore_result(connection.write(head.as_bytes()));
                connection.write_repeatedly(b" ", DRIP_INTERVAL);
            }
            Self::Reset => {}
            Self::Trunc => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"active\":tr";
                ignore_result(connection.write(head.as_bytes()));
            }
            Self::Big => write_oversized(connection),
            _ => return false,
        }
        connection.close();
        true
    }

    /// The response that replaces a valid one.
    pub(super) fn replacement(&self) -> Option<IdpResponse> {
        let answer = match self {
            Self::Array => IdpResponse::json(200, r#"[{"active":true}]"#),
            Self::DupActive => IdpResponse::json(200, r#"{"active":false,"active":true}"#),
            Self::GzipBomb => {
                IdpResponse::json(200, gzip_bomb()).with_header("Content-Encoding", "gzip")
            }
            Self::Html => IdpResponse::text(
                200,
                "text/html",
                r#"<html><body>{"active":true}</body></html>"#,
            ),
            Self::HtmlAsJson => IdpResponse::json(200, "<html>login</html>"),
            Self::JwksEmpty => IdpResponse::json(200, r#"{"keys":[]}"#),
            Self::Redirect(to) => {
                IdpResponse::text(302, "text/plain", "").with_header("Location", to)
            }
            Self::Redirect307(to) => {
                IdpResponse::text(307, "text/plain", "").with_header("Location", to)
            }
            Self::Replaced(json) => IdpResponse::json(200, json.clone()),
            Self::S400 => IdpResponse::json(400, r#"{"error":"unsupported_token_type"}"#),
            Self::S401 => IdpResponse::json(401, r#"{"error":"invalid_client"}"#)
                .with_header("WWW-Authenticate", "Basic"),
            Self::S401Empty => IdpResponse::text(401, "text/plain", ""),
            Self::S401Revoked => IdpResponse::json(
                401,
                r#"{"timestamp":1,"error":"Unauthorized","message":"token was revoked"}"#,
            )
            .with_header("WWW-Authenticate", "OAuth"),
            Self::S403 => IdpResponse::json(403, r#"{"error":"access_denied"}"#),
            Self::S403Page => IdpResponse::text(403, "text/html", "<html>blocked</html>"),
            Self::S429(after) => {
                IdpResponse::json(429, "{}").with_header("Retry-After", after.to_string())
            }
            Self::S500 => IdpResponse::json(500, r#"{"error":"server_error"}"#),
            Self::S503(after) => IdpResponse::text(503, "text/plain", "busy")
                .with_header("Retry-After", after.to_string()),
            _ => return None,
        };
        Some(answer)
    }

    /// Modifies a valid introspection response.
    pub(super) fn alter_claims(&self, claims: &mut Value) {
        let Some(all) = claims.as_object_mut() else {
            return;
        };
        let now = jiff::Timestamp::now().as_second();
        match self {
            Self::Active1 => all["active"] = json!(1),
            Self::ActiveString => all["active"] = json!("true"),
            Self::AudArray => all["aud"] = json!(["other", all["aud"]]),
            Self::AudPrefix => all["aud"] = json!(format!("{}.evil", all["aud"].as_str().unwrap())),
            Self::ExpFloat => all["exp"] = json!(all["exp"].as_f64().unwrap() + 0.5),
            Self::ExpHuge => all["exp"] = json!(1e18),
            Self::ExpPast => all["exp"] = json!(1),
            Self::ExpString => all["exp"] = json!(all["exp"].to_string()),
            Self::IssEvil => all["iss"] = json!("https://evil.test"),
            Self::NbfFuture => all["nbf"] = json!(now + 600),
            Self::NoActive => drop(all.remove("active")),
            Self::NoAud => drop(all.remove("aud")),
            Self::NoExp => drop(all.remove("exp")),
            Self::NoIss => drop(all.remove("iss")),
            Self::NoSub => drop(all.remove("sub")),
            Self::ScopeArray => {
                let scope = all["scope"].as_str().unwrap_or_default().to_owned();
                all["scope"] = json!(scope.split(' ').collect::<Vec<_>>());
            }
            Self::SubControl => all["sub"] = json!("al\r\nice\u{0}"),
            Self::TypeDpop => {
                all["token_type"] = json!("DPoP");
                all.insert("cnf".to_owned(), json!({"jkt": "x"}));
            }
            Self::TypeRefresh => drop(all.remove("token_type")),
            _ => {}
        }
    }

    /// The response as a JWT (RFC 9701 section 5).
    pub(super) fn sign_response(
        &self,
        answer: &Value,
        issuer: &str,
        asker: &str,
        key: &SigningKey,
    ) -> String {
        let (mut issuer, mut asker) = (issuer, asker);
        let mut issued = jiff::Timestamp::now().as_second();
        let (mut typ, mut key) = ("token-introspection+jwt", key.clone());
        match self {
            Self::SignedByAnother => key = SigningKey::rsa(2, &key.id),
            Self::SignedForAnother => asker = "another-client",
            Self::SignedFromAnother => issuer = "https://evil.test",
            Self::SignedOld => issued -= 3600,
            Self::SignedTyp => typ = "at+jwt",
            _ => {}
        }
        let payload =
            json!({"iss": issuer, "aud": asker, "iat": issued, "token_introspection": answer})
                .to_string();
        if *self == Self::SignedNone {
            let header = json!({"alg": "none", "typ": typ});
            return unsigned(&header.to_string(), &payload) + ".";
        }
        let header = json!({"alg": "RS256", "typ": typ, "kid": key.id});
        key.sign(&header.to_string(), &payload, Algorithm::RS256)
    }

    /// Modifies the text of a valid response.
    pub(super) fn serialize(&self, claims: &Value) -> Vec<u8> {
        let text = claims.to_string();
        match self {
            Self::Bom => format!("\u{feff}{text}").into_bytes(),
            // As text, because dropping a value this deep would overflow the
            // stack.
            Self::RolesDeep => {
                let deep = "{\"a\":".repeat(4000) + "{}" + &"}".repeat(4000);
                let open = text.strip_suffix('}').unwrap();
                format!("{open},\"urn:zitadel:iam:org:project:roles\":{deep}}}").into_bytes()
            }
            _ => text.into_bytes(),
        }
    }
}

/// A valid response that does not end within any limit.
fn write_oversized(connection: &mut Connection) {
    let size = 64 << 20;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{{\"active\":true,\"x\":\"",
        size + 22
    );
    ignore_result(connection.write(head.as_bytes()));
    let part = vec![b'A'; 64 << 10];
    for _ in 0..size / part.len() {
        if connection.write(&part).is_err() {
            return;
        }
    }
    ignore_result(connection.write(b"\"}"));
}

/// 256 MiB of spaces in 256 KiB.
fn gzip_bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let part = vec![b' '; 1 << 20];
    for _ in 0..256 {
        encoder.write_all(&part).unwrap();
    }
    encoder.finish().unwrap()
}
