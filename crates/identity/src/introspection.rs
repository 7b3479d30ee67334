//! One introspection request and its response (RFC 7662).

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use reqwest::Url;

use super::{
    ClientAuth,
    provider_error::{ProviderError, ProviderUnavailable},
    provider_http::{ProviderHttp, ProviderHttpError, ProviderResponse},
    strict_json::StrictObject,
};

/// The longest response that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 << 10;

const JWT_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// A request about one token.
pub(super) struct IntrospectionRequest<'a> {
    pub(super) endpoint: &'a Url,
    pub(super) auth: &'a ClientAuth,
    /// Whether the response is signed (RFC 9701).
    pub(super) signed: bool,
}

/// The provider's response.
pub(super) enum IntrospectionResponse {
    /// The claims.
    Json(StrictObject),
    /// A JWT with the claims, whose signature is not verified yet.
    Jwt(String),
}

impl IntrospectionRequest<'_> {
    /// Sends the request.
    ///
    /// # Errors
    /// [`ProviderUnavailable`]: no error here says anything about the token.
    pub(super) async fn send(
        &self,
        token: &str,
        http: &ProviderHttp,
        now: Timestamp,
    ) -> Result<IntrospectionResponse, ProviderUnavailable> {
        let credentials = self.auth.form_fields(now)?;
        let mut form = vec![("token", token), ("token_type_hint", "access_token")];
        form.extend(
            credentials
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let accept = if self.signed {
            JWT_MEDIA_TYPE
        } else {
            "application/json"
        };
        let authorization = self.auth.authorization_header()?;
        let response = http
            .post(
                self.endpoint,
                &form,
                authorization,
                accept,
                MAX_RESPONSE_BYTES,
            )
            .await
            .map_err(|error| {
                let why = error.to_string().into();
                match error {
                    ProviderHttpError::ResponseTooLarge(_) => ProviderError::RequestRejected(why),
                    ProviderHttpError::Failed(_) | ProviderHttpError::EgressDenied(_) => {
                        ProviderError::Unreachable(why)
                    }
                }
            })?;
        if response.status != StatusCode::OK {
            return Err(error_from_response(&response));
        }
        Ok(self.parse(&response)?)
    }

    fn parse(&self, response: &ProviderResponse) -> Result<IntrospectionResponse, ProviderError> {
        let invalid = |why: String| ProviderError::InvalidResponse(why.into());
        match response.media_type().as_str() {
            "application/json" if !self.signed => StrictObject::parse(&response.body)
                .map(IntrospectionResponse::Json)
                .map_err(|error| {
                    invalid(format!(
                        "it is not a JSON object without duplicate members ({})",
                        error.reason()
                    ))
                }),
            JWT_MEDIA_TYPE if self.signed => String::from_utf8(response.body.to_vec())
                .map(IntrospectionResponse::Jwt)
                .map_err(|_binary| invalid("it is not a JWT".to_owned())),
            media if self.signed => Err(invalid(format!(
                "it is `{}`, not a signed response; set `signed_introspection = false` or configure the provider to sign",
                sanitized(media)
            ))),
            media => Err(invalid(format!("it is `{}`, not JSON", sanitized(media)))),
        }
    }
}

/// The error of a response whose status is not 200.
fn error_from_response(response: &ProviderResponse) -> ProviderUnavailable {
    // RFC 6749 section 5.2.
    let code = StrictObject::parse(&response.body).ok();
    let code = code.and_then(|members| members.text("error").ok().flatten().map(sanitized));
    let code = code.as_deref().unwrap_or_default();
    let received = format!("status {} {code}", response.status.as_u16());
    let received = received.trim_end();
    match (response.status, code) {
        // A 403 without a code may come from a firewall that objects to this token.
        (StatusCode::FORBIDDEN, "") => ProviderError::RequestRejected(
            format!("a firewall or proxy rejected the request ({received})").into(),
        ),
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)
        | (_, "invalid_client" | "unauthorized_client") => {
            ProviderError::ClientRejected(received.into())
        }
        // oidc-provider, asked about a JWT.
        (_, "unsupported_token_type") => ProviderError::RequestRejected(
            "the provider does not introspect tokens of this kind; if they are JWTs, set `validation = \"jwt\"`".into(),
        ),
        // The reason may be this one token, so it must not lock out the others.
        (status, _) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            ProviderError::RequestRejected(
                format!("the provider rejected the request ({received}); another `client_auth` or `basic_encoding` may be needed").into(),
            )
        }
        (status, _) if status.is_redirection() => ProviderError::InvalidResponse(
            format!("{received}: it redirects, and redirects are not followed").into(),
        ),
        _ => {
            return ProviderUnavailable {
                retry_after: response.retry_after().unwrap_or(Duration::from_secs(2)),
                cause: ProviderError::InvalidResponse(received.into()),
            };
        }
    }
    .into()
}

/// Text of the provider, made safe for a log line.
fn sanitized(text: &str) -> String {
    let plain = text.chars().filter(|char| !char.is_control());
    plain.take(60).collect()
}
