use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, crypto, jwk::Jwk};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ClientKey, InvalidClientKey, client_key::AssertionSigningError};

const RSA_PKCS1: &str = include_str!("../../../../tests/fixtures/identity/rsa_pkcs1.pem");
const RSA_PKCS8: &str = include_str!("../../../../tests/fixtures/identity/rsa_pkcs8.pem");
const RSA_PUBLIC: &str = include_str!("../../../../tests/fixtures/identity/rsa_public.pem");
const RSA_JWK: &str = include_str!("../../../../tests/fixtures/identity/rsa.jwk.json");
const P_256: &str = include_str!("../../../../tests/fixtures/identity/ec_p256.pem");
const P_256_SEC1: &str = include_str!("../../../../tests/fixtures/identity/ec_p256_sec1.pem");
const P_256_JWK: &str = include_str!("../../../../tests/fixtures/identity/ec_p256.jwk.json");
const P_384: &str = include_str!("../../../../tests/fixtures/identity/ec_p384.pem");
const P_384_JWK: &str = include_str!("../../../../tests/fixtures/identity/ec_p384.jwk.json");
const ED25519: &str = include_str!("../../../../tests/fixtures/identity/ed25519.pem");
const ED25519_JWK: &str = include_str!("../../../../tests/fixtures/identity/ed25519.jwk.json");
const ENCRYPTED: &str = include_str!("../../../../tests/fixtures/identity/encrypted.pem");

const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
const ISSUER: &str = "https://id.example.com";

fn zitadel_key_file() -> Value {
    json!({
        "type": "application", "keyId": "8169", "key": RSA_PKCS1,
        "appId": "7836", "clientId": "7837@gatepost",
    })
}

fn read(text: &str) -> Result<ClientKey, InvalidClientKey> {
    ClientKey::read(text, Some("k1"), Some("gatepost"))
}

fn decoded_part(assertion: &str, number: usize) -> Value {
    let part = assertion.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Whether the key of a JWK's public half signed it.
fn is_signed(assertion: &str, public: &str, algorithm: Algorithm) -> bool {
    let public: Jwk = serde_json::from_str(public).unwrap();
    let key = DecodingKey::from_jwk(&public).unwrap();
    let (text, signature) = assertion.rsplit_once('.').unwrap();
    crypto::verify(signature, text.as_bytes(), &key, algorithm).unwrap()
}

#[test]
fn every_key_format_signs_verifiable_assertions() {
    let zitadels = zitadel_key_file().to_string();
    for (text, public, algorithm) in [
        (zitadels.as_str(), RSA_JWK, Algorithm::RS256),
        (RSA_PKCS1, RSA_JWK, Algorithm::RS256),
        (RSA_PKCS8, RSA_JWK, Algorithm::RS256),
        (RSA_JWK, RSA_JWK, Algorithm::RS256),
        (P_256, P_256_JWK, Algorithm::ES256),
        (P_256_JWK, P_256_JWK, Algorithm::ES256),
        (P_384, P_384_JWK, Algorithm::ES384),
        (P_384_JWK, P_384_JWK, Algorithm::ES384),
        (ED25519, ED25519_JWK, Algorithm::EdDSA),
        (ED25519_JWK, ED25519_JWK, Algorithm::EdDSA),
    ] {
        let is_file = text.contains("keyId");
        let key = if is_file {
            ClientKey::read(text, None, None)
        } else {
            read(text)
        };
        let assertion = key.unwrap().sign(ISSUER, NOW).unwrap();
        assert!(is_signed(&assertion, public, algorithm), "{algorithm:?}");
    }
}

// RFC 7523 section 3.
#[test]
fn assertion_has_issuer_subject_audience_and_one_minute_lifetime() {
    let key = read(P_256).unwrap();
    assert_eq!(key.client_id(), "gatepost");
    let assertion = key.sign(ISSUER, NOW).unwrap();
    assert_eq!(
        decoded_part(&assertion, 0),
        json!({ "alg": "ES256", "kid": "k1" })
    );
    let mut claims = decoded_part(&assertion, 1);
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert!(id.as_str().unwrap().len() >= 22);
    assert_eq!(
        claims,
        json!({
            "iss": "gatepost", "sub": "gatepost", "aud": ISSUER,
            "iat": 1_749_999_990, "exp": 1_750_000_050,
        })
    );
}

#[test]
fn every_assertion_has_a_unique_jti() {
    let key = read(ED25519).unwrap();
    let (one, two) = (
        key.sign(ISSUER, NOW).unwrap(),
        key.sign(ISSUER, NOW).unwrap(),
    );
    assert_ne!(decoded_part(&one, 1)["jti"], decoded_part(&two, 1)["jti"]);
}

#[test]
fn zitadel_key_file_needs_no_key_id_or_client_id_setting() {
    let key = ClientKey::read(&zitadel_key_file().to_string(), None, None).unwrap();
    assert!(key.is_zitadel_key_file());
    assert_eq!(key.client_id(), "7837@gatepost");
    let assertion = key.sign(ISSUER, NOW).unwrap();
    assert_eq!(
        decoded_part(&assertion, 0),
        json!({ "alg": "RS256", "kid": "8169" })
    );
    assert!(!read(P_256).unwrap().is_zitadel_key_file());
}

#[test]
fn assertion_header_has_kid_if_key_id_is_known() {
    let key = ClientKey::read(P_256, None, Some("gatepost")).unwrap();
    assert_eq!(
        decoded_part(&key.sign(ISSUER, NOW).unwrap(), 0),
        json!({ "alg": "ES256" })
    );
    let mut jwk: Value = serde_json::from_str(P_256_JWK).unwrap();
    jwk["kid"] = json!("own");
    let key = ClientKey::read(&jwk.to_string(), None, Some("gatepost")).unwrap();
    assert_eq!(
        decoded_part(&key.sign(ISSUER, NOW).unwrap(), 0)["kid"],
        "own"
    );
}

#[test]
fn jwk_alg_selects_signature_algorithm() {
    let mut jwk: Value = serde_json::from_str(RSA_JWK).unwrap();
    jwk["alg"] = json!("PS256");
    let assertion = read(&jwk.to_string()).unwrap().sign(ISSUER, NOW).unwrap();
    assert!(is_signed(&assertion, RSA_JWK, Algorithm::PS256));
    jwk["alg"] = json!("ES256");
    assert_eq!(
        read(&jwk.to_string()).unwrap_err(),
        InvalidClientKey::Unsupported
    );
}

#[test]
fn pem_with_certificate_bom_or_crlf_is_read() {
    let text = format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{RSA_PKCS8}");
    assert!(read(&text).is_ok());
    assert!(read(&format!("\u{feff}\n{P_256}\n\n")).is_ok());
    assert!(read(&P_256.replace('\n', "\r\n")).is_ok());
}

#[test]
fn setting_that_contradicts_key_file_is_rejected() {
    let file = zitadel_key_file().to_string();
    assert!(ClientKey::read(&file, Some("8169"), Some("7837@gatepost")).is_ok());
    for (key_id, client_id) in [(Some("1"), None), (None, Some("other"))] {
        let error = ClientKey::read(&file, key_id, client_id).unwrap_err();
        assert!(matches!(error, InvalidClientKey::SettingMismatch { .. }));
    }
    assert_eq!(
        ClientKey::read(P_256, Some("k"), None).unwrap_err(),
        InvalidClientKey::NoClientId
    );
}

#[test]
fn each_kind_of_invalid_key_file_has_its_own_error() {
    let mut account = zitadel_key_file();
    account["type"] = json!("serviceaccount");
    let mut without = zitadel_key_file();
    without.as_object_mut().unwrap().remove("clientId");
    let jwk = |change: fn(&mut Value)| {
        let mut jwk: Value = serde_json::from_str(P_256_JWK).unwrap();
        change(&mut jwk);
        jwk.to_string()
    };
    let short_rsa = {
        let mut jwk: Value = serde_json::from_str(RSA_JWK).unwrap();
        jwk.as_object_mut().unwrap().remove("qi");
        jwk.to_string()
    };
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----";
    let damaged = RSA_PKCS8.replacen("MIIE", "MIID", 1);
    for (text, why) in [
        (account.to_string(), InvalidClientKey::ServiceAccount),
        (without.to_string(), InvalidClientKey::Malformed),
        (String::new(), InvalidClientKey::Malformed),
        ("secret".to_owned(), InvalidClientKey::Malformed),
        ("{}".to_owned(), InvalidClientKey::Malformed),
        ("{".to_owned(), InvalidClientKey::Malformed),
        (
            r#"{"type":"application"}"#.to_owned(),
            InvalidClientKey::Malformed,
        ),
        (ENCRYPTED.to_owned(), InvalidClientKey::Encrypted),
        (legacy.to_owned(), InvalidClientKey::Encrypted),
        (P_256_SEC1.to_owned(), InvalidClientKey::Sec1),
        (RSA_PUBLIC.to_owned(), InvalidClientKey::PublicKey),
        (damaged, InvalidClientKey::Unsupported),
        (
            format!(r#"{{"keys":[{P_256_JWK}]}}"#),
            InvalidClientKey::KeySet,
        ),
        (
            r#"{"kty":"oct","k":"AA"}"#.to_owned(),
            InvalidClientKey::SharedSecret,
        ),
        (
            jwk(|key| drop(key.as_object_mut().unwrap().remove("d"))),
            InvalidClientKey::PublicKey,
        ),
        (
            jwk(|key| drop(key.as_object_mut().unwrap().remove("y"))),
            InvalidClientKey::Incomplete("y"),
        ),
        (
            jwk(|key| key["x"] = json!("AA")),
            InvalidClientKey::Incomplete("x"),
        ),
        (
            jwk(|key| key["crv"] = json!("P-521")),
            InvalidClientKey::Unsupported,
        ),
        // Another key's public half.
        (
            jwk(|key| key["d"] = json!(URL_SAFE_NO_PAD.encode([7; 32]))),
            InvalidClientKey::Unsupported,
        ),
        (short_rsa, InvalidClientKey::Incomplete("qi")),
    ] {
        let error = read(&text).unwrap_err();
        assert_eq!(error, why, "{text}");
        for word in error
            .to_string()
            .split(|c: char| !c.is_ascii_alphanumeric())
        {
            assert!(word.len() < 20, "{word}");
        }
    }
}

#[test]
fn mismatched_ed25519_public_key_is_rejected() {
    let mut jwk: Value = serde_json::from_str(ED25519_JWK).unwrap();
    jwk["d"] = json!(URL_SAFE_NO_PAD.encode([7; 32]));
    assert_eq!(
        read(&jwk.to_string()).unwrap_err(),
        InvalidClientKey::Unsupported
    );
}

#[test]
fn debug_output_hides_private_key() {
    let shown = format!(
        "{:?}",
        ClientKey::read(&zitadel_key_file().to_string(), None, None).unwrap()
    );
    assert_eq!(shown, r#"ClientKey(7837@gatepost, Some("8169"), ..)"#);
}

proptest! {
    #[test]
    fn reading_a_key_never_panics(
        text in prop_oneof![
            ".{0,200}",
            r#"\{("(type|kty|crv|d|x|y|n|key|keyId)":"(application|RSA|EC|OKP|P-256|Ed25519|[A-Za-z0-9]{0,8})",?){0,5}\}"#,
            "-----BEGIN (RSA |EC )?PRIVATE KEY-----\n[A-Za-z0-9+/=\n]{0,80}\n-----END (RSA |EC )?PRIVATE KEY-----",
        ],
    ) {
        prop_assert!(read(&text).is_err());
    }
}

#[test]
fn signing_errors_say_what_is_wrong() {
    let key = jsonwebtoken::errors::ErrorKind::InvalidKeyFormat.into();
    insta::assert_snapshot!(AssertionSigningError::Key(key), @"the client assertion could not be signed");
    let randomness = getrandom::Error::UNSUPPORTED;
    insta::assert_snapshot!(AssertionSigningError::Randomness(randomness), @"the client assertion could not be created because the operating system provides no randomness");
}
