//! The gateway's key at a provider, and the assertions signed with it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Header, encode};
use serde::Serialize;

use super::private_key::{InvalidClientKey, PrivateKey};

/// The lifetime of an assertion in seconds. It is used at once.
const LIFETIME_S: i64 = 60;

/// How far our clock may be ahead of the provider's, in seconds.
const BACKDATE_S: i64 = 10;

/// The gateway's private key at a provider, and its client id.
pub struct ClientKey {
    client_id: String,
    private: PrivateKey,
}

/// An assertion could not be created. Never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum AssertionSigningError {
    /// The key does not sign, although it did when it was read.
    #[error("the client assertion could not be signed")]
    Key(#[source] jsonwebtoken::errors::Error),
    /// The operating system provides no randomness.
    #[error(
        "the client assertion could not be created because the operating system provides no randomness"
    )]
    Randomness(#[source] getrandom::Error),
}

/// RFC 7523 section 3.
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    jti: String,
}

impl ClientKey {
    /// Reads a private key: the downloaded key file of a Zitadel API
    /// application; a PEM (RSA in PKCS #1 or PKCS #8, EC on P-256 or P-384 and
    /// Ed25519 in PKCS #8); or a JWK (RSA, EC, OKP). A trial signature checks it.
    ///
    /// `key_id` and `client_id` are the configured ones; Zitadel's file has both,
    /// and a JWK may have a key id.
    ///
    /// # Errors
    /// [`InvalidClientKey`].
    pub fn read(
        text: &str,
        key_id: Option<&str>,
        client_id: Option<&str>,
    ) -> Result<Self, InvalidClientKey> {
        let mut private = PrivateKey::read(text)?;
        let client_id = reconcile_setting("client_id", private.client_id.take(), client_id)?
            .ok_or(InvalidClientKey::NoClientId)?;
        private.key_id = reconcile_setting("key_id", private.key_id.take(), key_id)?;
        Ok(Self { client_id, private })
    }

    /// The gateway's client id at the provider.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether it was read from a Zitadel key file.
    pub fn is_zitadel_key_file(&self) -> bool {
        self.private.is_zitadel_key_file
    }

    /// A new assertion for a single request: providers reject a `jti` that they
    /// have seen. The `audience` is the provider's issuer, unless configured.
    ///
    /// # Errors
    /// [`AssertionSigningError`].
    pub fn sign(&self, audience: &str, now: Timestamp) -> Result<String, AssertionSigningError> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(AssertionSigningError::Randomness)?;
        let header = Header {
            typ: None,
            kid: self.private.key_id.clone(),
            ..Header::new(self.private.algorithm)
        };
        // Zitadel rejects assertions more than a second ahead of its own clock.
        let issued = now.as_second().saturating_sub(BACKDATE_S);
        let assertion = Assertion {
            iss: &self.client_id,
            sub: &self.client_id,
            aud: audience,
            iat: issued,
            exp: issued.saturating_add(LIFETIME_S),
            jti: URL_SAFE_NO_PAD.encode(random),
        };
        encode(&header, &assertion, &self.private.key).map_err(AssertionSigningError::Key)
    }
}

impl PartialEq for ClientKey {
    fn eq(&self, other: &Self) -> bool {
        let parts = |key: &Self| {
            let private = &key.private;
            (
                private.algorithm,
                private.key_id.clone(),
                private.key.as_bytes().to_vec(),
            )
        };
        self.client_id == other.client_id && parts(self) == parts(other)
    }
}

// Not derived, so that a new field cannot show the key.
impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ClientKey({}, {:?}, ..)",
            self.client_id, self.private.key_id
        )
    }
}

/// The value from the key file or the configuration; if both, they must agree.
fn reconcile_setting(
    setting: &'static str,
    own: Option<String>,
    given: Option<&str>,
) -> Result<Option<String>, InvalidClientKey> {
    match (own, given) {
        (Some(own), Some(given)) if own != given => Err(InvalidClientKey::SettingMismatch {
            setting,
            own,
            given: given.to_owned(),
        }),
        (own, given) => Ok(own.or_else(|| given.map(str::to_owned))),
    }
}
