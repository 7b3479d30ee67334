//! What a caller of a provider may do, and what no trick adds to it: T-28 and T-29.

use odoo_sim::{ADMIN_KEY, SALES_KEY};
use serde_json::{Value, json};

use super::{FRESH, HOST, JSON, Scene, Words, counting};
use crate::stage::{Answer, calling};

const NARROW: &str = r#"
[roles.narrow]
rules = [{ instances = ["production"], models = ["res.partner", "res.country"] }]

[[grants]]
roles = ["narrow"]
provider = "company"
provider_role = "odoo_narrow"
"#;

fn narrow() -> (Scene, String) {
    let scene = Scene::with(Words {
        provider: FRESH,
        grants: Some(NARROW),
        ..Words::default()
    });
    let token = scene.token_with(&json!({"roles": ["odoo_narrow"]}));
    (scene, token)
}

fn post(scene: &Scene, token: &str, lines: &[&str], body: &str) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    let mut headers = vec![JSON, HOST, bearer.as_str()];
    headers.extend(lines);
    scene
        .stage
        .request("POST", "/production/mcp", &headers, body)
}

/// The models that Odoo was asked for.
fn models(scene: &Scene) -> Vec<String> {
    let calls = scene.stage.company.calls();
    let model = |path: &str| path.split('/').nth(3).unwrap_or_default().to_owned();
    let mut models: Vec<String> = calls.iter().map(|call| model(&call.path)).collect();
    models.sort();
    models.dedup();
    models
}

// T-28
#[test]
fn a_model_that_a_role_does_not_open_stays_closed_however_it_is_written() {
    let (scene, token) = narrow();
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
            let body = calling(tool, &json!({"model": model})).to_string();
            let answer = post(&scene, &token, &[], &body);
            assert_eq!(answer.status, 200, "{answer:?}");
            let failed = answer.json()["error"].is_object() || answer.tool().1;
            assert!(failed, "{tool} {model}: {answer:?}");
        }
    }
    let asked = models(&scene);
    assert!(
        asked.iter().all(|model| !model.contains("sale")
            && !model.contains("ir.config")
            && model != "res.users"),
        "{asked:?}"
    );
}

// T-28
#[test]
fn a_relation_leads_to_no_model_that_a_role_does_not_open() {
    let (scene, token) = narrow();
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
            &calling("search_records", &arguments).to_string(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        let failed = answer.json()["error"].is_object() || answer.tool().1;
        assert!(failed, "{arguments}: {answer:?}");
    }
    let calls = scene.stage.company.calls();
    assert!(
        calls.iter().all(|call| !call.path.contains("search_read")),
        "{calls:?}"
    );
}

// T-28
#[test]
fn arguments_that_are_none_of_a_tools_reach_nobody() {
    let (scene, token) = narrow();
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
            &calling("count_records", &arguments).to_string(),
        );
        assert_eq!(answer.status, 200);
        let sent = scene.stage.company.calls();
        assert!(
            sent.iter()
                .all(|call| !call.body.to_string().contains("99")),
            "{more}: {sent:?}"
        );
    }
}

// T-28; MCP 2026-07-28, streamable-http, "Request Metadata".
#[test]
fn a_header_that_names_another_tool_than_the_body_is_refused() {
    let (scene, token) = narrow();
    let mut message = calling("count_records", &json!({"model": "res.partner"}));
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
    assert!(scene.stage.company.calls().is_empty());
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
fn in_a_batch_each_message_is_decided_for_itself() {
    let (scene, token) = narrow();
    let denied = calling("count_records", &json!({"model": "sale.order"}));
    let allowed = calling("count_records", &json!({"model": "res.partner"}));
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
    assert!(!models(&scene).iter().any(|model| model.contains("sale")));
}

// T-28
#[test]
fn roles_of_a_caller_are_those_of_the_grants_that_fit_and_no_name_of_theirs_adds_one() {
    let (scene, _) = narrow();
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
        scene.silent(&answer, &token);
    }
    // As a list, as a text, and as the keys of an object.
    for roles in [
        json!(["other", "odoo_narrow"]),
        json!("other odoo_narrow"),
        json!({"odoo_narrow": {"2801": "acme.test"}}),
    ] {
        scene.served(&scene.token_with(&json!({"roles": roles})));
    }
}

// T-28: a role elsewhere in the token is none.
#[test]
fn roles_stand_where_they_are_configured_to_stand() {
    let scene = Scene::with(Words {
        provider: "cache_ttl_s = 0\nrole_claims = [\"/realm_access/roles\"]",
        ..Words::default()
    });
    scene.served(
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

const BY_SCOPE: &str =
    "[[grants]]\nroles = [\"reader\"]\nprovider = \"company\"\nscope = \"odoo:read\"\n";

// T-29; MCP 2026-07-28, authorization, "Runtime Insufficient Scope Errors".
#[test]
fn a_caller_whom_a_scope_would_help_is_told_which_and_only_once_for_each_call() {
    let scene = Scene::with(Words {
        provider: FRESH,
        grants: Some(BY_SCOPE),
        ..Words::default()
    });
    scene.served(&scene.token());
    let token = scene.token_with(&json!({"scope": "openid"}));
    let before = scene.stage.company.calls().len();
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
    assert_eq!(scene.stage.company.calls().len(), before);
    scene.silent(&answer, &token);
}

// T-29
#[test]
fn nobody_is_sent_for_a_scope_that_cannot_be_had() {
    let no_step = format!("{FRESH}\nstep_up = \"none\"");
    for (provider, grants) in [(no_step.as_str(), Some(BY_SCOPE)), (FRESH, None)] {
        let scene = Scene::with(Words {
            provider,
            grants,
            ..Words::default()
        });
        let token = scene.token_with(&json!({"scope": "openid", "roles": []}));
        let answer = scene.call(&token);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(
            !answer.head.contains("insufficient_scope"),
            "{}",
            answer.head
        );
        scene.silent(&answer, &token);
    }
}

#[test]
fn a_grant_needs_all_that_it_names() {
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
    let scene = Scene::with(Words {
        provider: FRESH,
        grants: Some(grants),
        ..Words::default()
    });
    let fits = json!({"roles": {"odoo_reader": {"2801": "acme.test"}}, "aud": [super::PRODUCTION, super::STAGING]});
    scene.served(&scene.token_with(&fits));
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
fn a_grant_that_names_nobody_or_a_role_that_is_none_is_refused_at_the_start() {
    for (grant, told) in [
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
        let idp = crate::idp::Idp::open();
        let grants = format!("[[grants]]\n{grant}\n");
        let text = super::configuration(
            &idp,
            Words {
                grants: Some(&grants),
                ..Words::default()
            },
        );
        let mistakes = crate::stage::Stage::mistakes(&text, &[]);
        assert!(mistakes.contains(told), "{grant}: {mistakes}");
    }
}

#[test]
fn a_grant_can_say_as_which_odoo_user_its_callers_act() {
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
    let scene = Scene::with(Words {
        provider: FRESH,
        grants: Some(grants),
        more: "[instances.production.credentials.sales]\napi_key_file = \"sales.key\"\n",
        ..Words::default()
    });
    let act = |roles: Value| {
        let before = scene.stage.company.calls().len();
        let token = scene.token_with(&json!({"roles": roles}));
        let answer = post(&scene, &token, &[], &counting());
        assert_eq!(answer.status, 200, "{answer:?}");
        scene.silent(&answer, &token);
        let calls = scene.stage.company.calls();
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
