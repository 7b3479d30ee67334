//! The claims of a token: T-05 to T-08, T-11, T-12 and T-18.

use serde_json::{Value, json};

use super::{ConfigOverrides, HOST, IdpFixture, NO_CACHE, PRODUCTION, STAGING, VALIDATE_JWT};
use crate::idp::{Endpoint, Mode};

/// Both sources of claims: introspection and signed tokens.
fn with_both_validations(test: impl Fn(&IdpFixture, &dyn Fn(&Value) -> String)) {
    let scene = IdpFixture::with_provider(NO_CACHE);
    test(&scene, &|changes| scene.token_with(changes));
    let scene = IdpFixture::with_provider(VALIDATE_JWT);
    test(&scene, &|changes| scene.jwt_with(changes));
}

/// A provider in this mode, and a token that would otherwise be valid.
fn token_in_mode(scene: &IdpFixture, mode: Mode) -> String {
    scene.idp.set_mode(Endpoint::Introspection, mode);
    scene.token()
}

// T-05
#[test]
fn token_with_wrong_or_missing_audience_is_rejected() {
    with_both_validations(|scene, token| {
        for audience in [
            json!(null),
            json!("https://gw.example.com/other/mcp"),
            json!(format!("{PRODUCTION}.evil")),
            json!(format!("{PRODUCTION}/")),
            json!(PRODUCTION.to_uppercase()),
            json!(PRODUCTION.trim_end_matches('p')),
            json!("https://gw.example.com"),
            json!("*"),
            json!(""),
            json!(4711),
            json!(true),
            json!([]),
            json!([4711]),
            json!(["other"]),
            json!([[PRODUCTION]]),
            json!({"aud": PRODUCTION}),
            json!("mcp-client"),
        ] {
            scene.assert_rejected(&token(&json!({"aud": audience})));
        }
        for audience in [
            json!(PRODUCTION),
            json!("https://production.example.com/mcp"),
            json!([PRODUCTION]),
            json!(["other", PRODUCTION]),
        ] {
            scene.assert_served(&token(&json!({"aud": audience})));
        }
    });
    let scene = IdpFixture::with_provider(NO_CACHE);
    scene.assert_rejected(&token_in_mode(&scene, Mode::NoAud));
    scene.assert_rejected(&token_in_mode(&scene, Mode::AudPrefix));
    scene.assert_served(&token_in_mode(&scene, Mode::AudArray));
}

// T-06
#[test]
fn token_of_another_issuer_is_rejected() {
    with_both_validations(|scene, token| {
        let issuer = scene.idp.issuer();
        for other in [
            json!("https://evil.test"),
            json!(format!("{issuer}/")),
            json!(issuer.to_uppercase()),
            json!(issuer.replace("127.0.0.1", "localhost")),
            json!(format!("{issuer}/other")),
            json!([issuer]),
            json!([issuer, "https://evil.test"]),
            json!({"iss": issuer}),
            json!(7),
            json!(""),
        ] {
            scene.assert_rejected(&token(&json!({"iss": other})));
        }
        scene.assert_served(&token(&json!({})));
    });
    // The introspection endpoint implies the issuer; a signature does not.
    let scene = IdpFixture::with_provider(NO_CACHE);
    scene.assert_rejected(&token_in_mode(&scene, Mode::IssEvil));
    scene.assert_served(&token_in_mode(&scene, Mode::NoIss));
    let scene = IdpFixture::with_provider(VALIDATE_JWT);
    scene.assert_rejected(&scene.jwt_with(&json!({"iss": null})));
}

// T-07
#[test]
fn token_with_past_or_invalid_expiry_is_rejected() {
    with_both_validations(|scene, token| {
        let now = jiff::Timestamp::now().as_second();
        for time in [
            json!(now - 60),
            json!(now - 6),
            json!(1),
            json!(0),
            json!(-1),
            json!(i64::MIN),
            json!(-1e300),
            json!("never"),
            json!("1e12"),
            json!(1e18),
            json!(1e30),
            json!(u64::MAX),
            json!(i64::MAX),
            json!(1e300),
            json!((now - 60) * 1_000),
            json!(true),
            json!([now + 600]),
            json!({}),
            json!(null),
        ] {
            scene.assert_rejected(&token(&json!({"exp": time})));
        }
        for time in [
            // Clocks may differ by `clock_skew_s`, which is 5.
            json!(now - 1),
            json!(f64::from(u32::try_from(now).unwrap()) + 600.5),
            json!((now + 600).to_string()),
            json!((now + 600) * 1_000),
            json!(253_402_300_799_u64),
        ] {
            scene.assert_served(&token(&json!({"exp": time})));
        }
    });
    let scene = IdpFixture::with_provider(NO_CACHE);
    for mode in [Mode::ExpPast, Mode::ExpHuge, Mode::NoExp] {
        scene.assert_rejected(&token_in_mode(&scene, mode));
    }
    for mode in [Mode::ExpFloat, Mode::ExpString] {
        scene.assert_served(&token_in_mode(&scene, mode));
    }
}

// T-07
#[test]
fn token_without_expiry_is_accepted_only_if_allowed() {
    let scene = IdpFixture::with_provider("allow_no_exp = true\ncache_ttl_s = 300");
    let token = scene.token_with(&json!({"exp": null}));
    scene.assert_served(&token);
    scene.assert_rejected(&scene.token_with(&json!({"exp": "never"})));
}

// T-08
#[test]
fn token_that_is_not_yet_valid_is_rejected() {
    with_both_validations(|scene, token| {
        let now = jiff::Timestamp::now().as_second();
        for changes in [
            json!({"nbf": now + 600}),
            json!({"nbf": "soon"}),
            json!({"nbf": 1e300}),
            json!({"iat": now + 600}),
        ] {
            scene.assert_rejected(&token(&changes));
        }
        for changes in [
            json!({"nbf": now + 2, "iat": now + 2}),
            json!({"nbf": null, "iat": null}),
            json!({"nbf": 0}),
        ] {
            scene.assert_served(&token(&changes));
        }
    });
    let scene = IdpFixture::with_provider(NO_CACHE);
    scene.assert_rejected(&token_in_mode(&scene, Mode::NbfFuture));
}

#[test]
fn configured_clock_skew_is_tolerated() {
    let scene = IdpFixture::with_provider(&format!("{NO_CACHE}\nclock_skew_s = 0"));
    let now = jiff::Timestamp::now().as_second();
    scene.assert_rejected(&scene.token_with(&json!({"exp": now - 1})));
    scene.assert_rejected(&scene.token_with(&json!({"nbf": now + 60})));
    let scene = IdpFixture::with_provider(&format!("{NO_CACHE}\nclock_skew_s = 60"));
    scene.assert_served(&scene.token_with(&json!({"exp": now - 30})));
    scene.assert_served(&scene.token_with(&json!({"nbf": now + 30})));
}

// T-11
#[test]
fn refresh_and_sender_constrained_tokens_are_rejected() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    scene.assert_rejected(&token_in_mode(&scene, Mode::TypeRefresh));
    scene.assert_rejected(&token_in_mode(&scene, Mode::TypeDpop));
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    for changes in [
        json!({"token_type": "refresh_token"}),
        json!({"token_type": "N_A"}),
        json!({"token_type": "DPoP"}),
        json!({"token_type": ""}),
        json!({"token_type": ["Bearer"]}),
        json!({"cnf": {"jkt": "x"}}),
        json!({"cnf": {"x5t#S256": "x"}}),
    ] {
        scene.assert_rejected(&scene.token_with(&changes));
    }
    for word in ["Bearer", "bearer", "BEARER"] {
        scene.assert_served(&scene.token_with(&json!({"token_type": word})));
    }
    let scene = IdpFixture::with_provider(&format!("{NO_CACHE}\nallow_missing_token_type = true"));
    scene.assert_served(&scene.token_with(&json!({"token_type": null})));
    scene.assert_rejected(&scene.token_with(&json!({"token_type": "DPoP"})));
    scene.assert_rejected(&scene.token_with(&json!({"token_type": null, "cnf": {"jkt": "x"}})));
    // In signed tokens only `cnf` says so.
    let scene = IdpFixture::with_provider(VALIDATE_JWT);
    scene.assert_rejected(&scene.jwt_with(&json!({"cnf": {"jkt": "x"}})));
}

const SUBJECT_GRANTS: &str = r#"
[[grants]]
roles = ["reader"]
provider = "company"
subject = "robot"
kind = "user"

[[grants]]
roles = ["reader"]
provider = "company"
client_id = "robot"
kind = "client"
"#;

// T-12, without credential vaults: which callers a grant applies to.
#[test]
fn client_and_user_with_same_name_are_distinct_callers() {
    let words = |grants| ConfigOverrides {
        provider: NO_CACHE,
        grants: Some(grants),
        ..ConfigOverrides::default()
    };
    let (of_user, of_client) = SUBJECT_GRANTS
        .trim()
        .split_at(SUBJECT_GRANTS.trim().rfind("[[").unwrap());
    let user = json!({"sub": "robot", "client_id": "mcp-client"});
    let client = json!({"sub": null, "client_id": "robot"});
    let user_of_that_client = json!({"sub": "alice", "client_id": "robot"});
    let spoof = json!({"sub": "client:robot", "client_id": "mcp-client"});

    let scene = IdpFixture::with_config(words(of_user));
    scene.assert_served(&scene.token_with(&user));
    for other in [&client, &user_of_that_client, &spoof] {
        let answer = scene.call(&scene.token_with(other));
        assert!(matches!(answer.status, 401 | 403), "{other}: {answer:?}");
    }
    let scene = IdpFixture::with_config(words(of_client));
    scene.assert_served(&scene.token_with(&client));
    scene.idp.set_mode(Endpoint::Introspection, Mode::NoSub);
    scene.assert_served(&scene.token_with(&user_of_that_client));
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    for other in [&user, &user_of_that_client, &spoof] {
        let answer = scene.call(&scene.token_with(other));
        assert!(matches!(answer.status, 401 | 403), "{other}: {answer:?}");
        assert!(!answer.head.contains("insufficient_scope"));
    }
}

#[test]
fn token_with_missing_or_invalid_subject_is_rejected() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    scene.assert_rejected(&token_in_mode(&scene, Mode::SubControl));
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    for changes in [
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": ["alice"]}),
        json!({"sub": "a".repeat(256)}),
        json!({"sub": "tab\there"}),
        json!({"sub": null, "client_id": null}),
        json!({"sub": null, "client_id": ""}),
    ] {
        scene.assert_rejected(&scene.token_with(&changes));
    }
    scene.assert_served(&scene.token_with(&json!({"sub": "a".repeat(255)})));
}

#[test]
fn scopes_may_be_a_string_or_a_list() {
    let grants = "[[grants]]\nroles = [\"reader\"]\nscope = \"odoo:read\"\n";
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: NO_CACHE,
        grants: Some(grants),
        ..ConfigOverrides::default()
    });
    scene.assert_served(&scene.token());
    scene.assert_served(&token_in_mode(&scene, Mode::ScopeArray));
    scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
    scene.assert_served(&scene.token_with(&json!({"scope": null, "scp": ["odoo:read"]})));
    for scope in [
        json!("odoo:reader"),
        json!("odoo:read,openid"),
        json!(7),
        json!(null),
        json!({"odoo:read": true}),
    ] {
        let answer = scene.call(&scene.token_with(&json!({"scope": scope})));
        assert!(
            matches!(answer.status, 401 | 403 | 503),
            "{scope}: {answer:?}"
        );
    }
}

// T-18
#[test]
fn invalid_introspection_response_is_never_accepted() {
    for mode in [
        Mode::Html,
        Mode::HtmlAsJson,
        Mode::Array,
        Mode::ActiveString,
        Mode::Active1,
        Mode::NoActive,
        Mode::DupActive,
        Mode::Bom,
        Mode::RolesDeep,
        Mode::Big,
        Mode::GzipBomb,
    ] {
        let scene = IdpFixture::with_provider(NO_CACHE);
        let token = token_in_mode(&scene, mode.clone());
        scene.assert_unavailable(&token);
        // The response was not read to its end.
        let sent = scene.idp.bytes_sent();
        assert!(sent < 32 << 20, "{mode:?}: {sent} bytes");
        // No part of it is stored.
        scene.idp.set_mode(Endpoint::Introspection, Mode::Pass);
        crate::idp::wait_until(&scene.idp, "recovery", || scene.call(&token).status == 200);
    }
}

#[test]
fn rejection_does_not_reveal_other_instances() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    let answer = scene.assert_rejected(&scene.token_with(&json!({"aud": STAGING})));
    assert!(!answer.body.contains("staging") && !answer.head.contains("staging"));
    let answer = scene.assert_rejected_at("/staging/mcp", HOST, &scene.token());
    assert!(!answer.body.contains("production") && !answer.head.contains("production"));
}

// BC-05, BC-06
#[test]
fn token_for_the_origin_is_rejected_and_the_log_says_what_would_accept_it() {
    for (provider, as_jwt) in [(NO_CACHE, false), (VALIDATE_JWT, true)] {
        let scene = IdpFixture::with_provider(provider);
        for (audience, help) in [
            ("https://gw.example.com", "the origin of the public URL"),
            ("https://gw.example.com/", "the origin of the public URL"),
            (
                "https://gw.example.com/production/mcp/",
                "the origin of the public URL",
            ),
            ("aBcDeF", "or set `audiences` of the instance"),
        ] {
            let changes = json!({"aud": audience});
            let before = crate::log::length();
            scene.assert_rejected(&if as_jwt {
                scene.jwt_with(&changes)
            } else {
                scene.token_with(&changes)
            });
            let log = crate::log::written_since(before);
            let mut lines = log.lines();
            let named = format!("the token is for `{audience}`");
            assert!(
                lines.any(|line| line.contains(&named) && line.contains(help)),
                "{log}"
            );
        }
    }
    let scene = IdpFixture::with_provider(&format!("{NO_CACHE}\nvalidation = \"introspection\""));
    let before = crate::log::length();
    scene.assert_rejected(&scene.token_with(&json!({"token_type": null})));
    let log = crate::log::written_since(before);
    assert!(
        log.contains("allow_missing_token_type") && log.contains("jwt_then_introspection"),
        "{log}"
    );
    // `check` refuses it where another instance has the same origin.
    let text = super::configuration(
        &scene.idp,
        ConfigOverrides {
            production: "audiences = [\"https://gw.example.com/\"]",
            ..ConfigOverrides::default()
        },
    );
    let errors = crate::test_gateway::TestGateway::config_errors(&text, &[]);
    insta::assert_snapshot!(errors.replace(scene.idp.issuer(), "ISSUER"));
}
