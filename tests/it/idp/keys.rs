//! The keys that a provider signs with, and its key set.

use std::sync::OnceLock;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

/// A key pair.
#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    encoding: EncodingKey,
    /// PKCS#1 of an RSA key, PKCS#8 of others.
    der: Vec<u8>,
}

/// Generating RSA keys is slow; those of one process are shared, and each test
/// gives them its own key IDs.
const RSA_KEYS: usize = 4;

impl SigningKey {
    /// One of the RSA keys of this process, with this key ID.
    pub(crate) fn rsa(which: usize, id: &str) -> Self {
        static MADE: [OnceLock<Vec<u8>>; RSA_KEYS] = [const { OnceLock::new() }; RSA_KEYS];
        let der = MADE[which].get_or_init(|| {
            let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
            let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
            pkcs1_from_pkcs8(pkcs8.as_ref()).to_vec()
        });
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::RS256,
            encoding: EncodingKey::from_rsa_der(der),
            der: der.clone(),
        }
    }

    /// A new P-256 key.
    pub(crate) fn p256(id: &str) -> Self {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self {
            id: id.to_owned(),
            algorithm: Algorithm::ES256,
            encoding: EncodingKey::from_ec_der(document.as_ref()),
            der: document.as_ref().to_vec(),
        }
    }

    /// The public key as a JWK.
    pub(crate) fn public(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.encoding, self.algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The key for verifying its signatures.
    pub(crate) fn decoding(&self) -> DecodingKey {
        let jwk: Jwk = serde_json::from_value(self.public()).unwrap();
        DecodingKey::from_jwk(&jwk).unwrap()
    }

    /// The private RSA key as PEM (PKCS#1), as Zitadel issues it.
    pub(crate) fn private_pem(&self) -> String {
        pem("RSA PRIVATE KEY", &self.der)
    }

    /// The public RSA key as PEM, which attackers use as an HMAC secret.
    pub(crate) fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public_der())
    }

    /// `SubjectPublicKeyInfo` of an RSA key.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        let jwk = self.public();
        let part = |name: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            // A leading zero keeps the number positive.
            der(0x02, &[[0].as_slice(), &bytes].concat())
        };
        let key = der(0x30, &[part("n"), part("e")].concat());
        // rsaEncryption (1.2.840.113549.1.1.1) with no parameters.
        let algorithm = der(
            0x30,
            &[
                der(
                    0x06,
                    &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01],
                ),
                der(0x05, &[]),
            ]
            .concat(),
        );
        let bits = der(0x03, &[[0].as_slice(), &key].concat());
        der(0x30, &[algorithm, bits].concat())
    }

    /// A token of these parts, signed with this algorithm.
    pub(crate) fn sign(&self, header: &str, payload: &str, algorithm: Algorithm) -> String {
        let text = unsigned(header, payload);
        let signature =
            jsonwebtoken::crypto::sign(text.as_bytes(), &self.encoding, algorithm).unwrap();
        format!("{text}.{signature}")
    }
}

/// A token of these parts, signed with a secret (HMAC).
pub(crate) fn hmac(header: &str, payload: &str, secret: &[u8]) -> String {
    let text = unsigned(header, payload);
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{text}.{signature}")
}

/// The header and payload, without a signature.
pub(crate) fn unsigned(header: &str, payload: &str) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    )
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    match length.as_slice() {
        [] => bytes.push(0),
        [short] if *short < 0x80 => bytes.push(*short),
        long => {
            bytes.push(0x80 | u8::try_from(long.len()).unwrap());
            bytes.extend_from_slice(long);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

/// The key in PKCS#8: a version, an algorithm, and the key as bytes.
fn pkcs1_from_pkcs8(pkcs8: &[u8]) -> &[u8] {
    let whole = split_der_value(pkcs8).0;
    let after_version = split_der_value(whole).1;
    let after_algorithm = split_der_value(after_version).1;
    split_der_value(after_algorithm).0
}

/// The content of the first value, and the rest.
fn split_der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let first = usize::from(der[1]);
    let (start, length) = if first < 0x80 {
        (2, first)
    } else {
        let digits = first - 0x80;
        let length = der[2..2 + digits]
            .iter()
            .fold(0, |length, byte| length * 256 + usize::from(*byte));
        (2 + digits, length)
    };
    (&der[start..start + length], &der[start + length..])
}
