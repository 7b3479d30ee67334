use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, crypto, jwk::Jwk};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{NotAccepted, Recipe, Unproven, Unverified};
use crate::{jwks::KeySet, members::Members};

const RSA: &str = include_str!("../../../../tests/fixtures/identity/rsa_pkcs8.pem");
const RSA_PUBLIC: &str = include_str!("../../../../tests/fixtures/identity/rsa_public.pem");
const P_256: &str = include_str!("../../../../tests/fixtures/identity/ec_p256.pem");
const P_384: &str = include_str!("../../../../tests/fixtures/identity/ec_p384.pem");
const ED25519: &str = include_str!("../../../../tests/fixtures/identity/ed25519.pem");

const ISSUER: &str = "https://id.example.com";
const US: &str = "https://gw.example.com/production/mcp";
const NOW: Timestamp = Timestamp::constant(1_750_000_000, 0);
const T: i64 = 1_750_000_000;

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

fn set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn keys() -> KeySet {
    set(&[
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

fn recipe() -> Recipe {
    Recipe {
        issuer: ISSUER.to_owned(),
        audiences: BTreeSet::from([US.to_owned(), "4711".to_owned()]),
        algorithms: vec![
            Algorithm::RS256,
            Algorithm::PS256,
            Algorithm::ES256,
            Algorithm::EdDSA,
        ],
        require_at_jwt: true,
        skew: Duration::from_secs(5),
    }
}

fn lenient() -> Recipe {
    Recipe {
        require_at_jwt: false,
        ..recipe()
    }
}

fn header() -> Value {
    json!({ "alg": "ES256", "kid": "es", "typ": "at+jwt" })
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": US, "sub": "alice", "exp": T + 60, "iat": T, "roles": ["a"] })
}

/// A text signed as it stands, so that it may be anything.
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

fn verdict(recipe: &Recipe, token: &str) -> Result<(), NotAccepted> {
    match recipe.verify(token, &keys(), NOW) {
        Ok(_) => Ok(()),
        Err(Unproven::NotAccepted(why)) => Err(why),
        Err(Unproven::NeedsKey(_)) => Err(NotAccepted::UnknownKey),
    }
}

#[track_caller]
fn refused(token: &str, why: NotAccepted) {
    assert_eq!(verdict(&recipe(), token), Err(why));
}

#[test]
fn a_good_token_gives_what_it_says() {
    let payload = format!(
        r#"{{ "iss":"{ISSUER}","aud":["x","{US}"],"exp":{}.5,  "roles":{{"b":1,"a":2}}}}"#,
        T + 60
    );
    let token = signed(&header().to_string(), &payload, Algorithm::ES256);
    let given = recipe().verify(&token, &keys(), NOW).unwrap();
    assert_eq!(given, Members::parse(payload.as_bytes()).unwrap());
}

#[test]
fn every_allowed_algorithm_is_verified_with_its_key() {
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
        assert_eq!(verdict(&recipe(), &token), Ok(()), "{id} {name}");
    }
}

#[test]
fn what_another_implementation_signed_is_verified() {
    let tokens = include_str!("../../../../tests/fixtures/identity/node_tokens.txt");
    assert_eq!(tokens.lines().count(), 4);
    for token in tokens.lines() {
        assert_eq!(verdict(&recipe(), token), Ok(()), "{token}");
    }
}

#[test]
fn an_algorithm_that_is_not_allowed_is_refused_though_the_key_is_for_it() {
    let header = json!({ "alg": "ES384", "kid": "es384", "typ": "at+jwt" }).to_string();
    let token = signed(&header, &claims().to_string(), Algorithm::ES384);
    refused(&token, NotAccepted::Algorithm);
    let mut wider = recipe();
    wider.algorithms.push(Algorithm::ES384);
    assert_eq!(verdict(&wider, &token), Ok(()));
}

// T-01.
#[test]
fn an_unsigned_token_is_refused_however_none_is_written() {
    for none in ["none", "None", "nOnE", "", "rs256"] {
        let token = with_header(|header| header["alg"] = json!(none));
        let (unsigned, _) = token.rsplit_once('.').unwrap();
        refused(&token, NotAccepted::Algorithm);
        refused(&format!("{unsigned}."), NotAccepted::Algorithm);
    }
    let token = with_header(|_| ());
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    refused(&format!("{unsigned}."), NotAccepted::Signature);
}

// T-02.
#[test]
fn a_public_key_is_no_shared_secret() {
    let der = RSA_PUBLIC
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect::<String>();
    let der = base64::engine::general_purpose::STANDARD
        .decode(der)
        .unwrap();
    let text = jwk("rs", Algorithm::RS256, |_| ()).to_string();
    let mut reckless = recipe();
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
        refused(&token, NotAccepted::Algorithm);
        assert_eq!(verdict(&reckless, &token), Err(NotAccepted::Algorithm));
    }
}

// T-03.
#[test]
fn a_header_that_brings_a_key_or_must_be_understood_is_refused() {
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
        refused(&token, NotAccepted::ForbiddenHeader);
    }
}

// T-03.
#[test]
fn a_key_is_needed_by_name_and_the_name_is_no_path() {
    for id in [
        "../../etc/passwd",
        "https://evil.test/jwks",
        "' or 1=1 --",
        "ES",
    ] {
        let token = with_header(|header| header["kid"] = json!(id));
        assert_eq!(
            recipe().verify(&token, &keys(), NOW),
            Err(Unproven::NeedsKey(id.to_owned()))
        );
    }
    for id in ["", &"x".repeat(257)] {
        refused(
            &with_header(|header| header["kid"] = json!(id)),
            NotAccepted::NoKeyId,
        );
    }
    let token = with_header(|header| {
        header.as_object_mut().unwrap().remove("kid");
    });
    refused(&token, NotAccepted::NoKeyId);
    refused(
        &with_header(|header| header["kid"] = json!("x".repeat(64 << 10))),
        NotAccepted::TooLong,
    );
}

#[test]
fn a_token_that_would_be_refused_anyway_needs_no_key() {
    let mut header = header();
    header["kid"] = json!("unknown");
    let mut claims = claims();
    claims["exp"] = json!(T - 60);
    let token = signed(&header.to_string(), &claims.to_string(), Algorithm::ES256);
    refused(&token, NotAccepted::Expired);
}

#[test]
fn the_key_decides_how_it_is_used() {
    for (id, name, algorithm) in [
        // The same key, for PKCS #1 signatures only.
        ("rs", "PS256", Algorithm::PS256),
        ("ps", "RS256", Algorithm::RS256),
        ("es384", "ES256", Algorithm::ES256),
        ("rs", "ES256", Algorithm::ES256),
    ] {
        let header = json!({ "alg": name, "kid": id, "typ": "at+jwt" }).to_string();
        refused(
            &signed(&header, &claims().to_string(), algorithm),
            NotAccepted::KeyMismatch,
        );
    }
}

#[test]
fn one_id_may_be_of_two_kinds_of_keys() {
    let keys = set(&[
        jwk("one", Algorithm::RS256, |_| ()),
        jwk("one", Algorithm::ES256, |_| ()),
    ]);
    let token = with_header(|header| header["kid"] = json!("one"));
    assert!(recipe().verify(&token, &keys, NOW).is_ok());
}

#[test]
fn a_text_that_was_changed_or_signed_by_another_is_refused() {
    let good = with_claims(|_| ());
    let (start, signature) = good.rsplit_once('.').unwrap();
    let other = with_claims(|claims| claims["roles"] = json!(["admin"]));
    let (other_start, _) = other.rsplit_once('.').unwrap();
    refused(
        &format!("{other_start}.{signature}"),
        NotAccepted::Signature,
    );
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        let signature = URL_SAFE_NO_PAD.encode(&bytes);
        refused(&format!("{start}.{signature}"), NotAccepted::Signature);
        bytes[at] ^= 1;
    }
    refused(&format!("{start}."), NotAccepted::Signature);
    let keys = set(&[jwk("es", Algorithm::RS256, |jwk| {
        jwk.as_object_mut().unwrap().remove("alg");
    })]);
    assert_eq!(
        recipe().verify(&good, &keys, NOW),
        Err(NotAccepted::KeyMismatch.into())
    );
}

#[test]
fn what_is_not_three_parts_of_base_64_and_json_is_refused() {
    let good = with_claims(|_| ());
    let long = format!("{}.{}.{}", "e30", "A".repeat(20_000), "e30");
    refused(&long, NotAccepted::TooLong);
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
        let why = verdict(&recipe(), token).unwrap_err();
        let expected = if token == "e30.e30." {
            NotAccepted::Algorithm
        } else {
            NotAccepted::Malformed
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
        refused(&token, NotAccepted::Malformed);
    }
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let token = signed(&header().to_string(), &deep, Algorithm::ES256);
    refused(&token, NotAccepted::Malformed);
}

#[test]
fn what_is_said_twice_is_refused_at_any_depth() {
    let inside = |more: &str| {
        let claims = claims().to_string();
        format!("{},{more}}}", claims.strip_suffix('}').unwrap())
    };
    for more in [
        format!(r#""aud":"{US}""#),
        format!(r#""\u0061ud":"{US}""#),
        r#""x":{"y":[{"z":1,"z":1}]}"#.to_owned(),
    ] {
        let token = signed(&header().to_string(), &inside(&more), Algorithm::ES256);
        refused(&token, NotAccepted::RepeatedMember);
        assert_eq!(Unverified::read(&token), None);
    }
    let header = r#"{"alg":"ES256","kid":"es","kid":"es","typ":"at+jwt"}"#;
    let token = signed(header, &claims().to_string(), Algorithm::ES256);
    refused(&token, NotAccepted::RepeatedMember);
}

// RFC 9068 section 2.1.
#[test]
fn the_type_must_say_that_it_is_an_access_token() {
    for kind in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        let token = with_header(|header| header["typ"] = json!(kind));
        assert_eq!(verdict(&recipe(), &token), Ok(()), "{kind}");
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
        refused(&token, NotAccepted::Type);
    }
    let token = with_header(|header| {
        header.as_object_mut().unwrap().remove("typ");
    });
    refused(&token, NotAccepted::Type);
    assert_eq!(verdict(&lenient(), &token), Ok(()));
    for kind in ["logout+jwt", "secevent+jwt", "token-introspection+jwt", ""] {
        let token = with_header(|header| header["typ"] = json!(kind));
        assert_eq!(verdict(&lenient(), &token), Err(NotAccepted::Type));
    }
}

// T-04.
#[test]
fn an_id_token_is_no_access_token() {
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
            verdict(&lenient(), &token),
            Err(NotAccepted::IdToken),
            "{mark}"
        );
        refused(&token, NotAccepted::Type);
    }
}

// T-05.
#[test]
fn the_audience_must_name_us() {
    for (audience, good) in [
        (json!(US), true),
        (json!("4711"), true),
        (json!(["x", US]), true),
        (json!("x"), false),
        (json!(format!("{US}.evil")), false),
        (json!(format!("{US}/")), false),
        (json!("https://gw.example.com/"), false),
        (json!(US.to_uppercase()), false),
        (json!([]), false),
        (json!(["x"]), false),
        (json!([US, 1]), false),
        (json!(4711), false),
        (json!({ "0": US }), false),
        (json!(""), false),
        (Value::Null, false),
    ] {
        let token = with_claims(|claims| claims["aud"] = audience.clone());
        let expected = if good {
            Ok(())
        } else {
            Err(NotAccepted::Audience)
        };
        assert_eq!(verdict(&recipe(), &token), expected, "{audience}");
    }
    refused(&without("aud"), NotAccepted::Audience);
}

// T-06.
#[test]
fn the_issuer_is_compared_byte_for_byte() {
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
        refused(&token, NotAccepted::Issuer);
    }
    refused(&without("iss"), NotAccepted::Issuer);
}

// T-07.
#[test]
fn a_token_ends_with_its_time_and_a_little_later() {
    for (expires, expected) in [
        (json!(T + 1), Ok(())),
        (json!(T - 4), Ok(())),
        (json!(T - 5), Err(NotAccepted::Expired)),
        (json!(-1), Err(NotAccepted::Expired)),
        (json!(0), Err(NotAccepted::Expired)),
        (json!(1_750_000_060.5), Ok(())),
        (json!(1e300), Ok(())),
        (json!(-1e300), Err(NotAccepted::Expired)),
        (json!(u64::MAX), Ok(())),
        (json!(i64::MIN), Err(NotAccepted::Expired)),
        (json!((T + 60).to_string()), Err(NotAccepted::Malformed)),
        (json!(true), Err(NotAccepted::Malformed)),
        (Value::Null, Err(NotAccepted::Malformed)),
    ] {
        let token = with_claims(|claims| claims["exp"] = expires.clone());
        assert_eq!(verdict(&recipe(), &token), expected, "{expires}");
    }
    refused(&without("exp"), NotAccepted::NoExpiry);
}

// T-08.
#[test]
fn a_token_from_the_future_is_refused() {
    for (claim, why) in [
        ("nbf", NotAccepted::NotYet),
        ("iat", NotAccepted::IssuedLater),
    ] {
        for (time, expected) in [
            (json!(T + 5), Ok(())),
            (json!(T + 6), Err(why)),
            (json!(1e300), Err(why)),
            (json!("x"), Err(NotAccepted::Malformed)),
            (Value::Null, Err(NotAccepted::Malformed)),
        ] {
            let token = with_claims(|claims| claims[claim] = time.clone());
            assert_eq!(verdict(&recipe(), &token), expected, "{claim} {time}");
        }
        assert_eq!(verdict(&recipe(), &without(claim)), Ok(()));
    }
}

#[test]
fn every_refusal_reads_alike_to_the_client() {
    let unlike = [
        Unproven::NeedsKey("id".to_owned()),
        NotAccepted::Signature.into(),
        NotAccepted::Expired.into(),
    ];
    for why in unlike {
        assert_eq!(why.to_string(), "the access token is not accepted");
    }
    assert_ne!(
        NotAccepted::Signature.reason(),
        NotAccepted::Expired.reason()
    );
}

#[test]
fn an_opaque_token_is_told_from_a_jwt() {
    for opaque in [
        "Zm9v",
        "gp_7k2m_4Tz",
        "a.b.c",
        "ya29.a0Af.B1x",
        "e30.e30.c2ln",
        "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d",
        "",
    ] {
        assert_eq!(Unverified::read(opaque), None, "{opaque}");
    }
    let seen = Unverified::read(&with_claims(|_| ())).unwrap();
    assert_eq!(seen.issuer.as_deref(), Some(ISSUER));
    assert_eq!(seen.audiences, Some(vec![US.into()]));
    assert_eq!(recipe().rule_out(&seen, NOW), Ok(()));
}

#[test]
fn what_is_certain_to_be_refused_is_ruled_out_and_nothing_else() {
    let ruled_out = |token: String| recipe().rule_out(&Unverified::read(&token).unwrap(), NOW);
    for (claim, value, why) in [
        ("iss", json!("https://other.test"), NotAccepted::Issuer),
        ("aud", json!(["x"]), NotAccepted::Audience),
        ("exp", json!(T - 60), NotAccepted::Expired),
    ] {
        let token = with_claims(|claims| claims[claim] = value);
        assert_eq!(ruled_out(token), Err(why));
        assert_eq!(ruled_out(without(claim)), Ok(()));
    }
}

fn answer(change: impl FnOnce(&mut Value, &mut Value)) -> Result<Members, Unproven> {
    let mut header = json!({ "alg": "ES256", "kid": "es", "typ": "token-introspection+jwt" });
    let mut payload = json!({
        "iss": ISSUER, "aud": "gatepost", "iat": T,
        "token_introspection": { "active": true, "sub": "alice" },
    });
    change(&mut header, &mut payload);
    let text = signed(&header.to_string(), &payload.to_string(), Algorithm::ES256);
    recipe().verify_introspection(&text, "gatepost", &keys(), NOW)
}

// RFC 9701 section 5.
#[test]
fn a_signed_introspection_answer_gives_what_the_plain_one_says() {
    let inner = answer(|_, _| ()).unwrap();
    let plain = Members::parse(br#"{"active":true,"sub":"alice"}"#).unwrap();
    assert_eq!(inner, plain);
    let inner = answer(|header, payload| {
        header["typ"] = json!("application/token-introspection+jwt");
        payload["aud"] = json!(["other", "gatepost"]);
        payload["iat"] = json!(T - 64);
    });
    assert!(inner.is_ok());
}

#[test]
fn a_signed_introspection_answer_must_be_new_and_for_us() {
    for (name, value, why) in [
        ("iss", json!("https://other.test"), NotAccepted::Issuer),
        ("aud", json!("other"), NotAccepted::Audience),
        ("aud", json!(US), NotAccepted::Audience),
        ("aud", Value::Null, NotAccepted::Audience),
        ("iat", json!(T - 65), NotAccepted::Stale),
        ("iat", json!(T + 6), NotAccepted::IssuedLater),
        ("iat", json!("x"), NotAccepted::Malformed),
        ("exp", json!(T - 5), NotAccepted::Expired),
        ("nbf", json!(T + 6), NotAccepted::NotYet),
        ("token_introspection", json!("{}"), NotAccepted::Malformed),
        ("token_introspection", Value::Null, NotAccepted::Malformed),
    ] {
        let given = answer(|_, payload| payload[name] = value.clone());
        assert_eq!(given, Err(why.into()), "{name} {value}");
    }
    for (name, why) in [
        ("iat", NotAccepted::Stale),
        ("aud", NotAccepted::Audience),
        ("iss", NotAccepted::Issuer),
        ("token_introspection", NotAccepted::Malformed),
    ] {
        let given = answer(|_, payload| {
            payload.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(given, Err(why.into()), "{name}");
    }
    for kind in ["JWT", "at+jwt"] {
        let given = answer(|header, _| header["typ"] = json!(kind));
        assert_eq!(given, Err(NotAccepted::Type.into()));
    }
    let given = answer(|header, _| header["kid"] = json!("new"));
    assert_eq!(given, Err(Unproven::NeedsKey("new".to_owned())));
    let given = answer(|header, _| header["kid"] = json!("rs"));
    assert_eq!(given, Err(NotAccepted::KeyMismatch.into()));
}

#[test]
fn an_introspection_answer_and_an_access_token_do_not_pass_for_each_other() {
    let token = with_claims(|claims| {
        claims["aud"] = json!(["gatepost", US]);
        claims["token_introspection"] = json!({ "active": true });
    });
    assert_eq!(
        recipe().verify_introspection(&token, "gatepost", &keys(), NOW),
        Err(NotAccepted::Type.into())
    );
}

/// Texts near enough to a token to get past the first checks.
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
    fn nothing_that_was_not_signed_is_accepted_and_nothing_panics(
        token in prop_oneof![".{0,200}", nearly_a_token()],
        seconds in prop_oneof![Just(T), -377_705_023_200_i64..253_402_207_200],
        skew in 0..u64::MAX,
    ) {
        let now = Timestamp::from_second(seconds).unwrap();
        let recipe = Recipe { skew: Duration::from_secs(skew), ..lenient() };
        prop_assert!(recipe.verify(&token, &keys(), now).is_err());
        prop_assert!(recipe.verify_introspection(&token, "gatepost", &keys(), now).is_err());
        if let Some(seen) = Unverified::read(&token) {
            prop_assert_eq!(recipe.rule_out(&seen, now), recipe.rule_out(&seen, now));
        }
    }

    #[test]
    fn a_token_with_one_byte_changed_is_refused(at in 0_usize..400, to in 33_u8..127) {
        let mut bytes = with_claims(|_| ()).into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let token = String::from_utf8(bytes).unwrap();
        prop_assert!(recipe().verify(&token, &keys(), NOW).is_err());
    }
}
