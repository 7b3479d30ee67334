//! Introspection requests: RFC 7662, client authentication, and signed responses
//! (RFC 9701).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{ConfigOverrides, IdpFixture, NO_CACHE, form_encoded};
use crate::idp::{
    Endpoint, ExpectedClientAuth, Idp, IdpOptions, Mode, RecordedRequest, SigningKey, random_hex,
};

fn fixture_with_auth(asker: ExpectedClientAuth, provider: &str) -> IdpFixture {
    let idp = Idp::start();
    idp.expect_client_auth(asker);
    IdpFixture::with_idp(idp, ConfigOverrides::of_provider(provider))
}

fn single_introspection(scene: &IdpFixture) -> RecordedRequest {
    let mut asked: Vec<RecordedRequest> = scene
        .idp
        .requests()
        .into_iter()
        .filter(|seen| seen.endpoint == Endpoint::Introspection)
        .collect();
    assert_eq!(asked.len(), 1);
    asked.remove(0)
}

// All characters with a meaning in forms, in Basic authentication or in headers.
fn odd_secret() -> String {
    format!("gw secret/with:odd+chars%&=\"\\é{}", random_hex(8))
}

#[test]
fn introspection_request_has_token_and_type_hint() {
    let scene = IdpFixture::start();
    let token = scene.token();
    scene.assert_served(&token);
    let asked = single_introspection(&scene);
    assert_eq!(asked.method, "POST");
    assert_eq!(
        asked.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(asked.header("accept"), Some("application/json"));
    assert!(
        asked
            .header("accept-encoding")
            .is_none_or(|accepted| accepted == "identity")
    );
    assert!(asked.header("cookie").is_none() && asked.header("origin").is_none());
    assert_eq!(asked.field("token"), Some(token.as_str()));
    assert_eq!(asked.field("token_type_hint"), Some("access_token"));
    assert_eq!(asked.form.len(), 2, "{:?}", asked.form);
    assert!(!asked.target.contains(&token), "{}", asked.target);
}

#[test]
fn token_with_every_allowed_character_is_sent_unchanged() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    let token = format!("aZ09-._~+/{}==", random_hex(16));
    scene.idp.set_token(&token, scene.claims());
    scene.assert_served(&token);
}

// RFC 6749 section 2.3.1.
#[test]
fn client_secret_is_form_encoded_in_basic_auth() {
    let (id, secret) = ("my client:1".to_owned(), odd_secret());
    let scene = fixture_with_auth(
        ExpectedClientAuth::Basic {
            id: id.clone(),
            secret: secret.clone(),
        },
        "",
    );
    scene.assert_served(&scene.token());
    let asked = single_introspection(&scene);
    let proof = asked.header("authorization").unwrap();
    let text = STANDARD
        .decode(proof.strip_prefix("Basic ").unwrap())
        .unwrap();
    let text = String::from_utf8(text).unwrap().to_lowercase();
    assert_eq!(
        text,
        format!("{}:{}", form_encoded(&id), form_encoded(&secret)).to_lowercase()
    );
    assert!(asked.field("client_id").is_none() && asked.field("client_secret").is_none());
}

#[test]
fn raw_basic_encoding_sends_secret_unencoded() {
    let secret = format!("raw secret%+/{}", random_hex(8));
    let scene = fixture_with_auth(
        ExpectedClientAuth::BasicRaw {
            id: "gatepost".to_owned(),
            secret,
        },
        "",
    );
    scene.assert_served(&scene.token());
}

#[test]
fn client_secret_post_sends_secret_only_in_form() {
    let secret = odd_secret();
    let scene = fixture_with_auth(
        ExpectedClientAuth::Post {
            id: "gatepost".to_owned(),
            secret: secret.clone(),
        },
        "",
    );
    scene.assert_served(&scene.token());
    let asked = single_introspection(&scene);
    assert!(asked.header("authorization").is_none());
    assert_eq!(asked.field("client_secret"), Some(secret.as_str()));
    assert_eq!(asked.field("client_id"), Some("gatepost"));
}

// The provider must be the one that the key file belongs to.
const ZITADEL_PROVIDER: &str = "kind = \"zitadel\"\nproject = \"4711\"\nrole_claims = [\"/roles\"]";

fn key_auth(idp: &Idp, audience: Option<&str>) -> ExpectedClientAuth {
    ExpectedClientAuth::PrivateKeyJwt {
        id: "78366403256846243@gatepost".to_owned(),
        key: Box::new(SigningKey::rsa(2, "81693565968962154")),
        audience: audience.map_or_else(|| idp.issuer().to_owned(), str::to_owned),
    }
}

// RFC 7523 section 3; Zitadel's key file as downloaded.
#[test]
fn private_key_jwt_uses_fresh_assertion_per_request() {
    let idp = Idp::start();
    idp.expect_client_auth(key_auth(&idp, None));
    let scene = IdpFixture::with_idp(
        idp,
        ConfigOverrides {
            provider: &format!("{ZITADEL_PROVIDER}\n{NO_CACHE}"),
            ..ConfigOverrides::default()
        },
    );
    // The fake provider rejects assertions that are reused, live longer than a
    // minute, or have another audience.
    for _ in 0..5 {
        scene.assert_served(&scene.token_with(&json!({"aud": "4711"})));
    }
    let seen = scene.idp.requests();
    let proofs: Vec<&str> = seen
        .iter()
        .filter_map(|seen| seen.field("client_assertion"))
        .collect();
    assert_eq!(proofs.len(), 5);
    let log = crate::log::written_since(0);
    for proof in &proofs {
        assert!(!log.contains(proof));
    }
    for seen in seen
        .iter()
        .filter(|seen| seen.endpoint == Endpoint::Introspection)
    {
        assert_eq!(seen.client_auth_fault, None);
        assert!(seen.header("authorization").is_none());
        assert!(seen.field("client_secret").is_none());
    }
}

#[test]
fn assertion_has_configured_audience() {
    let idp = Idp::start();
    let audience = format!("{}/token", idp.issuer());
    idp.expect_client_auth(key_auth(&idp, Some(&audience)));
    let provider = format!("{ZITADEL_PROVIDER}\nassertion_audience = \"{audience}\"");
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(&provider));
    scene.assert_served(&scene.token_with(&json!({"aud": "4711"})));
}

#[test]
fn client_key_may_be_pem_with_configured_key_id() {
    let idp = Idp::start();
    let asker = key_auth(&idp, None);
    idp.expect_client_auth(asker.clone());
    let ExpectedClientAuth::PrivateKeyJwt { id, key, .. } = asker else {
        panic!("a key")
    };
    let text = super::configuration(&idp, ConfigOverrides::default()).replace(
        "key_file = \"zitadel-key.json\"",
        &format!(
            "key_file = \"key.pem\"\nkey_id = \"{}\"\nclient_id = \"{id}\"",
            key.id
        ),
    );
    let stage = crate::test_gateway::TestGateway::from_config_with_files(
        &text,
        &[("key.pem", &key.private_pem())],
    );
    let token = idp.issue_opaque(json!({
        "iss": idp.issuer(), "aud": super::PRODUCTION, "sub": "alice", "exp": 4_000_000_000_u32,
        "token_type": "Bearer", "roles": ["odoo_reader"],
    }));
    let bearer = format!("Authorization: Bearer {token}");
    let answer = stage.request(
        "POST",
        "/production/mcp",
        &[super::JSON, super::HOST, &bearer],
        &super::count_request(),
    );
    assert_eq!(answer.status, 200, "{answer:?} {:?}", idp.requests());
}

#[test]
fn invalid_key_file_is_reported_at_startup_without_its_content() {
    let idp = Idp::start();
    idp.expect_client_auth(key_auth(&idp, None));
    let text = super::configuration(&idp, ConfigOverrides::of_provider(ZITADEL_PROVIDER));
    let pem = SigningKey::rsa(2, "x").private_pem();
    let good = super::zitadel_key("gatepost", "1", &pem);
    let damaged = good.replace("MII", "XXX");
    let service = good.replace("application", "serviceaccount");
    for content in ["", "{}", "[]", "not a key", &damaged, &service] {
        let mistakes = crate::test_gateway::TestGateway::config_errors(
            &text,
            &[("zitadel-key.json", content)],
        );
        assert!(mistakes.contains("key_file"), "{content}: {mistakes}");
        for line in pem
            .lines()
            .filter(|line| line.len() > 20 && !line.starts_with("---"))
        {
            assert!(!mistakes.contains(line), "{mistakes}");
        }
    }
    assert_eq!(
        crate::test_gateway::TestGateway::config_errors(&text, &[("zitadel-key.json", &good)]),
        ""
    );
}

const SIGNED_INTROSPECTION: &str =
    "signed_introspection = true\ncache_ttl_s = 0\nnegative_ttl_s = 0";

fn signing_fixture() -> IdpFixture {
    let idp = Idp::start();
    idp.sign_responses();
    IdpFixture::with_idp(idp, ConfigOverrides::of_provider(SIGNED_INTROSPECTION))
}

// RFC 9701 section 5.
#[test]
fn valid_signed_introspection_response_is_accepted() {
    let scene = signing_fixture();
    scene.assert_served(&scene.token());
    assert_eq!(
        single_introspection(&scene).header("accept"),
        Some("application/token-introspection+jwt")
    );
    let token = scene.token();
    scene.idp.revoke(&token);
    scene.assert_rejected(&token);
    scene.assert_rejected(&scene.token_with(&json!({"aud": super::STAGING})));
}

// RFC 9701 section 5.
#[test]
fn invalid_signed_introspection_response_gives_503() {
    for mode in [
        Mode::SignedByAnother,
        Mode::SignedForAnother,
        Mode::SignedFromAnother,
        Mode::SignedNone,
        Mode::SignedOld,
        Mode::SignedTyp,
        Mode::ActiveString,
        Mode::NoActive,
        Mode::Html,
        Mode::S500,
    ] {
        let scene = signing_fixture();
        scene.idp.set_mode(Endpoint::Introspection, mode);
        scene.assert_unavailable(&scene.token());
    }
}

// RFC 9701: if signed responses are required, an unsigned one is rejected.
#[test]
fn unsigned_response_gives_503_if_signature_is_required() {
    let scene = IdpFixture::with_provider(SIGNED_INTROSPECTION);
    scene.assert_unavailable(&scene.token());
}

#[test]
fn signed_response_gives_503_if_not_configured() {
    let idp = Idp::start();
    idp.sign_responses();
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::of_provider(NO_CACHE));
    scene.assert_unavailable(&scene.token());
}

#[test]
fn rotated_introspection_signing_keys_are_fetched() {
    let scene = signing_fixture();
    scene.assert_served(&scene.token());
    scene.idp.rotate_keys();
    scene.assert_served(&scene.token());
    assert_eq!(scene.idp.request_count(Endpoint::Jwks), 2);
}

#[test]
fn introspection_over_tls_succeeds() {
    let idp = Idp::start_with(&IdpOptions {
        tls: true,
        ..IdpOptions::default()
    });
    let scene = IdpFixture::with_idp(idp, ConfigOverrides::default());
    scene.assert_served(&scene.token());
}

#[test]
fn exactly_one_client_secret_source_is_required() {
    let idp = Idp::start();
    let good = super::configuration(&idp, ConfigOverrides::default());
    let secret = good
        .lines()
        .find(|line| line.starts_with("client_secret"))
        .unwrap();
    for (what, text) in [
        ("none", good.replace(secret, "")),
        (
            "both",
            good.replace(
                secret,
                &format!("{secret}\nclient_secret_file = \"sales.key\""),
            ),
        ),
        ("no client", good.replace("client_id = \"gate post\"", "")),
    ] {
        let mistakes = crate::test_gateway::TestGateway::config_errors(
            &text,
            &[("sales.key", "another-secret")],
        );
        assert!(mistakes.contains("client_"), "{what}: {mistakes}");
        let value: Value = secret.split_once("= ").unwrap().1.into();
        assert!(!mistakes.contains(value.as_str().unwrap()), "{mistakes}");
    }
    assert_eq!(key_algorithm(&idp), Algorithm::RS256);
}

fn key_algorithm(idp: &Idp) -> Algorithm {
    idp.key(Algorithm::RS256).algorithm
}
