//! Signed tokens: T-01 to T-04 and T-22.

use std::time::Instant;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{
    ConfigOverrides, ForbiddenListener, HOST, IdpFixture, JSON, PRODUCTION, VALIDATE_JWT,
    count_request,
};
use crate::{
    idp::{Endpoint, Idp, IdpOptions, Mode, SigningKey, hmac, random_hex, unsigned},
    test_gateway::TestGateway,
};

/// A key set whose only key is symmetric.
const SYMMETRIC_KEYS: &str = r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"x","alg":"HS256"}]}"#;

fn jwt_fixture() -> IdpFixture {
    IdpFixture::with_provider(VALIDATE_JWT)
}

fn jwt_header_text(key: &SigningKey, more: &Value) -> String {
    crate::idp::jwt_header(more, &key.id).to_string()
}

#[test]
fn token_signed_with_rs256_or_es256_is_accepted() {
    let scene = jwt_fixture();
    for algorithm in ["RS256", "ES256"] {
        scene.assert_served(
            &scene
                .idp
                .issue_jwt(&json!({"alg": algorithm}), &scene.claims()),
        );
    }
    assert_eq!(
        (
            scene.idp.request_count(Endpoint::Jwks),
            scene.idp.request_count(Endpoint::Introspection)
        ),
        (1, 0)
    );
}

// T-01
#[test]
fn unsigned_token_is_rejected_for_every_spelling_of_none() {
    let scene = jwt_fixture();
    let key = scene.idp.key(Algorithm::RS256);
    let claims = scene.claims().to_string();
    for none in ["none", "None", "nOnE", "NONE", ""] {
        let head = jwt_header_text(&key, &json!({"alg": none}));
        scene.assert_rejected(&(unsigned(&head, &claims) + "."));
        scene.assert_rejected(&(unsigned(&head, &claims) + ".c2lnbmF0dXJl"));
        // With a valid signature, but of another header.
        let signature = scene.idp.issue_jwt(&json!({}), &scene.claims());
        let signature = signature.rsplit('.').next().unwrap();
        scene.assert_rejected(&format!("{}.{signature}", unsigned(&head, &claims)));
    }
    scene.assert_rejected(&unsigned(
        &jwt_header_text(&key, &json!({"alg": null})),
        &claims,
    ));
    scene.assert_rejected(
        &(unsigned(&jwt_header_text(&key, &json!({"alg": 256})), &claims) + ".AAAA"),
    );
    scene.assert_served(&scene.jwt_with(&json!({})));
}

// T-02
#[test]
fn token_signed_with_public_key_as_hmac_secret_is_rejected() {
    let scene = jwt_fixture();
    let key = scene.idp.key(Algorithm::RS256);
    let jwk = key.public();
    let head = jwt_header_text(&key, &json!({"alg": "HS256"}));
    let claims = scene.claims().to_string();
    for secret in [
        key.public_pem().into_bytes(),
        key.public_pem().trim_end().as_bytes().to_vec(),
        key.public_der(),
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        Vec::new(),
    ] {
        scene.assert_rejected(&hmac(&head, &claims, &secret));
        // Signed with one algorithm, and labelled with another.
        scene.assert_rejected(&hmac(&jwt_header_text(&key, &json!({})), &claims, &secret));
    }
    scene.assert_served(&scene.jwt_with(&json!({})));
}

// T-02
#[test]
fn symmetric_and_none_algorithms_cannot_be_configured() {
    for algorithm in ["HS256", "HS512", "none", "RS1"] {
        let text = super::configuration(
            &Idp::start(),
            ConfigOverrides {
                provider: &format!("{VALIDATE_JWT}\nalgorithms = [\"RS256\", \"{algorithm}\"]"),
                ..ConfigOverrides::default()
            },
        );
        let mistakes = TestGateway::config_errors(&text, &[]);
        assert!(mistakes.contains("algorithms"), "{algorithm}: {mistakes}");
    }
}

// T-02
#[test]
fn disallowed_algorithm_is_rejected_although_key_is_published() {
    let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\nalgorithms = [\"ES256\"]"));
    scene.assert_rejected(&scene.jwt_with(&json!({})));
    scene.assert_served(
        &scene
            .idp
            .issue_jwt(&json!({"alg": "ES256"}), &scene.claims()),
    );
}

// T-02: the key decides, not the token.
#[test]
fn key_is_used_only_with_its_own_algorithm() {
    let scene = jwt_fixture();
    let (rsa, p256) = (
        scene.idp.key(Algorithm::RS256),
        scene.idp.key(Algorithm::ES256),
    );
    let claims = scene.claims().to_string();
    scene.assert_rejected(&rsa.sign(
        &jwt_header_text(&rsa, &json!({"alg": "PS256"})),
        &claims,
        Algorithm::PS256,
    ));
    // The key ID of one key, with the signature of the other.
    scene.assert_rejected(&rsa.sign(
        &jwt_header_text(&p256, &json!({})),
        &claims,
        Algorithm::RS256,
    ));
    scene.assert_rejected(&p256.sign(
        &jwt_header_text(&rsa, &json!({"alg": "ES256"})),
        &claims,
        Algorithm::ES256,
    ));
}

#[test]
fn foreign_or_mismatched_signature_is_rejected() {
    let scene = jwt_fixture();
    let key = scene.idp.key(Algorithm::RS256);
    let claims = scene.claims();
    let other = SigningKey::rsa(3, &key.id);
    scene.assert_rejected(&other.sign(
        &jwt_header_text(&key, &json!({})),
        &claims.to_string(),
        Algorithm::RS256,
    ));
    let good = scene.idp.issue_jwt(&json!({}), &claims);
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let more = scene.claims_with(&json!({"roles": ["odoo_reader", "odoo_admin"]}));
    let head = jwt_header_text(&key, &json!({}));
    scene.assert_rejected(&format!(
        "{}.{signature}",
        unsigned(&head, &more.to_string())
    ));
    scene.assert_rejected(&format!("{rest}."));
    scene.assert_rejected(&format!("{rest}.AAAA"));
    scene.assert_rejected(&format!("{good}.{signature}"));
    for broken in ["a.b.c", "a.b.c.d.e", "..", "eyJ.eyJ.AAAA", "e30.e30.AAAA"] {
        scene.assert_rejected(&format!("{broken}{}", "A".repeat(16)));
    }
}

// T-03
#[test]
fn header_with_key_reference_or_crit_is_rejected_without_fetch() {
    let scene = jwt_fixture();
    let trap = ForbiddenListener::bind("127.0.0.1");
    let url = format!("http://127.0.0.1:{}/jwks", trap.port());
    let attacker = SigningKey::rsa(3, &random_hex(4));
    for more in [
        json!({"crit": ["exp"]}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"crit": []}),
        json!({"jku": url}),
        json!({"x5u": url}),
        json!({"jwk": attacker.public()}),
        json!({"jwk": scene.idp.key(Algorithm::RS256).public()}),
        json!({"kid": null}),
        json!({"kid": ""}),
        json!({"kid": "../../x"}),
        json!({"kid": 7}),
        json!({"kid": [scene.idp.key(Algorithm::RS256).id]}),
        json!({"kid": "k".repeat(2000)}),
    ] {
        scene.assert_rejected(&scene.idp.issue_jwt(&more, &scene.claims()));
    }
    // The keys were fetched a moment ago, so it is not known that there is none.
    for more in [json!({"kid": "/dev/null"}), json!({"kid": "' OR 1=1 --"})] {
        scene.assert_unavailable(&scene.idp.issue_jwt(&more, &scene.claims()));
    }
    // The attacker's own key in the header, with its signature.
    let head = jwt_header_text(&attacker, &json!({"jwk": attacker.public()}));
    scene.assert_rejected(&attacker.sign(&head, &scene.claims().to_string(), Algorithm::RS256));
    let long = scene
        .idp
        .issue_jwt(&json!({"kid": "k".repeat(64 << 10)}), &scene.claims());
    let before = scene.idp.requests().len();
    let answer = scene.gateway.send_in_two(
        format!(
            "POST /production/mcp HTTP/1.1\r\n{HOST}\r\n{JSON}\r\nConnection: close\r\nAuthorization: Bearer {long}\r\n"
        )
        .as_bytes(),
        format!("Content-Length: {}\r\n\r\n{}", count_request().len(), count_request()).as_bytes(),
        false,
    );
    assert!(
        matches!(answer.status, 400 | 401 | 431),
        "{}",
        answer.status
    );
    assert_eq!(scene.idp.requests().len(), before);
    trap.assert_untouched();
    let keys = scene.idp.request_count(Endpoint::Jwks);
    assert!(keys <= 2, "{keys} fetches of the set of keys");
    assert_eq!(scene.idp.request_count(Endpoint::Other), 0);
    scene.assert_served(&scene.jwt_with(&json!({})));
}

// T-04
#[test]
fn id_token_is_rejected() {
    let scene = jwt_fixture();
    let typ = json!({"typ": "JWT"});
    scene.assert_rejected(
        &scene
            .idp
            .issue_jwt(&typ, &scene.claims_with(&json!({"aud": "mcp-client"}))),
    );
    // Even if everything else is valid: RFC 9068 section 4.
    scene.assert_rejected(&scene.idp.issue_jwt(&typ, &scene.claims()));
    scene.assert_rejected(&scene.idp.issue_jwt(&json!({"typ": null}), &scene.claims()));
    scene.assert_rejected(
        &scene
            .idp
            .issue_jwt(&json!({"typ": "logout+jwt"}), &scene.claims()),
    );
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        scene.assert_served(&scene.idp.issue_jwt(&json!({"typ": typ}), &scene.claims()));
    }
}

// T-04
#[test]
fn id_token_is_rejected_by_claims_if_typ_is_not_required() {
    let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\nrequire_at_jwt = false"));
    let typ = json!({"typ": "JWT"});
    scene.assert_served(&scene.idp.issue_jwt(&typ, &scene.claims()));
    for more in [
        json!({"aud": "mcp-client"}),
        json!({"nonce": "n-0S6_WzA2Mj"}),
        json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
    ] {
        scene.assert_rejected(&scene.idp.issue_jwt(&typ, &scene.claims_with(&more)));
    }
    for typ in [
        "logout+jwt",
        "token-introspection+jwt",
        "dpop+jwt",
        "secevent+jwt",
    ] {
        scene.assert_rejected(&scene.idp.issue_jwt(&json!({"typ": typ}), &scene.claims()));
    }
}

// T-22
#[test]
fn key_rotation_needs_one_fetch_and_drops_old_keys() {
    let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\n{}", super::NO_CACHE));
    let issued = jiff::Timestamp::now().as_second() - 300;
    let old = scene.jwt_with(&json!({"iat": issued, "nbf": issued}));
    scene.assert_served(&old);
    assert_eq!(scene.idp.request_count(Endpoint::Jwks), 1);
    // The provider is reinstalled at the same address.
    scene.idp.stop();
    scene.idp.rotate_keys();
    scene.idp.restart();
    scene.assert_served(&scene.jwt_with(&json!({})));
    assert_eq!(scene.idp.request_count(Endpoint::Jwks), 2);
    scene.assert_rejected(&old);
    // Unknown key IDs cause at most one fetch in 30 seconds.
    let begun = Instant::now();
    for _ in 0..1000 {
        let token = scene
            .idp
            .issue_jwt(&json!({"kid": random_hex(8)}), &scene.claims());
        // B9: the provider may have published the key since.
        assert_eq!(scene.call(&token).status, 503);
    }
    let later = scene.idp.request_count(Endpoint::Jwks) - 2;
    assert!(
        u64::try_from(later).unwrap() <= begun.elapsed().as_secs() / 30,
        "{later} fetches"
    );
    scene.assert_served(&scene.jwt_with(&json!({})));
}

// T-22
#[test]
fn invalid_key_set_does_not_replace_good_keys() {
    for mode in [
        Mode::JwksEmpty,
        Mode::Replaced(SYMMETRIC_KEYS.to_owned()),
        Mode::HtmlAsJson,
        Mode::Html,
        Mode::Array,
        Mode::S500,
        Mode::S401,
        Mode::Trunc,
        Mode::Big,
        Mode::Reset,
        Mode::GzipBomb,
        Mode::Redirect("http://127.0.0.1:1/jwks".to_owned()),
    ] {
        let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\ntimeout_ms = 1000"));
        scene.assert_served(&scene.jwt_with(&json!({})));
        scene.idp.set_mode(Endpoint::Jwks, mode.clone());
        let answer = scene.call(
            &scene
                .idp
                .issue_jwt(&json!({"kid": random_hex(8)}), &scene.claims()),
        );
        assert!(matches!(answer.status, 401 | 503), "{mode:?}: {answer:?}");
        assert_eq!(scene.idp.request_count(Endpoint::Jwks), 2, "{mode:?}");
        scene.assert_served(&scene.jwt_with(&json!({})));
        assert!(scene.idp.bytes_sent() < 16 << 20, "{mode:?}");
    }
}

// T-22
#[test]
fn missing_keys_give_503() {
    for mode in [
        Mode::JwksEmpty,
        Mode::Replaced(SYMMETRIC_KEYS.to_owned()),
        Mode::S500,
        Mode::HtmlAsJson,
        Mode::Hang,
    ] {
        let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\ntimeout_ms = 1000"));
        scene.idp.set_mode(Endpoint::Jwks, mode);
        scene.assert_unavailable(&scene.jwt_with(&json!({})));
    }
}

#[test]
fn locally_rejected_jwt_is_never_introspected() {
    let scene = IdpFixture::with_provider(&format!(
        "validation = \"jwt_then_introspection\"\n{}",
        super::NO_CACHE
    ));
    let bad = [
        scene.jwt_with(&json!({"aud": "https://gw.example.com/other/mcp"})),
        scene.jwt_with(&json!({"iss": "https://evil.test"})),
        scene.jwt_with(&json!({"exp": 1})),
        SigningKey::rsa(3, &scene.idp.key(Algorithm::RS256).id).sign(
            &jwt_header_text(&scene.idp.key(Algorithm::RS256), &json!({})),
            &scene.claims().to_string(),
            Algorithm::RS256,
        ),
    ];
    for token in &bad {
        // The provider would report the token as active.
        scene.idp.set_token(token, scene.claims());
        scene.assert_rejected(token);
    }
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 0);
    // A valid signature is not sufficient: the provider may have revoked the
    // token.
    let claims = scene.claims();
    let good = scene.idp.issue_jwt(&json!({}), &claims);
    scene.assert_rejected(&good);
    scene.idp.set_token(&good, claims);
    scene.assert_served(&good);
    scene.idp.revoke(&good);
    scene.assert_rejected(&good);
    assert_eq!(scene.idp.request_count(Endpoint::Introspection), 3);
    // Opaque tokens are introspected directly.
    scene.assert_served(&scene.token());
}

#[test]
fn key_set_is_fetched_over_tls_only_with_trusted_ca() {
    let idp = Idp::start_with(&IdpOptions {
        tls: true,
        ..IdpOptions::default()
    });
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(VALIDATE_JWT));
    scene.assert_served(&scene.jwt_with(&json!({})));
    // The same without the certificate of the authority.
    let idp = Idp::start_with(&IdpOptions {
        tls: true,
        ..IdpOptions::default()
    });
    let text = super::configuration(&idp, ConfigOverrides::of_provider(VALIDATE_JWT))
        .replace("ca_file = \"authority.pem\"", "");
    let stage = TestGateway::from_config(&text);
    let claims = json!({"iss": idp.issuer(), "aud": PRODUCTION, "sub": "alice", "exp": 4_000_000_000_u32, "roles": ["odoo_reader"]});
    let bearer = format!(
        "Authorization: Bearer {}",
        idp.issue_jwt(&json!({}), &claims)
    );
    let answer = stage.request(
        "POST",
        "/production/mcp",
        &[JSON, HOST, &bearer],
        &count_request(),
    );
    assert_eq!(answer.status, 503);
    assert!(idp.requests().is_empty());
}
