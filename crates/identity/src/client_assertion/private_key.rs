//! A private key from the text of a file.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto, jwk::Jwk};
use serde::{Deserialize, de::IgnoredAny};

use super::der;
use crate::jwt::parse_algorithm;

/// A private key that signs, and what its file says of it.
pub(super) struct PrivateKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: EncodingKey,
    pub(super) key_id: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) is_zitadel_key_file: bool,
}

/// A private key that cannot be used. The text is for the administrator and
/// shows nothing of the key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClientKey {
    /// The file and the configuration say different things.
    #[error(
        "the key's file says `{own}` where `{setting}` says `{given}`; leave `{setting}` out, or take the right file"
    )]
    SettingMismatch {
        /// Which setting.
        setting: &'static str,
        /// What the file says.
        own: String,
        /// What the configuration says.
        given: String,
    },
    /// It is encrypted, and there is nobody to ask for the password.
    #[error(
        "the key is encrypted; write it in the clear with `openssl pkcs8 -in KEY -out NEW` and let nobody else read the file"
    )]
    Encrypted,
    /// A JWK lacks a part of the private key.
    #[error(
        "the JWK has no `{0}` as RFC 7518 has it; a private key has `n`, `e`, `d`, `p`, `q`, `dp`, `dq`, `qi` (RSA), `crv`, `x`, `y`, `d` (EC) or `crv`, `x`, `d` (OKP)"
    )]
    Incomplete(&'static str),
    /// It is nothing that a key is written in.
    #[error(
        "this is no private key; it must be Zitadel's key file as it was downloaded (JSON), a PEM, or a JWK"
    )]
    Malformed,
    /// Nothing says who we are.
    #[error("`client_id` is needed: only Zitadel's key file has it in itself")]
    NoClientId,
    /// It is the half that the provider has, or a certificate.
    #[error("this is the public half of a key; the private one is needed")]
    PublicKey,
    /// An elliptic curve's key in its old form.
    #[error(
        "`EC PRIVATE KEY` is not read; write it anew with `openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW`"
    )]
    Sec1,
    /// Zitadel's key of a service account.
    #[error(
        "this is the key of a Zitadel service account, which cannot introspect tokens; make an application of the type API in the project, with the method private key JWT, and take the file of its key"
    )]
    ServiceAccount,
    /// A set of keys.
    #[error("this is a set of keys; write the one JWK that is meant, without `keys` around it")]
    KeySet,
    /// It is no key pair.
    #[error("a key of the type `oct` is a shared secret; use `client_secret` for it")]
    SharedSecret,
    /// It is read and does not sign, or the halves do not belong together.
    #[error(
        "the key is damaged or of a kind that is not supported; it must be RSA of 2048 to 8192 bits, EC on P-256 or P-384, or Ed25519, and `alg`, if there, must fit"
    )]
    Unsupported,
}

impl PrivateKey {
    /// Reads a key and tries it out.
    ///
    /// # Errors
    /// [`UnusableKey`].
    pub(super) fn read(text: &str) -> Result<Self, InvalidClientKey> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.starts_with('{') {
            return Self::from_pem(text);
        }
        // The error is left out: it would quote the file.
        let form: KeyFileJson =
            serde_json::from_str(text).map_err(|_quotes| InvalidClientKey::Malformed)?;
        if form.keys.is_some() {
            return Err(InvalidClientKey::KeySet);
        }
        if form.kty.is_some() {
            return Self::from_jwk(&form, text);
        }
        match (form.kind.as_deref(), form.key) {
            (Some("application"), Some(pem)) => Ok(Self {
                key_id: Some(form.key_id.ok_or(InvalidClientKey::Malformed)?),
                client_id: Some(form.client_id.ok_or(InvalidClientKey::Malformed)?),
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
        // What stands before, such as the certificate, is not meant.
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

    fn from_jwk(form: &KeyFileJson, text: &str) -> Result<Self, InvalidClientKey> {
        let kind = form.kty.as_deref().unwrap_or_default();
        if kind == "oct" {
            return Err(InvalidClientKey::SharedSecret);
        }
        if form.d.is_none() {
            return Err(InvalidClientKey::PublicKey);
        }
        let (fitting, key): (&[Algorithm], EncodingKey) = match (kind, form.crv.as_deref()) {
            ("RSA", _) => (RSA_ALGORITHMS, form.rsa()?),
            ("EC", Some("P-256")) => (&[Algorithm::ES256], form.ec(P_256_OID, 32)?),
            ("EC", Some("P-384")) => (&[Algorithm::ES384], form.ec(P_384_OID, 48)?),
            ("OKP", Some("Ed25519")) => (&[Algorithm::EdDSA], form.ed25519()?),
            _ => return Err(InvalidClientKey::Unsupported),
        };
        let algorithm = match &form.alg {
            None => fitting.first().copied(),
            Some(name) => parse_algorithm(name).filter(|it| fitting.contains(it)),
        };
        let algorithm = algorithm.ok_or(InvalidClientKey::Unsupported)?;
        // With the public half of the same JWK: it is what the provider got.
        let public: Jwk =
            serde_json::from_str(text).map_err(|_quotes| InvalidClientKey::Unsupported)?;
        let belongs = DecodingKey::from_jwk(&public)
            .and_then(|public| {
                let signature = crypto::sign(PROBE_MESSAGE, &key, algorithm)?;
                crypto::verify(&signature, PROBE_MESSAGE, &public, algorithm)
            })
            .unwrap_or(false);
        if !belongs {
            return Err(InvalidClientKey::Unsupported);
        }
        Ok(Self {
            algorithm,
            key,
            key_id: form.kid.clone(),
            client_id: None,
            is_zitadel_key_file: false,
        })
    }
}

/// Signed to see whether a key does. It is no JWT, so the signature opens
/// nothing.
const PROBE_MESSAGE: &[u8] = b"gatepost tries a key";

/// What an RSA key may sign with; the first, where nothing is said.
const RSA_ALGORITHMS: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Object identifiers in DER: `prime256v1`, `secp384r1`, `id-ecPublicKey` (RFC
/// 5480 section 2.1.1) and `id-Ed25519` (RFC 8410 section 3).
const P_256_OID: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P_384_OID: &[u8] = &[0x06, 5, 0x2b, 0x81, 0x04, 0x00, 0x22];
const EC_PUBLIC_KEY_OID: &[u8] = &[0x06, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519_OID: &[u8] = &[0x06, 3, 0x2b, 0x65, 0x70];

/// Zitadel's key file, or a JWK. It has no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyFileJson {
    #[serde(rename = "type")]
    kind: Option<String>,
    key_id: Option<String>,
    key: Option<String>,
    client_id: Option<String>,

    keys: Option<IgnoredAny>,
    kty: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeyFileJson {
    /// `RSAPrivateKey` (RFC 8017 section A.1.2).
    fn rsa(&self) -> Result<EncodingKey, InvalidClientKey> {
        let parts = [
            ("n", &self.n),
            ("e", &self.e),
            ("d", &self.d),
            ("p", &self.p),
            ("q", &self.q),
            ("dp", &self.dp),
            ("dq", &self.dq),
            ("qi", &self.qi),
        ];
        let mut values = vec![der::integer(&[0])];
        for (name, part) in parts {
            values.push(der::integer(&decode_member(name, part.as_deref())?));
        }
        Ok(EncodingKey::from_rsa_der(&der::sequence(&values)))
    }

    /// `ECPrivateKey` (RFC 5915 section 3) in `PrivateKeyInfo`.
    fn ec(&self, curve: &[u8], length: usize) -> Result<EncodingKey, InvalidClientKey> {
        let number = |name: &'static str, part: &Option<String>| {
            decode_member(name, part.as_deref()).and_then(|bytes| {
                if bytes.len() == length {
                    Ok(bytes)
                } else {
                    Err(InvalidClientKey::Incomplete(name))
                }
            })
        };
        // No unused bits, and both coordinates in full.
        let mut point = vec![0, 4];
        point.extend(number("x", &self.x)?);
        point.extend(number("y", &self.y)?);
        let key = der::sequence(&[
            der::integer(&[1]),
            der::octet_string(&number("d", &self.d)?),
            der::tlv(0xa1, &der::tlv(0x03, &point)),
        ]);
        let algorithm = [EC_PUBLIC_KEY_OID.to_vec(), curve.to_vec()];
        Ok(EncodingKey::from_ec_der(&private_key_info(
            &algorithm, &key,
        )))
    }

    /// `CurvePrivateKey` (RFC 8410 section 7) in `PrivateKeyInfo`.
    fn ed25519(&self) -> Result<EncodingKey, InvalidClientKey> {
        let seed = decode_member("d", self.d.as_deref())?;
        let info = private_key_info(&[ED25519_OID.to_vec()], &der::octet_string(&seed));
        Ok(EncodingKey::from_ed_der(&info))
    }
}

/// `PrivateKeyInfo` (RFC 5208 section 5), PKCS #8.
fn private_key_info(algorithm: &[Vec<u8>], key: &[u8]) -> Vec<u8> {
    der::sequence(&[
        der::integer(&[0]),
        der::sequence(algorithm),
        der::octet_string(key),
    ])
}

fn decode_member(name: &'static str, part: Option<&str>) -> Result<Vec<u8>, InvalidClientKey> {
    part.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or(InvalidClientKey::Incomplete(name))
}
