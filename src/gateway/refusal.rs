//! The one table of refusals: every way to fail, and by which door it leaves.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{Blame, Failure, Reply, Story, door::Unauthenticated};
use gatepost_identity::{Ambiguous, NoBearer, Objection, Unavailable};
use gatepost_mcp::{self, Era, Malformed, RequestId, Revision};
use gatepost_policy::Forbidden;
use gatepost_state::limits::{Exhausted, Limited};

/// A request that is not served. `Display` is what the client may read.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The caller may act as more than one Odoo user.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    /// The allowance is spent.
    #[error(transparent)]
    Exhausted(Exhausted),
    /// The host is not one we answer under.
    #[error("this gateway does not answer under this name")]
    Host(String),
    /// The caller may not, and might with more scopes. The text is what policy
    /// says, the challenge says which scopes.
    #[error("{0}")]
    InsufficientScope(String, Box<str>),
    /// We failed.
    #[error("internal error")]
    Internal(#[source] serde_json::Error),
    /// Too many requests from there, or nobody can count them.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The message is refused by the protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The HTTP method is none of the endpoint's, which are these.
    #[error("this endpoint answers {0}")]
    MethodNotAllowed(&'static str),
    /// The client takes neither JSON nor an event stream.
    #[error("the answer is `application/json` or `text/event-stream`; accept one of them")]
    NotAcceptable,
    /// The caller has no role in the instance.
    #[error(transparent)]
    NoRole(Forbidden),
    /// No such endpoint.
    #[error("not found")]
    NoRoute,
    /// The web page is not one that may call us.
    #[error("forbidden")]
    Origin(String),
    /// A token stands where none may.
    #[error("a token belongs into the `Authorization` header, never into the URL")]
    TokenInQuery(Box<str>),
    /// Nobody proved to be anybody. The challenge says how to.
    #[error("{0}")]
    Unauthenticated(Unauthenticated, Box<str>),
    /// Nobody can say who it is.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// There is no such tool, or the caller may not know of it.
    #[error("Unknown tool: {0}")]
    UnknownTool(String),
    /// The body is not JSON by its own account.
    #[error("send `Content-Type: application/json`")]
    UnsupportedMedia,
}

/// By which door a refusal leaves.
enum Exit {
    /// As an HTTP answer, with nothing of JSON-RPC.
    Http(StatusCode),
    /// The same for clients that look for JSON where they find none of us.
    Json(StatusCode),
    /// As a JSON-RPC error.
    Protocol {
        status: StatusCode,
        code: i32,
        data: Option<Value>,
    },
}

impl Refusal {
    /// The table. The word is for logs and metrics.
    fn exit(&self) -> (Exit, Blame, &'static str) {
        use StatusCode as S;
        match self {
            Self::Ambiguous(_) => (
                Exit::Http(S::FORBIDDEN),
                Blame::Policy,
                "ambiguous_credential",
            ),
            Self::Exhausted(_) => (Exit::Http(S::TOO_MANY_REQUESTS), Blame::Client, "exhausted"),
            Self::Host(_) => (Exit::Http(S::MISDIRECTED_REQUEST), Blame::Client, "host"),
            Self::InsufficientScope(..) => (
                protocol(S::FORBIDDEN, -32600, None),
                Blame::Policy,
                "insufficient_scope",
            ),
            Self::Internal(_) => (
                protocol(S::INTERNAL_SERVER_ERROR, -32603, None),
                Blame::Us,
                "internal",
            ),
            Self::Limited(limited @ Limited::Exceeded { .. }) => (
                Exit::Http(S::TOO_MANY_REQUESTS),
                Blame::Client,
                limited.kind(),
            ),
            Self::Limited(limited @ Limited::Uncounted { .. }) => (
                protocol(S::SERVICE_UNAVAILABLE, -32603, None),
                Blame::Storage,
                limited.kind(),
            ),
            Self::Malformed(malformed) => {
                let (status, data, word) = malformed_row(malformed);
                (
                    protocol(status, malformed.code(), data),
                    Blame::Client,
                    word,
                )
            }
            Self::MethodNotAllowed(_) => (
                Exit::Http(S::METHOD_NOT_ALLOWED),
                Blame::Client,
                "http_method",
            ),
            Self::NotAcceptable => (Exit::Http(S::NOT_ACCEPTABLE), Blame::Client, "accept"),
            Self::NoRole(_) => (Exit::Http(S::FORBIDDEN), Blame::Policy, "no_role"),
            Self::NoRoute => (Exit::Json(S::NOT_FOUND), Blame::Client, "no_route"),
            // MCP, Streamable HTTP, "Security Warning": with a JSON-RPC error without an id.
            Self::Origin(_) => (
                protocol(S::FORBIDDEN, -32600, None),
                Blame::Client,
                "origin",
            ),
            Self::TokenInQuery(_) => (Exit::Http(S::BAD_REQUEST), Blame::Client, "token_in_query"),
            Self::Unauthenticated(Unauthenticated::NoBearer(no_bearer), _) => {
                let status = match no_bearer {
                    NoBearer::Missing | NoBearer::OtherScheme => S::UNAUTHORIZED,
                    // RFC 6750 section 3.1, `invalid_request`.
                    NoBearer::Malformed | NoBearer::Several | NoBearer::TooLong => S::BAD_REQUEST,
                };
                (Exit::Http(status), Blame::Client, "unauthenticated")
            }
            Self::Unauthenticated(..) => (
                Exit::Http(S::UNAUTHORIZED),
                Blame::Client,
                "unauthenticated",
            ),
            Self::Unavailable(_) => (
                protocol(S::SERVICE_UNAVAILABLE, -32603, None),
                Blame::Identity,
                "provider_unavailable",
            ),
            Self::UnknownTool(_) => (protocol(S::OK, -32602, None), Blame::Client, "unknown_tool"),
            Self::UnsupportedMedia => (
                Exit::Http(S::UNSUPPORTED_MEDIA_TYPE),
                Blame::Client,
                "content_type",
            ),
        }
    }

    /// What only we may read.
    fn secret(&self) -> Option<String> {
        match self {
            Self::Ambiguous(Ambiguous { rank, one, other }) => Some(format!(
                "the caller's {} name the credentials `{one}` and `{other}`",
                rank.as_str()
            )),
            Self::Host(host) => Some(format!(
                "`Host: {host}` is in no `public_urls` of the configuration"
            )),
            Self::Origin(origin) => Some(format!(
                "`Origin: {origin}` is not in `server.allowed_origins`"
            )),
            Self::Unauthenticated(why, _) => Some(why.reason()),
            Self::Unavailable(unavailable) => Some(unavailable.why.to_string()),
            Self::Internal(source) => Some(source.to_string()),
            Self::Exhausted(_)
            | Self::InsufficientScope(..)
            // Told when Redis was lost, and not again with each request.
            | Self::Limited(_)
            | Self::Malformed(_)
            | Self::MethodNotAllowed(_)
            | Self::NotAcceptable
            | Self::NoRole(_)
            | Self::NoRoute
            | Self::TokenInQuery(_)
            | Self::UnknownTool(_)
            | Self::UnsupportedMedia => None,
        }
    }

    /// The answer, and what there is to tell about it.
    pub(super) fn reply(&self, id: Option<&RequestId>, story: &mut Story) -> Reply {
        let (exit, blame, word) = self.exit();
        story.blame = Some(blame);
        story.refusal = Some(word);
        story.error = self.secret();
        story.fail(match &exit {
            Exit::Protocol { code, .. } => Failure::Code(*code),
            Exit::Http(_) | Exit::Json(_) => Failure::Refused(word),
        });
        let reply = match exit {
            Exit::Http(status) => Reply::text(status, &self.to_string()),
            Exit::Json(status) => Reply::json(
                status,
                Bytes::from(format!(
                    "{{\"error\":\"{}\"}}",
                    self.to_string().replace(' ', "_")
                )),
            ),
            Exit::Protocol { status, code, data } => {
                let mut message = self.to_string();
                if matches!(self, Self::Internal(_)) {
                    // The number finds the log line, and says nothing else.
                    message = format!("{message}, request {}", story.request_id);
                }
                Reply::json(status, gatepost_mcp::failure(id, code, &message, data))
            }
        };
        self.with_fields(reply)
    }

    /// The header fields that belong to the status.
    fn with_fields(&self, reply: Reply) -> Reply {
        match self {
            Self::InsufficientScope(_, challenge)
            | Self::TokenInQuery(challenge)
            | Self::Unauthenticated(_, challenge) => {
                // It is of the configuration, in which everything fits a header.
                let value = HeaderValue::from_str(challenge)
                    .unwrap_or(HeaderValue::from_static("Bearer realm=\"gatepost\""));
                reply.with(header::WWW_AUTHENTICATE, value).with_no_store()
            }
            Self::Exhausted(Exhausted(wait)) => retry_after(reply, wait.as_secs()),
            Self::Limited(limited) => retry_after(reply, limited.retry_after().as_secs()),
            Self::Unavailable(unavailable) => retry_after(reply, unavailable.retry_after.as_secs()),
            Self::MethodNotAllowed(methods) => {
                reply.with(header::ALLOW, HeaderValue::from_static(methods))
            }
            Self::Ambiguous(_)
            | Self::Host(_)
            | Self::Internal(_)
            | Self::Malformed(_)
            | Self::NotAcceptable
            | Self::NoRole(_)
            | Self::NoRoute
            | Self::Origin(_)
            | Self::UnknownTool(_)
            | Self::UnsupportedMedia => reply,
        }
    }

    /// The refusal of a caller who is not let in. `challenge` writes down how
    /// to get in.
    pub(super) fn of(why: Unauthenticated, challenge: impl Fn(&Objection) -> String) -> Self {
        let objection = match &why {
            Unauthenticated::Exhausted(exhausted) => return Self::Exhausted(*exhausted),
            Unauthenticated::Unavailable(unavailable) => {
                return Self::Unavailable(unavailable.clone());
            }
            Unauthenticated::NoBearer(NoBearer::Missing | NoBearer::OtherScheme) => {
                Objection::NoToken
            }
            Unauthenticated::NoBearer(_) => Objection::InvalidRequest,
            Unauthenticated::NotAccepted(_) | Unauthenticated::Unproved(_) => {
                Objection::InvalidToken
            }
        };
        let challenge = challenge(&objection).into();
        Self::Unauthenticated(why, challenge)
    }
}

fn retry_after(reply: Reply, seconds: u64) -> Reply {
    reply
        .with(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        .with_no_store()
}

fn protocol(status: StatusCode, code: i32, data: Option<Value>) -> Exit {
    Exit::Protocol { status, code, data }
}

/// Status, data and word of a message that the protocol refuses. Errors in the
/// parameters of a method answer 200, for a client takes an unknown 4xx for a
/// server of another era; those of the ladder before it have their status.
fn malformed_row(malformed: &Malformed) -> (StatusCode, Option<Value>, &'static str) {
    use StatusCode as S;
    match malformed {
        Malformed::Batch(_) => (S::BAD_REQUEST, None, "batch"),
        Malformed::HeaderMismatch(_) => (S::BAD_REQUEST, None, "header_mismatch"),
        Malformed::MissingMeta(_) => (S::BAD_REQUEST, None, "missing_meta"),
        Malformed::NotARequest(_) => (S::BAD_REQUEST, None, "not_a_request"),
        Malformed::NotJson(_) => (S::BAD_REQUEST, None, "not_json"),
        Malformed::Params(_) => (S::OK, None, "params"),
        Malformed::UnknownMethod(_, Era::Handshake) => (S::OK, None, "unknown_method"),
        Malformed::UnknownMethod(_, Era::Stateless) => (S::NOT_FOUND, None, "unknown_method"),
        Malformed::UnsupportedVersion { requested } => {
            let supported = Revision::STATELESS.map(Revision::as_str);
            let data = json!({ "supported": supported, "requested": requested });
            (S::BAD_REQUEST, Some(data), "unsupported_version")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Refusal, Story, Unauthenticated};
    use gatepost_base::{CredentialName, InstanceName, TraceId};
    use gatepost_identity::{
        Ambiguous, NoBearer, NotAccepted, Objection, Rank, Trouble, Unavailable, Unproved,
    };
    use gatepost_mcp::{Era, Malformed, RequestId};
    use gatepost_policy::Forbidden;
    use gatepost_state::limits::{Dimension, Exhausted, Limited};

    fn not_json() -> serde_json::Error {
        serde_json::from_str::<u8>("{").unwrap_err()
    }

    fn refused(why: Unauthenticated) -> Refusal {
        Refusal::of(why, Objection::bare)
    }

    fn all() -> Vec<Refusal> {
        let unavailable = Unavailable {
            retry_after: Duration::from_secs(2),
            why: Trouble::Unreachable("10.0.0.1: connection refused".into()),
        };
        vec![
            Refusal::Ambiguous(Ambiguous {
                rank: Rank::Role,
                one: CredentialName::try_from("admin").unwrap(),
                other: CredentialName::try_from("sales").unwrap(),
            }),
            Refusal::Host("evil.example".to_owned()),
            Refusal::Internal(not_json()),
            Malformed::Batch("the batch is empty").into(),
            Malformed::HeaderMismatch("`Mcp-Name` is missing".to_owned()).into(),
            Malformed::Params("`name` must be the name of a tool".to_owned()).into(),
            Malformed::MissingMeta("an object").into(),
            Malformed::NotJson(not_json()).into(),
            Malformed::NotARequest("`method` is missing".to_owned()).into(),
            Malformed::UnknownMethod("nope".to_owned(), Era::Handshake).into(),
            Malformed::UnknownMethod("nope".to_owned(), Era::Stateless).into(),
            Malformed::UnsupportedVersion {
                requested: "1999-01-01".to_owned(),
            }
            .into(),
            Refusal::Exhausted(Exhausted(Duration::from_secs(2))),
            Refusal::InsufficientScope(
                "you may not".to_owned(),
                "Bearer error=\"insufficient_scope\", scope=\"odoo:write\"".into(),
            ),
            Refusal::Limited(Limited::Exceeded {
                dimension: Dimension::Address,
                wait: Duration::from_secs(3),
            }),
            Refusal::Limited(Limited::Uncounted {
                retry_after: Duration::from_secs(2),
            }),
            Refusal::MethodNotAllowed("POST, OPTIONS"),
            Refusal::NotAcceptable,
            Refusal::NoRole(Forbidden::Instance(
                InstanceName::try_from("production").unwrap(),
            )),
            Refusal::NoRoute,
            Refusal::Origin("https://evil.example".to_owned()),
            Refusal::TokenInQuery(Objection::InvalidRequest.bare().into()),
            refused(Unauthenticated::NoBearer(NoBearer::Missing)),
            refused(Unauthenticated::NoBearer(NoBearer::Several)),
            refused(Unauthenticated::NotAccepted(NotAccepted::Audience)),
            refused(Unauthenticated::Unproved(Unproved::Malformed)),
            refused(Unauthenticated::Exhausted(Exhausted(Duration::from_secs(
                7,
            )))),
            refused(Unauthenticated::Unavailable(unavailable)),
            Refusal::UnknownTool("x".to_owned()),
            Refusal::UnsupportedMedia,
        ]
    }

    #[test]
    fn the_whole_table_of_refusals() {
        let rows: Vec<String> = all()
            .iter()
            .map(|refusal| {
                let mut story = Story::new(TraceId::new(7));
                let reply = refusal.reply(Some(&RequestId::Number(1)), &mut story);
                let blame = story.blame.map_or("", super::Blame::as_str);
                let body = String::from_utf8_lossy(&reply.body).trim().to_owned();
                let fields: Vec<String> = reply
                    .headers
                    .iter()
                    .filter(|(name, _)| name != "content-type")
                    .map(|(name, value)| format!(" [{name}: {}]", value.to_str().unwrap()))
                    .collect();
                let fields = fields.concat();
                format!(
                    "{} {blame} {}: {body}{fields}",
                    reply.status.as_u16(),
                    story.refusal.unwrap_or_default()
                )
            })
            .collect();
        insta::assert_snapshot!(rows.join("\n"));
    }
}
