//! How we prove to a provider who we are: with a signature (`private_key_jwt`,
//! RFC 7523).

mod der;
mod private_key;
#[cfg(test)]
mod tests;

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;

pub use self::private_key::InvalidClientKey;
use self::private_key::PrivateKey;

/// For how long an assertion is good, in seconds. It is used at once.
const LIFETIME_S: i64 = 60;

/// How far our clock may be ahead of the provider's.
const BACKDATE_S: i64 = 10;

/// Our private key at a provider, and the name that it is of.
pub struct ClientKey {
    client_id: String,
    /// `kid`; not needed where a client has one key.
    key_id: Option<String>,
    algorithm: Algorithm,
    key: EncodingKey,
    is_zitadel_key_file: bool,
}

/// An assertion could not be made. Never the caller's fault.
#[derive(Debug, thiserror::Error)]
pub enum AssertionSigningError {
    /// The key does not sign. It did when it was read.
    #[error("the client assertion could not be signed")]
    Key(#[source] jsonwebtoken::errors::Error),
    /// The operating system gives no randomness.
    #[error("there is no randomness for a client assertion")]
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
    /// Reads a private key: Zitadel's key file of an API application, as it
    /// was downloaded; a PEM (RSA in PKCS #1 or PKCS #8, EC on P-256 or P-384
    /// and Ed25519 in PKCS #8); or a JWK (RSA, EC, OKP).
    ///
    /// `key_id` and `client_id` are what the configuration says; Zitadel's file
    /// has both, and a JWK may have a key id. It is tried out with a signature.
    ///
    /// # Errors
    /// [`UnusableKey`], which tells the administrator what to do and shows
    /// nothing of the key.
    pub fn read(
        text: &str,
        key_id: Option<&str>,
        client_id: Option<&str>,
    ) -> Result<Self, InvalidClientKey> {
        let PrivateKey {
            algorithm,
            key,
            key_id: own_key_id,
            client_id: own_client_id,
            is_zitadel_key_file: is_zitadels,
        } = PrivateKey::read(text)?;
        Ok(Self {
            client_id: reconcile_setting("client_id", own_client_id, client_id)?
                .ok_or(InvalidClientKey::NoClientId)?,
            key_id: reconcile_setting("key_id", own_key_id, key_id)?,
            algorithm,
            key,
            is_zitadel_key_file: is_zitadels,
        })
    }

    /// Our name at the provider.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether it was read from a key file of Zitadel's.
    pub fn is_zitadel_key_file(&self) -> bool {
        self.is_zitadel_key_file
    }

    /// A new assertion for one request. It is not for a second one: it has a
    /// `jti`, by which a provider refuses one that it has seen.
    ///
    /// `audience` is who will read it: the issuer, where nothing else is said.
    ///
    /// # Errors
    /// [`NotSigned`].
    pub fn sign(&self, audience: &str, now: Timestamp) -> Result<String, AssertionSigningError> {
        let mut chance = [0_u8; 16];
        getrandom::fill(&mut chance).map_err(AssertionSigningError::Randomness)?;
        let header = Header {
            typ: None,
            kid: self.key_id.clone(),
            ..Header::new(self.algorithm)
        };
        // Zitadel refuses what is more than a second ahead of its own clock.
        let issued = now.as_second().saturating_sub(BACKDATE_S);
        let assertion = Assertion {
            iss: &self.client_id,
            sub: &self.client_id,
            aud: audience,
            iat: issued,
            exp: issued.saturating_add(LIFETIME_S),
            jti: URL_SAFE_NO_PAD.encode(chance),
        };
        encode(&header, &assertion, &self.key).map_err(AssertionSigningError::Key)
    }
}

// By hand, so that a field that is added does not show the key.
impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({}, {:?}, ..)", self.client_id, self.key_id)
    }
}

/// What the key's file says or what the configuration says; if both, the same.
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
