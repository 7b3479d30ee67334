//! The facade for providers without registration: T-39.

use serde_json::{Value, json};

use super::{HOST, JSON, Scene, Words};
use crate::{
    idp::{Endpoint, Idp, Mode},
    log,
    stage::Answer,
};

const FACADE: &str = r#"
[facade]
issuer = "https://gw.example.com"
provider = "company"
client_id = "shared-public-client"
redirect_uris = ["https://claude.ai/api/mcp/auth_callback", "http://localhost/callback"]
registrations_per_minute = 10
"#;

const CLAUDE: &str = "https://claude.ai/api/mcp/auth_callback";
const SERVER: &str = "/.well-known/oauth-authorization-server";

fn scene_of(idp: Idp) -> Scene {
    Scene::of(
        idp,
        Words {
            more: FACADE,
            ..Words::default()
        },
    )
}

fn get(scene: &Scene, path: &str) -> Answer {
    scene.stage.request("GET", path, &[HOST], "")
}

fn register(scene: &Scene, uris: &Value) -> Answer {
    let body = json!({"client_name": "Claude", "redirect_uris": uris, "token_endpoint_auth_method": "none"});
    scene
        .stage
        .request("POST", "/register", &[JSON, HOST], &body.to_string())
}

// T-39
#[test]
fn without_a_facade_there_is_nothing_to_register_at() {
    let scene = Scene::open();
    for path in [
        SERVER,
        "/.well-known/openid-configuration",
        "/register",
        "/authorize",
        "/token",
    ] {
        let answer = get(&scene, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("<html"));
    }
    assert_eq!(register(&scene, &json!([CLAUDE])).status, 404);
}

// T-39
#[test]
fn the_facade_names_the_providers_endpoints_and_its_own_registration_and_no_more() {
    let idp = Idp::open();
    idp.publishes("client_id_metadata_document_supported", json!(true));
    idp.publishes("x_internal", json!("http://10.0.0.1/secret"));
    let scene = scene_of(idp);
    let answer = get(&scene, SERVER);
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
    // Tokens are still the provider's, and looked at as such.
    scene.served(&scene.token());
}

// T-39
#[test]
fn a_provider_that_says_who_it_is_in_its_answers_takes_no_facade() {
    let idp = Idp::open();
    idp.publishes(
        "authorization_response_iss_parameter_supported",
        json!(true),
    );
    let scene = scene_of(idp);
    let answer = get(&scene, SERVER);
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(register(&scene, &json!([CLAUDE])).status, 404);
    let resource = get(
        &scene,
        "/.well-known/oauth-protected-resource/production/mcp",
    );
    assert_eq!(
        resource.json()["authorization_servers"],
        json!([scene.idp.issuer()])
    );
    let told = log::lines_with("RFC 9207");
    assert!(told.iter().any(|line| line.contains("WARN")), "{told:?}");
    scene.served(&scene.token());
}

// T-39; RFC 7591 section 3.2.2.
#[test]
fn only_places_that_are_configured_can_be_registered() {
    let scene = scene_of(Idp::open());
    for uris in [
        json!([CLAUDE]),
        json!(["http://localhost:3118/callback"]),
        json!(["http://localhost:1/callback", CLAUDE]),
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
fn a_foreign_place_to_return_to_is_refused_whatever_it_looks_like() {
    let scene = Scene::of(
        Idp::open(),
        Words {
            more: &FACADE.replace("= 10", "= 1000"),
            ..Words::default()
        },
    );
    for uris in [
        json!(["https://evil.test/callback"]),
        json!([CLAUDE, "https://evil.test/callback"]),
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
        json!(CLAUDE),
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
fn a_registration_that_is_none_is_refused() {
    let scene = Scene::of(
        Idp::open(),
        Words {
            more: &FACADE.replace("= 10", "= 1000"),
            ..Words::default()
        },
    );
    let ask = |method: &str, media: &str, body: &str| {
        let media = format!("Content-Type: {media}");
        scene
            .stage
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
fn a_thousand_registrations_are_slowed_down_and_leave_nothing() {
    let scene = scene_of(Idp::open());
    let statuses: Vec<u16> = (0..1000)
        .map(|_| {
            let answer = register(&scene, &json!([CLAUDE]));
            if answer.status == 429 {
                assert!(answer.header("retry-after").is_some());
            }
            answer.status
        })
        .collect();
    let taken = statuses.iter().filter(|status| **status == 201).count();
    // Ten in a minute, and it may be a while.
    assert!((1..=30).contains(&taken), "{taken}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 429)));
    // The provider is asked for its metadata, not for each.
    assert!(scene.idp.count(Endpoint::Discovery) <= 2);
    assert_eq!(scene.idp.count(Endpoint::Other), 0);
}

// T-39
#[test]
fn while_the_provider_is_down_the_facade_promises_nothing() {
    let idp = Idp::open();
    idp.behaves(Endpoint::Discovery, Mode::S500);
    let scene = scene_of(idp);
    let answer = get(&scene, SERVER);
    assert!(matches!(answer.status, 404 | 503), "{answer:?}");
}
