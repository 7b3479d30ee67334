//! Signed tokens: T-01 to T-04 and T-22.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{HOST, JSON, PRODUCTION, SIGNED, Scene, Trap, Words, counting};
use crate::{
    idp::{Endpoint, Idp, Mode, SetUp, SigningKey, hmac, random, unsigned},
    stage::Stage,
};

fn scene() -> Scene {
    Scene::provider(SIGNED)
}

fn header(key: &SigningKey, more: &Value) -> String {
    crate::idp::whole_header(more, &key.id).to_string()
}

#[test]
fn a_token_signed_by_the_provider_is_good_whichever_of_its_algorithms_it_has() {
    let scene = scene();
    for algorithm in ["RS256", "ES256"] {
        scene.served(&scene.idp.jwt(&json!({"alg": algorithm}), &scene.claims()));
    }
    assert_eq!(
        (
            scene.idp.count(Endpoint::Jwks),
            scene.idp.count(Endpoint::Introspection)
        ),
        (1, 0)
    );
}

// T-01
#[test]
fn a_token_that_claims_to_need_no_signature_is_refused_however_that_is_spelled() {
    let scene = scene();
    let key = scene.idp.key(Algorithm::RS256);
    let claims = scene.claims().to_string();
    for none in ["none", "None", "nOnE", "NONE", ""] {
        let head = header(&key, &json!({"alg": none}));
        scene.refused(&(unsigned(&head, &claims) + "."));
        scene.refused(&(unsigned(&head, &claims) + ".c2lnbmF0dXJl"));
        // With a good signature of another header.
        let signature = scene.idp.jwt(&json!({}), &scene.claims());
        let signature = signature.rsplit('.').next().unwrap();
        scene.refused(&format!("{}.{signature}", unsigned(&head, &claims)));
    }
    scene.refused(&unsigned(&header(&key, &json!({"alg": null})), &claims));
    scene.refused(&(unsigned(&header(&key, &json!({"alg": 256})), &claims) + ".AAAA"));
    scene.served(&scene.jwt_with(&json!({})));
}

// T-02
#[test]
fn the_public_key_is_no_password_to_sign_with() {
    let scene = scene();
    let key = scene.idp.key(Algorithm::RS256);
    let jwk = key.public();
    let head = header(&key, &json!({"alg": "HS256"}));
    let claims = scene.claims().to_string();
    for secret in [
        key.public_pem().into_bytes(),
        key.public_pem().trim_end().as_bytes().to_vec(),
        key.public_der(),
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        Vec::new(),
    ] {
        scene.refused(&hmac(&head, &claims, &secret));
        // Signed so, and said to be otherwise.
        scene.refused(&hmac(&header(&key, &json!({})), &claims, &secret));
    }
    scene.served(&scene.jwt_with(&json!({})));
}

// T-02
#[test]
fn no_configuration_allows_an_algorithm_of_shared_passwords_or_of_none() {
    for algorithm in ["HS256", "HS512", "none", "RS1"] {
        let text = super::configuration(
            &Idp::open(),
            Words {
                provider: &format!("{SIGNED}\nalgorithms = [\"RS256\", \"{algorithm}\"]"),
                ..Words::default()
            },
        );
        let mistakes = Stage::mistakes(&text, &[]);
        assert!(mistakes.contains("algorithms"), "{algorithm}: {mistakes}");
    }
}

// T-02
#[test]
fn an_algorithm_that_is_not_allowed_is_refused_although_the_key_is_there() {
    let scene = Scene::provider(&format!("{SIGNED}\nalgorithms = [\"ES256\"]"));
    scene.refused(&scene.jwt_with(&json!({})));
    scene.served(&scene.idp.jwt(&json!({"alg": "ES256"}), &scene.claims()));
}

// T-02: the key decides, not the token.
#[test]
fn a_key_is_used_only_with_the_algorithm_that_its_set_gives_it() {
    let scene = scene();
    let (rsa, p256) = (
        scene.idp.key(Algorithm::RS256),
        scene.idp.key(Algorithm::ES256),
    );
    let claims = scene.claims().to_string();
    scene.refused(&rsa.sign(
        &header(&rsa, &json!({"alg": "PS256"})),
        &claims,
        Algorithm::PS256,
    ));
    // The name of one key over the signature of the other.
    scene.refused(&rsa.sign(&header(&p256, &json!({})), &claims, Algorithm::RS256));
    scene.refused(&p256.sign(
        &header(&rsa, &json!({"alg": "ES256"})),
        &claims,
        Algorithm::ES256,
    ));
}

#[test]
fn a_signature_of_somebody_else_or_of_other_words_is_refused() {
    let scene = scene();
    let key = scene.idp.key(Algorithm::RS256);
    let claims = scene.claims();
    let other = SigningKey::rsa(3, &key.id);
    scene.refused(&other.sign(
        &header(&key, &json!({})),
        &claims.to_string(),
        Algorithm::RS256,
    ));
    let good = scene.idp.jwt(&json!({}), &claims);
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let more = scene.claims_with(&json!({"roles": ["odoo_reader", "odoo_admin"]}));
    let head = header(&key, &json!({}));
    scene.refused(&format!(
        "{}.{signature}",
        unsigned(&head, &more.to_string())
    ));
    scene.refused(&format!("{rest}."));
    scene.refused(&format!("{rest}.AAAA"));
    scene.refused(&format!("{good}.{signature}"));
    for broken in ["a.b.c", "a.b.c.d.e", "..", "eyJ.eyJ.AAAA", "e30.e30.AAAA"] {
        scene.refused(&format!("{broken}{}", "A".repeat(16)));
    }
}

// T-03
#[test]
fn a_header_that_brings_or_names_keys_or_demands_something_is_refused_and_followed_nowhere() {
    let scene = scene();
    let trap = Trap::at("127.0.0.1");
    let url = format!("http://127.0.0.1:{}/jwks", trap.port());
    let attacker = SigningKey::rsa(3, &random(4));
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
        json!({"kid": "/dev/null"}),
        json!({"kid": "' OR 1=1 --"}),
        json!({"kid": 7}),
        json!({"kid": [scene.idp.key(Algorithm::RS256).id]}),
        json!({"kid": "k".repeat(2000)}),
    ] {
        scene.refused(&scene.idp.jwt(&more, &scene.claims()));
    }
    // The attacker's own key in the header, and its signature.
    let head = header(&attacker, &json!({"jwk": attacker.public()}));
    scene.refused(&attacker.sign(&head, &scene.claims().to_string(), Algorithm::RS256));
    let long = scene
        .idp
        .jwt(&json!({"kid": "k".repeat(64 << 10)}), &scene.claims());
    let before = scene.idp.seen().len();
    let answer = scene.stage.send_in_two(
        format!(
            "POST /production/mcp HTTP/1.1\r\n{HOST}\r\n{JSON}\r\nConnection: close\r\nAuthorization: Bearer {long}\r\n"
        )
        .as_bytes(),
        format!("Content-Length: {}\r\n\r\n{}", counting().len(), counting()).as_bytes(),
        false,
    );
    assert!(
        matches!(answer.status, 400 | 401 | 431),
        "{}",
        answer.status
    );
    assert_eq!(scene.idp.seen().len(), before);
    trap.is_untouched();
    let keys = scene.idp.count(Endpoint::Jwks);
    assert!(keys <= 2, "{keys} fetches of the set of keys");
    assert_eq!(scene.idp.count(Endpoint::Other), 0);
    scene.served(&scene.jwt_with(&json!({})));
}

// T-04
#[test]
fn an_id_token_is_no_access_token() {
    let scene = scene();
    let typ = json!({"typ": "JWT"});
    scene.refused(
        &scene
            .idp
            .jwt(&typ, &scene.claims_with(&json!({"aud": "mcp-client"}))),
    );
    // Even where everything else fits: RFC 9068 section 4.
    scene.refused(&scene.idp.jwt(&typ, &scene.claims()));
    scene.refused(&scene.idp.jwt(&json!({"typ": null}), &scene.claims()));
    scene.refused(
        &scene
            .idp
            .jwt(&json!({"typ": "logout+jwt"}), &scene.claims()),
    );
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt"] {
        scene.served(&scene.idp.jwt(&json!({"typ": typ}), &scene.claims()));
    }
}

// T-04
#[test]
fn where_access_tokens_are_typed_like_id_tokens_those_are_told_by_what_they_hold() {
    let scene = Scene::provider(&format!("{SIGNED}\nrequire_at_jwt = false"));
    let typ = json!({"typ": "JWT"});
    scene.served(&scene.idp.jwt(&typ, &scene.claims()));
    for more in [
        json!({"aud": "mcp-client"}),
        json!({"nonce": "n-0S6_WzA2Mj"}),
        json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
    ] {
        scene.refused(&scene.idp.jwt(&typ, &scene.claims_with(&more)));
    }
    for typ in [
        "logout+jwt",
        "token-introspection+jwt",
        "dpop+jwt",
        "secevent+jwt",
    ] {
        scene.refused(&scene.idp.jwt(&json!({"typ": typ}), &scene.claims()));
    }
}

// T-22
#[test]
fn new_keys_are_learned_with_one_question_and_old_ones_forgotten_with_it() {
    let scene = Scene::provider(&format!("{SIGNED}\n{}", super::FRESH));
    let old = scene.jwt_with(&json!({}));
    scene.served(&old);
    assert_eq!(scene.idp.count(Endpoint::Jwks), 1);
    // The provider is installed anew at its place.
    scene.idp.stops();
    scene.idp.rotates();
    scene.idp.comes_back();
    scene.served(&scene.jwt_with(&json!({})));
    assert_eq!(scene.idp.count(Endpoint::Jwks), 2);
    scene.refused(&old);
    // Nobody can make us ask again and again.
    for _ in 0..1000 {
        let token = scene.idp.jwt(&json!({"kid": random(8)}), &scene.claims());
        assert_eq!(scene.call(&token).status, 401);
    }
    assert_eq!(scene.idp.count(Endpoint::Jwks), 2);
    scene.served(&scene.jwt_with(&json!({})));
}

// T-22
#[test]
fn a_set_of_keys_that_is_none_takes_no_good_keys_away() {
    for mode in [
        Mode::JwksEmpty,
        Mode::JwksOct,
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
        let scene = Scene::provider(&format!("{SIGNED}\ntimeout_ms = 1000"));
        scene.served(&scene.jwt_with(&json!({})));
        scene.idp.behaves(Endpoint::Jwks, mode.clone());
        let answer = scene.call(&scene.idp.jwt(&json!({"kid": random(8)}), &scene.claims()));
        assert!(matches!(answer.status, 401 | 503), "{mode:?}: {answer:?}");
        assert_eq!(scene.idp.count(Endpoint::Jwks), 2, "{mode:?}");
        scene.served(&scene.jwt_with(&json!({})));
        assert!(scene.idp.bytes_sent() < 16 << 20, "{mode:?}");
    }
}

// T-22
#[test]
fn without_any_keys_nobody_can_be_told_from_anybody() {
    for mode in [
        Mode::JwksEmpty,
        Mode::JwksOct,
        Mode::S500,
        Mode::HtmlAsJson,
        Mode::Hang,
    ] {
        let scene = Scene::provider(&format!("{SIGNED}\ntimeout_ms = 1000"));
        scene.idp.behaves(Endpoint::Jwks, mode);
        scene.unavailable(&scene.jwt_with(&json!({})));
    }
}

#[test]
fn a_signed_token_that_is_refused_here_is_never_asked_about() {
    let scene = Scene::provider(&format!(
        "validation = \"jwt_then_introspection\"\n{}",
        super::FRESH
    ));
    let bad = [
        scene.jwt_with(&json!({"aud": "https://gw.example.com/other/mcp"})),
        scene.jwt_with(&json!({"iss": "https://evil.test"})),
        scene.jwt_with(&json!({"exp": 1})),
        SigningKey::rsa(3, &scene.idp.key(Algorithm::RS256).id).sign(
            &header(&scene.idp.key(Algorithm::RS256), &json!({})),
            &scene.claims().to_string(),
            Algorithm::RS256,
        ),
    ];
    for token in &bad {
        // It would say yes.
        scene.idp.knows(token, scene.claims());
        scene.refused(token);
    }
    assert_eq!(scene.idp.count(Endpoint::Introspection), 0);
    // A good signature is not enough: the provider may have taken it back.
    let good = scene.jwt_with(&json!({}));
    scene.refused(&good);
    scene.idp.knows(&good, scene.claims());
    scene.served(&good);
    scene.idp.revokes(&good);
    scene.refused(&good);
    assert_eq!(scene.idp.count(Endpoint::Introspection), 3);
    // What has no form goes straight there.
    scene.served(&scene.token());
}

#[test]
fn the_set_of_keys_is_fetched_over_tls_from_whom_its_own_authority_vouches_for() {
    let idp = Idp::set_up(&SetUp {
        tls: true,
        ..SetUp::default()
    });
    let scene = Scene::of(
        idp,
        Words {
            provider: SIGNED,
            ..Words::default()
        },
    );
    scene.served(&scene.jwt_with(&json!({})));
    // The same without the authority's certificate.
    let idp = Idp::set_up(&SetUp {
        tls: true,
        ..SetUp::default()
    });
    let text = super::configuration(
        &idp,
        Words {
            provider: SIGNED,
            ..Words::default()
        },
    )
    .replace("ca_file = \"authority.pem\"", "");
    let stage = Stage::written(&text);
    let claims = json!({"iss": idp.issuer(), "aud": PRODUCTION, "sub": "alice", "exp": 4_000_000_000_u32, "roles": ["odoo_reader"]});
    let bearer = format!("Authorization: Bearer {}", idp.jwt(&json!({}), &claims));
    let answer = stage.request(
        "POST",
        "/production/mcp",
        &[JSON, HOST, &bearer],
        &counting(),
    );
    assert_eq!(answer.status, 503);
    assert!(idp.seen().is_empty());
}
