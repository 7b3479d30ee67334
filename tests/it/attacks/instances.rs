//! One instance's token at another's door, and paths that are none: T-09 and T-27.

use serde_json::json;

use super::{FRESH, HOST, JSON, STAGING, Scene, Words, counting};
use crate::{
    idp::{Asker, Idp},
    stage::Answer,
};

// T-09
#[test]
fn a_token_for_staging_opens_nothing_of_production_under_any_of_its_names() {
    let scene = Scene::provider(FRESH);
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
        let answer = scene.refused_at(path, host, &staging);
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

// T-09: the answer of the provider is kept, the decision about an instance is not.
#[test]
fn an_answer_that_is_kept_opens_no_other_instance() {
    let scene = Scene::open();
    let token = scene.token();
    scene.served(&token);
    scene.refused_at("/staging/mcp", HOST, &token);
    let both = scene.token_with(&json!({"aud": [STAGING, super::PRODUCTION]}));
    scene.served(&both);
    assert_eq!(scene.call_at("/staging/mcp", HOST, &both).status, 200);
}

// T-09: of two companies that share a gateway, neither provider learns the other's tokens.
#[test]
fn a_token_is_shown_to_the_provider_of_its_instance_and_to_no_other() {
    let partner = Idp::open();
    let Asker::Basic { id, secret } = partner.asker() else {
        panic!("a secret")
    };
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let more = format!(
        "[providers.partner]\nissuer = {}\nclient_id = {}\nclient_secret = {}\n{FRESH}",
        quoted(partner.issuer()),
        quoted(&id),
        quoted(&secret)
    );
    let scene = Scene::with(Words {
        provider: FRESH,
        production: "providers = [\"company\"]",
        staging: "providers = [\"partner\"]",
        grants: Some("[[grants]]\nroles = [\"reader\"]\nprovider_role = \"odoo_reader\"\n"),
        more: &more,
        ..Words::default()
    });
    let ours = scene.token();
    let theirs = scene.claims_with(&json!({"iss": partner.issuer(), "aud": STAGING}));
    let theirs = partner.opaque(theirs);
    scene.served(&ours);
    scene.refused(&theirs);
    assert!(partner.seen().is_empty(), "{:?}", partner.seen());
    let asked = scene.idp.seen().len();
    assert_eq!(scene.call_at("/staging/mcp", HOST, &theirs).status, 200);
    scene.refused_at("/staging/mcp", HOST, &ours);
    assert_eq!(scene.idp.seen().len(), asked);
    // Nor does one vouch for a token that says it is the other's.
    let forged = partner.opaque(scene.claims_with(&json!({"aud": STAGING})));
    scene.refused_at("/staging/mcp", HOST, &forged);
    let jwt = scene.jwt_with(&json!({"aud": STAGING}));
    scene.refused_at("/staging/mcp", HOST, &jwt);
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
        let metadata = scene.stage.request("GET", &well_known, &[host], "").json();
        assert_eq!(metadata["authorization_servers"], json!([issuer]));
    }
}

// T-27
#[test]
fn a_path_that_we_would_not_write_leads_nowhere_whoever_asks() {
    let scene = Scene::open();
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
            let answer = scene.stage.request("POST", path, &headers, &counting());
            assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
            assert!(answer.header("www-authenticate").is_none(), "{path}");
        }
    }
    // Before authentication: a token is not even looked at.
    assert!(scene.idp.seen().is_empty());
    assert!(scene.stage.company.calls().is_empty());
    for path in ["/PRODUCTION/MCP", "/production/mcp/", "/production/mcp?x=1"] {
        assert_eq!(
            scene
                .stage
                .request("POST", path, &[JSON, HOST, &bearer], &counting())
                .status,
            200,
            "{path}"
        );
    }
}

// T-27
#[test]
fn nobody_learns_without_a_token_which_instances_there_are() {
    let scene = Scene::open();
    let plain = |answer: &Answer| {
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
            .stage
            .request("POST", path, &[JSON, HOST], &counting())
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
    assert!(scene.idp.seen().is_empty());
}
