//! Reads a private key from the text of a file.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::KeyPairComponents,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair, RsaPublicKeyComponents,
    },
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, crypto};

use crate::{jwt::parse_algorithm, strict_json::StrictObject};

/// A private key that signs, with the ids from its file.
pub(super) struct PrivateKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
    /// `kid`; not needed by a client with one key.
    pub(super) key_id: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) is_zitadel_key_file: bool,
}

/// A private key that cannot be used. The text is for the administrator and shows
/// nothing of the key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClientKey {
    /// It is encrypted, and the gateway cannot ask for a password.
    #[error(
        "the key is encrypted; decrypt it with `openssl pkcs8 -in KEY -out NEW` and make the file readable only to the gateway"
    )]
    Encrypted,
    /// A JWK lacks a part of the private key.
    #[error(
        "the JWK has no valid `{0}` (RFC 7518); a private key has `n`, `e`, `d`, `p`, `q`, `dp`, `dq`, `qi` (RSA), `crv`, `x`, `y`, `d` (EC) or `crv`, `x`, `d` (OKP)"
    )]
    Incomplete(&'static str),
    /// A set of keys.
    #[error("this is a key set; write only the one JWK, without `keys` around it")]
    KeySet,
    /// It has none of the supported formats.
    #[error(
        "this is not a private key; use Zitadel's key file as downloaded (JSON), a PEM, or a JWK"
    )]
    Malformed,
    /// Neither the file nor the configuration has a client id.
    #[error("`client_id` is missing; set it, because only Zitadel's key file contains one")]
    NoClientId,
    /// It is a public key or a certificate.
    #[error("this is the public half of a key; use the private key")]
    PublicKey,
    /// An elliptic curve key in the old format.
    #[error(
        "`EC PRIVATE KEY` is not supported; convert it with `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW`"
    )]
    Sec1,
    /// The key of a Zitadel service account.
    #[error(
        "this is the key of a Zitadel service account, which cannot introspect tokens; create an application of type API in the project, with the method private key JWT, and use the file of its key"
    )]
    ServiceAccount,
    /// The file and the configuration contradict each other.
    #[error(
        "the key file has `{own}`, but `{setting}` is `{given}`; remove `{setting}`, or use the right file"
    )]
    SettingMismatch {
        /// The setting.
        setting: &'static str,
        /// The value in the file.
        own: String,
        /// The configured value.
        given: String,
    },
    /// A symmetric key.
    #[error("a key of the type `oct` is a shared secret; set it as `client_secret`")]
    SharedSecret,
    /// It does not sign, or its halves do not match.
    #[error(
        "the key is damaged or not supported; use RSA of 2048 to 8192 bits, EC on P-256 or P-384, or Ed25519, and a matching `alg` if there is one"
    )]
    Unsupported,
}

impl PrivateKey {
    /// Reads a key and checks that it signs.
    pub(super) fn read(text: &str) -> Result<Self, InvalidClientKey> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.starts_with('{') {
            return Self::from_pem(text);
        }
        let file = StrictObject::parse(text.as_bytes())
            .map_err(|_without_details| InvalidClientKey::Malformed)?;
        if file.contains("keys") {
            return Err(InvalidClientKey::KeySet);
        }
        if file.contains("kty") {
            return Self::from_jwk(&Jwk(file));
        }
        let text = |name| file.text(name).ok().flatten();
        let id = |name| {
            text(name)
                .map(str::to_owned)
                .ok_or(InvalidClientKey::Malformed)
        };
        match (text("type"), text("key")) {
            (Some("application"), Some(pem)) => Ok(Self {
                key_id: Some(id("keyId")?),
                client_id: Some(id("clientId")?),
                is_zitadel_key_file: true,
                ..Self::from_pem(pem.trim())?
            }),
            (Some("serviceaccount"), _) => Err(InvalidClientKey::ServiceAccount),
            (Some(_) | None, _) => Err(InvalidClientKey::Malformed),
        }
    }

    fn from_pem(text: &str) -> Result<Self, InvalidClientKey> {
        let begins = |label: &str| text.find(&format!("-----BEGIN {label}-----"));
        if begins("ENCRYPTED PRIVATE KEY").is_some() || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(InvalidClientKey::Encrypted);
        }
        if begins("EC PRIVATE KEY").is_some() {
            return Err(InvalidClientKey::Sec1);
        }
        let Some(at) = begins("PRIVATE KEY").or_else(|| begins("RSA PRIVATE KEY")) else {
            let is_public = ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"]
                .into_iter()
                .any(|label| begins(label).is_some());
            return Err(if is_public {
                InvalidClientKey::PublicKey
            } else {
                InvalidClientKey::Malformed
            });
        };
        // Skips what precedes the key, such as its certificate.
        let pem = text.get(at..).unwrap_or_default().as_bytes();
        let candidates = [
            (EncodingKey::from_rsa_pem(pem), &[Algorithm::RS256][..]),
            (
                EncodingKey::from_ec_pem(pem),
                &[Algorithm::ES256, Algorithm::ES384],
            ),
            (EncodingKey::from_ed_pem(pem), &[Algorithm::EdDSA]),
        ];
        for (key, algorithms) in candidates {
            let Ok(key) = key else { continue };
            for algorithm in algorithms {
                if crypto::sign(PROBE_MESSAGE, &key, *algorithm).is_ok() {
                    return Ok(Self {
                        algorithm: *algorithm,
                        key,
                        key_id: None,
                        client_id: None,
                        is_zitadel_key_file: false,
                    });
                }
            }
        }
        Err(InvalidClientKey::Unsupported)
    }

    fn from_jwk(jwk: &Jwk) -> Result<Self, InvalidClientKey> {
        let kind = jwk.text("kty").unwrap_or_default();
        if kind == "oct" {
            return Err(InvalidClientKey::SharedSecret);
        }
        if !jwk.0.contains("d") {
            return Err(InvalidClientKey::PublicKey);
        }
        // Each constructor also checks that both halves belong together.
        let (algorithms, pkcs8): (&[Algorithm], Vec<u8>) = match (kind, jwk.text("crv")) {
            ("RSA", _) => (AlgorithmFamily::Rsa.algorithms(), jwk.rsa_pkcs8()?),
            ("EC", Some("P-256")) => (
                &[Algorithm::ES256],
                jwk.ec_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, 32)?,
            ),
            ("EC", Some("P-384")) => (
                &[Algorithm::ES384],
                jwk.ec_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, 48)?,
            ),
            ("OKP", Some("Ed25519")) => (&[Algorithm::EdDSA], jwk.ed25519_pkcs8()?),
            _ => return Err(InvalidClientKey::Unsupported),
        };
        let algorithm = match jwk.text("alg") {
            None => algorithms.first().copied(),
            Some(name) => parse_algorithm(name).filter(|it| algorithms.contains(it)),
        };
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
            STANDARD.encode(pkcs8)
        );
        Ok(Self {
            algorithm: algorithm.ok_or(InvalidClientKey::Unsupported)?,
            key_id: jwk.text("kid").map(str::to_owned),
            ..Self::from_pem(&pem)?
        })
    }
}

/// The message of the trial signature. It is not a JWT, so the signature grants
/// nothing.
const PROBE_MESSAGE: &[u8] = b"gatepost tries a key";

/// A private key as JSON (RFC 7517). It has no `Debug`.
struct Jwk(StrictObject);

impl Jwk {
    fn text(&self, name: &'static str) -> Option<&str> {
        self.0.text(name).ok().flatten()
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, InvalidClientKey> {
        let bytes = self
            .text(name)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        bytes.ok_or(InvalidClientKey::Incomplete(name))
    }

    fn rsa_pkcs8(&self) -> Result<Vec<u8>, InvalidClientKey> {
        let number = |name| -> Result<Vec<u8>, InvalidClientKey> {
            Ok(self
                .bytes(name)?
                .into_iter()
                .skip_while(|byte| *byte == 0)
                .collect())
        };
        let key = RsaKeyPair::from_components(&KeyPairComponents {
            public_key: RsaPublicKeyComponents {
                n: number("n")?,
                e: number("e")?,
            },
            d: number("d")?,
            p: number("p")?,
            q: number("q")?,
            dP: number("dp")?,
            dQ: number("dq")?,
            qInv: number("qi")?,
        });
        let der: Pkcs8V1Der<'_> = key.map_err(unsupported)?.as_der().map_err(unsupported)?;
        Ok(der.as_ref().to_vec())
    }

    fn ec_pkcs8(
        &self,
        curve: &'static EcdsaSigningAlgorithm,
        length: usize,
    ) -> Result<Vec<u8>, InvalidClientKey> {
        let number = |name| {
            let bytes = self.bytes(name)?;
            let full = bytes.len() == length;
            full.then_some(bytes)
                .ok_or(InvalidClientKey::Incomplete(name))
        };
        let point = [vec![4], number("x")?, number("y")?].concat();
        let key = number("d")?;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(curve, &key, &point);
        let pkcs8 = pair.map_err(unsupported)?.to_pkcs8v1();
        Ok(pkcs8.map_err(unsupported)?.as_ref().to_vec())
    }

    fn ed25519_pkcs8(&self) -> Result<Vec<u8>, InvalidClientKey> {
        let pair = Ed25519KeyPair::from_seed_and_public_key(&self.bytes("d")?, &self.bytes("x")?);
        let pkcs8 = pair.map_err(unsupported)?.to_pkcs8v1();
        Ok(pkcs8.map_err(unsupported)?.as_ref().to_vec())
    }
}

fn unsupported<E>(_without_details: E) -> InvalidClientKey {
    InvalidClientKey::Unsupported
}

#[cfg(test)]
mod tests {
    use super::InvalidClientKey;

    #[test]
    fn key_errors_say_which_file_to_use_instead() {
        let errors = [
            InvalidClientKey::Encrypted,
            InvalidClientKey::Incomplete("qi"),
            InvalidClientKey::KeySet,
            InvalidClientKey::Malformed,
            InvalidClientKey::NoClientId,
            InvalidClientKey::PublicKey,
            InvalidClientKey::Sec1,
            InvalidClientKey::ServiceAccount,
            InvalidClientKey::SettingMismatch {
                setting: "key_id",
                own: "8169".to_owned(),
                given: "8170".to_owned(),
            },
            InvalidClientKey::SharedSecret,
            InvalidClientKey::Unsupported,
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
    }
}
