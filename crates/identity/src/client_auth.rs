//! How the gateway authenticates to a provider.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use jiff::Timestamp;

use super::{
    ClientKey,
    provider_error::{ProviderError, ProviderUnavailable},
};

/// How the gateway authenticates to a provider.
#[derive(PartialEq, Debug)]
pub enum ClientAuth {
    /// With a secret in the header (RFC 6749 section 2.3.1).
    Basic {
        /// Our client id.
        client_id: String,
        /// Our secret.
        secret: Secret,
        /// Whether both are sent without form encoding; some providers do not
        /// decode.
        raw: bool,
    },
    /// Not at all, at an endpoint that only the gateway's network reaches.
    None {
        /// Our client id; the audience of signed responses.
        client_id: String,
    },
    /// With a secret in the body (RFC 6749 section 2.3.1).
    Post {
        /// Our client id.
        client_id: String,
        /// Our secret.
        secret: Secret,
    },
    /// With a signed assertion (RFC 7523).
    PrivateKey {
        /// The key that signs it.
        key: ClientKey,
        /// Its audience.
        audience: String,
    },
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Hides a text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }
}

gatepost_base::opaque_debug!(Secret);

impl ClientAuth {
    /// Our client id at the provider.
    pub fn client_id(&self) -> &str {
        match self {
            Self::Basic { client_id, .. }
            | Self::None { client_id }
            | Self::Post { client_id, .. } => client_id,
            Self::PrivateKey { key, .. } => key.client_id(),
        }
    }

    /// The name of the method in metadata (RFC 8414).
    pub fn method(&self) -> &'static str {
        match self {
            Self::Basic { .. } => "client_secret_basic",
            Self::None { .. } => "none",
            Self::Post { .. } => "client_secret_post",
            Self::PrivateKey { .. } => "private_key_jwt",
        }
    }

    /// The same with a secret that this function invents: the provider's
    /// answer shows whether it checks ours. `None` if there is no secret.
    ///
    /// # Errors
    /// If the operating system provides no randomness.
    pub(super) fn with_invented_secret(&self) -> Result<Option<Self>, getrandom::Error> {
        let mut random = [0; 24];
        getrandom::fill(&mut random)?;
        let client_id = self.client_id().to_owned();
        let secret = Secret::new(&URL_SAFE_NO_PAD.encode(random));
        Ok(match self {
            Self::Basic { raw, .. } => Some(Self::Basic {
                client_id,
                secret,
                raw: *raw,
            }),
            Self::None { .. } => None,
            // An assertion that proves nothing is as wrong as a secret.
            Self::Post { .. } | Self::PrivateKey { .. } => Some(Self::Post { client_id, secret }),
        })
    }

    pub(super) fn authorization_header(&self) -> Result<Option<HeaderValue>, ProviderUnavailable> {
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
            .map_err(|_never_base_64| {
                ProviderError::Misconfigured("the secret does not fit into a header".into()).into()
            })
    }

    pub(super) fn form_fields(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(&'static str, String)>, ProviderUnavailable> {
        Ok(match self {
            Self::Basic { .. } | Self::None { .. } => Vec::new(),
            Self::Post { client_id, secret } => vec![
                ("client_id", client_id.clone()),
                ("client_secret", secret.0.clone().into_string()),
            ],
            Self::PrivateKey { key, audience } => {
                // A new one for each request: providers accept each `jti` once.
                let assertion = key.sign(audience, now).map_err(|error| {
                    ProviderError::Misconfigured(
                        format!("the client assertion could not be signed: {error}").into(),
                    )
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
