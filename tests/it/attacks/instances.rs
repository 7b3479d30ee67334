//! Tokens for another instance, and invalid paths: T-09 and T-27.

use serde_json::json;

use super::{ConfigOverrides, HOST, IdpFixture, JSON, NO_CACHE, STAGING, count_request};
use crate::{
    idp::{ExpectedClientAuth, Idp},
    test_gateway::TestResponse,
};

// T-09
#[test]
fn staging_token_is_rejected_by_production_under_every_url() {
    let scene = IdpFixture::with_provider(NO_CACHE);
    let staging = scene.token_with(&json!({"aud": STAGING}));
    for (path, host) in [
        ("/production/mcp", HOST),
        ("/production/mcp/", HOST),
        ("/Production/MCP", HOST),
        ("/PRODUCTION/mcp", "Host: GW.EXAMPLE.COM"),
        ("/mcp", "Host: production.example.com"),
        ("/mcp", "Host: production.example.com:443"),
        ("/MCP/", "Host: Production.Example.com"),
        ("/production/mcp", "Host: localhost"),
    ] {
        let answer = scene.assert_rejected_at(path, host, &staging);
        assert!(
            !answer.body.to_lowercase().contains("staging"),
            "{}",
            answer.body
        );
        assert!(
            !answer.body.to_lowercase().contains("instance"),
            "{}",
            answer.body
        );
    }
    let answer = scene.call_at("/staging/mcp", HOST, &staging);
    assert_eq!(answer.status, 200, "{answer:?}");
}

// T-09: the provider's response is cached, the decision about an instance is not.
#[test]
fn cached_token_is_rejected_by_other_instance() {
    let scene = IdpFixture::start();
    let token = scene.token();
    scene.assert_served(&token);
    scene.assert_rejected_at("/staging/mcp", HOST, &token);
    let both = scene.token_with(&json!({"aud": [STAGING, super::PRODUCTION]}));
    scene.assert_served(&both);
    assert_eq!(scene.call_at("/staging/mcp", HOST, &both).status, 200);
}

// T-09: if two companies share a gateway, neither provider receives the other's
// tokens.
#[test]
fn token_is_sent_only_to_provider_of_its_instance() {
    let partner = Idp::start();
    let ExpectedClientAuth::Basic { id, secret } = partner.client_auth() else {
        panic!("a secret")
    };
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let more = format!(
        "[providers.partner]\nissuer = {}\nclient_id = {}\nclient_secret = {}\n{NO_CACHE}",
        quoted(partner.issuer()),
        quoted(&id),
        quoted(&secret)
    );
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: NO_CACHE,
        production: "providers = [\"company\"]",
        staging: "providers = [\"partner\"]",
        grants: Some("[[grants]]\nroles = [\"reader\"]\nprovider_role = \"odoo_reader\"\n"),
        more: &more,
        ..ConfigOverrides::default()
    });
    let ours = scene.token();
    let theirs = scene.claims_with(&json!({"iss": partner.issuer(), "aud": STAGING}));
    let theirs = partner.issue_opaque(theirs);
    scene.assert_served(&ours);
    scene.assert_rejected(&theirs);
    assert!(partner.requests().is_empty(), "{:?}", partner.requests());
    let asked = scene.idp.requests().len();
    assert_eq!(scene.call_at("/staging/mcp", HOST, &theirs).status, 200);
    scene.assert_rejected_at("/staging/mcp", HOST, &ours);
    assert_eq!(scene.idp.requests().len(), asked);
    // Nor does one provider accept a token that names the other as its issuer.
    let forged = partner.issue_opaque(scene.claims_with(&json!({"aud": STAGING})));
    scene.assert_rejected_at("/staging/mcp", HOST, &forged);
    let jwt = scene.jwt_with(&json!({"aud": STAGING}));
    scene.assert_rejected_at("/staging/mcp", HOST, &jwt);
    for (host, issuer) in [
        (HOST, scene.idp.issuer()),
        ("Host: staging.example.com", partner.issuer()),
    ] {
        let path = if host == HOST {
            "/production/mcp"
        } else {
            "/mcp"
        };
        let well_known = format!("/.well-known/oauth-protected-resource{path}");
        let metadata = scene
            .gateway
            .request("GET", &well_known, &[host], "")
            .json();
        assert_eq!(metadata["authorization_servers"], json!([issuer]));
    }
}

// T-27
#[test]
fn noncanonical_path_is_rejected_before_authentication() {
    let scene = IdpFixture::start();
    let bearer = format!("Authorization: Bearer {}", scene.token());
    for path in [
        "/production/../staging/mcp",
        "/production/./mcp",
        "/production/%2e%2e/staging/mcp",
        "/production%2f..%2fstaging/mcp",
        "/production%2fmcp",
        "//production//mcp",
        "/production//mcp",
        "/production/mcp;x",
        "/production/mcp;x/..",
        "/production%00/mcp",
        "/production\\mcp",
        "/production/mcp%20",
        "/%70roduction/mcp",
        "/%c0%af/mcp",
        "/production%c0%ae%c0%ae/mcp",
        "/productio\u{306}n/mcp",
        "/.well-known/oauth-protected-resource/production/mcp/../../staging/mcp",
        "/.well-known/oauth-protected-resource//production/mcp",
        "/.well-known/oauth-protected-resource/production%2fmcp",
        "/.well-known/oauth-protected-resource/nope/mcp",
        "/.well-known/../production/mcp",
        "/nope/mcp",
        "/production",
        "/production/",
        "/authorize",
        "/token",
        "/register",
    ] {
        for headers in [vec![JSON, HOST], vec![JSON, HOST, &bearer]] {
            let answer = scene
                .gateway
                .request("POST", path, &headers, &count_request());
            assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
            assert!(answer.header("www-authenticate").is_none(), "{path}");
        }
    }
    // Before authentication: the token is not validated.
    assert!(scene.idp.requests().is_empty());
    assert!(scene.gateway.fake_odoo.calls().is_empty());
    for path in ["/PRODUCTION/MCP", "/production/mcp/", "/production/mcp?x=1"] {
        assert_eq!(
            scene
                .gateway
                .request("POST", path, &[JSON, HOST, &bearer], &count_request())
                .status,
            200,
            "{path}"
        );
    }
}

// T-27
#[test]
fn unauthenticated_caller_cannot_enumerate_instances() {
    let scene = IdpFixture::start();
    let plain = |answer: &TestResponse| {
        let lines: Vec<&str> = answer
            .head
            .lines()
            .filter(|line| {
                !line.to_lowercase().starts_with("x-request-id")
                    && !line.to_lowercase().starts_with("date")
            })
            .collect();
        (lines.join("\n"), answer.body.clone())
    };
    let ask = |path: &str| {
        scene
            .gateway
            .request("POST", path, &[JSON, HOST], &count_request())
    };
    let first = ask("/nope/mcp");
    assert_eq!(first.status, 404);
    for name in ["accounting", "prod", "staging-2", "production-old", "x"] {
        assert_eq!(
            plain(&ask(&format!("/{name}/mcp"))),
            plain(&first),
            "{name}"
        );
    }
    assert!(scene.idp.requests().is_empty());
}
