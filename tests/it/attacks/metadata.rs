//! What a client receives before it has a token: the challenge, and the metadata
//! of RFC 9728.

use serde_json::json;

use super::{ConfigOverrides, HOST, IdpFixture, JSON, PRODUCTION, STAGING, count_request};
use crate::test_gateway::TestGateway;

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

// RFC 9728 section 5.1; RFC 6750 section 3.
#[test]
fn every_method_is_challenged_before_other_checks() {
    let scene = IdpFixture::start();
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
        let answer = scene
            .gateway
            .request(method, "/production/mcp", &lines, body);
        assert_eq!(answer.status, 401, "{method} {lines:?}");
        assert_eq!(
            answer.header("www-authenticate").unwrap(),
            format!(
                "Bearer resource_metadata=\"https://gw.example.com{WELL_KNOWN}/production/mcp\""
            ),
        );
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        // claude.ai looked for the header in exactly this case.
        assert!(answer.head.contains("WWW-Authenticate:"), "{}", answer.head);
    }
    assert!(scene.idp.requests().is_empty() && scene.gateway.fake_odoo.calls().is_empty());
}

#[test]
fn each_public_url_has_its_own_metadata_and_challenge() {
    let scene = IdpFixture::start();
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
        let answer = scene.gateway.request("GET", path, &[host], "");
        let challenge = answer.header("www-authenticate").unwrap();
        let origin = resource.strip_suffix(path).unwrap();
        let url = format!("{origin}{WELL_KNOWN}{path}");
        assert_eq!(challenge, format!("Bearer resource_metadata=\"{url}\""));
        for place in [format!("{WELL_KNOWN}{path}"), format!("{path}{WELL_KNOWN}")] {
            let answer = scene.gateway.request("GET", &place, &[host], "");
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
    // It needs neither the provider nor Odoo.
    assert!(scene.idp.requests().is_empty() && scene.gateway.fake_odoo.calls().is_empty());
}

#[test]
fn root_metadata_exists_only_for_host_with_one_public_url() {
    let scene = IdpFixture::start();
    let answer = scene
        .gateway
        .request("GET", WELL_KNOWN, &["Host: production.example.com"], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json()["resource"],
        "https://production.example.com/mcp"
    );
    let answer = scene.gateway.request("GET", WELL_KNOWN, &[HOST], "");
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(!answer.body.contains("production") && !answer.body.contains("<html"));
}

#[test]
fn metadata_allows_only_get_head_and_options() {
    let scene = IdpFixture::start();
    let path = format!("{WELL_KNOWN}/production/mcp");
    let preflight = scene.gateway.request(
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
        let answer = scene.gateway.request(method, &path, &[HOST, JSON], "{}");
        assert!(matches!(answer.status, 404 | 405), "{method}: {answer:?}");
    }
    let head = scene.gateway.request("HEAD", &path, &[HOST], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // A token sent there is ignored.
    let token = scene.token();
    let bearer = format!("Authorization: Bearer {token}");
    let answer = scene.gateway.request("GET", &path, &[HOST, &bearer], "");
    scene.assert_refused_early(&answer, 200, &token);
}

#[test]
fn configured_scopes_are_in_challenge_and_metadata() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        production: "challenge_scopes = [\"openid\", \"odoo:read\"]",
        ..ConfigOverrides::default()
    });
    let answer = scene.gateway.request("GET", "/production/mcp", &[HOST], "");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.ends_with(", scope=\"openid odoo:read\""),
        "{challenge}"
    );
    let answer = scene
        .gateway
        .request("GET", &format!("{WELL_KNOWN}/production/mcp"), &[HOST], "");
    assert_eq!(
        answer.json()["scopes_supported"],
        json!(["openid", "odoo:read"])
    );
    // Also after a rejected token.
    let answer = scene.call("tok-unknown-to-the-provider");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("scope=\"openid odoo:read\""),
        "{challenge}"
    );
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
}

#[test]
fn challenge_always_has_error_if_configured() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        server: "challenge_always_error = true",
        ..ConfigOverrides::default()
    });
    let answer = scene
        .gateway
        .request("POST", "/production/mcp", &[JSON, HOST], &count_request());
    assert_eq!(answer.status, 401);
    assert!(
        answer
            .header("www-authenticate")
            .unwrap()
            .contains("error=\"invalid_token\"")
    );
}

#[test]
fn invalid_challenge_scopes_are_rejected_at_startup() {
    for scope in ["a\\\"b", "a b", "a,b\\\"", "\\\\", "é", ""] {
        let words = format!("challenge_scopes = [\"{scope}\"]");
        let idp = crate::idp::Idp::start();
        let text = super::configuration(
            &idp,
            ConfigOverrides {
                production: &words,
                ..ConfigOverrides::default()
            },
        );
        let mistakes = TestGateway::config_errors(&text, &[]);
        assert!(mistakes.contains("challenge_scopes"), "{scope}: {mistakes}");
    }
}
