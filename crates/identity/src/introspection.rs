//! Asking a provider about a token (RFC 7662).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use reqwest::Url;

use super::{
    ClientKey,
    provider_error::{ProviderError, ProviderUnavailable},
    provider_http::{ProviderHttp, ProviderHttpError, ProviderResponse},
    strict_json::StrictObject,
};

/// The longest answer that is read, in bytes.
const MAX_RESPONSE_BYTES: usize = 64 << 10;
/// After our own credentials were refused, nobody asks for this long: else we
/// would lock our own account.
pub(super) const CLIENT_REJECTED_BACKOFF: Duration = Duration::from_secs(30);

/// How we prove to the provider who we are.
#[derive(Debug)]
pub enum ClientAuth {
    /// RFC 6749 section 2.3.1, in the header.
    Basic {
        /// Ours.
        client_id: String,
        /// Ours too.
        secret: Secret,
        /// Whether id and secret go as they are; some providers do not decode.
        raw: bool,
    },
    /// RFC 6749 section 2.3.1, in the body.
    Post {
        /// Ours.
        client_id: String,
        /// Ours too.
        secret: Secret,
    },
    /// RFC 7523.
    PrivateKey {
        /// What signs.
        key: ClientKey,
        /// Whom the assertion is for.
        audience: String,
    },
}

/// A text that is not shown.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// Hides a text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One question about one token.
pub(super) struct IntrospectionRequest<'a> {
    pub(super) endpoint: &'a Url,
    pub(super) auth: &'a ClientAuth,
    /// Whether the answer comes signed (RFC 9701).
    pub(super) signed: bool,
}

/// What the provider said.
pub(super) enum IntrospectionResponse {
    /// A JSON object, as it came.
    Json(StrictObject),
    /// A JWT around it, whose signature nobody has looked at.
    Jwt(String),
}

impl ClientAuth {
    /// Who we are to the provider.
    pub fn client_id(&self) -> &str {
        match self {
            Self::Basic { client_id, .. } | Self::Post { client_id, .. } => client_id,
            Self::PrivateKey { key, .. } => key.client_id(),
        }
    }

    /// The name of this way, as metadata have it (RFC 8414).
    pub fn method(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "client_secret_basic",
            Self::Post { .. } => "client_secret_post",
            Self::PrivateKey { .. } => "private_key_jwt",
        }
    }

    fn authorization_header(&self) -> Result<Option<HeaderValue>, ProviderUnavailable> {
        let Self::Basic {
            client_id,
            secret,
            raw,
        } = self
        else {
            return Ok(None);
        };
        let pair = if *raw {
            format!("{client_id}:{}", secret.0)
        } else {
            format!("{}:{}", form_encoded(client_id), form_encoded(&secret.0))
        };
        HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
            .map(Some)
            .map_err(|_never| {
                ProviderError::Misconfigured("the secret fits no header".into()).with_retry_after(5)
            })
    }

    fn form_fields(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(&'static str, String)>, ProviderUnavailable> {
        Ok(match self {
            Self::Basic { .. } => Vec::new(),
            Self::Post { client_id, secret } => vec![
                ("client_id", client_id.clone()),
                ("client_secret", secret.0.clone().into_string()),
            ],
            Self::PrivateKey { key, audience } => {
                // Fresh each time: providers take each `jti` once.
                let assertion = key.sign(audience, now).map_err(|error| {
                    ProviderError::Misconfigured(
                        format!("no assertion can be signed: {error}").into(),
                    )
                    .with_retry_after(5)
                })?;
                vec![
                    (
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
                    ),
                    ("client_assertion", assertion),
                ]
            }
        })
    }
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

impl IntrospectionRequest<'_> {
    /// Asks.
    ///
    /// # Errors
    /// [`Unavailable`]: whatever goes wrong here says nothing of the token.
    pub(super) async fn send(
        &self,
        token: &str,
        outbound: &ProviderHttp,
        now: Timestamp,
    ) -> Result<IntrospectionResponse, ProviderUnavailable> {
        let proof = self.auth.form_fields(now)?;
        let mut form = vec![("token", token), ("token_type_hint", "access_token")];
        form.extend(proof.iter().map(|(name, value)| (*name, value.as_str())));
        let accept = if self.signed {
            JWT_MEDIA_TYPE
        } else {
            "application/json"
        };
        let answer = outbound
            .post(
                self.endpoint,
                &form,
                self.auth.authorization_header()?,
                accept,
                MAX_RESPONSE_BYTES,
            )
            .await
            .map_err(|error| {
                let told = error.to_string().into();
                match error {
                    ProviderHttpError::ResponseTooLarge(_) => {
                        ProviderError::RequestRejected(told).with_retry_after(5)
                    }
                    ProviderHttpError::Failed(_) | ProviderHttpError::EgressDenied(_) => {
                        ProviderError::Unreachable(told).with_retry_after(2)
                    }
                }
            })?;
        self.parse_response(&answer)
    }

    fn parse_response(
        &self,
        answer: &ProviderResponse,
    ) -> Result<IntrospectionResponse, ProviderUnavailable> {
        let bad = |why: String| ProviderError::InvalidResponse(why.into()).with_retry_after(2);
        if answer.status != StatusCode::OK {
            return Err(error_from_response(answer));
        }
        match answer.media_type().as_str() {
            "application/json" if !self.signed => StrictObject::parse(&answer.body)
                .map(IntrospectionResponse::Json)
                .map_err(|error| bad(format!("it is no JSON object of its kind ({error})"))),
            JWT_MEDIA_TYPE if self.signed => String::from_utf8(answer.body.to_vec())
                .map(IntrospectionResponse::Jwt)
                .map_err(|_binary| bad("it is no JWT".to_owned())),
            media if self.signed => Err(bad(format!(
                "it is `{}`, not a signed answer; set `signed_introspection = false` or have the provider sign",
                sanitized(media)
            ))),
            media => Err(bad(format!("it is `{}`, not JSON", sanitized(media)))),
        }
    }
}

const JWT_MEDIA_TYPE: &str = "application/token-introspection+jwt";

/// An answer that is not 200.
fn error_from_response(answer: &ProviderResponse) -> ProviderUnavailable {
    // RFC 6749 section 5.2.
    let error = StrictObject::parse(&answer.body).ok().and_then(|members| {
        let word = members.text("error").ok().flatten()?;
        Some(sanitized(word))
    });
    let word = error.as_deref().unwrap_or_default();
    let told = format!("status {} {word}", answer.status.as_u16());
    let told = told.trim_end();
    match (answer.status, word) {
        // A 403 without a word may be of a firewall in between, about this token.
        (StatusCode::FORBIDDEN, "") => {
            ProviderError::RequestRejected(format!("the question is refused on its way ({told})").into()).with_retry_after(5)
        }
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)
        | (_, "invalid_client" | "unauthorized_client") => {
            ProviderError::ClientRejected(told.into()).with_retry_after(5)
        }
        // oidc-provider, asked about a JWT.
        (_, "unsupported_token_type") => ProviderError::RequestRejected(
            "the provider does not introspect tokens of this kind; if they are JWTs, set `validation = \"jwt\"`".into(),
        )
        .with_retry_after(5),
        // It may be about this one token: nobody else is kept out for it.
        (status, _) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            ProviderError::RequestRejected(
                format!("the provider refuses the question ({told}); perhaps another `client_auth` or `basic_encoding` is needed").into(),
            )
            .with_retry_after(5)
        }
        (status, _) if status.is_redirection() => ProviderError::InvalidResponse(
            format!("{told}: it redirects, and redirects are not followed").into(),
        )
        .with_retry_after(2),
        _ => ProviderUnavailable {
            retry_after: answer.retry_after().unwrap_or(Duration::from_secs(2)),
            cause: ProviderError::InvalidResponse(told.into()),
        },
    }
}

/// A stranger's word, fit for a log line.
fn sanitized(word: &str) -> String {
    let plain = word.chars().filter(|char| !char.is_control());
    plain.take(60).collect()
}
