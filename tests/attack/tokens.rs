//! JWTs and keys that are dear to verify, and both ways to verify a token under attack.

use serde_json::{Value, json};

use crate::{
    configuration::ConfigOverrides,
    footprint::cpu_of,
    idp::{Endpoint, Idp, Mode, jwt_header, unsigned},
    provider::ProviderScene,
    target::count_reads,
};

/// How much longer a hostile token may be computed on than a good one is.
const MAX_WORK: u64 = 20;

/// A number of this many bits in base 64, as RFC 7518 writes it.
fn number(bits: usize) -> String {
    "_".repeat(bits / 6 + 1)
}

/// Keys beside the good ones, which are larger than what a signature needs.
fn hostile_keys() -> Vec<Value> {
    let rsa = |id: &str, modulus: &str, exponent: &str| json!({"kty": "RSA", "use": "sig", "kid": id, "n": modulus, "e": exponent});
    vec![
        rsa("bits-16384", &number(16_384), "AQAB"),
        rsa("bits-100000", &number(100_000), "AQAB"),
        rsa("bits-8192", &number(8_190), "__________8"),
        rsa("exponent-8192", &number(2_046), &number(8_190)),
        rsa("exponent-1", &number(2_046), "AQ"),
        rsa("exponent-0", &number(2_046), "AA"),
        rsa("bits-512", &number(510), "AQAB"),
        rsa("empty", "", ""),
        json!({"kty": "oct", "kid": "shared", "k": "AAAA", "alg": "HS256"}),
        json!({"kty": "EC", "crv": "P-256", "kid": "no-point", "x": number(250), "y": number(250)}),
    ]
}

#[test]
fn keys_and_tokens_of_any_size_cost_no_more_than_good_ones() {
    let idp = Idp::start();
    let good: Vec<Value> = [
        jsonwebtoken::Algorithm::RS256,
        jsonwebtoken::Algorithm::ES256,
    ]
    .map(|algorithm| idp.key(algorithm).public())
    .into();
    let keys = {
        let all = [good, hostile_keys()].concat();
        json!({ "keys": all })
    };
    idp.set_mode(Endpoint::Jwks, Mode::Replaced(keys.to_string()));
    let scene = ProviderScene::start(
        idp,
        ConfigOverrides {
            provider: "validation = \"jwt\"\nnegative_ttl_s = 0",
            ..ConfigOverrides::default()
        },
    );
    let mut bystander = scene.bystander();
    assert_eq!(scene.status(&scene.jwt()), 200);
    let usual = cpu_of(&scene.gateway, || {
        for _ in 0..10 {
            assert_eq!(scene.status(&scene.jwt()), 200);
        }
    }) / 10;
    let claims = scene.claims();
    let token = |header: Value, signature: &str| {
        format!(
            "{}.{signature}",
            unsigned(&header.to_string(), &claims.to_string())
        )
    };
    let good_id = scene.idp.key(jsonwebtoken::Algorithm::RS256).id;
    let mut tokens = Vec::new();
    for key in hostile_keys() {
        for algorithm in ["RS256", "PS256", "RS512", "HS256", "none"] {
            for length in [0, 342, 2_732, 8_000] {
                tokens.push(token(
                    json!({"alg": algorithm, "typ": "at+jwt", "kid": key["kid"]}),
                    &"A".repeat(length),
                ));
            }
        }
    }
    for length in [1, 341, 343, 2_732, 11_000] {
        tokens.push(token(jwt_header(&json!({}), &good_id), &"_".repeat(length)));
    }
    for header in [
        json!({"kid": "k".repeat(8_000)}),
        json!({"x": "[".repeat(4_000)}),
        json!({"crit": vec!["b64"; 1_000]}),
        json!({"typ": "a".repeat(8_000)}),
    ] {
        tokens.push(token(jwt_header(&header, &good_id), &"A".repeat(342)));
    }
    let calls = count_reads(&scene.odoo);
    let count = tokens.len();
    for token in &tokens {
        let work = cpu_of(&scene.gateway, || {
            let status = scene.status(token);
            assert!(matches!(status, 400 | 401 | 431 | 503), "{status}: {token}");
        });
        assert!(
            work <= MAX_WORK * usual,
            "{work} ns, and a good token {usual} ns: {token}"
        );
    }
    assert_eq!(count_reads(&scene.odoo), calls, "Odoo was asked");
    println!("{count} tokens");
    bystander.assert_served(2);
    assert_eq!(scene.status(&scene.jwt()), 200);
    scene.end();
}

/// `jwt_then_introspection`: the signature is checked before the provider is asked, and
/// one account whose tokens make the provider fail locks out no other.
#[test]
fn jwt_then_introspection_holds_under_forged_tokens_and_one_hostile_account() {
    let scene = ProviderScene::start(
        Idp::start(),
        ConfigOverrides {
            provider: "validation = \"jwt_then_introspection\"\nmax_in_flight = 16\nnegative_ttl_s = 0",
            ..ConfigOverrides::default()
        },
    );
    // The provider says of the token what is in it.
    let account = || {
        let claims = scene.claims();
        let token = scene.idp.issue_jwt(&json!({}), &claims);
        scene.idp.set_token(&token, claims);
        token
    };
    let login = || {
        let token = account();
        scene.status_from("127.0.0.3", &token)
    };
    assert_eq!(login(), 200);
    let asked = scene.idp.request_count(Endpoint::Introspection);
    for number in 0..400 {
        let good = scene.jwt();
        let (start, signature) = good.rsplit_once('.').unwrap();
        let forged = match number % 4 {
            0 => format!("{start}.{}", "A".repeat(signature.len())),
            1 => format!(
                "{}.{signature}",
                unsigned(
                    &jwt_header(&json!({}), &scene.key_id()).to_string(),
                    &scene.claims().to_string()
                )
            ),
            2 => format!(
                "{}.",
                unsigned(
                    r#"{"alg":"none","typ":"at+jwt"}"#,
                    &scene.claims().to_string()
                )
            ),
            _ => scene.idp.issue_jwt(
                &json!({"kid": format!("unknown-{number}")}),
                &scene.claims(),
            ),
        };
        let status = scene.status(&forged);
        assert!(matches!(status, 401 | 503), "{status}");
    }
    assert_eq!(
        scene.idp.request_count(Endpoint::Introspection),
        asked,
        "the provider was asked about forged tokens"
    );
    // A person with an account has as many signed tokens as they like.
    let modes = [
        Mode::Reset,
        Mode::S500,
        Mode::S429(60),
        Mode::Trunc,
        Mode::NoActive,
        Mode::IssEvil,
        Mode::NoSub,
        Mode::ExpPast,
    ];
    for mode in modes {
        for _ in 0..6 {
            let token = account();
            scene.idp.set_token_mode(&token, mode.clone());
            let status = scene.status(&token);
            // What introspection omits is taken from the signed token.
            assert!(
                matches!(status, 401 | 503) || mode == Mode::NoSub,
                "{mode:?}: {status}"
            );
        }
        assert_eq!(login(), 200, "after {mode:?}");
    }
    scene.bystander().assert_served(2);
    scene.end();
}

/// RFC 9701: an attacker who can make the provider sign something else for their token.
#[test]
fn signed_introspection_holds_while_answers_about_some_tokens_are_forged() {
    let idp = Idp::start();
    idp.sign_responses();
    let scene = ProviderScene::start(
        idp,
        ConfigOverrides {
            provider: "signed_introspection = true\nmax_in_flight = 16\nnegative_ttl_s = 0",
            ..ConfigOverrides::default()
        },
    );
    let mut bystander = scene.bystander();
    for mode in [
        Mode::SignedByAnother,
        Mode::SignedForAnother,
        Mode::SignedFromAnother,
        Mode::SignedNone,
        Mode::SignedOld,
        Mode::SignedTyp,
        Mode::S500,
        Mode::HtmlAsJson,
        Mode::DupActive,
    ] {
        let calls = count_reads(&scene.odoo);
        for _ in 0..8 {
            let token = scene.token();
            scene.idp.set_token_mode(&token, mode.clone());
            let status = scene.status(&token);
            assert!(matches!(status, 401 | 503), "{mode:?}: {status}");
        }
        assert_eq!(count_reads(&scene.odoo), calls, "{mode:?}: Odoo was asked");
        assert_eq!(
            scene.status_from("127.0.0.3", &scene.token()),
            200,
            "after {mode:?}"
        );
        bystander.assert_served(1);
    }
    scene.end();
}
