//! What a provider says of a token: T-05 to T-08, T-11, T-12 and T-18.

use serde_json::{Value, json};

use super::{FRESH, HOST, PRODUCTION, SIGNED, STAGING, Scene, Words};
use crate::idp::{Endpoint, Mode};

/// Both ways to learn what is said of a token.
fn both(test: impl Fn(&Scene, &dyn Fn(&Value) -> String)) {
    let scene = Scene::provider(FRESH);
    test(&scene, &|changes| scene.token_with(changes));
    let scene = Scene::provider(SIGNED);
    test(&scene, &|changes| scene.jwt_with(changes));
}

/// A provider that does wrong so, and a token it would be good for otherwise.
fn behaving(scene: &Scene, mode: Mode) -> String {
    scene.idp.behaves(Endpoint::Introspection, mode);
    scene.token()
}

// T-05
#[test]
fn a_token_for_somebody_else_or_for_nobody_is_refused() {
    both(|scene, token| {
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
            scene.refused(&token(&json!({"aud": audience})));
        }
        for audience in [
            json!(PRODUCTION),
            json!("https://production.example.com/mcp"),
            json!([PRODUCTION]),
            json!(["other", PRODUCTION]),
        ] {
            scene.served(&token(&json!({"aud": audience})));
        }
    });
    let scene = Scene::provider(FRESH);
    scene.refused(&behaving(&scene, Mode::NoAud));
    scene.refused(&behaving(&scene, Mode::AudPrefix));
    scene.served(&behaving(&scene, Mode::AudArray));
}

// T-06
#[test]
fn a_token_of_another_issuer_is_refused_byte_for_byte() {
    both(|scene, token| {
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
            scene.refused(&token(&json!({"iss": other})));
        }
        scene.served(&token(&json!({})));
    });
    // Introspection is bound to the issuer by where it is asked; a signature is not.
    let scene = Scene::provider(FRESH);
    scene.refused(&behaving(&scene, Mode::IssEvil));
    scene.served(&behaving(&scene, Mode::NoIss));
    let scene = Scene::provider(SIGNED);
    scene.refused(&scene.jwt_with(&json!({"iss": null})));
}

// T-07
#[test]
fn a_token_whose_time_is_over_or_is_no_time_is_refused() {
    both(|scene, token| {
        let now = jiff::Timestamp::now().as_second();
        for time in [
            json!(now - 60),
            json!(now - 6),
            json!(1),
            json!(0),
            json!(-1),
            json!(i64::MIN),
            json!(-1e300),
            json!((now + 600).to_string()),
            json!("never"),
            json!(true),
            json!([now + 600]),
            json!({}),
            json!(null),
        ] {
            scene.refused(&token(&json!({"exp": time})));
        }
        for time in [
            // Clocks differ: `clock_skew_s` is 5.
            json!(now - 1),
            json!(f64::from(u32::try_from(now).unwrap()) + 600.5),
            json!(1e18),
            json!(u64::MAX),
            json!(i64::MAX),
            json!(1e300),
        ] {
            scene.served(&token(&json!({"exp": time})));
        }
    });
    let scene = Scene::provider(FRESH);
    for mode in [Mode::ExpPast, Mode::ExpString, Mode::NoExp] {
        scene.refused(&behaving(&scene, mode));
    }
    for mode in [Mode::ExpFloat, Mode::ExpHuge] {
        scene.served(&behaving(&scene, mode));
    }
}

// T-07
#[test]
fn a_token_without_an_end_is_good_only_where_that_is_allowed_and_not_for_long() {
    let scene = Scene::provider("allow_no_exp = true\ncache_ttl_s = 300");
    let token = scene.token_with(&json!({"exp": null}));
    scene.served(&token);
    scene.refused(&scene.token_with(&json!({"exp": "never"})));
}

// T-08
#[test]
fn a_token_whose_time_is_still_to_come_is_refused() {
    both(|scene, token| {
        let now = jiff::Timestamp::now().as_second();
        for changes in [
            json!({"nbf": now + 600}),
            json!({"nbf": "soon"}),
            json!({"nbf": 1e300}),
            json!({"iat": now + 600}),
        ] {
            scene.refused(&token(&changes));
        }
        for changes in [
            json!({"nbf": now + 2, "iat": now + 2}),
            json!({"nbf": null, "iat": null}),
            json!({"nbf": 0}),
        ] {
            scene.served(&token(&changes));
        }
    });
    let scene = Scene::provider(FRESH);
    scene.refused(&behaving(&scene, Mode::NbfFuture));
}

#[test]
fn clocks_may_differ_by_as_much_as_is_configured_and_no_more() {
    let scene = Scene::provider(&format!("{FRESH}\nclock_skew_s = 0"));
    let now = jiff::Timestamp::now().as_second();
    scene.refused(&scene.token_with(&json!({"exp": now - 1})));
    scene.refused(&scene.token_with(&json!({"nbf": now + 60})));
    let scene = Scene::provider(&format!("{FRESH}\nclock_skew_s = 60"));
    scene.served(&scene.token_with(&json!({"exp": now - 30})));
    scene.served(&scene.token_with(&json!({"nbf": now + 30})));
}

// T-11
#[test]
fn a_refresh_token_and_a_token_bound_to_a_key_are_no_bearer_tokens() {
    let scene = Scene::provider(FRESH);
    scene.refused(&behaving(&scene, Mode::TypeRefresh));
    scene.refused(&behaving(&scene, Mode::TypeDpop));
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    for changes in [
        json!({"token_type": "refresh_token"}),
        json!({"token_type": "N_A"}),
        json!({"token_type": "DPoP"}),
        json!({"token_type": ""}),
        json!({"token_type": ["Bearer"]}),
        json!({"cnf": {"jkt": "x"}}),
        json!({"cnf": {"x5t#S256": "x"}}),
    ] {
        scene.refused(&scene.token_with(&changes));
    }
    for word in ["Bearer", "bearer", "BEARER"] {
        scene.served(&scene.token_with(&json!({"token_type": word})));
    }
    let scene = Scene::provider(&format!("{FRESH}\nallow_missing_token_type = true"));
    scene.served(&scene.token_with(&json!({"token_type": null})));
    scene.refused(&scene.token_with(&json!({"token_type": "DPoP"})));
    scene.refused(&scene.token_with(&json!({"token_type": null, "cnf": {"jkt": "x"}})));
    // Signed tokens say it in `cnf` alone.
    let scene = Scene::provider(SIGNED);
    scene.refused(&scene.jwt_with(&json!({"cnf": {"jkt": "x"}})));
}

const BY_SUBJECT: &str = r#"
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

// T-12, as far as there are no vaults yet: whom a grant means.
#[test]
fn a_client_and_a_user_of_one_name_are_two_callers() {
    let words = |grants| Words {
        provider: FRESH,
        grants: Some(grants),
        ..Words::default()
    };
    let (of_user, of_client) = BY_SUBJECT
        .trim()
        .split_at(BY_SUBJECT.trim().rfind("[[").unwrap());
    let user = json!({"sub": "robot", "client_id": "mcp-client"});
    let client = json!({"sub": null, "client_id": "robot"});
    let user_of_that_client = json!({"sub": "alice", "client_id": "robot"});
    let spoof = json!({"sub": "client:robot", "client_id": "mcp-client"});

    let scene = Scene::with(words(of_user));
    scene.served(&scene.token_with(&user));
    for other in [&client, &user_of_that_client, &spoof] {
        let answer = scene.call(&scene.token_with(other));
        assert!(matches!(answer.status, 401 | 403), "{other}: {answer:?}");
    }
    let scene = Scene::with(words(of_client));
    scene.served(&scene.token_with(&client));
    scene.idp.behaves(Endpoint::Introspection, Mode::NoSub);
    scene.served(&scene.token_with(&user_of_that_client));
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    for other in [&user, &user_of_that_client, &spoof] {
        let answer = scene.call(&scene.token_with(other));
        assert!(matches!(answer.status, 401 | 403), "{other}: {answer:?}");
        assert!(!answer.head.contains("insufficient_scope"));
    }
}

#[test]
fn a_token_of_nobody_or_of_a_name_that_is_none_is_refused() {
    let scene = Scene::provider(FRESH);
    scene.refused(&behaving(&scene, Mode::SubControl));
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    for changes in [
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"sub": ["alice"]}),
        json!({"sub": "a".repeat(256)}),
        json!({"sub": "tab\there"}),
        json!({"sub": null, "client_id": null}),
        json!({"sub": null, "client_id": ""}),
    ] {
        scene.refused(&scene.token_with(&changes));
    }
    scene.served(&scene.token_with(&json!({"sub": "a".repeat(255)})));
}

#[test]
fn scopes_are_a_text_or_a_list() {
    let grants = "[[grants]]\nroles = [\"reader\"]\nscope = \"odoo:read\"\n";
    let scene = Scene::with(Words {
        provider: FRESH,
        grants: Some(grants),
        ..Words::default()
    });
    scene.served(&scene.token());
    scene.served(&behaving(&scene, Mode::ScopeArray));
    scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
    scene.served(&scene.token_with(&json!({"scope": null, "scp": ["odoo:read"]})));
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
fn an_answer_that_is_no_introspection_is_never_a_yes() {
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
        let scene = Scene::provider(FRESH);
        let token = behaving(&scene, mode.clone());
        scene.unavailable(&token);
        // It was not read to its end.
        let sent = scene.idp.bytes_sent();
        assert!(sent < 32 << 20, "{mode:?}: {sent} bytes");
        // And nothing is left of it.
        scene.idp.behaves(Endpoint::Introspection, Mode::Pass);
        crate::idp::until(&scene.idp, "recovery", || scene.call(&token).status == 200);
    }
}

#[test]
fn a_refusal_says_nothing_of_what_the_token_would_have_been_good_for() {
    let scene = Scene::provider(FRESH);
    let answer = scene.refused(&scene.token_with(&json!({"aud": STAGING})));
    assert!(!answer.body.contains("staging") && !answer.head.contains("staging"));
    let answer = scene.refused_at("/staging/mcp", HOST, &scene.token());
    assert!(!answer.body.contains("production") && !answer.head.contains("production"));
}
