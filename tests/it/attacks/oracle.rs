//! What the rejection of a token reveals about it: nothing. T-38.
//!
//! Response times are not compared, because that would test the machine.

use serde_json::json;

use super::{IdpFixture, NO_CACHE, STAGING, VALIDATE_JWT};
use crate::{
    idp::{SigningKey, random_hex},
    test_gateway::TestResponse,
};

/// The parts of a response that are the same every time.
fn stable_parts(answer: &TestResponse) -> String {
    let head: Vec<&str> = answer
        .head
        .lines()
        .filter(|line| {
            let line = line.to_lowercase();
            !line.starts_with("date:") && !line.starts_with("x-request-id:")
        })
        .collect();
    format!("{}\n\n{}", head.join("\n"), answer.body)
}

// T-38
#[test]
fn rejections_of_opaque_tokens_are_byte_identical() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    let revoked = scene.token();
    scene.idp.revoke(&revoked);
    let tokens = [
        format!("tok-{}", random_hex(24)),
        revoked,
        scene.token_with(&json!({"exp": 1})),
        scene.token_with(&json!({"nbf": 4_000_000_000_u32})),
        scene.token_with(&json!({"aud": STAGING})),
        scene.token_with(&json!({"iss": "https://evil.test"})),
        scene.token_with(&json!({"token_type": "DPoP"})),
        scene.token_with(&json!({"sub": ""})),
        format!("{}.{}.{}", random_hex(8), random_hex(8), random_hex(8)),
    ];
    let answers: Vec<String> = tokens
        .iter()
        .map(|token| stable_parts(&scene.assert_rejected(token)))
        .collect();
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

// T-38
#[test]
fn rejections_of_jwts_are_byte_identical() {
    let scene = IdpFixture::with_provider(VALIDATE_JWT);
    let key = scene.idp.key(jsonwebtoken::Algorithm::RS256);
    let another = SigningKey::rsa(3, &key.id).sign(
        &crate::idp::jwt_header(&json!({}), &key.id).to_string(),
        &scene.claims().to_string(),
        jsonwebtoken::Algorithm::RS256,
    );
    let tokens = [
        another,
        scene
            .idp
            .issue_jwt(&json!({"kid": random_hex(8)}), &scene.claims()),
        scene.idp.issue_jwt(&json!({"typ": "JWT"}), &scene.claims()),
        scene
            .idp
            .issue_jwt(&json!({"crit": ["exp"]}), &scene.claims()),
        scene.jwt_with(&json!({"exp": 1})),
        scene.jwt_with(&json!({"aud": STAGING})),
        scene.jwt_with(&json!({"iss": "https://evil.test"})),
        scene.idp.issue_jwt_with_payload(&json!({}), "not JSON"),
        scene.idp.issue_jwt_with_payload(&json!({}), "[]"),
        format!("tok-{}", random_hex(24)),
        "aaaaaaaa.bbbbbbbb.cccccccc".to_owned(),
    ];
    let answers: Vec<String> = tokens
        .iter()
        .map(|token| stable_parts(&scene.assert_rejected(token)))
        .collect();
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn jwt_with_duplicate_claim_is_rejected() {
    let scene = IdpFixture::with_provider(VALIDATE_JWT);
    let good = scene.claims().to_string();
    let open = good.strip_suffix('}').unwrap();
    for twice in [
        format!("{open},\"aud\":\"{}\"}}", super::PRODUCTION),
        format!("{open},\"exp\":4000000000}}"),
        format!("{open},\"sub\":\"admin\"}}"),
        format!("{open},\"iss\":\"{}\"}}", scene.idp.issuer()),
    ] {
        scene.assert_rejected(&scene.idp.issue_jwt_with_payload(&json!({}), &twice));
    }
    scene.assert_served(&scene.idp.issue_jwt_with_payload(&json!({}), &good));
}
