use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, crypto, jwk::Jwk};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ClientKey, UnusableKey};

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

fn zitadels() -> Value {
    json!({
        "type": "application", "keyId": "8169", "key": RSA_PKCS1,
        "appId": "7836", "clientId": "7837@gatepost",
    })
}

fn read(text: &str) -> Result<ClientKey, UnusableKey> {
    ClientKey::read(text, Some("k1"), Some("gatepost"))
}

fn part(assertion: &str, number: usize) -> Value {
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
fn every_form_of_a_key_signs_what_its_public_half_verifies() {
    let zitadels = zitadels().to_string();
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
fn an_assertion_says_who_we_are_to_whom_for_a_minute() {
    let key = read(P_256).unwrap();
    assert_eq!(key.client_id(), "gatepost");
    let assertion = key.sign(ISSUER, NOW).unwrap();
    assert_eq!(part(&assertion, 0), json!({ "alg": "ES256", "kid": "k1" }));
    let mut claims = part(&assertion, 1);
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
fn no_assertion_is_made_twice() {
    let key = read(ED25519).unwrap();
    let (one, two) = (
        key.sign(ISSUER, NOW).unwrap(),
        key.sign(ISSUER, NOW).unwrap(),
    );
    assert_ne!(part(&one, 1)["jti"], part(&two, 1)["jti"]);
}

#[test]
fn zitadels_key_file_needs_nothing_beside_it() {
    let key = ClientKey::read(&zitadels().to_string(), None, None).unwrap();
    assert!(key.is_zitadels());
    assert_eq!(key.client_id(), "7837@gatepost");
    let assertion = key.sign(ISSUER, NOW).unwrap();
    assert_eq!(
        part(&assertion, 0),
        json!({ "alg": "RS256", "kid": "8169" })
    );
    assert!(!read(P_256).unwrap().is_zitadels());
}

#[test]
fn a_key_id_stands_in_the_header_if_there_is_one() {
    let key = ClientKey::read(P_256, None, Some("gatepost")).unwrap();
    assert_eq!(
        part(&key.sign(ISSUER, NOW).unwrap(), 0),
        json!({ "alg": "ES256" })
    );
    let mut jwk: Value = serde_json::from_str(P_256_JWK).unwrap();
    jwk["kid"] = json!("own");
    let key = ClientKey::read(&jwk.to_string(), None, Some("gatepost")).unwrap();
    assert_eq!(part(&key.sign(ISSUER, NOW).unwrap(), 0)["kid"], "own");
}

#[test]
fn a_jwk_says_how_it_signs() {
    let mut jwk: Value = serde_json::from_str(RSA_JWK).unwrap();
    jwk["alg"] = json!("PS256");
    let assertion = read(&jwk.to_string()).unwrap().sign(ISSUER, NOW).unwrap();
    assert!(is_signed(&assertion, RSA_JWK, Algorithm::PS256));
    jwk["alg"] = json!("ES256");
    assert_eq!(
        read(&jwk.to_string()).unwrap_err(),
        UnusableKey::Unsupported
    );
}

#[test]
fn a_file_with_a_certificate_before_the_key_is_read() {
    let text = format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{RSA_PKCS8}");
    assert!(read(&text).is_ok());
    assert!(read(&format!("\u{feff}\n{P_256}\n\n")).is_ok());
    assert!(read(&P_256.replace('\n', "\r\n")).is_ok());
}

#[test]
fn the_configuration_must_not_contradict_the_file() {
    let file = zitadels().to_string();
    assert!(ClientKey::read(&file, Some("8169"), Some("7837@gatepost")).is_ok());
    for (key_id, client_id) in [(Some("1"), None), (None, Some("other"))] {
        let error = ClientKey::read(&file, key_id, client_id).unwrap_err();
        assert!(matches!(error, UnusableKey::Contradiction { .. }));
    }
    assert_eq!(
        ClientKey::read(P_256, Some("k"), None).unwrap_err(),
        UnusableKey::NoClientId
    );
}

#[test]
fn each_wrong_file_is_told_from_the_others() {
    let mut account = zitadels();
    account["type"] = json!("serviceaccount");
    let mut without = zitadels();
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
        (account.to_string(), UnusableKey::ServiceAccount),
        (without.to_string(), UnusableKey::Malformed),
        (String::new(), UnusableKey::Malformed),
        ("secret".to_owned(), UnusableKey::Malformed),
        ("{}".to_owned(), UnusableKey::Malformed),
        ("{".to_owned(), UnusableKey::Malformed),
        (
            r#"{"type":"application"}"#.to_owned(),
            UnusableKey::Malformed,
        ),
        (ENCRYPTED.to_owned(), UnusableKey::Encrypted),
        (legacy.to_owned(), UnusableKey::Encrypted),
        (P_256_SEC1.to_owned(), UnusableKey::Sec1),
        (RSA_PUBLIC.to_owned(), UnusableKey::PublicHalf),
        (damaged, UnusableKey::Unsupported),
        (format!(r#"{{"keys":[{P_256_JWK}]}}"#), UnusableKey::Set),
        (
            r#"{"kty":"oct","k":"AA"}"#.to_owned(),
            UnusableKey::SharedSecret,
        ),
        (
            jwk(|key| drop(key.as_object_mut().unwrap().remove("d"))),
            UnusableKey::PublicHalf,
        ),
        (
            jwk(|key| drop(key.as_object_mut().unwrap().remove("y"))),
            UnusableKey::Incomplete("y"),
        ),
        (
            jwk(|key| key["x"] = json!("AA")),
            UnusableKey::Incomplete("x"),
        ),
        (
            jwk(|key| key["crv"] = json!("P-521")),
            UnusableKey::Unsupported,
        ),
        // Another key's public half.
        (
            jwk(|key| key["d"] = json!(URL_SAFE_NO_PAD.encode([7; 32]))),
            UnusableKey::Unsupported,
        ),
        (short_rsa, UnusableKey::Incomplete("qi")),
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
fn a_mismatched_ed25519_public_half_is_refused() {
    let mut jwk: Value = serde_json::from_str(ED25519_JWK).unwrap();
    jwk["d"] = json!(URL_SAFE_NO_PAD.encode([7; 32]));
    assert_eq!(
        read(&jwk.to_string()).unwrap_err(),
        UnusableKey::Unsupported
    );
}

#[test]
fn a_key_is_not_printed_by_debug() {
    let shown = format!(
        "{:?}",
        ClientKey::read(&zitadels().to_string(), None, None).unwrap()
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
