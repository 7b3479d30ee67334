//! One introspection request and its response (RFC 7662).

use std::{sync::Arc, time::Duration};

use http::{StatusCode, header};
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
    /// It refused the request. The reason may be our credentials, or the token.
    Refused(IntrospectionRefusal),
}

/// A refused request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct IntrospectionRefusal {
    /// The status and the error code, for the log.
    pub(super) received: Arc<str>,
    /// Whether the status is 401.
    pub(super) is_unauthorized: bool,
    /// Whether the response says that the reason is our credentials.
    pub(super) blames_client: bool,
    /// Whether the response says that the reason is the token.
    pub(super) blames_token: bool,
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
            .map_err(|error| match error {
                ProviderHttpError::ResponseTooLarge(_) => {
                    ProviderError::RequestRejected(error.to_string().into())
                }
                ProviderHttpError::Failed(_) | ProviderHttpError::EgressDenied(_) => {
                    ProviderError::Unreachable((&error).into())
                }
            })?;
        if let Some(refusal) = IntrospectionRefusal::of(&response) {
            return Ok(IntrospectionResponse::Refused(refusal));
        }
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

impl IntrospectionRefusal {
    /// The refusal in a response, if it is one.
    fn of(response: &ProviderResponse) -> Option<Self> {
        let code = error_code(response);
        let is_unauthorized = response.status == StatusCode::UNAUTHORIZED;
        let names_client = matches!(code.as_str(), "invalid_client" | "unauthorized_client");
        // A 403 without a code may come from a firewall that objects to this token.
        let is_forbidden = response.status == StatusCode::FORBIDDEN && !code.is_empty();
        if !is_unauthorized && !is_forbidden && !names_client {
            return None;
        }
        let challenge = response.headers.get(header::WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|value| value.to_str().ok());
        // Rauthy's code is its own; its `message` says what is wrong.
        let text = String::from_utf8_lossy(&response.body).to_ascii_lowercase();
        let blames_token = code == "invalid_token"
            || challenge.is_some_and(|text| text.contains("error=\"invalid_token\""));
        Some(Self {
            received: received(response, &code).into(),
            is_unauthorized,
            blames_client: names_client || (!blames_token && text.contains("client")),
            blames_token,
        })
    }
}

/// The error code of a response (RFC 6749 section 5.2); empty if there is none.
fn error_code(response: &ProviderResponse) -> String {
    let members = StrictObject::parse(&response.body).ok();
    let code = members.and_then(|members| members.text("error").ok().flatten().map(sanitized));
    code.unwrap_or_default()
}

fn received(response: &ProviderResponse, code: &str) -> String {
    let text = format!("status {} {code}", response.status.as_u16());
    text.trim_end().to_owned()
}

/// The error of a response whose status is not 200, and that is no [`IntrospectionRefusal`].
fn error_from_response(response: &ProviderResponse) -> ProviderUnavailable {
    let code = error_code(response);
    let received = received(response, &code);
    match (response.status, code.as_str()) {
        (StatusCode::FORBIDDEN, _) => ProviderError::RequestRejected(
            format!("a firewall or proxy rejected the request ({received})").into(),
        ),
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
