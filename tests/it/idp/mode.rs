//! What a provider can do wrong.
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

/// How an endpoint behaves. The names are those of the attack table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As it should.
    #[default]
    Pass,
    /// `active` is the number 1.
    Active1,
    /// `active` is the text `true`.
    ActiveString,
    /// A list with an answer in it.
    Array,
    /// `aud` is a list with ours in it.
    AudArray,
    /// `aud` begins as ours does.
    AudPrefix,
    /// 64 MiB of a true answer.
    Big,
    /// A byte order mark before the answer.
    Bom,
    /// Answers with a body that never ends.
    Drip,
    /// Says both `active: false` and `active: true`.
    DupActive,
    /// `exp` has a fraction.
    ExpFloat,
    /// `exp` is far beyond any clock.
    ExpHuge,
    /// `exp` is over.
    ExpPast,
    /// `exp` is a text.
    ExpString,
    /// 256 MiB of spaces, compressed.
    GzipBomb,
    /// Takes the request and never answers.
    Hang,
    /// Answers as it should once [`Idp::release`](super::Idp::release) says so.
    Held,
    /// A page with an answer in it.
    Html,
    /// A page that calls itself JSON.
    HtmlAsJson,
    /// `iss` is somebody else.
    IssEvil,
    /// A set without keys.
    JwksEmpty,
    /// A set with a password as its only key.
    JwksOct,
    /// `nbf` is later.
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
    /// 302 to this address.
    Redirect(String),
    /// 307 to this address: whoever follows sends everything again.
    Redirect307(String),
    /// Closes instead of answering.
    Reset,
    /// Roles within roles, 4,000 deep.
    RolesDeep,
    /// 400, as for a token of a sort that cannot be asked about.
    S400,
    /// 401, `invalid_client`.
    S401,
    /// 401 without a word.
    S401Empty,
    /// 403.
    S403,
    /// 403 as a page, as of a firewall in between.
    S403Page,
    /// 429, to come again in so many seconds.
    S429(u32),
    /// 500.
    S500,
    /// 503, to come again in so many seconds.
    S503(u32),
    /// `scope` is a list.
    ScopeArray,
    /// Signs with a key of somebody else (RFC 9701).
    SignedByAnother,
    /// Signs for another asker.
    SignedForAnother,
    /// Signs as another issuer.
    SignedFromAnother,
    /// Signs with no algorithm at all.
    SignedNone,
    /// A signed answer of an hour ago.
    SignedOld,
    /// Signs it as if it were an access token.
    SignedTyp,
    /// Begins the answer's head and never ends it.
    Slow,
    /// `sub` has a line break in it.
    SubControl,
    /// Ends in the middle of the body.
    Trunc,
    /// Says it is bound to a key that we cannot check.
    TypeDpop,
    /// No `token_type`: what a refresh token looks like.
    TypeRefresh,
}

/// How often a drip drips: several times within any time-out of a test.
const DRIP_INTERVAL: Duration = Duration::from_millis(20);

impl Mode {
    /// Does what is no ordinary answer. False when nothing was done.
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

    /// The answer that stands instead of a good one.
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
            Self::JwksOct => IdpResponse::json(
                200,
                r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"x","alg":"HS256"}]}"#,
            ),
            Self::Redirect(to) => {
                IdpResponse::text(302, "text/plain", "").with_header("Location", to)
            }
            Self::Redirect307(to) => {
                IdpResponse::text(307, "text/plain", "").with_header("Location", to)
            }
            Self::S400 => IdpResponse::json(400, r#"{"error":"unsupported_token_type"}"#),
            Self::S401 => IdpResponse::json(401, r#"{"error":"invalid_client"}"#)
                .with_header("WWW-Authenticate", "Basic"),
            Self::S401Empty => IdpResponse::text(401, "text/plain", ""),
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

    /// Changes a good answer of introspection.
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

    /// The answer as a token (RFC 9701 section 5).
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
            Self::SignedForAnother => asker = "somebody-else",
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

    /// Changes the text of a good answer.
    pub(super) fn serialize(&self, claims: &Value) -> Vec<u8> {
        let text = claims.to_string();
        match self {
            Self::Bom => format!("\u{feff}{text}").into_bytes(),
            // As a text: a value that is so deep cannot be dropped.
            Self::RolesDeep => {
                let deep = "{\"a\":".repeat(4000) + "{}" + &"}".repeat(4000);
                let open = text.strip_suffix('}').unwrap();
                format!("{open},\"urn:zitadel:iam:org:project:roles\":{deep}}}").into_bytes()
            }
            _ => text.into_bytes(),
        }
    }
}

/// An answer that is true, and never ends as far as anybody wants to read.
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
