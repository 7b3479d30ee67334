//! The error table: how each failed request is answered, logged and counted.

use std::time::Duration;

use http::{StatusCode, header};
use serde_json::{Value, json};

use super::{HttpResponse, Unauthenticated};
use crate::telemetry::{ErrorSource, RequestLog, RpcErrorType};
use gatepost_identity::{AmbiguousCredential, BearerError, Challenge, ProviderUnavailable};
use gatepost_mcp::{ProtocolEra, ProtocolError, RequestId};
use gatepost_policy::Forbidden;
use gatepost_state::limits::RateLimited;

/// Why a request is not served. `Display` is for the client.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Too many registrations or rejected tokens from the client's address.
    #[error(transparent)]
    AddressRateLimited(RateLimited),
    /// The caller may act as more than one Odoo user.
    #[error(transparent)]
    AmbiguousCredential(#[from] AmbiguousCredential),
    /// The host name is not served.
    #[error("this gateway does not serve this host name")]
    HostNotAllowed(String),
    /// The caller's roles forbid it, and a token with more scopes would permit
    /// it. Holds the text of the policy and the challenge that names the scopes.
    #[error("{0}")]
    InsufficientScope(String, Box<str>),
    /// Gatepost itself failed.
    #[error("internal error")]
    Internal(#[source] serde_json::Error),
    /// The endpoint does not allow the HTTP method. Holds those that it allows.
    #[error("this endpoint allows only {0}")]
    MethodNotAllowed(&'static str),
    /// The caller has no role in the instance.
    #[error(transparent)]
    NoRole(Forbidden),
    /// There is no such endpoint.
    #[error("not found")]
    NoRoute,
    /// The path is `/mcp`, and there are several instances.
    #[error(
        "several Odoo instances are served here, each at `/NAME/mcp`; ask your administrator for your URL"
    )]
    NoInstanceInPath,
    /// The client accepts neither JSON nor an event stream.
    #[error("responses are `application/json` or `text/event-stream`; accept one of them")]
    NotAcceptable,
    /// The web page in `Origin` may not call.
    #[error("forbidden")]
    OriginNotAllowed(String),
    /// The message violates the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The identity provider could not be asked about the token.
    #[error(transparent)]
    ProviderUnavailable(#[from] ProviderUnavailable),
    /// The limit of the client's address is reached, or cannot be checked.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The URL has a token in its query.
    #[error("send the token in the `Authorization` header, never in the URL")]
    TokenInQuery(Box<str>),
    /// Too many requests are in flight. Holds whose they are.
    #[error(
        "too many requests {0} are in flight; send this one again when another has been answered"
    )]
    TooManyInFlight(&'static str),
    /// The caller is not authenticated. Holds the challenge.
    #[error("{0}")]
    Unauthenticated(Unauthenticated, Box<str>),
    /// There is no such tool, or none that the caller may know of.
    #[error("Unknown tool: {name}{}", hint(*.meant))]
    UnknownTool {
        /// Its name, truncated.
        name: String,
        /// The tool that may be meant.
        meant: Option<&'static str>,
    },
    /// The body is not declared as JSON.
    #[error("send `Content-Type: application/json`")]
    UnsupportedMediaType,
}

fn hint(meant: Option<&str>) -> String {
    meant.map_or_else(
        || "; tools/list has those that you may call".to_owned(),
        |meant| format!("; did you mean `{meant}`?"),
    )
}

/// An error on its way into the log and a response.
struct FailedRequest<'a> {
    error: &'a RequestError,
    id: Option<&'a RequestId>,
    log: &'a mut RequestLog,
}

impl FailedRequest<'_> {
    /// Adds what is for the log and never for the client.
    fn detail(self, detail: String) -> Self {
        self.log.error_detail = Some(detail);
        self
    }

    /// `kind` is for logs and metrics.
    fn enter(&mut self, source: ErrorSource, kind: &'static str, failure: RpcErrorType) {
        self.log.error_source = Some(source);
        self.log.error_type = Some(kind);
        self.log.set_error(failure);
    }

    fn text(mut self, status: StatusCode, source: ErrorSource, kind: &'static str) -> HttpResponse {
        self.enter(source, kind, RpcErrorType::Http(kind));
        HttpResponse::text(status, &self.error.to_string())
    }

    fn json_rpc(
        mut self,
        status: StatusCode,
        (code, data): (i32, Option<Value>),
        source: ErrorSource,
        kind: &'static str,
    ) -> HttpResponse {
        self.enter(source, kind, RpcErrorType::JsonRpc(code));
        let mut message = self.error.to_string();
        if matches!(self.error, RequestError::Internal(_)) {
            // The id finds the log line, and reveals nothing.
            message = format!("{message}, request {}", self.log.request_id);
        }
        let body = gatepost_mcp::error_response(self.id, code, &message, data);
        HttpResponse::json(status, body)
    }
}

impl RequestError {
    /// The table: the response, after the error was entered into the request log.
    pub(super) fn to_response(&self, id: Option<&RequestId>, log: &mut RequestLog) -> HttpResponse {
        use ErrorSource::{Client, Identity, Policy, Storage, Us};
        use StatusCode as S;
        const INVALID_REQUEST: (i32, Option<Value>) = (-32600, None);
        const INTERNAL_ERROR: (i32, Option<Value>) = (-32603, None);
        log.error_detail = None;
        let error = self;
        let mut failed = FailedRequest { error, id, log };
        match self {
            Self::AddressRateLimited(limited) => failed
                .text(S::TOO_MANY_REQUESTS, Client, "exhausted")
                .with_retry_after(limited.retry_after()),
            Self::AmbiguousCredential(AmbiguousCredential {
                named_by,
                first,
                second,
            }) => {
                let named_by = named_by.as_str();
                failed
                    .detail(format!(
                        "the caller's {named_by} name the credentials `{first}` and `{second}`"
                    ))
                    .text(S::FORBIDDEN, Policy, "ambiguous_credential")
            }
            Self::HostNotAllowed(host) => failed
                .detail(format!(
                    "`Host: {host}` is in no `public_urls` of the configuration"
                ))
                .text(S::MISDIRECTED_REQUEST, Client, "host"),
            Self::InsufficientScope(_, challenge) => failed
                .json_rpc(S::FORBIDDEN, INVALID_REQUEST, Policy, "insufficient_scope")
                .with_challenge(challenge),
            Self::Internal(error) => failed.detail(error.to_string()).json_rpc(
                S::INTERNAL_SERVER_ERROR,
                INTERNAL_ERROR,
                Us,
                "internal",
            ),
            Self::MethodNotAllowed(methods) => failed
                .text(S::METHOD_NOT_ALLOWED, Client, "http_method")
                .with_static(header::ALLOW, methods),
            Self::NoInstanceInPath => {
                failed.enter(Client, "no_route", RpcErrorType::Http("no_route"));
                let document = json!({"error": "not_found", "error_description": self.to_string()});
                HttpResponse::json(S::NOT_FOUND, document.to_string().into())
            }
            Self::NoRole(_) => failed.text(S::FORBIDDEN, Policy, "no_role"),
            // JSON without JSON-RPC, for clients that probe for OAuth metadata.
            Self::NoRoute => {
                failed.enter(Client, "no_route", RpcErrorType::Http("no_route"));
                let document = json!({"error": self.to_string().replace(' ', "_")});
                HttpResponse::json(S::NOT_FOUND, document.to_string().into())
            }
            Self::NotAcceptable => failed.text(S::NOT_ACCEPTABLE, Client, "accept"),
            // MCP, Streamable HTTP, "Security Warning": a JSON-RPC error without an id.
            Self::OriginNotAllowed(origin) => failed
                .detail(format!(
                    "`Origin: {origin}` is not in `server.allowed_origins`"
                ))
                .json_rpc(S::FORBIDDEN, INVALID_REQUEST, Client, "origin"),
            Self::Protocol(error) => {
                let (status, data, kind) = protocol_error_row(error);
                failed.json_rpc(status, (error.code(), data), Client, kind)
            }
            Self::ProviderUnavailable(unavailable) => {
                let (status, kind) = (S::SERVICE_UNAVAILABLE, "provider_unavailable");
                failed
                    .detail(unavailable.cause.to_string())
                    .json_rpc(status, INTERNAL_ERROR, Identity, kind)
                    .with_retry_after(unavailable.retry_after)
            }
            // Without detail: the loss of Redis is logged once, not with each request.
            Self::RateLimited(limited) => match limited {
                RateLimited::Exceeded { .. } => {
                    failed.text(S::TOO_MANY_REQUESTS, Client, limited.kind())
                }
                RateLimited::LimiterUnavailable { .. } => {
                    let status = S::SERVICE_UNAVAILABLE;
                    failed.json_rpc(status, INTERNAL_ERROR, Storage, limited.kind())
                }
            }
            .with_retry_after(limited.retry_after()),
            Self::TokenInQuery(challenge) => failed
                .text(S::BAD_REQUEST, Client, "token_in_query")
                .with_challenge(challenge),
            Self::TooManyInFlight(_) => failed
                .text(S::TOO_MANY_REQUESTS, Client, "too_many_in_flight")
                .with_retry_after(Duration::from_secs(1)),
            Self::Unauthenticated(why, challenge) => {
                let status = match why {
                    // RFC 6750 section 3.1, `invalid_request`.
                    Unauthenticated::NoBearer(
                        BearerError::Malformed
                        | BearerError::MultipleHeaders
                        | BearerError::TooLong,
                    ) => S::BAD_REQUEST,
                    Unauthenticated::InvalidApiKey(_)
                    | Unauthenticated::NoBearer(BearerError::Missing | BearerError::OtherScheme)
                    | Unauthenticated::ProviderUnavailable(_)
                    | Unauthenticated::RateLimited(_)
                    | Unauthenticated::TokenRejected(_)
                    | Unauthenticated::WrongAlgorithm(_)
                    | Unauthenticated::WrongAudience(_) => S::UNAUTHORIZED,
                };
                failed
                    .detail(why.internal_reason())
                    .text(status, Client, "unauthenticated")
                    .with_challenge(challenge)
            }
            Self::UnknownTool { .. } => {
                failed.json_rpc(S::OK, (-32602, None), Client, "unknown_tool")
            }
            Self::UnsupportedMediaType => {
                failed.text(S::UNSUPPORTED_MEDIA_TYPE, Client, "content_type")
            }
        }
    }

    /// The error for a caller who is not authenticated. `challenge` renders the
    /// challenge.
    pub(super) fn from_unauthenticated(
        why: Unauthenticated,
        challenge: impl Fn(&Challenge) -> Box<str>,
    ) -> Self {
        let objection = match &why {
            Unauthenticated::InvalidApiKey(_)
            | Unauthenticated::TokenRejected(_)
            | Unauthenticated::WrongAlgorithm(_)
            | Unauthenticated::WrongAudience(_) => Challenge::InvalidToken,
            Unauthenticated::NoBearer(BearerError::Missing | BearerError::OtherScheme) => {
                Challenge::NoToken
            }
            Unauthenticated::NoBearer(_) => Challenge::InvalidRequest,
            Unauthenticated::ProviderUnavailable(unavailable) => {
                return Self::ProviderUnavailable(unavailable.clone());
            }
            Unauthenticated::RateLimited(limited) => return Self::AddressRateLimited(*limited),
        };
        let challenge = challenge(&objection);
        Self::Unauthenticated(why, challenge)
    }
}

/// Status, data and kind of a protocol error. Errors in the parameters of a method
/// have status 200, because clients take an unknown 4xx for a server of another
/// era; errors found before that have a status of their own.
fn protocol_error_row(error: &ProtocolError) -> (StatusCode, Option<Value>, &'static str) {
    use StatusCode as S;
    match error {
        ProtocolError::HeaderMismatch(_) => (S::BAD_REQUEST, None, "header_mismatch"),
        ProtocolError::InvalidBatch(_) => (S::BAD_REQUEST, None, "batch"),
        ProtocolError::InvalidParams(_) => (S::OK, None, "params"),
        ProtocolError::InvalidRequest(_) => (S::BAD_REQUEST, None, "not_a_request"),
        ProtocolError::MethodNotFound(_, ProtocolEra::Handshake) => (S::OK, None, "unknown_method"),
        ProtocolError::MethodNotFound(_, ProtocolEra::Stateless) => {
            (S::NOT_FOUND, None, "unknown_method")
        }
        ProtocolError::MissingMeta(_) => (S::BAD_REQUEST, None, "missing_meta"),
        ProtocolError::ParseError(_) => (S::BAD_REQUEST, None, "not_json"),
        ProtocolError::UnsupportedVersion {
            requested,
            supported,
        } => {
            let supported: Vec<_> = supported.iter().map(|one| one.as_str()).collect();
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
    use gatepost_mcp::{ProtocolEra, ProtocolError, RequestId, Revision};
    use gatepost_policy::Forbidden;
    use gatepost_state::limits::{LimitScope, RateLimited};

    fn json_error() -> serde_json::Error {
        serde_json::from_str::<u8>("{").unwrap_err()
    }

    fn unauthenticated_error(why: Unauthenticated) -> RequestError {
        RequestError::from_unauthenticated(why, |challenge| challenge.without_metadata().into())
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
                supported: &Revision::ALL,
            }
            .into(),
            RequestError::AddressRateLimited(RateLimited::Exceeded {
                scope: LimitScope::Address,
                wait: Duration::from_secs(2),
            }),
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
            RequestError::NoInstanceInPath,
            RequestError::NoRoute,
            RequestError::OriginNotAllowed("https://evil.example".to_owned()),
            RequestError::TokenInQuery(Challenge::InvalidRequest.without_metadata().into()),
            unauthenticated_error(Unauthenticated::NoBearer(BearerError::Missing)),
            unauthenticated_error(Unauthenticated::NoBearer(BearerError::MultipleHeaders)),
            unauthenticated_error(Unauthenticated::TokenRejected(TokenRejected::Audience)),
            unauthenticated_error(Unauthenticated::InvalidApiKey(ApiKeyError::Malformed)),
            unauthenticated_error(Unauthenticated::RateLimited(RateLimited::Exceeded {
                scope: LimitScope::Address,
                wait: Duration::from_secs(7),
            })),
            unauthenticated_error(Unauthenticated::ProviderUnavailable(unavailable)),
            RequestError::UnknownTool {
                name: "x".to_owned(),
                meant: None,
            },
            RequestError::UnknownTool {
                name: "search_read".to_owned(),
                meant: Some("search_records"),
            },
            RequestError::UnsupportedMediaType,
        ]
    }

    #[test]
    fn each_request_error_has_its_own_response() {
        let rows: Vec<String> = all_errors()
            .iter()
            .map(|error| {
                let mut log = RequestLog::new(TraceId::new(7));
                let response = error.to_response(Some(&RequestId::Number(1)), &mut log);
                let source = log.error_source.map_or("", super::ErrorSource::as_str);
                let body = String::from_utf8_lossy(&response.body).trim().to_owned();
                let fields: Vec<String> = response
                    .headers
                    .iter()
                    .filter(|(name, _)| name != "content-type")
                    .map(|(name, value)| format!(" [{name}: {}]", value.to_str().unwrap()))
                    .collect();
                let fields = fields.concat();
                format!(
                    "{} {source} {}: {body}{fields}",
                    response.status.as_u16(),
                    log.error_type.unwrap_or_default()
                )
            })
            .collect();
        insta::assert_snapshot!(rows.join("\n"));
    }
}
