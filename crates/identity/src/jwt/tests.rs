use std::{collections::BTreeSet, time::Duration};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, crypto, jwk::Jwk};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{JwtError, JwtRules, unverified_claims};
use crate::{
    ClaimRules, TokenRejected, claims::ClaimsSource, jwks::KeySet, strict_json::StrictObject,
};

const RSA: &str = include_str!("../../../../tests/fixtures/identity/rsa_pkcs8.pem");
const RSA_PUBLIC: &str = include_str!("../../../../tests/fixtures/identity/rsa_public.pem");
const P_256: &str = include_str!("../../../../tests/fixtures/identity/ec_p256.pem");
const P_384: &str = include_str!("../../../../tests/fixtures/identity/ec_p384.pem");
const ED25519: &str = include_str!("../../../../tests/fixtures/identity/ed25519.pem");

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "https://gw.example.com/production/mcp";
const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
const NOW_S: i64 = 1_750_000_000;

fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm.family() {
        AlgorithmFamily::Ec if algorithm == Algorithm::ES384 => {
            EncodingKey::from_ec_pem(P_384.as_bytes())
        }
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(P_256.as_bytes()),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(ED25519.as_bytes()),
        AlgorithmFamily::Hmac => panic!("no private key"),
        AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(RSA.as_bytes()),
    }
    .unwrap()
}

fn jwk(id: &str, algorithm: Algorithm, change: impl FnOnce(&mut Value)) -> Value {
    let jwk = Jwk::from_encoding_key(&key(algorithm), algorithm).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = json!(id);
    change(&mut jwk);
    jwk
}

fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn keys() -> KeySet {
    key_set(&[
        jwk("rs", Algorithm::RS256, |_| ()),
        jwk("ps", Algorithm::PS256, |_| ()),
        jwk("es", Algorithm::ES256, |_| ()),
        jwk("es384", Algorithm::ES384, |_| ()),
        jwk("ed", Algorithm::EdDSA, |_| ()),
        jwk("any", Algorithm::RS256, |jwk| {
            jwk.as_object_mut().unwrap().remove("alg");
        }),
    ])
}

fn rules() -> JwtRules {
    JwtRules {
        claims: ClaimRules {
            issuer: ISSUER.into(),
            skew: Duration::from_secs(5),
            allow_no_exp: false,
            allow_missing_token_type: false,
            allow_no_client: true,
            client_claims: &["client_id"],
            role_claims: Vec::new(),
            scope_claims: Vec::new(),
        },
        audiences: BTreeSet::from([AUDIENCE.to_owned(), "4711".to_owned()]),
        algorithms: vec![
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
        ],
        require_at_jwt: true,
    }
}

fn lenient_rules() -> JwtRules {
    JwtRules {
        require_at_jwt: false,
        ..rules()
    }
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "es", "typ": "at+jwt" })
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": NOW_S + 60, "iat": NOW_S, "roles": ["a"] })
}

/// An arbitrary text with a valid signature.
fn signed(header: &str, payload: &str, algorithm: Algorithm) -> String {
    let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let signed = format!("{}.{}", encode(header), encode(payload));
    let signature = crypto::sign(signed.as_bytes(), &key(algorithm), algorithm).unwrap();
    format!("{signed}.{signature}")
}

fn with_header(change: impl FnOnce(&mut Value)) -> String {
    let mut header = header();
    change(&mut header);
    signed(&header.to_string(), &claims().to_string(), Algorithm::ES256)
}

fn with_claims(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    signed(&header().to_string(), &claims.to_string(), Algorithm::ES256)
}

fn without(claim: &str) -> String {
    with_claims(|claims| {
        claims.as_object_mut().unwrap().remove(claim);
    })
}

fn verify_result(recipe: &JwtRules, token: &str) -> Result<(), TokenRejected> {
    match recipe.verify(token, &keys(), NOW) {
        Ok(_) => Ok(()),
        Err(JwtError::Rejected(why)) => Err(why),
        Err(JwtError::NeedsKey(_)) => Err(TokenRejected::UnknownKey),
    }
}

#[track_caller]
fn assert_rejected(token: &str, why: TokenRejected) {
    assert_eq!(verify_result(&rules(), token), Err(why));
}

#[test]
fn valid_token_yields_its_payload() {
    let payload = format!(
        r#"{{ "iss":"{ISSUER}","aud":["x","{AUDIENCE}"],"exp":{}.5,  "roles":{{"b":1,"a":2}}}}"#,
        NOW_S + 60
    );
    let token = signed(&header().to_string(), &payload, Algorithm::ES256);
    let (given, source) = rules().verify(&token, &keys(), NOW).unwrap();
    assert_eq!(source, ClaimsSource::Jwt);
    assert_eq!(given, StrictObject::parse(payload.as_bytes()).unwrap());
}

#[test]
fn every_allowed_algorithm_verifies() {
    for (id, name, algorithm) in [
        ("rs", "RS256", Algorithm::RS256),
        ("ps", "PS256", Algorithm::PS256),
        ("es", "ES256", Algorithm::ES256),
        ("ed", "EdDSA", Algorithm::EdDSA),
        ("ed", "Ed25519", Algorithm::EdDSA),
        ("any", "RS256", Algorithm::RS256),
        ("any", "PS256", Algorithm::PS256),
    ] {
        let header = json!({ "alg": name, "kid": id, "typ": "at+jwt" }).to_string();
        let token = signed(&header, &claims().to_string(), algorithm);
        assert_eq!(verify_result(&rules(), &token), Ok(()), "{id} {name}");
    }
}

#[test]
fn tokens_signed_by_another_library_verify() {
    let tokens = include_str!("../../../../tests/fixtures/identity/node_tokens.txt");
    assert_eq!(tokens.lines().count(), 4);
    for token in tokens.lines() {
        assert_eq!(verify_result(&rules(), token), Ok(()), "{token}");
    }
}

#[test]
fn disallowed_algorithm_is_rejected_although_key_supports_it() {
    let header = json!({ "alg": "ES384", "kid": "es384", "typ": "at+jwt" }).to_string();
    let token = signed(&header, &claims().to_string(), Algorithm::ES384);
    assert_rejected(&token, TokenRejected::Algorithm);
    let mut wider = rules();
    wider.algorithms.push(Algorithm::ES384);
    assert_eq!(verify_result(&wider, &token), Ok(()));
}

// T-01.
#[test]
fn unsigned_token_is_rejected_for_every_spelling_of_none() {
    for none in ["none", "None", "nOnE", "", "rs256"] {
        let token = with_header(|header| header["alg"] = json!(none));
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        assert_rejected(&token, TokenRejected::Algorithm);
        assert_rejected(&format!("{unsigned}."), TokenRejected::Algorithm);
    }
    let token = with_header(|_| ());
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    assert_rejected(&format!("{unsigned}."), TokenRejected::Signature);
}

// T-02.
#[test]
fn token_signed_with_public_key_as_hmac_secret_is_rejected() {
    let der = RSA_PUBLIC
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect::<String>();
    let der = base64::engine::general_purpose::STANDARD
        .decode(der)
        .unwrap();
    let text = jwk("rs", Algorithm::RS256, |_| ()).to_string();
    let mut reckless = rules();
    reckless.algorithms.push(Algorithm::HS256);
    for secret in [RSA_PUBLIC.as_bytes(), &der, text.as_bytes()] {
        let header = json!({ "alg": "HS256", "kid": "rs", "typ": "at+jwt" });
        let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
        let start = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims().to_string())
        );
        let secret = EncodingKey::from_secret(secret);
        let signature = crypto::sign(start.as_bytes(), &secret, Algorithm::HS256).unwrap();
        let token = format!("{start}.{signature}");
        assert_rejected(&token, TokenRejected::Algorithm);
        assert_eq!(
            verify_result(&reckless, &token),
            Err(TokenRejected::Algorithm)
        );
    }
}

// T-03.
#[test]
fn header_with_embedded_key_or_crit_is_rejected() {
    let jwk = jwk("es", Algorithm::ES256, |_| ());
    for (name, value) in [
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("crit", Value::Null),
        ("jku", json!("https://evil.test/jwks")),
        ("x5u", json!("https://evil.test/cert")),
        ("x5c", json!(["MIIB"])),
        ("jwk", jwk),
    ] {
        let token = with_header(|header| header[name] = value);
        assert_rejected(&token, TokenRejected::ForbiddenHeader);
    }
}

// T-03.
#[test]
fn key_id_is_required_and_only_looked_up_in_key_set() {
    for id in [
        "../../etc/passwd",
        "https://evil.test/jwks",
        "' or 1=1 --",
        "ES",
    ] {
        let token = with_header(|header| header["kid"] = json!(id));
        assert_eq!(
            rules().verify(&token, &keys(), NOW),
            Err(JwtError::NeedsKey(id.to_owned()))
        );
    }
    for id in ["", &"x".repeat(257)] {
        assert_rejected(
            &with_header(|header| header["kid"] = json!(id)),
            TokenRejected::NoKeyId,
        );
    }
    let token = with_header(|header| {
        header.as_object_mut().unwrap().remove("kid");
    });
    assert_rejected(&token, TokenRejected::NoKeyId);
    assert_rejected(
        &with_header(|header| header["kid"] = json!("x".repeat(64 << 10))),
        TokenRejected::TooLong,
    );
}

#[test]
fn expired_token_is_rejected_without_needing_a_key() {
    let mut header = header();
    header["kid"] = json!("unknown");
    let mut claims = claims();
    claims["exp"] = json!(NOW_S - 60);
    let token = signed(&header.to_string(), &claims.to_string(), Algorithm::ES256);
    assert_rejected(&token, TokenRejected::Expired);
}

#[test]
fn algorithm_must_match_the_key() {
    for (id, name, algorithm) in [
        // The same key, for PKCS #1 signatures only.
        ("rs", "PS256", Algorithm::PS256),
        ("ps", "RS256", Algorithm::RS256),
        ("es384", "ES256", Algorithm::ES256),
        ("rs", "ES256", Algorithm::ES256),
    ] {
        let header = json!({ "alg": name, "kid": id, "typ": "at+jwt" }).to_string();
        assert_rejected(
            &signed(&header, &claims().to_string(), algorithm),
            TokenRejected::KeyMismatch,
        );
    }
}

#[test]
fn keys_of_different_types_may_share_one_id() {
    let keys = key_set(&[
        jwk("one", Algorithm::RS256, |_| ()),
        jwk("one", Algorithm::ES256, |_| ()),
    ]);
    let token = with_header(|header| header["kid"] = json!("one"));
    assert!(rules().verify(&token, &keys, NOW).is_ok());
}

// B10: a provider that publishes a new key under the id of the old one.
#[test]
fn every_key_of_a_duplicate_id_is_tried() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let other = jwk("es", Algorithm::ES256, |key| {
        key["x"] = json!(URL_SAFE_NO_PAD.encode(x));
        key["y"] = json!(URL_SAFE_NO_PAD.encode(y));
    });
    let ours = jwk("es", Algorithm::ES256, |_| ());
    let token = with_claims(|_| ());
    for keys in [[other.clone(), ours.clone()], [ours, other.clone()]] {
        assert!(rules().verify(&token, &key_set(&keys), NOW).is_ok());
    }
    let given = rules().verify(&token, &key_set(&[other.clone(), other]), NOW);
    assert_eq!(given.unwrap_err(), TokenRejected::Signature.into());
}

#[test]
fn altered_token_or_signature_is_rejected() {
    let good = with_claims(|_| ());
    let (start, signature) = good.rsplit_once('.').unwrap();
    let other = with_claims(|claims| claims["roles"] = json!(["admin"]));
    let (other_start, _) = other.rsplit_once('.').unwrap();
    assert_rejected(
        &format!("{other_start}.{signature}"),
        TokenRejected::Signature,
    );
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        let signature = URL_SAFE_NO_PAD.encode(&bytes);
        assert_rejected(&format!("{start}.{signature}"), TokenRejected::Signature);
        bytes[at] ^= 1;
    }
    assert_rejected(&format!("{start}."), TokenRejected::Signature);
    let keys = key_set(&[jwk("es", Algorithm::RS256, |jwk| {
        jwk.as_object_mut().unwrap().remove("alg");
    })]);
    assert_eq!(
        rules().verify(&good, &keys, NOW),
        Err(TokenRejected::KeyMismatch.into())
    );
}

#[test]
fn token_must_be_three_base64url_parts_with_json_objects() {
    let good = with_claims(|_| ());
    let long = format!("{}.{}.{}", "e30", "A".repeat(20_000), "e30");
    assert_rejected(&long, TokenRejected::TooLong);
    for token in [
        "",
        ".",
        "..",
        "opaque",
        "a.b",
        "a.b.c.d.e",
        "e30.e30.",
        "bnVsbA.e30.e30",
        "W10.e30.e30",
        &format!("{good}="),
        &format!("{good}."),
        &format!(" {good}"),
        &format!("{good}.e30"),
    ] {
        let why = verify_result(&rules(), token).unwrap_err();
        let expected = if token == "e30.e30." {
            TokenRejected::Algorithm
        } else {
            TokenRejected::Malformed
        };
        assert_eq!(why, expected, "{token}");
    }
    for payload in [
        "[]",
        "null",
        "\"x\"",
        "{",
        "{} {}",
        "{\"exp\":1e999}",
        "\u{feff}{}",
    ] {
        let token = signed(&header().to_string(), payload, Algorithm::ES256);
        assert_rejected(&token, TokenRejected::Malformed);
    }
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let token = signed(&header().to_string(), &deep, Algorithm::ES256);
    assert_rejected(&token, TokenRejected::Malformed);
}

#[test]
fn duplicate_members_are_rejected_at_any_depth() {
    let inside = |more: &str| {
        let claims = claims().to_string();
        format!("{},{more}}}", claims.strip_suffix('}').unwrap())
    };
    for more in [
        format!(r#""aud":"{AUDIENCE}""#),
        format!(r#""\u0061ud":"{AUDIENCE}""#),
        r#""x":{"y":[{"z":1,"z":1}]}"#.to_owned(),
    ] {
        let token = signed(&header().to_string(), &inside(&more), Algorithm::ES256);
        assert_rejected(&token, TokenRejected::DuplicateMember);
        assert_eq!(unverified_claims(&token), None);
    }
    let header = r#"{"alg":"ES256","kid":"es","kid":"es","typ":"at+jwt"}"#;
    let token = signed(header, &claims().to_string(), Algorithm::ES256);
    assert_rejected(&token, TokenRejected::DuplicateMember);
}

// RFC 9068 section 2.1.
#[test]
fn typ_header_must_be_at_jwt() {
    for kind in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        let token = with_header(|header| header["typ"] = json!(kind));
        assert_eq!(verify_result(&rules(), &token), Ok(()), "{kind}");
    }
    for kind in [
        "JWT",
        "jwt",
        "",
        "logout+jwt",
        "dpop+jwt",
        "token-introspection+jwt",
    ] {
        let token = with_header(|header| header["typ"] = json!(kind));
        assert_rejected(&token, TokenRejected::WrongType);
    }
    let token = with_header(|header| {
        header.as_object_mut().unwrap().remove("typ");
    });
    assert_rejected(&token, TokenRejected::WrongType);
    assert_eq!(verify_result(&lenient_rules(), &token), Ok(()));
    for kind in ["logout+jwt", "secevent+jwt", "token-introspection+jwt", ""] {
        let token = with_header(|header| header["typ"] = json!(kind));
        assert_eq!(
            verify_result(&lenient_rules(), &token),
            Err(TokenRejected::WrongType)
        );
    }
}

// T-04.
#[test]
fn id_token_is_rejected() {
    for (mark, value) in [
        ("nonce", json!("n")),
        ("nonce", Value::Null),
        ("at_hash", json!("h")),
        ("c_hash", json!("h")),
        ("events", json!({})),
        ("typ", json!("ID")),
    ] {
        let mut claims = claims();
        claims[mark] = value;
        let header = json!({ "alg": "ES256", "kid": "es", "typ": "JWT" }).to_string();
        let token = signed(&header, &claims.to_string(), Algorithm::ES256);
        assert_eq!(
            verify_result(&lenient_rules(), &token),
            Err(TokenRejected::IdToken),
            "{mark}"
        );
        assert_rejected(&token, TokenRejected::WrongType);
    }
}

// P1: refresh, ID and logout tokens are signed with the same keys.
#[test]
fn payload_typ_of_another_token_is_rejected_in_any_case() {
    for (typ, why) in [
        ("Refresh", TokenRejected::TokenType),
        ("refresh", TokenRejected::TokenType),
        ("Offline", TokenRejected::TokenType),
        ("Logout", TokenRejected::TokenType),
        ("Id", TokenRejected::IdToken),
        ("ID", TokenRejected::IdToken),
        ("Serialized-ID", TokenRejected::TokenType),
        ("", TokenRejected::TokenType),
    ] {
        let mut claims = claims();
        claims["typ"] = json!(typ);
        for (header_typ, rules) in [("at+jwt", rules()), ("JWT", lenient_rules())] {
            let header = json!({ "alg": "ES256", "kid": "es", "typ": header_typ }).to_string();
            let token = signed(&header, &claims.to_string(), Algorithm::ES256);
            assert_eq!(
                verify_result(&rules, &token),
                Err(why),
                "{typ} {header_typ}"
            );
        }
    }
    for typ in ["Bearer", "bearer", "at+jwt"] {
        let header = json!({ "alg": "ES256", "kid": "es", "typ": "JWT" }).to_string();
        let mut claims = claims();
        claims["typ"] = json!(typ);
        let token = signed(&header, &claims.to_string(), Algorithm::ES256);
        let (_, source) = lenient_rules().verify(&token, &keys(), NOW).unwrap();
        assert_eq!(source, ClaimsSource::Jwt, "{typ}");
    }
}

#[test]
fn signature_alone_is_judged_whatever_the_claims_say() {
    let judge = |token: &str| super::verify_signature(token, &keys());
    let good = with_claims(|claims| claims["aud"] = json!("another"));
    assert_eq!(judge(&good), Ok(()));
    let (start, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{start}.{}", URL_SAFE_NO_PAD.encode([7; 64]));
    assert_eq!(judge(&forged), Err(TokenRejected::Signature.into()));
    let unknown = with_header(|header| header["kid"] = json!("withdrawn"));
    assert_eq!(
        judge(&unknown),
        Err(JwtError::NeedsKey("withdrawn".to_owned()))
    );
    for alg in ["none", "None", "HS256"] {
        let token = with_header(|header| header["alg"] = json!(alg));
        assert_eq!(judge(&token), Err(TokenRejected::Algorithm.into()), "{alg}");
    }
    // The provider may know an algorithm that the gateway does not.
    assert_eq!(
        judge(&with_header(|header| header["alg"] = json!("ES512"))),
        Ok(())
    );
}

// T-05.
#[test]
fn audience_must_match_exactly() {
    for (audience, good) in [
        (json!(AUDIENCE), true),
        (json!("4711"), true),
        (json!(["x", AUDIENCE]), true),
        (json!("x"), false),
        (json!(format!("{AUDIENCE}.evil")), false),
        (json!(format!("{AUDIENCE}/")), false),
        (json!("https://gw.example.com/"), false),
        (json!(AUDIENCE.to_uppercase()), false),
        (json!([]), false),
        (json!(["x"]), false),
        (json!([AUDIENCE, 1]), false),
        (json!(4711), false),
        (json!({ "0": AUDIENCE }), false),
        (json!(""), false),
        (Value::Null, false),
    ] {
        let token = with_claims(|claims| claims["aud"] = audience.clone());
        let expected = if good {
            Ok(())
        } else {
            Err(TokenRejected::Audience)
        };
        assert_eq!(verify_result(&rules(), &token), expected, "{audience}");
    }
    assert_rejected(&without("aud"), TokenRejected::Audience);
}

// T-06.
#[test]
fn issuer_must_match_byte_for_byte() {
    for issuer in [
        json!("https://id.example.com/"),
        json!("https://ID.example.com"),
        json!("https://id.example.com.evil"),
        json!("https://id.example.co"),
        json!([ISSUER]),
        json!(1),
        Value::Null,
    ] {
        let token = with_claims(|claims| claims["iss"] = issuer);
        assert_rejected(&token, TokenRejected::Issuer);
    }
    assert_rejected(&without("iss"), TokenRejected::Issuer);
}

// T-07.
#[test]
fn expired_token_is_rejected_after_clock_skew() {
    for (expires, expected) in [
        (json!(NOW_S + 1), Ok(())),
        (json!(NOW_S - 4), Ok(())),
        (json!(NOW_S - 5), Err(TokenRejected::Expired)),
        (json!(-1), Err(TokenRejected::Expired)),
        (json!(0), Err(TokenRejected::Expired)),
        (json!(1_750_000_060.5), Ok(())),
        (json!(253_402_300_799_u64), Ok(())),
        (json!((NOW_S + 60) * 1_000), Ok(())),
        (json!((NOW_S - 60) * 1_000), Err(TokenRejected::Expired)),
        (json!((NOW_S + 60).to_string()), Ok(())),
        (json!(1e30), Err(TokenRejected::InvalidClaim)),
        (json!(1e300), Err(TokenRejected::InvalidClaim)),
        (json!(-1e300), Err(TokenRejected::Expired)),
        (json!(u64::MAX), Err(TokenRejected::InvalidClaim)),
        (json!(i64::MIN), Err(TokenRejected::Expired)),
        (json!("never"), Err(TokenRejected::Expired)),
        (json!(true), Err(TokenRejected::Expired)),
        (Value::Null, Err(TokenRejected::NoExpiry)),
    ] {
        let token = with_claims(|claims| claims["exp"] = expires.clone());
        assert_eq!(verify_result(&rules(), &token), expected, "{expires}");
    }
    assert_rejected(&without("exp"), TokenRejected::NoExpiry);
}

// T-08.
#[test]
fn token_from_the_future_is_rejected() {
    for claim in ["nbf", "iat"] {
        for (time, expected) in [
            (json!(NOW_S + 5), Ok(())),
            (json!(NOW_S + 6), Err(TokenRejected::NotYetValid)),
            (json!(1e300), Err(TokenRejected::NotYetValid)),
            (json!("x"), Err(TokenRejected::InvalidClaim)),
            (Value::Null, Ok(())),
        ] {
            let token = with_claims(|claims| claims[claim] = time.clone());
            assert_eq!(verify_result(&rules(), &token), expected, "{claim} {time}");
        }
        assert_eq!(verify_result(&rules(), &without(claim)), Ok(()));
    }
}

#[test]
fn rejections_share_one_client_message() {
    let unlike = [
        JwtError::NeedsKey("id".to_owned()),
        TokenRejected::Signature.into(),
        TokenRejected::Expired.into(),
    ];
    for why in unlike {
        assert_eq!(
            why.to_string(),
            "the token is not accepted here; get a new one"
        );
    }
    assert_ne!(
        TokenRejected::Signature.reason(),
        TokenRejected::Expired.reason()
    );
}

#[test]
fn opaque_token_is_not_parsed_as_jwt() {
    for opaque in [
        "Zm9v",
        "gp_7k2m_4Tz",
        "a.b.c",
        "ya29.a0Af.B1x",
        "e30.e30.c2ln",
        "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d",
        "",
    ] {
        assert_eq!(unverified_claims(opaque), None, "{opaque}");
    }
    let seen = unverified_claims(&with_claims(|_| ())).unwrap();
    assert_eq!(seen.text("iss"), Ok(Some(ISSUER)));
    assert_eq!(seen.texts("aud"), Ok(vec![AUDIENCE.into()]));
    assert_eq!(rules().precheck(&seen, NOW), Ok(()));
}

#[test]
fn precheck_rejects_only_wrong_issuer_audience_or_expiry() {
    let ruled_out = |token: String| rules().precheck(&unverified_claims(&token).unwrap(), NOW);
    for (claim, value, why) in [
        ("iss", json!("https://other.test"), TokenRejected::Issuer),
        ("aud", json!(["x"]), TokenRejected::Audience),
        ("exp", json!(NOW_S - 60), TokenRejected::Expired),
    ] {
        let token = with_claims(|claims| claims[claim] = value);
        assert_eq!(ruled_out(token), Err(why));
        assert_eq!(ruled_out(without(claim)), Ok(()));
    }
}

fn verify_introspection(
    change: impl FnOnce(&mut Value, &mut Value),
) -> Result<StrictObject, JwtError> {
    let mut header = json!({ "alg": "ES256", "kid": "es", "typ": "token-introspection+jwt" });
    let mut payload = json!({
        "iss": ISSUER, "aud": "gatepost", "iat": NOW_S,
        "token_introspection": { "active": true, "sub": "alice" },
    });
    change(&mut header, &mut payload);
    let text = signed(&header.to_string(), &payload.to_string(), Algorithm::ES256);
    rules().verify_introspection(&text, "gatepost", &keys(), NOW)
}

// RFC 9701 section 5.
#[test]
fn signed_introspection_response_yields_inner_claims() {
    let inner = verify_introspection(|_, _| ()).unwrap();
    let plain = StrictObject::parse(br#"{"active":true,"sub":"alice"}"#).unwrap();
    assert_eq!(inner, plain);
    let inner = verify_introspection(|header, payload| {
        header["typ"] = json!("application/token-introspection+jwt");
        payload["aud"] = json!(["other", "gatepost"]);
        payload["iat"] = json!(NOW_S - 64);
    });
    assert!(inner.is_ok());
}

#[test]
fn signed_introspection_response_must_be_fresh_and_for_this_client() {
    for (name, value, why) in [
        ("iss", json!("https://other.test"), TokenRejected::Issuer),
        ("aud", json!("other"), TokenRejected::Audience),
        ("aud", json!(AUDIENCE), TokenRejected::Audience),
        ("aud", Value::Null, TokenRejected::Audience),
        ("iat", json!(NOW_S - 65), TokenRejected::Stale),
        ("iat", json!(NOW_S + 6), TokenRejected::NotYetValid),
        ("iat", json!("x"), TokenRejected::InvalidClaim),
        ("exp", json!(NOW_S - 5), TokenRejected::Expired),
        ("nbf", json!(NOW_S + 6), TokenRejected::NotYetValid),
        ("token_introspection", json!("{}"), TokenRejected::Malformed),
        ("token_introspection", Value::Null, TokenRejected::Malformed),
    ] {
        let given = verify_introspection(|_, payload| payload[name] = value.clone());
        assert_eq!(given, Err(why.into()), "{name} {value}");
    }
    for (name, why) in [
        ("iat", TokenRejected::Stale),
        ("aud", TokenRejected::Audience),
        ("iss", TokenRejected::Issuer),
        ("token_introspection", TokenRejected::Malformed),
    ] {
        let given = verify_introspection(|_, payload| {
            payload.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(given, Err(why.into()), "{name}");
    }
    for kind in ["JWT", "at+jwt"] {
        let given = verify_introspection(|header, _| header["typ"] = json!(kind));
        assert_eq!(given, Err(TokenRejected::WrongType.into()));
    }
    let given = verify_introspection(|header, _| header["kid"] = json!("new"));
    assert_eq!(given, Err(JwtError::NeedsKey("new".to_owned())));
    let given = verify_introspection(|header, _| header["kid"] = json!("rs"));
    assert_eq!(given, Err(TokenRejected::KeyMismatch.into()));
}

#[test]
fn access_token_is_not_accepted_as_introspection_response() {
    let token = with_claims(|claims| {
        claims["aud"] = json!(["gatepost", AUDIENCE]);
        claims["token_introspection"] = json!({ "active": true });
    });
    assert_eq!(
        rules().verify_introspection(&token, "gatepost", &keys(), NOW),
        Err(TokenRejected::WrongType.into())
    );
}

/// Texts similar enough to a token to pass the first checks.
fn nearly_a_token() -> impl Strategy<Value = String> {
    let json = prop_oneof![
        Just(header().to_string()),
        Just(claims().to_string()),
        Just(r#"{"alg":"ES256","kid":"es","typ":"at+jwt"}"#.to_owned()),
        r#"\{("(alg|kid|typ|crit|exp|iss|aud|iat|nbf)":("(ES256|none|es|at\+jwt|x)"|[0-9.eE+-]{1,8}|null|\[\]|\{\}),?){0,4}\}"#,
        ".{0,40}",
    ];
    let part = prop_oneof![
        json.prop_map(|text| URL_SAFE_NO_PAD.encode(text)),
        "[A-Za-z0-9_=-]{0,40}",
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.join("."))
}

proptest! {
    #[test]
    fn unsigned_input_is_rejected_without_panic(
        token in prop_oneof![".{0,200}", nearly_a_token()],
        seconds in prop_oneof![Just(NOW_S), -377_705_023_200_i64..253_402_207_200],
        skew in 0..u64::MAX,
    ) {
        let now = Timestamp::from_second(seconds).unwrap();
        let mut recipe = lenient_rules();
        recipe.claims.skew = Duration::from_secs(skew);
        prop_assert!(recipe.verify(&token, &keys(), now).is_err());
        prop_assert!(recipe.verify_introspection(&token, "gatepost", &keys(), now).is_err());
        if let Some(seen) = unverified_claims(&token) {
            prop_assert_eq!(recipe.precheck(&seen, now), recipe.precheck(&seen, now));
        }
    }

    #[test]
    fn token_with_one_changed_byte_is_rejected(at in 0_usize..400, to in 33_u8..127) {
        let mut bytes = with_claims(|_| ()).into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let token = String::from_utf8(bytes).unwrap();
        prop_assert!(rules().verify(&token, &keys(), NOW).is_err());
    }
}
