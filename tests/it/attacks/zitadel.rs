//! Zitadel's behaviour according to its source: `facts/oauth.md`, section 1.2.

use serde_json::{Value, json};

use super::{ConfigOverrides, HOST, IdpFixture};
use crate::{
    idp::{ExpectedClientAuth, Idp, SigningKey, random_hex},
    test_gateway::TestGateway,
};

const PROJECT: &str = "269512345678901234";
const ROLES: &str = "urn:zitadel:iam:org:project:269512345678901234:roles";

const PROVIDER: &str =
    "kind = \"zitadel\"\nproject = \"269512345678901234\"\ncache_ttl_s = 0\nnegative_ttl_s = 0";

fn zitadel_idp() -> Idp {
    let idp = Idp::start();
    idp.expect_client_auth(ExpectedClientAuth::PrivateKeyJwt {
        id: "269587654321098765".to_owned(),
        key: Box::new(SigningKey::rsa(2, "269587654321098766")),
        audience: idp.issuer().to_owned(),
    });
    idp.require_audience(PROJECT);
    idp
}

fn zitadel_fixture() -> IdpFixture {
    IdpFixture::with_idp(zitadel_idp(), ConfigOverrides::of_provider(PROVIDER))
}

/// Zitadel's introspection response for a user's token.
fn claims(scene: &IdpFixture) -> Value {
    scene.claims_with(&json!({
        "aud": ["269511111111111111", PROJECT],
        "client_id": "269511111111111111",
        "username": "alice@acme.test",
        "roles": null,
        ROLES: {"odoo_reader": {"2801": "acme.test"}},
        "urn:zitadel:iam:org:project:roles": {"odoo_reader": {"2801": "acme.test"}},
    }))
}

fn token(scene: &IdpFixture, changes: &Value) -> String {
    let mut claims = claims(scene);
    let all = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            all.shift_remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    scene.idp.issue_opaque(claims)
}

#[test]
fn zitadel_project_sets_audience_roles_claim_and_scopes() {
    let scene = zitadel_fixture();
    scene.assert_served(&token(&scene, &json!({})));
    let answer = scene.gateway.request("GET", "/production/mcp", &[HOST], "");
    let challenge = answer.header("www-authenticate").unwrap();
    let scopes = format!("scope=\"openid profile urn:zitadel:iam:org:project:id:{PROJECT}:aud\"");
    assert!(challenge.contains(&scopes), "{challenge}");
}

#[test]
fn token_without_project_audience_is_rejected() {
    let scene = zitadel_fixture();
    scene.assert_rejected(&token(&scene, &json!({"aud": ["269511111111111111"]})));
    // The provider does not check the audience here.
    let lax = Idp::start();
    lax.expect_client_auth(zitadel_idp().client_auth());
    let ExpectedClientAuth::PrivateKeyJwt { id, key, .. } = lax.client_auth() else {
        panic!("a key")
    };
    lax.expect_client_auth(ExpectedClientAuth::PrivateKeyJwt {
        id,
        key,
        audience: lax.issuer().to_owned(),
    });
    let scene = IdpFixture::with_idp(lax, ConfigOverrides::of_provider(PROVIDER));
    scene.assert_rejected(&token(&scene, &json!({"aud": ["269511111111111111"]})));
    scene.assert_rejected(&token(&scene, &json!({"aud": super::PRODUCTION})));
}

#[test]
fn roles_of_another_project_are_ignored() {
    let scene = zitadel_fixture();
    for changes in [
        json!({ROLES: null, "urn:zitadel:iam:org:project:roles": null}),
        // For any project: the claim without a project ID does not say which.
        json!({ROLES: null}),
        json!({ROLES: null, "urn:zitadel:iam:org:project:1:roles": {"odoo_reader": {"2801": "acme.test"}}}),
        json!({ROLES: {}}),
        json!({ROLES: {"odoo_other": {"2801": "acme.test"}}}),
    ] {
        let token = token(&scene, &changes);
        let answer = scene.call(&token);
        assert_eq!(answer.status, 403, "{changes}: {answer:?}");
        // No scope would help, so step-up would never end.
        assert!(
            !answer.head.contains("insufficient_scope"),
            "{}",
            answer.head
        );
        scene.assert_no_leak(&answer, &token);
    }
}

#[test]
fn role_counts_only_in_organization_of_the_grant() {
    let grants = format!("{}organization = \"2801\"\n", super::READER_GRANT);
    let scene = IdpFixture::with_idp(
        zitadel_idp(),
        ConfigOverrides {
            provider: PROVIDER,
            grants: Some(&grants),
            ..ConfigOverrides::default()
        },
    );
    scene.assert_served(&token(&scene, &json!({})));
    scene.assert_served(&token(
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
fn personal_access_token_is_rejected_unless_allowed() {
    let scene = zitadel_fixture();
    let pat = json!({"client_id": null, "aud": ["269587654321098765", PROJECT]});
    scene.assert_rejected(&token(&scene, &pat));
    scene.assert_rejected(&token(&scene, &json!({"client_id": ""})));
    let provider = format!("{PROVIDER}\nallow_pat = true");
    let scene = IdpFixture::with_idp(zitadel_idp(), ConfigOverrides::of_provider(&provider));
    scene.assert_served(&token(&scene, &pat));
}

// BC-11: Zitadel omitted `client_id` for some time.
#[test]
fn client_is_taken_from_azp_where_client_id_is_missing() {
    let scene = zitadel_fixture();
    let azp = json!({"client_id": null, "azp": "269511111111111111"});
    scene.assert_served(&token(&scene, &azp));
    let before = crate::log::length();
    scene.assert_rejected(&token(&scene, &json!({"client_id": null})));
    let written = crate::log::written_since(before);
    assert!(
        written.contains("no_client: ") && written.contains("`allow_pat = true`"),
        "{written}"
    );
}

// Any client gets the audience of any project by requesting it.
#[test]
fn zitadel_without_provider_role_grant_is_rejected_at_startup() {
    let key = super::zitadel_key("1", "2", &SigningKey::rsa(2, "2").private_pem());
    let start = |provider: &str, grants: &str| {
        let text = super::configuration(
            &zitadel_idp(),
            ConfigOverrides {
                provider,
                grants: Some(grants),
                ..ConfigOverrides::default()
            },
        );
        TestGateway::config_errors(&text, &[("zitadel-key.json", &key)])
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
    assert_eq!(start(PROVIDER, super::READER_GRANT), "");
    // Recognized by its key file, whatever the configuration says.
    assert!(start("", "").contains("zitadel"));
    let text = super::configuration(
        &Idp::start(),
        ConfigOverrides {
            grants: Some(""),
            ..ConfigOverrides::default()
        },
    );
    let cloud = Idp::start();
    let text = text.replace(
        &text
            .lines()
            .find(|line| line.starts_with("issuer = "))
            .unwrap()
            .to_owned(),
        &format!("issuer = \"https://acme-{}.zitadel.cloud\"", random_hex(2)),
    );
    assert!(
        TestGateway::config_errors(&text, &[]).contains("provider_role"),
        "{}",
        cloud.issuer()
    );
}

// One project for each gateway instance.
#[test]
fn instances_may_have_different_zitadel_projects() {
    let scene = IdpFixture::with_idp(
        zitadel_idp(),
        ConfigOverrides {
            provider: PROVIDER,
            staging: "audiences = [\"269599999999999999\"]",
            ..ConfigOverrides::default()
        },
    );
    let production = token(&scene, &json!({}));
    scene.assert_served(&production);
    scene.assert_rejected_at("/staging/mcp", HOST, &production);
}
