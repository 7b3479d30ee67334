//! A set of public keys (RFC 7517).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{jwt::parse_algorithm, strict_json::StrictObject};

/// The longest set that is read, in bytes.
const MAX_BYTES: usize = 256 << 10;

/// The most keys that a set may have, usable or not.
const MAX_KEYS: usize = 64;

/// The keys of a provider that may verify its signatures.
///
/// Invariant: at least one.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<PublicKey>);

/// One public key, and what it may be used with.
pub(crate) struct PublicKey {
    id: Box<str>,
    /// Invariant: at least one, all of them asymmetric and for this type of key.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// A key set that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidKeySet {
    /// It is not a JSON object with a list `keys`.
    #[error("the key set of the provider is not as RFC 7517 defines it")]
    Malformed,
    /// No key in it may verify a signature.
    #[error("the key set of the provider has no key that verifies signatures")]
    NoUsableKey,
    /// It has too many keys or bytes.
    #[error(
        "the key set of the provider has more than {MAX_KEYS} keys or is longer than {MAX_BYTES} bytes"
    )]
    TooLarge,
}

#[derive(Deserialize)]
struct JwksDocument<'a> {
    // Each is parsed alone, so that a damaged one does not affect the others.
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl KeySet {
    /// Reads a set. Unusable keys are skipped (RFC 7517 section 5): those
    /// without an id, for encryption, of another type, with a shared secret,
    /// published with their private half, too short, or damaged.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        if json.len() > MAX_BYTES {
            return Err(InvalidKeySet::TooLarge);
        }
        let document: JwksDocument<'_> = serde_json::from_slice(json)
            .map_err(|_not_a_set: serde_json::Error| InvalidKeySet::Malformed)?;
        if document.keys.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooLarge);
        }
        let keys = document.keys.into_iter();
        let keys = keys.filter_map(|key| StrictObject::parse(key.get().as_bytes()).ok());
        let keys: Vec<PublicKey> = keys.filter_map(|key| PublicKey::from_jwk(&key)).collect();
        if keys.is_empty() {
            return Err(InvalidKeySet::NoUsableKey);
        }
        Ok(Self(keys))
    }

    /// Whether there is a key of this id.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.with_id(id).next().is_some()
    }

    /// The keys of this id: usually one. RFC 7517 section 4.5 lets keys of
    /// different types share an id.
    pub(crate) fn with_id(&self, id: &str) -> impl Iterator<Item = &PublicKey> {
        // Linear; a set has a handful of keys.
        self.0.iter().filter(move |key| &*key.id == id)
    }
}

impl PublicKey {
    fn from_jwk(jwk: &StrictObject) -> Option<Self> {
        let text = |name| jwk.text(name).ok().flatten();
        let for_signatures = jwk.text("use").ok()?.is_none_or(|usage| usage == "sig")
            && (!jwk.contains("key_ops")
                || jwk
                    .texts("key_ops")
                    .ok()?
                    .iter()
                    .any(|op| &**op == "verify"));
        // With the published private half, anyone can sign.
        if !for_signatures || jwk.contains("d") {
            return None;
        }
        let (allowed, key): (&[Algorithm], _) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (
                AlgorithmFamily::Rsa.algorithms(),
                rsa_key(text("n")?, text("e")?)?,
            ),
            ("EC", Some("P-256")) => (&[Algorithm::ES256], ec_key(text("x")?, text("y")?, 32)?),
            ("EC", Some("P-384")) => (&[Algorithm::ES384], ec_key(text("x")?, text("y")?, 48)?),
            ("OKP", Some("Ed25519")) => (
                &[Algorithm::EdDSA],
                DecodingKey::from_ed_der(&decode_exact(text("x")?, 32)?),
            ),
            _ => return None,
        };
        let algorithms = match jwk.text("alg").ok()? {
            None => allowed.to_vec(),
            Some(name) => vec![parse_algorithm(name).filter(|it| allowed.contains(it))?],
        };
        Some(Self {
            id: text("kid")?.into(),
            algorithms,
            key,
        })
    }

    /// Whether the key may be used with this algorithm.
    pub(crate) fn allows_algorithm(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the signature, in base 64, is this key's for the text.
    pub(crate) fn verifies(&self, text: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.allows_algorithm(algorithm)
            && matches!(
                crypto::verify(signature, text.as_bytes(), &self.key, algorithm),
                Ok(true)
            )
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {:?})", self.id, self.algorithms)
    }
}

fn rsa_key(modulus: &str, exponent: &str) -> Option<DecodingKey> {
    let number = |text: &str| -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        // RFC 7518 section 6.3.1.1 warns of leading zeros.
        Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
    };
    let (modulus, exponent) = (number(modulus)?, number(exponent)?);
    // RFC 7518 section 3.3: at least 2048 bits. At most 8192, because verifying
    // with a huge key is expensive.
    let fair = (256..=1024).contains(&modulus.len()) && (1..=8).contains(&exponent.len());
    fair.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

/// RFC 7518 section 6.2.1: each coordinate has the full length.
fn ec_key(x: &str, y: &str, length: usize) -> Option<DecodingKey> {
    let point = [vec![4], decode_exact(x, length)?, decode_exact(y, length)?].concat();
    Some(DecodingKey::from_ec_der(&point))
}

fn decode_exact(text: &str, length: usize) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == length).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{InvalidKeySet, KeySet};

    const X: &str = "__jpuKxTDAJy4_NAaW44N-0zXhbjvnS76wqqWn69anM";
    const Y: &str = "kQcW1TROJf4em1fqZWgfKPfhO35LD742lm5E4X7W1ig";

    fn key(id: &str) -> Value {
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "x": X, "y": Y })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Value {
        let mut key = key("a");
        change(&mut key);
        key
    }

    fn text(keys: &[Value]) -> String {
        json!({ "keys": keys }).to_string()
    }

    #[test]
    fn unusable_keys_are_skipped_and_the_others_are_kept() {
        let modulus = |bytes: usize| "_".repeat(bytes * 4 / 3);
        for useless in [
            with(|key| key["use"] = json!("enc")),
            with(|key| key["key_ops"] = json!(["sign"])),
            with(|key| key["kty"] = json!("XYZ")),
            with(|key| key["crv"] = json!("P-521")),
            with(|key| key["crv"] = json!("secp256k1")),
            with(|key| key["crv"] = json!("P-384")),
            with(|key| key["alg"] = json!("RS256")),
            with(|key| key["alg"] = json!("ECDH-ES")),
            with(|key| key["alg"] = json!("HS256")),
            with(|key| key["kid"] = Value::Null),
            with(|key| key["kid"] = json!(1)),
            with(|key| key["x"] = json!("AA")),
            with(|key| key["y"] = json!("not base 64!")),
            with(|key| key["d"] = json!(X)),
            json!({ "kty": "oct", "kid": "a", "k": X, "alg": "HS256" }),
            json!({ "kty": "OKP", "crv": "Ed448", "kid": "a", "x": X }),
            json!({ "kty": "OKP", "crv": "X25519", "kid": "a", "x": X }),
            json!({ "kty": "RSA", "kid": "a", "n": modulus(128), "e": "AQAB" }),
            json!({ "kty": "RSA", "kid": "a", "n": modulus(2048), "e": "AQAB" }),
            json!({ "kty": "RSA", "kid": "a", "n": modulus(256) }),
            json!({ "kid": "a" }),
            json!("a"),
            Value::Null,
        ] {
            let set = KeySet::parse(text(&[useless.clone(), key("b")]).as_bytes()).unwrap();
            assert!(!set.contains("a"), "{useless}");
            assert!(set.contains("b"), "{useless}");
            let alone = KeySet::parse(text(&[useless]).as_bytes());
            assert_eq!(alone.unwrap_err(), InvalidKeySet::NoUsableKey);
        }
    }

    #[test]
    fn key_with_duplicate_member_is_skipped() {
        let twice = key("a").to_string().replace('{', r#"{"kid":"b","#);
        let text = format!(r#"{{"keys":[{twice}]}}"#);
        assert_eq!(
            KeySet::parse(text.as_bytes()).unwrap_err(),
            InvalidKeySet::NoUsableKey
        );
    }

    #[test]
    fn unknown_key_members_are_ignored() {
        let generous = with(|key| {
            key["x5c"] = json!(["MIIB"]);
            key["ext"] = json!(true);
            key["key_ops"] = json!(["verify"]);
            key["alg"] = json!("ES256");
        });
        assert!(
            KeySet::parse(text(&[generous]).as_bytes())
                .unwrap()
                .contains("a")
        );
    }

    #[test]
    fn invalid_key_set_is_rejected() {
        for (text, why) in [
            ("", InvalidKeySet::Malformed),
            ("<html>", InvalidKeySet::Malformed),
            ("[]", InvalidKeySet::Malformed),
            ("{}", InvalidKeySet::Malformed),
            (r#"{"keys":{}}"#, InvalidKeySet::Malformed),
            (r#"{"keys":[],"keys":[]}"#, InvalidKeySet::Malformed),
            (r#"{"keys":[]}"#, InvalidKeySet::NoUsableKey),
        ] {
            assert_eq!(KeySet::parse(text.as_bytes()).unwrap_err(), why, "{text}");
        }
        let many: Vec<Value> = (0..65).map(|n| key(&n.to_string())).collect();
        assert_eq!(
            KeySet::parse(text(&many).as_bytes()).unwrap_err(),
            InvalidKeySet::TooLarge
        );
        assert!(KeySet::parse(text(&many[..64]).as_bytes()).is_ok());
        let long = format!("{}{}", text(&[key("a")]), " ".repeat(256 << 10));
        assert_eq!(
            KeySet::parse(long.as_bytes()).unwrap_err(),
            InvalidKeySet::TooLarge
        );
    }

    proptest! {
        #[test]
        fn reading_a_set_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(KeySet::parse(&bytes));
        }
    }

    #[test]
    fn invalid_key_sets_say_what_is_wrong() {
        let errors = [
            InvalidKeySet::Malformed,
            InvalidKeySet::NoUsableKey,
            InvalidKeySet::TooLarge,
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
    }
}
