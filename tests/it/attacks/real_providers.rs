//! Tokens and responses as real providers make them; see P1 to P5.

use serde_json::{Value, json};

use super::{ConfigOverrides, IdpFixture, PRODUCTION};
use crate::idp::{Endpoint, Mode, random_hex};

/// Grants the role to the client of the token, as is needed where tokens have no
/// roles.
const CLIENT_GRANT: &str = "[[grants]]\nroles = [\"reader\"]\nclient_id = \"assistants\"\n\
    [[grants]]\nroles = [\"reader\"]\nprovider_role = \"odoo_reader\"\n";

pub(super) fn fixture(provider: &str) -> IdpFixture {
    IdpFixture::with_config(ConfigOverrides {
        provider: &format!("{provider}\nnegative_ttl_s = 0"),
        production: "audiences = [\"assistants\", \"https://gw.example.com/production/mcp\"]",
        grants: Some(CLIENT_GRANT),
        ..ConfigOverrides::default()
    })
}

/// A JWT with exactly these claims and those that each has, and this header type.
pub(super) fn jwt(scene: &IdpFixture, claims: &Value) -> String {
    let now = jiff::Timestamp::now().as_second();
    let mut all = json!({
        "iss": scene.idp.issuer(), "iat": now, "nbf": now, "exp": now + 600, "aud": "assistants",
        "jti": random_hex(8),
    });
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    scene.idp.issue_jwt(&json!({"typ": "JWT"}), &all)
}

// P1
#[test]
fn only_access_tokens_open_anything_where_all_tokens_have_the_same_keys() {
    let scene = fixture("validation = \"jwt\"\nrequire_at_jwt = false");
    let person = "94Zk82GdphXRa5I5tPBxps8Y";
    // Rauthy 0.36 and Keycloak.
    for typ in ["Refresh", "refresh", "Offline", "Id", "ID", "Logout"] {
        for claims in [
            json!({"typ": typ, "sub": null, "azp": "assistants", "uid": person}),
            json!({"typ": typ, "sub": person, "azp": "assistants", "scope": "openid"}),
            json!({"typ": typ, "sub": person, "client_id": "assistants", "scope": "openid"}),
        ] {
            scene.assert_rejected(&jwt(&scene, &claims));
        }
    }
    // The same without `typ`: as other providers make refresh and ID tokens.
    for claims in [
        json!({"sub": null, "azp": "assistants", "uid": person}),
        json!({"azp": "assistants", "scope": "openid"}),
        json!({"sub": person}),
        json!({"sub": person, "azp": "assistants"}),
        json!({"sub": person, "azp": "assistants", "roles": ["odoo_reader"]}),
    ] {
        scene.assert_rejected(&jwt(&scene, &claims));
    }
    for claims in [
        // Rauthy, a person and a program.
        json!({"typ": "Bearer", "sub": person, "azp": "assistants", "scope": "openid groups"}),
        json!({"typ": "Bearer", "sub": null, "azp": "assistants", "scope": "openid groups"}),
        // LemonLDAP::NG.
        json!({
            "sub": "dwho", "client_id": "assistants", "scope": "openid profile",
            "aud": ["assistants", PRODUCTION],
        }),
    ] {
        scene.assert_served(&jwt(&scene, &claims));
    }
}

// P5
#[test]
fn claims_that_introspection_omits_are_taken_from_the_signed_token() {
    let scene = fixture("validation = \"jwt_then_introspection\"\nrequire_at_jwt = false");
    let far = jiff::Timestamp::now().as_second() + 3_600;
    // LemonLDAP::NG, Rauthy, canaille.
    for (signed, response) in [
        (
            json!({
                "sub": "dwho", "client_id": "other", "scope": "openid", "roles": ["odoo_reader"],
                "aud": ["other", PRODUCTION],
            }),
            json!({"sub": "dwho", "client_id": "other", "scope": "openid", "exp": far}),
        ),
        (
            json!({
                "typ": "Bearer", "sub": "alice", "azp": "other", "scope": "openid",
                "roles": ["odoo_reader"], "aud": ["other", PRODUCTION],
            }),
            json!({
                "sub": "alice", "scope": "openid", "client_id": "other",
                "aud": ["other", PRODUCTION], "iat": 1, "nbf": 1, "exp": far, "iss": null,
            }),
        ),
        (
            json!({"sub": "alice", "aud": ["assistants", "gatepost"], "roles": ["odoo_reader"]}),
            json!({
                "sub": "alice", "aud": ["assistants", "gatepost"], "client_id": "other",
                "scope": "openid", "exp": far, "iat": 1.5, "iss": scene.idp.issuer(),
                "token_type": "Bearer", "username": "Alice Ames",
            }),
        ),
    ] {
        let token = jwt(&scene, &signed);
        scene.assert_rejected(&token);
        scene.idp.set_token(&token, response.clone());
        scene.assert_served(&token);
        // The response is about another person.
        let token = jwt(&scene, &signed);
        let mut other = response;
        other["sub"] = json!("mallory");
        scene.idp.set_token(&token, other);
        scene.assert_rejected(&token);
    }
}

/// Modes in which no response means that a token is accepted.
fn hostile_modes() -> Vec<Mode> {
    vec![
        Mode::Active1,
        Mode::ActiveString,
        Mode::Array,
        Mode::AudPrefix,
        Mode::Bom,
        Mode::DupActive,
        Mode::ExpHuge,
        Mode::ExpPast,
        Mode::Html,
        Mode::HtmlAsJson,
        Mode::IssEvil,
        Mode::NbfFuture,
        Mode::NoActive,
        Mode::Redirect("http://127.0.0.1:9/".to_owned()),
        Mode::Reset,
        Mode::RolesDeep,
        Mode::S400,
        Mode::S401,
        Mode::S401Empty,
        Mode::S401Revoked,
        Mode::S403,
        Mode::S403Page,
        Mode::S429(1),
        Mode::S500,
        Mode::S503(1),
        Mode::SubControl,
        Mode::Trunc,
        Mode::TypeDpop,
    ]
}

// "Not tried yet" of the attack table.
#[test]
fn hostile_introspection_opens_nothing_whatever_the_validation() {
    for (provider, signs) in [
        (
            "validation = \"jwt_then_introspection\"\nnegative_ttl_s = 0",
            false,
        ),
        (
            "validation = \"jwt_then_introspection\"\nsigned_introspection = true\nnegative_ttl_s = 0",
            true,
        ),
        ("signed_introspection = true\nnegative_ttl_s = 0", true),
    ] {
        let mut modes = hostile_modes();
        if signs {
            modes.extend([
                Mode::SignedByAnother,
                Mode::SignedForAnother,
                Mode::SignedFromAnother,
                Mode::SignedNone,
                Mode::SignedOld,
                Mode::SignedTyp,
            ]);
        }
        for mode in modes {
            // These change the text, which is inside a signature here.
            if signs && matches!(mode, Mode::Bom | Mode::RolesDeep) {
                continue;
            }
            let scene = IdpFixture::with_provider(&format!("{provider}\ncache_ttl_s = 0"));
            if signs {
                scene.idp.sign_responses();
            }
            let claims = scene.claims();
            let token = scene.idp.issue_jwt(&json!({}), &claims);
            scene.idp.set_token(&token, claims);
            scene.assert_served(&token);
            let before = scene.gateway.fake_odoo.calls().len();
            scene.idp.set_mode(Endpoint::Introspection, mode.clone());
            let answer = scene.call(&token);
            assert!(matches!(answer.status, 401 | 503), "{mode:?} {answer:?}");
            assert_eq!(scene.gateway.fake_odoo.calls().len(), before, "{mode:?}");
            scene.assert_no_leak(&answer, &token);
        }
    }
}

// P8
#[test]
fn presets_accept_the_tokens_of_their_providers() {
    for kind in ["rauthy", "lemonldap", "canaille", "better-auth", "kanidm"] {
        let scene = fixture(&format!("kind = \"{kind}\""));
        let introspects_alone = matches!(kind, "better-auth" | "kanidm");
        let signed = match kind {
            "rauthy" => json!({
                "typ": "Bearer", "sub": "alice", "azp": "other", "scope": "openid",
                "roles": ["odoo_reader"], "groups": [],
            }),
            "lemonldap" => json!({
                "sub": "alice", "client_id": "other", "scope": "openid", "groups": ["odoo_reader"],
            }),
            "canaille" => json!({"sub": "alice", "groups": ["odoo_reader"]}),
            _ => json!({"sub": "alice", "scope": "openid", "roles": ["odoo_reader"]}),
        };
        let token = jwt(&scene, &signed);
        let exp = jiff::Timestamp::now().as_second() + 600;
        let mut response =
            json!({"sub": "alice", "client_id": "other", "exp": exp, "scope": "openid"});
        if kind == "canaille" || introspects_alone {
            response["token_type"] = json!("Bearer");
        }
        if introspects_alone {
            response["aud"] = json!("assistants");
            response["roles"] = json!(["odoo_reader"]);
        }
        scene.idp.set_token(&token, response);
        scene.assert_served(&token);
        // Their refresh tokens.
        let refresh = json!({"typ": "Refresh", "sub": null, "azp": "other"});
        scene.assert_rejected(&jwt(&scene, &refresh));
    }
}
