//! How the gateway asks: RFC 7662, its client authentication, and signed
//! answers (RFC 9701).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{FRESH, Scene, Words, encoded};
use crate::idp::{Asker, Endpoint, Idp, Mode, Seen, SetUp, SigningKey, random};

fn scene(asker: Asker, provider: &str) -> Scene {
    let idp = Idp::open();
    idp.expects(asker);
    Scene::of(
        idp,
        Words {
            provider,
            ..Words::default()
        },
    )
}

fn asked(scene: &Scene) -> Seen {
    let mut asked: Vec<Seen> = scene
        .idp
        .seen()
        .into_iter()
        .filter(|seen| seen.endpoint == Endpoint::Introspection)
        .collect();
    assert_eq!(asked.len(), 1);
    asked.remove(0)
}

// Every character that has a meaning in a form, in Basic or in a header.
fn odd() -> String {
    format!("gw secret/with:odd+chars%&=\"\\é{}", random(8))
}

#[test]
fn a_question_is_one_form_with_a_token_and_its_kind() {
    let scene = Scene::open();
    let token = scene.token();
    scene.served(&token);
    let asked = asked(&scene);
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
fn a_token_with_all_letters_that_tokens_have_arrives_as_it_is() {
    let scene = Scene::provider(FRESH);
    let token = format!("aZ09-._~+/{}==", random(16));
    scene.idp.knows(&token, scene.claims());
    scene.served(&token);
}

// RFC 6749 section 2.3.1.
#[test]
fn an_odd_secret_is_encoded_before_it_stands_in_basic() {
    let (id, secret) = ("my client:1".to_owned(), odd());
    let scene = scene(
        Asker::Basic {
            id: id.clone(),
            secret: secret.clone(),
        },
        "",
    );
    scene.served(&scene.token());
    let asked = asked(&scene);
    let proof = asked.header("authorization").unwrap();
    let text = STANDARD
        .decode(proof.strip_prefix("Basic ").unwrap())
        .unwrap();
    let text = String::from_utf8(text).unwrap().to_lowercase();
    assert_eq!(
        text,
        format!("{}:{}", encoded(&id), encoded(&secret)).to_lowercase()
    );
    assert!(asked.field("client_id").is_none() && asked.field("client_secret").is_none());
}

#[test]
fn a_server_that_does_not_decode_gets_the_secret_as_it_is() {
    let secret = format!("raw secret%+/{}", random(8));
    let scene = scene(
        Asker::BasicRaw {
            id: "gatepost".to_owned(),
            secret,
        },
        "",
    );
    scene.served(&scene.token());
}

#[test]
fn a_secret_in_the_form_stands_nowhere_else() {
    let secret = odd();
    let scene = scene(
        Asker::Post {
            id: "gatepost".to_owned(),
            secret: secret.clone(),
        },
        "",
    );
    scene.served(&scene.token());
    let asked = asked(&scene);
    assert!(asked.header("authorization").is_none());
    assert_eq!(asked.field("client_secret"), Some(secret.as_str()));
    assert_eq!(asked.field("client_id"), Some("gatepost"));
}

// Whose key file this is, that a provider must be.
const ZITADEL: &str = "kind = \"zitadel\"\nproject = \"4711\"\nrole_claims = [\"/roles\"]";

fn key_asker(idp: &Idp, audience: Option<&str>) -> Asker {
    Asker::Key {
        id: "78366403256846243@gatepost".to_owned(),
        key: Box::new(SigningKey::rsa(2, "81693565968962154")),
        audience: audience.map_or_else(|| idp.issuer().to_owned(), str::to_owned),
    }
}

// RFC 7523 section 3; Zitadel's key file as it is downloaded.
#[test]
fn with_a_key_every_question_has_its_own_short_lived_proof() {
    let idp = Idp::open();
    idp.expects(key_asker(&idp, None));
    let scene = Scene::of(
        idp,
        Words {
            provider: &format!("{ZITADEL}\n{FRESH}"),
            ..Words::default()
        },
    );
    // The double refuses what was used before, lives longer than a minute, or is for somebody else.
    for _ in 0..5 {
        scene.served(&scene.token_with(&json!({"aud": "4711"})));
    }
    let seen = scene.idp.seen();
    let proofs: Vec<&str> = seen
        .iter()
        .filter_map(|seen| seen.field("client_assertion"))
        .collect();
    assert_eq!(proofs.len(), 5);
    let log = crate::log::since(0);
    for proof in &proofs {
        assert!(!log.contains(proof));
    }
    for seen in seen
        .iter()
        .filter(|seen| seen.endpoint == Endpoint::Introspection)
    {
        assert_eq!(seen.fault, None);
        assert!(seen.header("authorization").is_none());
        assert!(seen.field("client_secret").is_none());
    }
}

#[test]
fn the_proof_is_for_the_audience_that_is_configured() {
    let idp = Idp::open();
    let audience = format!("{}/token", idp.issuer());
    idp.expects(key_asker(&idp, Some(&audience)));
    let provider = format!("{ZITADEL}\nassertion_audience = \"{audience}\"");
    let scene = Scene::of(
        idp,
        Words {
            provider: &provider,
            ..Words::default()
        },
    );
    scene.served(&scene.token_with(&json!({"aud": "4711"})));
}

#[test]
fn a_key_can_be_a_pem_with_its_name_beside_it() {
    let idp = Idp::open();
    let asker = key_asker(&idp, None);
    idp.expects(asker.clone());
    let Asker::Key { id, key, .. } = asker else {
        panic!("a key")
    };
    let text = super::configuration(&idp, Words::default()).replace(
        "key_file = \"zitadel-key.json\"",
        &format!(
            "key_file = \"key.pem\"\nkey_id = \"{}\"\nclient_id = \"{id}\"",
            key.id
        ),
    );
    let stage = crate::stage::Stage::written_beside(&text, &[("key.pem", &key.private_pem())]);
    let token = idp.opaque(json!({
        "iss": idp.issuer(), "aud": super::PRODUCTION, "sub": "alice", "exp": 4_000_000_000_u32,
        "token_type": "Bearer", "roles": ["odoo_reader"],
    }));
    let bearer = format!("Authorization: Bearer {token}");
    let answer = stage.request(
        "POST",
        "/production/mcp",
        &[super::JSON, super::HOST, &bearer],
        &super::counting(),
    );
    assert_eq!(answer.status, 200, "{answer:?} {:?}", idp.seen());
}

#[test]
fn a_key_that_cannot_be_used_is_told_at_the_start_and_not_shown() {
    let idp = Idp::open();
    idp.expects(key_asker(&idp, None));
    let text = super::configuration(
        &idp,
        Words {
            provider: ZITADEL,
            ..Words::default()
        },
    );
    let pem = SigningKey::rsa(2, "x").private_pem();
    let good = super::zitadel_key("gatepost", "1", &pem);
    let damaged = good.replace("MII", "XXX");
    let service = good.replace("application", "serviceaccount");
    for content in ["", "{}", "[]", "not a key", &damaged, &service] {
        let mistakes = crate::stage::Stage::mistakes(&text, &[("zitadel-key.json", content)]);
        assert!(mistakes.contains("key_file"), "{content}: {mistakes}");
        for line in pem
            .lines()
            .filter(|line| line.len() > 20 && !line.starts_with("---"))
        {
            assert!(!mistakes.contains(line), "{mistakes}");
        }
    }
    assert_eq!(
        crate::stage::Stage::mistakes(&text, &[("zitadel-key.json", &good)]),
        ""
    );
}

const SIGNED_ANSWERS: &str = "signed_introspection = true\ncache_ttl_s = 0\nnegative_ttl_s = 0";

fn signing() -> Scene {
    let idp = Idp::open();
    idp.signs_answers();
    Scene::of(
        idp,
        Words {
            provider: SIGNED_ANSWERS,
            ..Words::default()
        },
    )
}

// RFC 9701 section 5.
#[test]
fn a_signed_answer_is_believed_when_it_is_the_providers_to_us_and_fresh() {
    let scene = signing();
    scene.served(&scene.token());
    assert_eq!(
        asked(&scene).header("accept"),
        Some("application/token-introspection+jwt")
    );
    let token = scene.token();
    scene.idp.revokes(&token);
    scene.refused(&token);
    scene.refused(&scene.token_with(&json!({"aud": super::STAGING})));
}

// RFC 9701 section 5.
#[test]
fn a_signed_answer_of_another_to_another_or_of_another_time_is_none() {
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
        let scene = signing();
        scene.idp.behaves(Endpoint::Introspection, mode);
        scene.unavailable(&scene.token());
    }
}

// RFC 9701: whoever wants a signature takes no word without one.
#[test]
fn an_answer_without_a_signature_is_none_where_one_is_wanted() {
    let scene = Scene::provider(SIGNED_ANSWERS);
    scene.unavailable(&scene.token());
}

#[test]
fn a_signed_answer_is_none_where_it_was_not_asked_for() {
    let idp = Idp::open();
    idp.signs_answers();
    let scene = Scene::of(
        idp,
        Words {
            provider: FRESH,
            ..Words::default()
        },
    );
    scene.unavailable(&scene.token());
}

#[test]
fn keys_that_sign_answers_may_change() {
    let scene = signing();
    scene.served(&scene.token());
    scene.idp.rotates();
    scene.served(&scene.token());
    assert_eq!(scene.idp.count(Endpoint::Jwks), 2);
}

#[test]
fn a_question_over_tls_is_one_that_only_the_provider_reads() {
    let idp = Idp::set_up(&SetUp {
        tls: true,
        ..SetUp::default()
    });
    let scene = Scene::of(idp, Words::default());
    scene.served(&scene.token());
}

#[test]
fn a_secret_or_a_key_is_needed_and_not_both() {
    let idp = Idp::open();
    let good = super::configuration(&idp, Words::default());
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
        let mistakes = crate::stage::Stage::mistakes(&text, &[("sales.key", "another-secret")]);
        assert!(mistakes.contains("client_"), "{what}: {mistakes}");
        let value: Value = secret.split_once("= ").unwrap().1.into();
        assert!(!mistakes.contains(value.as_str().unwrap()), "{mistakes}");
    }
    assert_eq!(key_algorithm(&idp), Algorithm::RS256);
}

fn key_algorithm(idp: &Idp) -> Algorithm {
    idp.key(Algorithm::RS256).algorithm
}
