//! The error table: how each failed request is answered, logged and counted.

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::{HttpResponse, Unauthenticated};
use crate::telemetry::{ErrorSource, RequestLog, RpcErrorType};
use gatepost_identity::{AmbiguousCredential, BearerError, Challenge, ProviderUnavailable};
use gatepost_mcp::{ProtocolEra, ProtocolError, RequestId, Revision};
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
    /// The caller is not authenticated. Holds the challenge.
    #[error("{0}")]
    Unauthenticated(Unauthenticated, Box<str>),
    /// There is no such tool, or none that the caller may know of.
    #[error("Unknown tool: {0}")]
    UnknownTool(String),
    /// The body is not declared as JSON.
    #[error("send `Content-Type: application/json`")]
    UnsupportedMediaType,
}

/// One row of the table.
struct ErrorRow {
    format: ErrorFormat,
    status: StatusCode,
    source: ErrorSource,
    /// For logs and metrics.
    kind: &'static str,
    /// For the log, never for the client.
    detail: Option<String>,
    /// Besides those of the format.
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The form of an error response.
enum ErrorFormat {
    /// JSON without JSON-RPC, for clients that probe for OAuth metadata.
    Json,
    /// A JSON-RPC error.
    JsonRpc {
        code: i32,
        data: Option<Value>,
    },
    PlainText,
}

impl ErrorRow {
    fn new(
        format: ErrorFormat,
        status: StatusCode,
        source: ErrorSource,
        kind: &'static str,
    ) -> Self {
        Self {
            format,
            status,
            source,
            kind,
            detail: None,
            headers: Vec::new(),
        }
    }

    fn text(status: StatusCode, source: ErrorSource, kind: &'static str) -> Self {
        Self::new(ErrorFormat::PlainText, status, source, kind)
    }

    fn json_rpc(status: StatusCode, code: i32, source: ErrorSource, kind: &'static str) -> Self {
        let format = ErrorFormat::JsonRpc { code, data: None };
        Self::new(format, status, source, kind)
    }

    fn detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn no_store(self) -> Self {
        self.header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    fn challenge(self, challenge: &str) -> Self {
        // It is of the configuration, in which every text fits a header.
        let value = HeaderValue::from_str(challenge)
            .unwrap_or(HeaderValue::from_static("Bearer realm=\"gatepost\""));
        self.header(header::WWW_AUTHENTICATE, value).no_store()
    }

    fn retry_after(self, wait: std::time::Duration) -> Self {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        self.header(header::RETRY_AFTER, seconds).no_store()
    }
}

impl RequestError {
    /// The table.
    fn row(&self) -> ErrorRow {
        use ErrorSource::{Client, Identity, Policy, Storage, Us};
        use StatusCode as S;
        match self {
            Self::AddressRateLimited(limited) => {
                ErrorRow::text(S::TOO_MANY_REQUESTS, Client, "exhausted")
                    .retry_after(limited.retry_after())
            }
            Self::AmbiguousCredential(ambiguous) => {
                let AmbiguousCredential {
                    named_by,
                    first,
                    second,
                } = ambiguous;
                let named_by = named_by.as_str();
                ErrorRow::text(S::FORBIDDEN, Policy, "ambiguous_credential").detail(format!(
                    "the caller's {named_by} name the credentials `{first}` and `{second}`"
                ))
            }
            Self::HostNotAllowed(host) => ErrorRow::text(S::MISDIRECTED_REQUEST, Client, "host")
                .detail(format!(
                    "`Host: {host}` is in no `public_urls` of the configuration"
                )),
            Self::InsufficientScope(_, challenge) => {
                ErrorRow::json_rpc(S::FORBIDDEN, -32600, Policy, "insufficient_scope")
                    .challenge(challenge)
            }
            Self::Internal(error) => {
                ErrorRow::json_rpc(S::INTERNAL_SERVER_ERROR, -32603, Us, "internal")
                    .detail(error.to_string())
            }
            Self::MethodNotAllowed(methods) => {
                ErrorRow::text(S::METHOD_NOT_ALLOWED, Client, "http_method")
                    .header(header::ALLOW, HeaderValue::from_static(methods))
            }
            Self::NoRole(_) => ErrorRow::text(S::FORBIDDEN, Policy, "no_role"),
            Self::NoRoute => ErrorRow::new(ErrorFormat::Json, S::NOT_FOUND, Client, "no_route"),
            Self::NotAcceptable => ErrorRow::text(S::NOT_ACCEPTABLE, Client, "accept"),
            // MCP, Streamable HTTP, "Security Warning": a JSON-RPC error without an id.
            Self::OriginNotAllowed(origin) => {
                ErrorRow::json_rpc(S::FORBIDDEN, -32600, Client, "origin").detail(format!(
                    "`Origin: {origin}` is not in `server.allowed_origins`"
                ))
            }
            Self::Protocol(error) => {
                let (status, data, kind) = protocol_error_row(error);
                let code = error.code();
                ErrorRow::new(ErrorFormat::JsonRpc { code, data }, status, Client, kind)
            }
            Self::ProviderUnavailable(unavailable) => {
                let kind = "provider_unavailable";
                ErrorRow::json_rpc(S::SERVICE_UNAVAILABLE, -32603, Identity, kind)
                    .detail(unavailable.cause.to_string())
                    .retry_after(unavailable.retry_after)
            }
            // Without detail: the loss of Redis is logged once, not with each request.
            Self::RateLimited(limited) => match limited {
                RateLimited::Exceeded { .. } => {
                    ErrorRow::text(S::TOO_MANY_REQUESTS, Client, limited.kind())
                }
                RateLimited::LimiterUnavailable { .. } => {
                    ErrorRow::json_rpc(S::SERVICE_UNAVAILABLE, -32603, Storage, limited.kind())
                }
            }
            .retry_after(limited.retry_after()),
            Self::TokenInQuery(challenge) => {
                ErrorRow::text(S::BAD_REQUEST, Client, "token_in_query").challenge(challenge)
            }
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
                    | Unauthenticated::TokenRejected(_) => S::UNAUTHORIZED,
                };
                ErrorRow::text(status, Client, "unauthenticated")
                    .detail(why.internal_reason())
                    .challenge(challenge)
            }
            Self::UnknownTool(_) => ErrorRow::json_rpc(S::OK, -32602, Client, "unknown_tool"),
            Self::UnsupportedMediaType => {
                ErrorRow::text(S::UNSUPPORTED_MEDIA_TYPE, Client, "content_type")
            }
        }
    }

    /// The response, after the error was entered into the request log.
    pub(super) fn to_response(&self, id: Option<&RequestId>, log: &mut RequestLog) -> HttpResponse {
        let row = self.row();
        log.error_source = Some(row.source);
        log.error_type = Some(row.kind);
        log.error_detail = row.detail;
        log.set_error(match row.format {
            ErrorFormat::JsonRpc { code, .. } => RpcErrorType::JsonRpc(code),
            ErrorFormat::Json | ErrorFormat::PlainText => RpcErrorType::Http(row.kind),
        });
        let mut message = self.to_string();
        let response = match row.format {
            ErrorFormat::Json => {
                let document = json!({"error": message.replace(' ', "_")});
                HttpResponse::json(row.status, document.to_string().into())
            }
            ErrorFormat::JsonRpc { code, data } => {
                if matches!(self, Self::Internal(_)) {
                    // The id finds the log line, and reveals nothing.
                    message = format!("{message}, request {}", log.request_id);
                }
                let body = gatepost_mcp::error_response(id, code, &message, data);
                HttpResponse::json(row.status, body)
            }
            ErrorFormat::PlainText => HttpResponse::text(row.status, &message),
        };
        response.with_headers(&row.headers)
    }

    /// The error for a caller who is not authenticated. `challenge` renders the
    /// challenge.
    pub(super) fn from_unauthenticated(
        why: Unauthenticated,
        challenge: impl Fn(&Challenge) -> Box<str>,
    ) -> Self {
        let objection = match &why {
            Unauthenticated::InvalidApiKey(_) | Unauthenticated::TokenRejected(_) => {
                Challenge::InvalidToken
            }
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
            RequestError::UnknownTool("x".to_owned()),
            RequestError::UnsupportedMediaType,
        ]
    }

    #[test]
    fn request_error_table() {
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
