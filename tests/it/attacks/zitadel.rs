//! Zitadel's ways, as its source has them: `facts/oauth.md`, section 1.2.

use serde_json::{Value, json};

use super::{HOST, Scene, Words};
use crate::{
    idp::{Asker, Idp, SigningKey, random},
    stage::Stage,
};

const PROJECT: &str = "269512345678901234";
const ROLES: &str = "urn:zitadel:iam:org:project:269512345678901234:roles";

const PROVIDER: &str =
    "kind = \"zitadel\"\nproject = \"269512345678901234\"\ncache_ttl_s = 0\nnegative_ttl_s = 0";

fn idp() -> Idp {
    let idp = Idp::open();
    idp.expects(Asker::Key {
        id: "269587654321098765".to_owned(),
        key: Box::new(SigningKey::rsa(2, "269587654321098766")),
        audience: idp.issuer().to_owned(),
    });
    idp.tells_only_of(PROJECT);
    idp
}

fn scene() -> Scene {
    Scene::of(
        idp(),
        Words {
            provider: PROVIDER,
            ..Words::default()
        },
    )
}

/// What Zitadel says of a user's token.
fn claims(scene: &Scene) -> Value {
    scene.claims_with(&json!({
        "aud": ["269511111111111111", PROJECT],
        "client_id": "269511111111111111",
        "username": "alice@acme.test",
        "roles": null,
        ROLES: {"odoo_reader": {"2801": "acme.test"}},
        "urn:zitadel:iam:org:project:roles": {"odoo_reader": {"2801": "acme.test"}},
    }))
}

fn token(scene: &Scene, changes: &Value) -> String {
    let mut claims = claims(scene);
    let all = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.shift_remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    scene.idp.opaque(claims)
}

#[test]
fn a_project_is_the_audience_the_place_of_roles_and_what_a_client_asks_for() {
    let scene = scene();
    scene.served(&token(&scene, &json!({})));
    let answer = scene.stage.request("GET", "/production/mcp", &[HOST], "");
    let challenge = answer.header("www-authenticate").unwrap();
    let scopes = format!("scope=\"openid profile urn:zitadel:iam:org:project:id:{PROJECT}:aud\"");
    assert!(challenge.contains(&scopes), "{challenge}");
}

#[test]
fn a_token_without_the_project_is_no_token() {
    let scene = scene();
    scene.refused(&token(&scene, &json!({"aud": ["269511111111111111"]})));
    // The provider does not see to it here.
    let lax = Idp::open();
    lax.expects(idp().asker());
    let Asker::Key { id, key, .. } = lax.asker() else {
        panic!("a key")
    };
    lax.expects(Asker::Key {
        id,
        key,
        audience: lax.issuer().to_owned(),
    });
    let scene = Scene::of(
        lax,
        Words {
            provider: PROVIDER,
            ..Words::default()
        },
    );
    scene.refused(&token(&scene, &json!({"aud": ["269511111111111111"]})));
    scene.refused(&token(&scene, &json!({"aud": super::PRODUCTION})));
}

#[test]
fn roles_of_another_project_are_none() {
    let scene = scene();
    for changes in [
        json!({ROLES: null, "urn:zitadel:iam:org:project:roles": null}),
        // Of whatever project: the claim without an id says not which.
        json!({ROLES: null}),
        json!({ROLES: null, "urn:zitadel:iam:org:project:1:roles": {"odoo_reader": {"2801": "acme.test"}}}),
        json!({ROLES: {}}),
        json!({ROLES: {"odoo_other": {"2801": "acme.test"}}}),
    ] {
        let token = token(&scene, &changes);
        let answer = scene.call(&token);
        assert_eq!(answer.status, 403, "{changes}: {answer:?}");
        // No scope would help: step-up would never end.
        assert!(
            !answer.head.contains("insufficient_scope"),
            "{}",
            answer.head
        );
        scene.silent(&answer, &token);
    }
}

#[test]
fn a_role_counts_in_the_organization_that_a_grant_names() {
    let grants = format!("{}organization = \"2801\"\n", super::GRANT);
    let scene = Scene::of(
        idp(),
        Words {
            provider: PROVIDER,
            grants: Some(&grants),
            ..Words::default()
        },
    );
    scene.served(&token(&scene, &json!({})));
    scene.served(&token(
        &scene,
        &json!({ROLES: {"odoo_reader": {"2802": "b.test", "2801": "a.test"}}}),
    ));
    for organizations in [
        json!({"2802": "acme.test"}),
        json!({"acme.test": "2801"}),
        json!({}),
        json!(["2801"]),
        json!("2801"),
    ] {
        let answer = scene.call(&token(
            &scene,
            &json!({ROLES: {"odoo_reader": organizations}}),
        ));
        assert_eq!(answer.status, 403, "{answer:?}");
    }
}

// A personal access token passes the audience check of every application.
#[test]
fn a_personal_access_token_is_refused_unless_that_is_allowed() {
    let scene = scene();
    let pat = json!({"client_id": null, "aud": ["269587654321098765", PROJECT]});
    scene.refused(&token(&scene, &pat));
    scene.refused(&token(&scene, &json!({"client_id": ""})));
    let provider = format!("{PROVIDER}\nallow_pat = true");
    let scene = Scene::of(
        idp(),
        Words {
            provider: &provider,
            ..Words::default()
        },
    );
    scene.served(&token(&scene, &pat));
}

// Anybody gets any project's audience by asking for it.
#[test]
fn without_a_rule_about_roles_it_does_not_start() {
    let key = super::zitadel_key("1", "2", &SigningKey::rsa(2, "2").private_pem());
    let start = |provider: &str, grants: &str| {
        let text = super::configuration(
            &idp(),
            Words {
                provider,
                grants: Some(grants),
                ..Words::default()
            },
        );
        Stage::mistakes(&text, &[("zitadel-key.json", &key)])
    };
    for grants in [
        "",
        "[[grants]]\nroles = [\"reader\"]\nprovider = \"company\"\nscope = \"openid\"\n",
        "[[grants]]\nroles = [\"reader\"]\nprovider = \"company\"\nsubject = \"alice\"\n",
        "[[grants]]\nroles = [\"reader\"]\nprovider = \"company\"\nprovider_role = \"x\"\ninstances = [\"staging\"]\n",
    ] {
        let mistakes = start(PROVIDER, grants);
        assert!(mistakes.contains("provider_role"), "{grants}: {mistakes}");
    }
    assert_eq!(start(PROVIDER, super::GRANT), "");
    // Known by its key file alone, whatever it is said to be.
    assert!(start("", "").contains("zitadel"));
    let text = super::configuration(
        &Idp::open(),
        Words {
            grants: Some(""),
            ..Words::default()
        },
    );
    let cloud = Idp::open();
    let text = text.replace(
        &text
            .lines()
            .find(|line| line.starts_with("issuer = "))
            .unwrap()
            .to_owned(),
        &format!("issuer = \"https://acme-{}.zitadel.cloud\"", random(2)),
    );
    assert!(
        Stage::mistakes(&text, &[]).contains("provider_role"),
        "{}",
        cloud.issuer()
    );
}

// One project for each gateway instance.
#[test]
fn two_instances_can_have_a_project_each() {
    let scene = Scene::of(
        idp(),
        Words {
            provider: PROVIDER,
            staging: "audiences = [\"269599999999999999\"]",
            ..Words::default()
        },
    );
    let production = token(&scene, &json!({}));
    scene.served(&production);
    scene.refused_at("/staging/mcp", HOST, &production);
}
