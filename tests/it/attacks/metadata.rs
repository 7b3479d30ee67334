//! What a client learns before it has a token: the challenge, and the metadata
//! of RFC 9728.

use serde_json::json;

use super::{HOST, JSON, PRODUCTION, STAGING, Scene, Words, counting};
use crate::stage::Stage;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

// RFC 9728 section 5.1; RFC 6750 section 3.
#[test]
fn every_method_is_challenged_before_anything_else_is_looked_at() {
    let scene = Scene::open();
    for (method, lines, body) in [
        ("GET", vec![], ""),
        ("HEAD", vec![], ""),
        ("DELETE", vec![], ""),
        ("PUT", vec![], ""),
        ("POST", vec![], ""),
        ("POST", vec![JSON], "{"),
        ("POST", vec![JSON, "Accept: image/png"], "[]"),
        ("POST", vec!["Content-Type: text/plain"], "x"),
        ("GET", vec!["Accept: text/event-stream"], ""),
    ] {
        let mut lines = lines;
        lines.push(HOST);
        let answer = scene.stage.request(method, "/production/mcp", &lines, body);
        assert_eq!(answer.status, 401, "{method} {lines:?}");
        assert_eq!(
            answer.header("www-authenticate").unwrap(),
            format!(
                "Bearer resource_metadata=\"https://gw.example.com{WELL_KNOWN}/production/mcp\""
            ),
        );
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        // claude.ai looked for it in exactly this case.
        assert!(answer.head.contains("WWW-Authenticate:"), "{}", answer.head);
    }
    assert!(scene.idp.seen().is_empty() && scene.stage.company.calls().is_empty());
}

#[test]
fn each_public_url_has_its_own_metadata_and_is_challenged_with_it() {
    let scene = Scene::open();
    for (host, path, resource) in [
        (HOST, "/production/mcp", PRODUCTION),
        (HOST, "/staging/mcp", STAGING),
        (
            "Host: production.example.com",
            "/mcp",
            "https://production.example.com/mcp",
        ),
        (
            "Host: staging.example.com",
            "/mcp",
            "https://staging.example.com/mcp",
        ),
    ] {
        let answer = scene.stage.request("GET", path, &[host], "");
        let challenge = answer.header("www-authenticate").unwrap();
        let origin = resource.strip_suffix(path).unwrap();
        let url = format!("{origin}{WELL_KNOWN}{path}");
        assert_eq!(challenge, format!("Bearer resource_metadata=\"{url}\""));
        for place in [format!("{WELL_KNOWN}{path}"), format!("{path}{WELL_KNOWN}")] {
            let answer = scene.stage.request("GET", &place, &[host], "");
            assert_eq!(answer.status, 200, "{place}: {answer:?}");
            let metadata = answer.json();
            assert_eq!(metadata["resource"], resource);
            assert_eq!(
                metadata["authorization_servers"],
                json!([scene.idp.issuer()])
            );
            assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
            assert_eq!(
                answer.header("access-control-allow-origin").as_deref(),
                Some("*")
            );
            assert_eq!(
                answer.header("cache-control").as_deref(),
                Some("public, max-age=300")
            );
            assert!(
                answer
                    .header("content-type")
                    .unwrap()
                    .starts_with("application/json")
            );
        }
    }
    // It needs no provider, and no Odoo.
    assert!(scene.idp.seen().is_empty() && scene.stage.company.calls().is_empty());
}

#[test]
fn a_host_of_one_public_url_has_metadata_at_its_root_and_one_of_several_has_not() {
    let scene = Scene::open();
    let answer = scene
        .stage
        .request("GET", WELL_KNOWN, &["Host: production.example.com"], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json()["resource"],
        "https://production.example.com/mcp"
    );
    let answer = scene.stage.request("GET", WELL_KNOWN, &[HOST], "");
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(!answer.body.contains("production") && !answer.body.contains("<html"));
}

#[test]
fn metadata_is_got_and_nothing_else() {
    let scene = Scene::open();
    let path = format!("{WELL_KNOWN}/production/mcp");
    let preflight = scene.stage.request(
        "OPTIONS",
        &path,
        &[
            HOST,
            "Origin: https://inspector.example",
            "Access-Control-Request-Method: GET",
            "Access-Control-Request-Headers: mcp-protocol-version",
        ],
        "",
    );
    assert!(matches!(preflight.status, 200 | 204), "{preflight:?}");
    assert_eq!(
        preflight.header("access-control-allow-origin").as_deref(),
        Some("*")
    );
    for method in ["POST", "PUT", "DELETE"] {
        let answer = scene.stage.request(method, &path, &[HOST, JSON], "{}");
        assert!(matches!(answer.status, 404 | 405), "{method}: {answer:?}");
    }
    let head = scene.stage.request("HEAD", &path, &[HOST], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // A token there is nobody's business.
    let token = scene.token();
    let bearer = format!("Authorization: Bearer {token}");
    let answer = scene.stage.request("GET", &path, &[HOST, &bearer], "");
    scene.turned_away(&answer, 200, &token);
}

#[test]
fn scopes_to_ask_for_are_in_the_challenge_and_in_the_metadata() {
    let scene = Scene::with(Words {
        production: "challenge_scopes = [\"openid\", \"odoo:read\"]",
        ..Words::default()
    });
    let answer = scene.stage.request("GET", "/production/mcp", &[HOST], "");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.ends_with(", scope=\"openid odoo:read\""),
        "{challenge}"
    );
    let answer = scene
        .stage
        .request("GET", &format!("{WELL_KNOWN}/production/mcp"), &[HOST], "");
    assert_eq!(
        answer.json()["scopes_supported"],
        json!(["openid", "odoo:read"])
    );
    // Also when a token was refused.
    let answer = scene.call("tok-that-nobody-knows-of");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("scope=\"openid odoo:read\""),
        "{challenge}"
    );
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
}

#[test]
fn a_client_that_needs_an_error_in_every_challenge_gets_one_where_that_is_configured() {
    let scene = Scene::with(Words {
        server: "challenge_always_error = true",
        ..Words::default()
    });
    let answer = scene
        .stage
        .request("POST", "/production/mcp", &[JSON, HOST], &counting());
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .contains("error=\"invalid_token\"")
    );
}

#[test]
fn scopes_that_would_break_out_of_the_challenge_are_refused_at_the_start() {
    for scope in ["a\\\"b", "a b", "a,b\\\"", "\\\\", "é", ""] {
        let words = format!("challenge_scopes = [\"{scope}\"]");
        let idp = crate::idp::Idp::open();
        let text = super::configuration(
            &idp,
            Words {
                production: &words,
                ..Words::default()
            },
        );
        let mistakes = Stage::mistakes(&text, &[]);
        assert!(mistakes.contains("challenge_scopes"), "{scope}: {mistakes}");
    }
}
