//! Permissions of a provider's callers, and attempts to extend them: T-28 and
//! T-29.

use odoo_sim::{ADMIN_KEY, SALES_KEY};
use serde_json::{Value, json};

use super::{ConfigOverrides, HOST, IdpFixture, JSON, NO_CACHE, count_request};
use crate::test_gateway::{TestResponse, tool_call};

const NARROW_GRANT: &str = r#"
[roles.narrow]
rules = [{ instances = ["production"], models = ["res.partner", "res.country"] }]

[[grants]]
roles = ["narrow"]
provider = "company"
provider_role = "odoo_narrow"
"#;

fn narrow_fixture() -> (IdpFixture, String) {
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: NO_CACHE,
        grants: Some(NARROW_GRANT),
        ..ConfigOverrides::default()
    });
    let token = scene.token_with(&json!({"roles": ["odoo_narrow"]}));
    (scene, token)
}

fn post(scene: &IdpFixture, token: &str, lines: &[&str], body: &str) -> TestResponse {
    let bearer = format!("Authorization: Bearer {token}");
    let mut headers = vec![JSON, HOST, bearer.as_str()];
    headers.extend(lines);
    scene
        .gateway
        .request("POST", "/production/mcp", &headers, body)
}

/// The models that were requested from Odoo.
fn models_called(scene: &IdpFixture) -> Vec<String> {
    let calls = scene.gateway.fake_odoo.calls();
    let model = |path: &str| path.split('/').nth(3).unwrap_or_default().to_owned();
    let mut models: Vec<String> = calls.iter().map(|call| model(&call.path)).collect();
    models.sort();
    models.dedup();
    models
}

// T-28
#[test]
fn model_outside_role_is_denied_in_every_spelling() {
    let (scene, token) = narrow_fixture();
    for model in [
        "sale.order",
        "Res.Partner",
        "RES.PARTNER",
        "res.partner ",
        " res.partner",
        "res.partner\u{0}",
        "res_partner",
        "res.partner/../sale.order",
        "res.partner%2f..%2fsale.order",
        "res.partner;sale.order",
        "res.partner?x",
        "res..partner",
        "ｒes.partner",
        "ir.config_parameter",
        "res.users",
    ] {
        for tool in ["count_records", "search_records", "describe_model"] {
            let body = tool_call(tool, &json!({"model": model})).to_string();
            let answer = post(&scene, &token, &[], &body);
            assert_eq!(answer.status, 200, "{answer:?}");
            let failed = answer.json()["error"].is_object() || answer.tool_result().1;
            assert!(failed, "{tool} {model}: {answer:?}");
        }
    }
    let asked = models_called(&scene);
    assert!(
        asked.iter().all(|model| !model.contains("sale")
            && !model.contains("ir.config")
            && model != "res.users"),
        "{asked:?}"
    );
}

// T-28
#[test]
fn relation_to_model_outside_role_is_denied() {
    let (scene, token) = narrow_fixture();
    for arguments in [
        json!({"model": "res.partner", "fields": ["name", "sale_order_ids.name"]}),
        json!({"model": "res.partner", "fields": ["user_id.login"]}),
        json!({"model": "res.partner", "fields": ["user_id.password"]}),
        json!({"model": "res.partner", "domain": [["sale_order_ids.amount_total", ">", 0]]}),
        json!({"model": "res.partner", "domain": [["user_id.login", "=", "admin"]]}),
        json!({"model": "res.partner", "domain": ["!", ["user_id.login", "=", "admin"]]}),
        json!({"model": "res.partner", "domain": [["sale_order_ids", "any", [["name", "=", "x"]]]]}),
        json!({"model": "res.partner", "order": "user_id.login"}),
    ] {
        let answer = post(
            &scene,
            &token,
            &[],
            &tool_call("search_records", &arguments).to_string(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        let failed = answer.json()["error"].is_object() || answer.tool_result().1;
        assert!(failed, "{arguments}: {answer:?}");
    }
    let calls = scene.gateway.fake_odoo.calls();
    assert!(
        calls.iter().all(|call| !call.path.contains("search_read")),
        "{calls:?}"
    );
}

// T-28
#[test]
fn unknown_tool_arguments_are_never_sent_to_odoo() {
    let (scene, token) = narrow_fixture();
    for more in [
        "context",
        "method",
        "kwargs",
        "args",
        "sudo",
        "uid",
        "company_id",
        "database",
        "instance",
    ] {
        let mut arguments = json!({"model": "res.partner"});
        arguments[more] = json!({"allowed_company_ids": [99], "active_test": false});
        let answer = post(
            &scene,
            &token,
            &[],
            &tool_call("count_records", &arguments).to_string(),
        );
        assert_eq!(answer.status, 200);
        let sent = scene.gateway.fake_odoo.calls();
        assert!(
            sent.iter()
                .all(|call| !call.body.to_string().contains("99")),
            "{more}: {sent:?}"
        );
    }
}

// T-28; MCP 2026-07-28, streamable-http, "Request Metadata".
#[test]
fn mismatched_mcp_name_header_is_rejected() {
    let (scene, token) = narrow_fixture();
    let mut message = tool_call("count_records", &json!({"model": "res.partner"}));
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = message.to_string();
    let modern = ["MCP-Protocol-Version: 2026-07-28", "Mcp-Method: tools/call"];
    for name in [
        "Mcp-Name: search_records",
        "Mcp-Name: COUNT_RECORDS",
        "Mcp-Name: ",
    ] {
        let answer = post(&scene, &token, &[modern[0], modern[1], name], &body);
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
    assert!(scene.gateway.fake_odoo.calls().is_empty());
    let answer = post(
        &scene,
        &token,
        &[modern[0], modern[1], "Mcp-Name: count_records"],
        &body,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
}

// T-28
#[test]
fn each_batch_message_is_authorized_separately() {
    let (scene, token) = narrow_fixture();
    let denied = tool_call("count_records", &json!({"model": "sale.order"}));
    let allowed = tool_call("count_records", &json!({"model": "res.partner"}));
    let batch = Value::from(vec![allowed.clone(), denied, allowed]).to_string();
    let answer = post(
        &scene,
        &token,
        &["MCP-Protocol-Version: 2025-03-26"],
        &batch,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let answers = answer.json();
    let failed = |n: usize| {
        answers[n]["error"].is_object() || answers[n]["result"]["isError"] == json!(true)
    };
    assert!(!failed(0) && failed(1) && !failed(2), "{answers}");
    assert!(
        !models_called(&scene)
            .iter()
            .any(|model| model.contains("sale"))
    );
}

// T-28
#[test]
fn roles_come_only_from_matching_grants() {
    let (scene, _) = narrow_fixture();
    for roles in [
        json!(["narrow"]),
        json!(["reader"]),
        json!(["ODOO_NARROW"]),
        json!(["odoo_narrow "]),
        json!(["odoo_narro*"]),
        json!(["*"]),
        json!([["odoo_narrow"]]),
        json!([{"name": "odoo_narrow"}]),
        json!([7]),
        json!(7),
        json!(null),
        json!([]),
        json!({}),
    ] {
        let token = scene.token_with(&json!({"roles": roles}));
        let answer = scene.call(&token);
        assert_eq!(answer.status, 403, "{roles}: {answer:?}");
        assert!(
            !answer.head.contains("insufficient_scope"),
            "{}",
            answer.head
        );
        scene.assert_no_leak(&answer, &token);
    }
    // As a list, as a text, and as the keys of an object.
    for roles in [
        json!(["other", "odoo_narrow"]),
        json!("other odoo_narrow"),
        json!({"odoo_narrow": {"2801": "acme.test"}}),
    ] {
        scene.assert_served(&scene.token_with(&json!({"roles": roles})));
    }
}

// T-28: roles elsewhere in the token are ignored.
#[test]
fn roles_are_read_only_from_configured_claim() {
    let scene = IdpFixture::with_config(ConfigOverrides::of_provider(
        "cache_ttl_s = 0\nrole_claims = [\"/realm_access/roles\"]",
    ));
    scene.assert_served(
        &scene.token_with(&json!({"roles": null, "realm_access": {"roles": ["odoo_reader"]}})),
    );
    for changes in [
        json!({"roles": ["odoo_reader"]}),
        json!({"groups": ["odoo_reader"]}),
        json!({"/realm_access/roles": ["odoo_reader"]}),
        json!({"realm_access/roles": ["odoo_reader"]}),
        json!({"realm_access": ["odoo_reader"]}),
        json!({"realm_access": {"roles": {"0": "odoo_reader"}}}),
        json!({"realm_access": null}),
    ] {
        assert_eq!(
            scene.call(&scene.token_with(&changes)).status,
            403,
            "{changes}"
        );
    }
}

const SCOPE_GRANT: &str =
    "[[grants]]\nroles = [\"reader\"]\nprovider = \"company\"\nscope = \"odoo:read\"\n";

// T-29; MCP 2026-07-28, authorization, "Runtime Insufficient Scope Errors".
#[test]
fn missing_scope_is_named_in_challenge() {
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: NO_CACHE,
        grants: Some(SCOPE_GRANT),
        ..ConfigOverrides::default()
    });
    scene.assert_served(&scene.token());
    let token = scene.token_with(&json!({"scope": "openid"}));
    let before = scene.gateway.fake_odoo.calls().len();
    let answer = scene.call(&token);
    assert_eq!(answer.status, 403, "{answer:?}");
    let challenge = answer.header("www-authenticate").unwrap();
    for part in [
        "Bearer ",
        "error=\"insufficient_scope\"",
        "scope=\"",
        "odoo:read",
        "resource_metadata=\"https://gw.example.com/.well-known/oauth-protected-resource/production/mcp\"",
    ] {
        assert!(challenge.contains(part), "{challenge}");
    }
    assert_eq!(scene.gateway.fake_odoo.calls().len(), before);
    scene.assert_no_leak(&answer, &token);
}

// T-29
#[test]
fn unobtainable_scope_is_not_suggested() {
    let no_step = format!("{NO_CACHE}\nstep_up = \"none\"");
    for (provider, grants) in [(no_step.as_str(), Some(SCOPE_GRANT)), (NO_CACHE, None)] {
        let scene = IdpFixture::with_config(ConfigOverrides {
            provider,
            grants,
            ..ConfigOverrides::default()
        });
        let token = scene.token_with(&json!({"scope": "openid", "roles": []}));
        let answer = scene.call(&token);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(
            !answer.head.contains("insufficient_scope"),
            "{}",
            answer.head
        );
        scene.assert_no_leak(&answer, &token);
    }
}

#[test]
fn grant_requires_every_condition() {
    let grants = r#"
[[grants]]
roles = ["reader"]
instances = ["prod*"]
provider = "company"
provider_role = "odoo_reader"
organization = "2801"
scope = "odoo:read"
client_id = "mcp-client"
"#;
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: NO_CACHE,
        grants: Some(grants),
        ..ConfigOverrides::default()
    });
    let fits = json!({"roles": {"odoo_reader": {"2801": "acme.test"}}, "aud": [super::PRODUCTION, super::STAGING]});
    scene.assert_served(&scene.token_with(&fits));
    for (name, value) in [
        ("roles", json!({"odoo_reader": {"2802": "acme.test"}})),
        ("roles", json!({"odoo_reader": {}})),
        ("roles", json!({"odoo_other": {"2801": "acme.test"}})),
        ("roles", json!(["odoo_reader"])),
        ("scope", json!("openid")),
        ("client_id", json!("another")),
        ("client_id", json!(null)),
    ] {
        let mut changes = fits.clone();
        changes[name] = value;
        let answer = scene.call(&scene.token_with(&changes));
        assert_eq!(answer.status, 403, "{changes}: {answer:?}");
    }
    let answer = scene.call_at("/staging/mcp", HOST, &scene.token_with(&fits));
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[test]
fn invalid_grant_is_rejected_at_startup() {
    for (grant, name) in [
        ("roles = [\"reader\"]", "grants"),
        ("roles = [\"reader\"]\nprovider = \"company\"", "grants"),
        ("roles = [\"reader\"]\nkind = \"user\"", "grants"),
        ("roles = [\"reader\"]\ninstances = [\"*\"]", "grants"),
        ("roles = [\"nobody\"]\nscope = \"x\"", "nobody"),
        (
            "roles = [\"reader\"]\nprovider = \"other\"\nscope = \"x\"",
            "other",
        ),
        (
            "roles = [\"reader\"]\nscope = \"x\"\ncredential = \"nobody\"",
            "nobody",
        ),
        (
            "roles = [\"reader\"]\nscope = \"x\"\ninstances = [\"nowhere\"]",
            "nowhere",
        ),
    ] {
        let idp = crate::idp::Idp::start();
        let grants = format!("[[grants]]\n{grant}\n");
        let text = super::configuration(
            &idp,
            ConfigOverrides {
                grants: Some(&grants),
                ..ConfigOverrides::default()
            },
        );
        let mistakes = crate::test_gateway::TestGateway::config_errors(&text, &[]);
        assert!(mistakes.contains(name), "{grant}: {mistakes}");
    }
}

#[test]
fn grant_can_select_odoo_credential() {
    let grants = r#"
[[grants]]
roles = ["reader"]
provider = "company"
provider_role = "odoo_sales"
instances = ["production"]
credential = "sales"

[[grants]]
roles = ["reader"]
provider = "company"
provider_role = "odoo_reader"
"#;
    let scene = IdpFixture::with_config(ConfigOverrides {
        provider: NO_CACHE,
        grants: Some(grants),
        more: "[instances.production.credentials.sales]\napi_key_file = \"sales.key\"\n",
        ..ConfigOverrides::default()
    });
    let act = |roles: Value| {
        let before = scene.gateway.fake_odoo.calls().len();
        let token = scene.token_with(&json!({"roles": roles}));
        let answer = post(&scene, &token, &[], &count_request());
        assert_eq!(answer.status, 200, "{answer:?}");
        scene.assert_no_leak(&answer, &token);
        let calls = scene.gateway.fake_odoo.calls();
        let mut keys: Vec<String> = calls[before..]
            .iter()
            .map(|call| {
                call.headers["authorization"]
                    .to_str()
                    .unwrap()
                    .to_lowercase()
            })
            .collect();
        keys.sort();
        keys.dedup();
        keys
    };
    assert_eq!(act(json!(["odoo_sales"])), [format!("bearer {SALES_KEY}")]);
    assert_eq!(act(json!(["odoo_reader"])), [format!("bearer {ADMIN_KEY}")]);
}
