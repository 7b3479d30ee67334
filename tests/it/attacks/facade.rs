//! The registration facade for providers without client registration: T-39.

use serde_json::{Value, json};

use super::{ConfigOverrides, HOST, IdpFixture, JSON};
use crate::{
    idp::{Endpoint, Idp, Mode},
    log,
    test_gateway::TestResponse,
};

const FACADE: &str = r#"
[facade]
issuer = "https://gw.example.com"
provider = "company"
client_id = "shared-public-client"
redirect_uris = ["https://claude.ai/api/mcp/auth_callback", "http://localhost/callback"]
registrations_per_minute = 10
"#;

const CLAUDE_REDIRECT_URI: &str = "https://claude.ai/api/mcp/auth_callback";
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

fn fixture_with_facade(idp: Idp) -> IdpFixture {
    IdpFixture::with_idp(
        idp,
        ConfigOverrides {
            more: FACADE,
            ..ConfigOverrides::default()
        },
    )
}

fn get(scene: &IdpFixture, path: &str) -> TestResponse {
    scene.gateway.request("GET", path, &[HOST], "")
}

fn register(scene: &IdpFixture, uris: &Value) -> TestResponse {
    let body = json!({"client_name": "Claude", "redirect_uris": uris, "token_endpoint_auth_method": "none"});
    scene
        .gateway
        .request("POST", "/register", &[JSON, HOST], &body.to_string())
}

// T-39
#[test]
fn facade_endpoints_give_404_if_not_configured() {
    let scene = IdpFixture::start();
    for path in [
        METADATA_PATH,
        "/.well-known/openid-configuration",
        "/register",
        "/authorize",
        "/token",
    ] {
        let answer = get(&scene, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("<html"));
    }
    assert_eq!(register(&scene, &json!([CLAUDE_REDIRECT_URI])).status, 404);
}

// T-39
#[test]
fn facade_metadata_has_provider_endpoints_and_own_registration() {
    let idp = Idp::start();
    idp.set_metadata("client_id_metadata_document_supported", json!(true));
    idp.set_metadata("x_internal", json!("http://10.0.0.1/secret"));
    let scene = fixture_with_facade(idp);
    let answer = get(&scene, METADATA_PATH);
    assert_eq!(answer.status, 200, "{answer:?}");
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], "https://gw.example.com");
    let at = |path: &str| json!(format!("{}{path}", scene.idp.issuer()));
    assert_eq!(metadata["authorization_endpoint"], at("/authorize"));
    assert_eq!(metadata["token_endpoint"], at("/token"));
    assert_eq!(
        metadata["registration_endpoint"],
        "https://gw.example.com/register"
    );
    assert_eq!(
        metadata["code_challenge_methods_supported"],
        json!(["S256"])
    );
    assert_eq!(
        metadata["token_endpoint_auth_methods_supported"],
        json!(["none"])
    );
    for absent in [
        "client_id_metadata_document_supported",
        "x_internal",
        "introspection_endpoint",
    ] {
        assert!(metadata.get(absent).is_none(), "{absent}");
    }
    let resource = get(
        &scene,
        "/.well-known/oauth-protected-resource/production/mcp",
    )
    .json();
    assert_eq!(
        resource["authorization_servers"],
        json!(["https://gw.example.com"])
    );
    // Tokens still come from the provider, and are validated.
    scene.assert_served(&scene.token());
}

// T-39
#[test]
fn facade_is_off_if_provider_sends_iss_parameter() {
    let idp = Idp::start();
    idp.set_metadata(
        "authorization_response_iss_parameter_supported",
        json!(true),
    );
    let scene = fixture_with_facade(idp);
    let answer = get(&scene, METADATA_PATH);
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(register(&scene, &json!([CLAUDE_REDIRECT_URI])).status, 404);
    let resource = get(
        &scene,
        "/.well-known/oauth-protected-resource/production/mcp",
    );
    assert_eq!(
        resource.json()["authorization_servers"],
        json!([scene.idp.issuer()])
    );
    let lines = log::lines_with("RFC 9207");
    assert!(lines.iter().any(|line| line.contains("WARN")), "{lines:?}");
    scene.assert_served(&scene.token());
}

// T-39; RFC 7591 section 3.2.2.
#[test]
fn configured_redirect_uris_can_be_registered() {
    let scene = fixture_with_facade(Idp::start());
    for uris in [
        json!([CLAUDE_REDIRECT_URI]),
        json!(["http://localhost:3118/callback"]),
        json!(["http://localhost:1/callback", CLAUDE_REDIRECT_URI]),
        json!(["http://localhost/callback"]),
    ] {
        let answer = register(&scene, &uris);
        assert_eq!(answer.status, 201, "{uris}: {answer:?}");
        let client = answer.json();
        assert_eq!(client["client_id"], "shared-public-client");
        assert_eq!(client["redirect_uris"], uris);
        assert_eq!(client["token_endpoint_auth_method"], "none");
        assert!(client.get("client_secret").is_none());
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    }
}

// T-39; RFC 7591 section 3.2.2.
#[test]
fn unknown_redirect_uri_is_rejected() {
    let scene = IdpFixture::with_idp(
        Idp::start(),
        ConfigOverrides {
            more: &FACADE.replace("= 10", "= 1000"),
            ..ConfigOverrides::default()
        },
    );
    for uris in [
        json!(["https://evil.test/callback"]),
        json!([CLAUDE_REDIRECT_URI, "https://evil.test/callback"]),
        json!(["https://claude.ai/api/mcp/auth_callback/../evil"]),
        json!(["https://claude.ai/api/mcp/auth_callback?x=1"]),
        json!(["https://claude.ai/api/mcp/auth_callback#x"]),
        json!(["https://claude.ai:444/api/mcp/auth_callback"]),
        json!(["https://claude.ai.evil.test/api/mcp/auth_callback"]),
        json!(["https://evil@claude.ai/api/mcp/auth_callback"]),
        json!(["http://claude.ai/api/mcp/auth_callback"]),
        json!(["http://localhost:3118/other"]),
        json!(["http://localhost.evil.test:3118/callback"]),
        json!(["http://evil@localhost:3118/callback"]),
        json!(["http://localhost:3118@evil.test/callback"]),
        json!(["http://127.0.0.1:3118/callback"]),
        json!(["https://localhost:3118/callback"]),
        json!(["http://localhost:99999/callback"]),
        json!(["http://localhost:3118/callback\r\nX: y"]),
        json!(["javascript:alert(1)"]),
        json!(["cursor://anysphere.cursor-mcp/oauth/callback"]),
        json!([""]),
        json!([]),
        json!([7]),
        json!(CLAUDE_REDIRECT_URI),
        json!(null),
    ] {
        let answer = register(&scene, &uris);
        assert_eq!(answer.status, 400, "{uris}: {answer:?}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(
            matches!(
                error.as_str(),
                "invalid_redirect_uri" | "invalid_client_metadata"
            ),
            "{uris}: {error}"
        );
        assert!(!answer.body.contains("shared-public-client"));
    }
}

// T-39
#[test]
fn invalid_registration_request_is_rejected() {
    let scene = IdpFixture::with_idp(
        Idp::start(),
        ConfigOverrides {
            more: &FACADE.replace("= 10", "= 1000"),
            ..ConfigOverrides::default()
        },
    );
    let ask = |method: &str, media: &str, body: &str| {
        let media = format!("Content-Type: {media}");
        scene
            .gateway
            .request(method, "/register", &[HOST, &media], body)
            .status
    };
    for body in ["", "{", "[]", "7", "null", "\"x\"", "{}"] {
        assert_eq!(ask("POST", "application/json", body), 400, "{body}");
    }
    assert!(matches!(ask("POST", "text/plain", "{}"), 400 | 415));
    assert!(matches!(ask("GET", "application/json", ""), 404 | 405));
    assert!(matches!(ask("DELETE", "application/json", ""), 404 | 405));
    let long = format!("{{\"client_name\":\"{}\"}}", "n".repeat(17 << 10));
    assert!(matches!(ask("POST", "application/json", &long), 400 | 413));
    let deep = "[".repeat(8000) + &"]".repeat(8000);
    assert_eq!(
        ask(
            "POST",
            "application/json",
            &format!("{{\"redirect_uris\":{deep}}}")
        ),
        400
    );
}

// T-39
#[test]
fn registrations_are_rate_limited_and_not_sent_to_provider() {
    let scene = fixture_with_facade(Idp::start());
    let statuses: Vec<u16> = (0..1000)
        .map(|_| {
            let answer = register(&scene, &json!([CLAUDE_REDIRECT_URI]));
            if answer.status == 429 {
                assert!(answer.header("retry-after").is_some());
            }
            answer.status
        })
        .collect();
    let taken = statuses.iter().filter(|status| **status == 201).count();
    // Ten registrations per minute; the test may take a while.
    assert!((1..=30).contains(&taken), "{taken}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 429)));
    // The provider's metadata is fetched once, not for every registration.
    assert!(scene.idp.request_count(Endpoint::Discovery) <= 2);
    assert_eq!(scene.idp.request_count(Endpoint::Other), 0);
}

// T-39
#[test]
fn facade_metadata_is_unavailable_while_provider_fails() {
    let idp = Idp::start();
    idp.set_mode(Endpoint::Discovery, Mode::S500);
    let scene = fixture_with_facade(idp);
    let answer = get(&scene, METADATA_PATH);
    assert!(matches!(answer.status, 404 | 503), "{answer:?}");
}
