//! The one table of refusals: every way to fail, and by which door it leaves.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{HttpResponse, authentication::Unauthenticated};
use crate::telemetry::{ErrorSource, RequestLog, RpcErrorType};
use gatepost_identity::{AmbiguousCredential, BearerError, Challenge, ProviderUnavailable};
use gatepost_mcp::{self, ProtocolEra, ProtocolError, RequestId, Revision};
use gatepost_policy::Forbidden;
use gatepost_state::limits::{AddressRateLimited, RateLimited};

/// A request that is not served. `Display` is what the client may read.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The caller may act as more than one Odoo user.
    #[error(transparent)]
    AmbiguousCredential(#[from] AmbiguousCredential),
    /// The allowance is spent.
    #[error(transparent)]
    AddressRateLimited(AddressRateLimited),
    /// The host is not one we answer under.
    #[error("this gateway does not answer under this name")]
    HostNotAllowed(String),
    /// The caller may not, and might with more scopes. The text is what policy
    /// says, the challenge says which scopes.
    #[error("{0}")]
    InsufficientScope(String, Box<str>),
    /// We failed.
    #[error("internal error")]
    Internal(#[source] serde_json::Error),
    /// Too many requests from there, or nobody can count them.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The message is refused by the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
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
    OriginNotAllowed(String),
    /// A token stands where none may.
    #[error("a token belongs into the `Authorization` header, never into the URL")]
    TokenInQuery(Box<str>),
    /// Nobody proved to be anybody. The challenge says how to.
    #[error("{0}")]
    Unauthenticated(Unauthenticated, Box<str>),
    /// Nobody can say who it is.
    #[error(transparent)]
    ProviderUnavailable(#[from] ProviderUnavailable),
    /// There is no such tool, or the caller may not know of it.
    #[error("Unknown tool: {0}")]
    UnknownTool(String),
    /// The body is not JSON by its own account.
    #[error("send `Content-Type: application/json`")]
    UnsupportedMediaType,
}

/// By which door a refusal leaves.
enum ErrorFormat {
    /// As an HTTP answer, with nothing of JSON-RPC.
    PlainText(StatusCode),
    /// The same for clients that look for JSON where they find none of us.
    Json(StatusCode),
    /// As a JSON-RPC error.
    JsonRpc {
        status: StatusCode,
        code: i32,
        data: Option<Value>,
    },
}

impl RequestError {
    /// The table. The word is for logs and metrics.
    fn classify(&self) -> (ErrorFormat, ErrorSource, &'static str) {
        use StatusCode as S;
        match self {
            Self::AmbiguousCredential(_) => (
                ErrorFormat::PlainText(S::FORBIDDEN),
                ErrorSource::Policy,
                "ambiguous_credential",
            ),
            Self::AddressRateLimited(_) => (
                ErrorFormat::PlainText(S::TOO_MANY_REQUESTS),
                ErrorSource::Client,
                "exhausted",
            ),
            Self::HostNotAllowed(_) => (
                ErrorFormat::PlainText(S::MISDIRECTED_REQUEST),
                ErrorSource::Client,
                "host",
            ),
            Self::InsufficientScope(..) => (
                json_rpc(S::FORBIDDEN, -32600, None),
                ErrorSource::Policy,
                "insufficient_scope",
            ),
            Self::Internal(_) => (
                json_rpc(S::INTERNAL_SERVER_ERROR, -32603, None),
                ErrorSource::Us,
                "internal",
            ),
            Self::RateLimited(limited @ RateLimited::Exceeded { .. }) => (
                ErrorFormat::PlainText(S::TOO_MANY_REQUESTS),
                ErrorSource::Client,
                limited.kind(),
            ),
            Self::RateLimited(limited @ RateLimited::LimiterUnavailable { .. }) => (
                json_rpc(S::SERVICE_UNAVAILABLE, -32603, None),
                ErrorSource::Storage,
                limited.kind(),
            ),
            Self::Protocol(malformed) => {
                let (status, data, word) = protocol_error_row(malformed);
                (
                    json_rpc(status, malformed.code(), data),
                    ErrorSource::Client,
                    word,
                )
            }
            Self::MethodNotAllowed(_) => (
                ErrorFormat::PlainText(S::METHOD_NOT_ALLOWED),
                ErrorSource::Client,
                "http_method",
            ),
            Self::NotAcceptable => (
                ErrorFormat::PlainText(S::NOT_ACCEPTABLE),
                ErrorSource::Client,
                "accept",
            ),
            Self::NoRole(_) => (
                ErrorFormat::PlainText(S::FORBIDDEN),
                ErrorSource::Policy,
                "no_role",
            ),
            Self::NoRoute => (
                ErrorFormat::Json(S::NOT_FOUND),
                ErrorSource::Client,
                "no_route",
            ),
            // MCP, Streamable HTTP, "Security Warning": with a JSON-RPC error without an id.
            Self::OriginNotAllowed(_) => (
                json_rpc(S::FORBIDDEN, -32600, None),
                ErrorSource::Client,
                "origin",
            ),
            Self::TokenInQuery(_) => (
                ErrorFormat::PlainText(S::BAD_REQUEST),
                ErrorSource::Client,
                "token_in_query",
            ),
            Self::Unauthenticated(Unauthenticated::NoBearer(no_bearer), _) => {
                let status = match no_bearer {
                    BearerError::Missing | BearerError::OtherScheme => S::UNAUTHORIZED,
                    // RFC 6750 section 3.1, `invalid_request`.
                    BearerError::Malformed
                    | BearerError::MultipleHeaders
                    | BearerError::TooLong => S::BAD_REQUEST,
                };
                (
                    ErrorFormat::PlainText(status),
                    ErrorSource::Client,
                    "unauthenticated",
                )
            }
            Self::Unauthenticated(..) => (
                ErrorFormat::PlainText(S::UNAUTHORIZED),
                ErrorSource::Client,
                "unauthenticated",
            ),
            Self::ProviderUnavailable(_) => (
                json_rpc(S::SERVICE_UNAVAILABLE, -32603, None),
                ErrorSource::Identity,
                "provider_unavailable",
            ),
            Self::UnknownTool(_) => (
                json_rpc(S::OK, -32602, None),
                ErrorSource::Client,
                "unknown_tool",
            ),
            Self::UnsupportedMediaType => (
                ErrorFormat::PlainText(S::UNSUPPORTED_MEDIA_TYPE),
                ErrorSource::Client,
                "content_type",
            ),
        }
    }

    /// What only we may read.
    fn internal_detail(&self) -> Option<String> {
        match self {
            Self::AmbiguousCredential(AmbiguousCredential { named_by: rank, first: one, second: other }) => Some(format!(
                "the caller's {} name the credentials `{one}` and `{other}`",
                rank.as_str()
            )),
            Self::HostNotAllowed(host) => Some(format!(
                "`Host: {host}` is in no `public_urls` of the configuration"
            )),
            Self::OriginNotAllowed(origin) => Some(format!(
                "`Origin: {origin}` is not in `server.allowed_origins`"
            )),
            Self::Unauthenticated(why, _) => Some(why.internal_reason()),
            Self::ProviderUnavailable(unavailable) => Some(unavailable.cause.to_string()),
            Self::Internal(source) => Some(source.to_string()),
            Self::AddressRateLimited(_)
            | Self::InsufficientScope(..)
            // Told when Redis was lost, and not again with each request.
            | Self::RateLimited(_)
            | Self::Protocol(_)
            | Self::MethodNotAllowed(_)
            | Self::NotAcceptable
            | Self::NoRole(_)
            | Self::NoRoute
            | Self::TokenInQuery(_)
            | Self::UnknownTool(_)
            | Self::UnsupportedMediaType => None,
        }
    }

    /// The answer, and what there is to tell about it.
    pub(super) fn to_response(
        &self,
        id: Option<&RequestId>,
        story: &mut RequestLog,
    ) -> HttpResponse {
        let (exit, blame, word) = self.classify();
        story.error_source = Some(blame);
        story.error_type = Some(word);
        story.error_detail = self.internal_detail();
        story.set_error(match &exit {
            ErrorFormat::JsonRpc { code, .. } => RpcErrorType::JsonRpc(*code),
            ErrorFormat::PlainText(_) | ErrorFormat::Json(_) => RpcErrorType::Http(word),
        });
        let reply = match exit {
            ErrorFormat::PlainText(status) => HttpResponse::text(status, &self.to_string()),
            ErrorFormat::Json(status) => HttpResponse::json(
                status,
                Bytes::from(format!(
                    "{{\"error\":\"{}\"}}",
                    self.to_string().replace(' ', "_")
                )),
            ),
            ErrorFormat::JsonRpc { status, code, data } => {
                let mut message = self.to_string();
                if matches!(self, Self::Internal(_)) {
                    // The number finds the log line, and says nothing else.
                    message = format!("{message}, request {}", story.request_id);
                }
                HttpResponse::json(
                    status,
                    gatepost_mcp::error_response(id, code, &message, data),
                )
            }
        };
        self.with_error_headers(reply)
    }

    /// The header fields that belong to the status.
    fn with_error_headers(&self, reply: HttpResponse) -> HttpResponse {
        match self {
            Self::InsufficientScope(_, challenge)
            | Self::TokenInQuery(challenge)
            | Self::Unauthenticated(_, challenge) => {
                // It is of the configuration, in which everything fits a header.
                let value = HeaderValue::from_str(challenge)
                    .unwrap_or(HeaderValue::from_static("Bearer realm=\"gatepost\""));
                reply
                    .with_header(header::WWW_AUTHENTICATE, value)
                    .with_no_store()
            }
            Self::AddressRateLimited(AddressRateLimited(wait)) => {
                with_retry_after(reply, wait.as_secs())
            }
            Self::RateLimited(limited) => with_retry_after(reply, limited.retry_after().as_secs()),
            Self::ProviderUnavailable(unavailable) => {
                with_retry_after(reply, unavailable.retry_after.as_secs())
            }
            Self::MethodNotAllowed(methods) => {
                reply.with_header(header::ALLOW, HeaderValue::from_static(methods))
            }
            Self::AmbiguousCredential(_)
            | Self::HostNotAllowed(_)
            | Self::Internal(_)
            | Self::Protocol(_)
            | Self::NotAcceptable
            | Self::NoRole(_)
            | Self::NoRoute
            | Self::OriginNotAllowed(_)
            | Self::UnknownTool(_)
            | Self::UnsupportedMediaType => reply,
        }
    }

    /// The refusal of a caller who is not let in. `challenge` writes down how
    /// to get in.
    pub(super) fn from_unauthenticated(
        why: Unauthenticated,
        challenge: impl Fn(&Challenge) -> String,
    ) -> Self {
        let objection = match &why {
            Unauthenticated::RateLimited(exhausted) => return Self::AddressRateLimited(*exhausted),
            Unauthenticated::ProviderUnavailable(unavailable) => {
                return Self::ProviderUnavailable(unavailable.clone());
            }
            Unauthenticated::NoBearer(BearerError::Missing | BearerError::OtherScheme) => {
                Challenge::NoToken
            }
            Unauthenticated::NoBearer(_) => Challenge::InvalidRequest,
            Unauthenticated::TokenRejected(_) | Unauthenticated::InvalidApiKey(_) => {
                Challenge::InvalidToken
            }
        };
        let challenge = challenge(&objection).into();
        Self::Unauthenticated(why, challenge)
    }
}

fn with_retry_after(reply: HttpResponse, seconds: u64) -> HttpResponse {
    reply
        .with_header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
        .with_no_store()
}

fn json_rpc(status: StatusCode, code: i32, data: Option<Value>) -> ErrorFormat {
    ErrorFormat::JsonRpc { status, code, data }
}

/// Status, data and word of a message that the protocol refuses. Errors in the
/// parameters of a method answer 200, for a client takes an unknown 4xx for a
/// server of another era; those of the ladder before it have their status.
fn protocol_error_row(malformed: &ProtocolError) -> (StatusCode, Option<Value>, &'static str) {
    use StatusCode as S;
    match malformed {
        ProtocolError::InvalidBatch(_) => (S::BAD_REQUEST, None, "batch"),
        ProtocolError::HeaderMismatch(_) => (S::BAD_REQUEST, None, "header_mismatch"),
        ProtocolError::MissingMeta(_) => (S::BAD_REQUEST, None, "missing_meta"),
        ProtocolError::InvalidRequest(_) => (S::BAD_REQUEST, None, "not_a_request"),
        ProtocolError::ParseError(_) => (S::BAD_REQUEST, None, "not_json"),
        ProtocolError::InvalidParams(_) => (S::OK, None, "params"),
        ProtocolError::MethodNotFound(_, ProtocolEra::Handshake) => (S::OK, None, "unknown_method"),
        ProtocolError::MethodNotFound(_, ProtocolEra::Stateless) => {
            (S::NOT_FOUND, None, "unknown_method")
        }
        ProtocolError::UnsupportedVersion { requested } => {
            let supported = Revision::STATELESS.map(Revision::as_str);
            let data = json!({ "supported": supported, "requested": requested });
            (S::BAD_REQUEST, Some(data), "unsupported_version")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RequestError, RequestLog, Unauthenticated};
    use gatepost_base::{CredentialName, InstanceName, TraceId};
    use gatepost_identity::{
        AmbiguousCredential, ApiKeyError, BearerError, Challenge, CredentialSource, ProviderError,
        ProviderUnavailable, TokenRejected,
    };
    use gatepost_mcp::{ProtocolEra, ProtocolError, RequestId};
    use gatepost_policy::Forbidden;
    use gatepost_state::limits::{AddressRateLimited, LimitScope, RateLimited};

    fn json_error() -> serde_json::Error {
        serde_json::from_str::<u8>("{").unwrap_err()
    }

    fn unauthenticated_error(why: Unauthenticated) -> RequestError {
        RequestError::from_unauthenticated(why, Challenge::without_metadata)
    }

    fn all_errors() -> Vec<RequestError> {
        let unavailable = ProviderUnavailable {
            retry_after: Duration::from_secs(2),
            cause: ProviderError::Unreachable("10.0.0.1: connection refused".into()),
        };
        vec![
            RequestError::AmbiguousCredential(AmbiguousCredential {
                named_by: CredentialSource::Role,
                first: CredentialName::try_from("admin").unwrap(),
                second: CredentialName::try_from("sales").unwrap(),
            }),
            RequestError::HostNotAllowed("evil.example".to_owned()),
            RequestError::Internal(json_error()),
            ProtocolError::InvalidBatch("the batch is empty").into(),
            ProtocolError::HeaderMismatch("`Mcp-Name` is missing".to_owned()).into(),
            ProtocolError::InvalidParams("`name` must be the name of a tool".to_owned()).into(),
            ProtocolError::MissingMeta("an object").into(),
            ProtocolError::ParseError(json_error()).into(),
            ProtocolError::InvalidRequest("`method` is missing".to_owned()).into(),
            ProtocolError::MethodNotFound("nope".to_owned(), ProtocolEra::Handshake).into(),
            ProtocolError::MethodNotFound("nope".to_owned(), ProtocolEra::Stateless).into(),
            ProtocolError::UnsupportedVersion {
                requested: "1999-01-01".to_owned(),
            }
            .into(),
            RequestError::AddressRateLimited(AddressRateLimited(Duration::from_secs(2))),
            RequestError::InsufficientScope(
                "you may not".to_owned(),
                "Bearer error=\"insufficient_scope\", scope=\"odoo:write\"".into(),
            ),
            RequestError::RateLimited(RateLimited::Exceeded {
                scope: LimitScope::Address,
                wait: Duration::from_secs(3),
            }),
            RequestError::RateLimited(RateLimited::LimiterUnavailable {
                retry_after: Duration::from_secs(2),
            }),
            RequestError::MethodNotAllowed("POST, OPTIONS"),
            RequestError::NotAcceptable,
            RequestError::NoRole(Forbidden::Instance(
                InstanceName::try_from("production").unwrap(),
            )),
            RequestError::NoRoute,
            RequestError::OriginNotAllowed("https://evil.example".to_owned()),
            RequestError::TokenInQuery(Challenge::InvalidRequest.without_metadata().into()),
            unauthenticated_error(Unauthenticated::NoBearer(BearerError::Missing)),
            unauthenticated_error(Unauthenticated::NoBearer(BearerError::MultipleHeaders)),
            unauthenticated_error(Unauthenticated::TokenRejected(TokenRejected::Audience)),
            unauthenticated_error(Unauthenticated::InvalidApiKey(ApiKeyError::Malformed)),
            unauthenticated_error(Unauthenticated::RateLimited(AddressRateLimited(
                Duration::from_secs(7),
            ))),
            unauthenticated_error(Unauthenticated::ProviderUnavailable(unavailable)),
            RequestError::UnknownTool("x".to_owned()),
            RequestError::UnsupportedMediaType,
        ]
    }

    #[test]
    fn request_error_table() {
        let rows: Vec<String> = all_errors()
            .iter()
            .map(|refusal| {
                let mut story = RequestLog::new(TraceId::new(7));
                let reply = refusal.to_response(Some(&RequestId::Number(1)), &mut story);
                let blame = story.error_source.map_or("", super::ErrorSource::as_str);
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
                    story.error_type.unwrap_or_default()
                )
            })
            .collect();
        insta::assert_snapshot!(rows.join("\n"));
    }
}
