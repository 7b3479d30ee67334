//! `check --live --token`: what a token gives access to, and why it is rejected.

use std::fs;

use serde_json::{Value, json};

use super::{
    ConfigOverrides, IdpFixture, NO_CACHE, PRODUCTION, VALIDATE_JWT, configuration,
    real_providers::{fixture, jwt},
};
use crate::{
    credentials,
    idp::{Idp, jwt_header, unsigned},
    log,
    test_gateway::start_fake_odoo,
};

/// What an administrator reads about a token in production.
fn findings(scene: &IdpFixture, token: &str) -> String {
    let all = scene.gateway.check_token(token);
    let (_, found) = all
        .iter()
        .find(|(instance, _)| instance.as_str() == "production")
        .unwrap();
    let lines = found.iter().map(|one| {
        let help = one.remedy.as_ref();
        let help = help.map_or_else(String::new, |help| format!("\n  help: {help}"));
        format!("{:?}: {}{help}", one.status, one.message)
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    assert!(!text.contains(token), "{text}");
    text.replace(scene.idp.issuer(), "ISSUER")
}

/// A token that names this algorithm. Its signature is worth nothing.
fn with_algorithm(scene: &IdpFixture, name: &str) -> String {
    let header = jwt_header(&json!({"alg": name}), "key");
    let claims = scene.claims();
    unsigned(&header.to_string(), &claims.to_string()) + ".c2lnbmF0dXJl"
}

// P1
#[test]
fn refresh_token_is_not_called_good() {
    let scene = fixture("validation = \"jwt\"\nrequire_at_jwt = false");
    let access = json!({"typ": "Bearer", "sub": "alice", "azp": "assistants", "scope": "openid"});
    let text = findings(&scene, &jwt(&scene, &access));
    assert!(
        text.lines().all(|line| line.starts_with("Pass: ")),
        "{text}"
    );
    for claims in [
        json!({"typ": "Refresh", "azp": "assistants", "uid": "alice"}),
        json!({"typ": "Offline", "sub": "alice", "azp": "assistants", "scope": "openid"}),
        json!({"typ": "ID", "sub": "alice", "azp": "assistants", "scope": "openid"}),
        json!({"azp": "assistants", "uid": "alice"}),
    ] {
        let text = findings(&scene, &jwt(&scene, &claims));
        assert!(
            text.starts_with("Fail: ") && !text.contains("Pass"),
            "{claims}: {text}"
        );
    }
}

// P6, BC-05, BC-11
#[test]
fn rejection_names_what_was_seen_where_and_the_setting() {
    let mut texts = Vec::new();
    let mut note = |what: &str, scene: &IdpFixture, token: &str| {
        texts.push(format!("{what}\n{}", findings(scene, token)));
    };
    let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\n{NO_CACHE}"));
    let signed = |header: &Value, changes: &Value| {
        let mut claims = scene.claims_with(&json!({"sub": "alice"}));
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        scene.idp.issue_jwt(header, &claims)
    };
    let none = json!({});
    note("# signed", &scene, &signed(&none, &none));
    for (header, changes) in [
        (json!({"typ": "JWT"}), json!({})),
        (json!({}), json!({"aud": "other"})),
        (json!({}), json!({"aud": "https://gw.example.com/"})),
        (json!({}), json!({"exp": 1})),
        (json!({}), json!({"roles": []})),
        (json!({}), json!({"roles": ["other"]})),
    ] {
        let what = format!("# signed, {header} {changes}");
        note(&what, &scene, &signed(&header, &changes));
    }
    for name in ["none", "RS512"] {
        let what = format!("# signed, `alg` is {name}");
        note(&what, &scene, &with_algorithm(&scene, name));
    }
    note("# signed, opaque", &scene, "an-opaque-token-of-a-provider");
    let scene = IdpFixture::with_provider(&format!("validation = \"introspection\"\n{NO_CACHE}"));
    for changes in [
        json!({}),
        json!({"aud": null}),
        json!({"aud": "https://gw.example.com/"}),
        json!({"token_type": null}),
        json!({"exp": null}),
        json!({"sub": null, "client_id": null}),
        json!({"roles": null}),
    ] {
        let mut all = changes.clone();
        if all.get("sub").is_none() {
            all["sub"] = json!("alice");
        }
        let what = format!("# introspected, {changes}");
        note(&what, &scene, &scene.token_with(&all));
    }
    note(
        "# introspected, unknown",
        &scene,
        "an-opaque-token-of-nobody",
    );
    let token = scene.jwt_with(&json!({"sub": "alice"}));
    let response = scene.claims_with(&json!({"sub": "alice", "aud": null}));
    scene.idp.set_token(&token, response);
    note("# introspected, `aud` only in the JWT", &scene, &token);
    insta::assert_snapshot!(texts.join("\n\n"));
}

// P6
#[test]
fn log_names_the_algorithm_of_a_rejected_token() {
    let scene = IdpFixture::with_provider(&format!("{VALIDATE_JWT}\n{NO_CACHE}"));
    for named in ["none", "RS512", "HS256"] {
        let before = log::length();
        scene.assert_rejected(&with_algorithm(&scene, named));
        let written = log::written_since(before);
        let named = format!("`{named}`");
        assert!(
            written.lines().any(|line| line.contains("algorithm: ")
                && line.contains(&named)
                && line.contains("`algorithms`")),
            "{written}"
        );
    }
}

// P7
#[test]
fn registration_is_not_called_a_way_in() {
    let mut texts = Vec::new();
    for (registers, has_documents) in [(true, true), (true, false), (false, true), (false, false)] {
        let idp = Idp::start();
        if !registers {
            idp.set_metadata("registration_endpoint", Value::Null);
        }
        let documents = json!(has_documents);
        idp.set_metadata("client_id_metadata_document_supported", documents);
        let scene = IdpFixture::with_idp(idp, ConfigOverrides::default());
        let found = scene.check();
        let mut said = found.iter().filter(|one| {
            one.message.contains("register themselves") || one.message.contains("as client id")
        });
        let one = said.next().unwrap();
        texts.push(format!(
            "{:?}: {} {}",
            one.status,
            one.message,
            one.remedy.as_deref().unwrap_or_default()
        ));
        assert!(said.next().is_none());
    }
    insta::assert_snapshot!(texts.join("\n"));
}

/// The output of the program for a token on its standard input, and its exit code.
fn run(idp: &Idp, provider: &str, token: &str) -> (String, String, Option<i32>) {
    let (_odoo, url) = start_fake_odoo();
    let folder = tempfile::tempdir().unwrap();
    let text = configuration(idp, ConfigOverrides::of_provider(provider)).replace("ODOO", &url);
    fs::write(folder.path().join("gatepost.toml"), text).unwrap();
    let command = ["check", "--live", "--token"];
    let output = credentials::run(&folder, &command, &format!("Bearer {token}\n"));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!out.contains(token) && !err.contains(token), "{out}{err}");
    (out, err, output.status.code())
}

// P1, BC-05
#[test]
fn program_reads_the_token_and_fails_if_no_instance_accepts_it() {
    let scene = IdpFixture::with_provider(VALIDATE_JWT);
    let (out, err, code) = run(&scene.idp, VALIDATE_JWT, &scene.jwt_with(&json!({})));
    assert_eq!(code, Some(0), "{out}{err}");
    // It is for production alone.
    let about_token = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.retain(|line| {
            line.ends_with(" reader")
                || line.contains("the token, ")
                || line.contains("`audiences`")
        });
        lines.join("\n")
    };
    let mut texts = vec![about_token(&out), about_token(&err)];
    let refresh = scene.jwt_with(&json!({"typ": "Refresh"}));
    let (out, err, code) = run(&scene.idp, VALIDATE_JWT, &refresh);
    assert_eq!(code, Some(4), "{out}{err}");
    texts.push(about_token(&err));
    let origin = scene.jwt_with(&json!({"aud": PRODUCTION.trim_end_matches("/production/mcp")}));
    let (out, err, code) = run(&scene.idp, VALIDATE_JWT, &origin);
    assert_eq!(code, Some(4), "{out}{err}");
    texts.push(about_token(&err));
    insta::assert_snapshot!(texts.join("\n"));
}

// BC-08
#[test]
fn program_without_a_subject_is_served_without_a_login() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: NO_CACHE,
        grants: Some("[[grants]]\nroles = [\"reader\"]\nclient_id = \"nightly-job\"\n"),
        ..ConfigOverrides::default()
    });
    let token = scene.token_with(&json!({"sub": null, "roles": null, "client_id": "nightly-job"}));
    let answer = scene.call(&token);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("www-authenticate").is_none());
    let (text, failed) = answer.tool_result();
    assert!(!failed, "{text}");
    assert!(answer.json()["result"].get("inputRequests").is_none());
    let text = findings(&scene, &token);
    assert!(text.contains("`client:nightly-job`"), "{text}");
    // No grant fits another program.
    let other = scene.token_with(&json!({"sub": null, "roles": null, "client_id": "other-job"}));
    assert_eq!(scene.call(&other).status, 403);
}
