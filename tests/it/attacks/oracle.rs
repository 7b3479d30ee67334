//! What the refusal of a token tells about it: nothing. T-38.
//!
//! That the times overlap too is not asserted: it would be a test of the machine.

use serde_json::json;

use super::{FRESH, SIGNED, STAGING, Scene};
use crate::{
    idp::{SigningKey, random},
    stage::Answer,
};

/// All of an answer that is not new with every answer.
fn told(answer: &Answer) -> String {
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
fn whatever_is_wrong_with_a_token_the_answer_is_the_same_to_the_last_byte() {
    let scene = Scene::provider(FRESH);
    let revoked = scene.token();
    scene.idp.revokes(&revoked);
    let tokens = [
        format!("tok-{}", random(24)),
        revoked,
        scene.token_with(&json!({"exp": 1})),
        scene.token_with(&json!({"nbf": 4_000_000_000_u32})),
        scene.token_with(&json!({"aud": STAGING})),
        scene.token_with(&json!({"iss": "https://evil.test"})),
        scene.token_with(&json!({"token_type": "DPoP"})),
        scene.token_with(&json!({"sub": ""})),
        format!("{}.{}.{}", random(8), random(8), random(8)),
    ];
    let answers: Vec<String> = tokens
        .iter()
        .map(|token| told(&scene.refused(token)))
        .collect();
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

// T-38
#[test]
fn whatever_is_wrong_with_a_signed_token_the_answer_is_the_same_to_the_last_byte() {
    let scene = Scene::provider(SIGNED);
    let key = scene.idp.key(jsonwebtoken::Algorithm::RS256);
    let another = SigningKey::rsa(3, &key.id).sign(
        &crate::idp::whole_header(&json!({}), &key.id).to_string(),
        &scene.claims().to_string(),
        jsonwebtoken::Algorithm::RS256,
    );
    let tokens = [
        another,
        scene.idp.jwt(&json!({"kid": random(8)}), &scene.claims()),
        scene.idp.jwt(&json!({"typ": "JWT"}), &scene.claims()),
        scene.idp.jwt(&json!({"crit": ["exp"]}), &scene.claims()),
        scene.jwt_with(&json!({"exp": 1})),
        scene.jwt_with(&json!({"aud": STAGING})),
        scene.jwt_with(&json!({"iss": "https://evil.test"})),
        scene.idp.jwt_of(&json!({}), "not JSON"),
        scene.idp.jwt_of(&json!({}), "[]"),
        format!("tok-{}", random(24)),
        "aaaaaaaa.bbbbbbbb.cccccccc".to_owned(),
    ];
    let answers: Vec<String> = tokens
        .iter()
        .map(|token| told(&scene.refused(token)))
        .collect();
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn a_claim_that_stands_twice_is_no_claim() {
    let scene = Scene::provider(SIGNED);
    let good = scene.claims().to_string();
    let open = good.strip_suffix('}').unwrap();
    for twice in [
        format!("{open},\"aud\":\"{}\"}}", super::PRODUCTION),
        format!("{open},\"exp\":4000000000}}"),
        format!("{open},\"sub\":\"admin\"}}"),
        format!("{open},\"iss\":\"{}\"}}", scene.idp.issuer()),
    ] {
        scene.refused(&scene.idp.jwt_of(&json!({}), &twice));
    }
    scene.served(&scene.idp.jwt_of(&json!({}), &good));
}
