//! Finding and linking users where no rule opens `res.users`.

use bytes::Bytes;
use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::test_gateway::TestGateway;

const ALL: &str = r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"] }]"#;

fn stage(rules: &str, more: &[(&str, &str)]) -> TestGateway {
    let mut settings = vec![
        ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
        ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
        ("GATEPOST_INSTANCES__DEMO__WRITES", "direct"),
        ("GATEPOST_ROLES__READER__RULES", rules),
    ];
    settings.extend_from_slice(more);
    TestGateway::with_key(ADMIN_KEY, &settings)
}

/// Changes a user in Odoo itself.
fn set_in_odoo(stage: &TestGateway, id: u32, values: &Value) {
    let body = json!({"ids": [id], "vals": values}).to_string();
    let request = http::Request::post("/json/2/res.users/write")
        .header("Authorization", format!("bearer {ADMIN_KEY}"))
        .header("X-Odoo-Database", "demo")
        .header("Content-Type", "application/json")
        .body(Bytes::from(body))
        .unwrap();
    let response = stage.fake_odoo.handle(&request);
    assert!(response.status().is_success(), "{response:?}");
}

fn find(stage: &TestGateway, part: &str) -> (String, bool) {
    stage.call("find_by_name", &json!({"model": "res.users", "name": part}))
}

#[test]
fn active_internal_users_are_found_by_id_and_name_alone() {
    let stage = stage(ALL, &[]);
    let (text, failed) = find(&stage, "a");
    assert!(!failed, "{text}");
    insta::assert_snapshot!(text, @r"
    id | name
    7 | Ivan Internal
    5 | Marc Demo
    2 | Mitchell Admin
    6 | Sally Sales
    ");
    // The login of Marc Demo is `demo`, of Mitchell Admin `admin`.
    set_in_odoo(&stage, 6, &json!({"active": false}));
    set_in_odoo(&stage, 7, &json!({"share": true}));
    for part in ["sally", "ivan", "@"] {
        let (text, _) = find(&stage, part);
        insta::allow_duplicates! {
            insta::assert_snapshot!(text, @"No active user has this in their name; try a shorter part.");
        }
    }
    for call in stage.fake_odoo.calls() {
        if call.path == "/json/2/res.users/search_read" {
            assert_eq!(call.body["fields"], json!(["display_name"]));
        }
    }
    for (tool, arguments) in [
        ("search_records", json!({"model": "res.users"})),
        ("read_records", json!({"model": "res.users", "ids": [5]})),
        ("count_records", json!({"model": "res.users"})),
        ("describe_model", json!({"model": "res.users"})),
        (
            "search_records",
            json!({"model": "res.partner", "fields": ["user_id.login"]}),
        ),
        (
            "count_records",
            json!({"model": "res.partner", "domain": [["user_id.login", "=", "demo"]]}),
        ),
        (
            "update_records",
            json!({"model": "res.users", "ids": [5], "values": {"name": "x"}}),
        ),
    ] {
        let (text, failed) = stage.call(tool, &arguments);
        assert!(failed, "{tool} {arguments}: {text}");
    }
}

#[test]
fn users_are_linked_by_name_where_the_caller_may_write_the_link() {
    let stage = stage(ALL, &[]);
    for (model, values) in [
        ("res.partner", json!({"user_id": "marc demo"})),
        ("crm.lead", json!({"user_id": "Marc Demo [5]"})),
        ("project.task", json!({"user_ids": ["Marc", 7]})),
    ] {
        let id = stage.fake_odoo.snapshot().ids(model)[0];
        let update = json!({"model": model, "ids": [id], "values": values});
        stage.call_succeeds("update_records", &update, "applied");
        let name = values.as_object().unwrap().keys().next().unwrap().clone();
        let stored = stage.fake_odoo.snapshot().record(model, id).unwrap()[&name].clone();
        let wanted = if model == "project.task" {
            json!([5, 7])
        } else {
            json!(5)
        };
        assert_eq!(stored, wanted, "{model}");
    }
    set_in_odoo(&stage, 6, &json!({"active": false}));
    set_in_odoo(&stage, 7, &json!({"share": true}));
    for user in [
        json!(6),
        json!(7),
        json!("Sally Sales"),
        json!("Ivan Internal [7]"),
    ] {
        let update = json!({"model": "res.partner", "ids": [14], "values": {"user_id": user}});
        let (text, failed) = stage.call("update_records", &update);
        assert!(failed, "{update}: {text}");
    }
}

#[test]
fn role_or_denial_closes_the_search_for_users_and_links_to_them() {
    let denied = r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"] },
        { models = ["res.users"], deny = true }]"#;
    let closed = [
        stage(ALL, &[("GATEPOST_ROLES__READER__FIND_USERS", "false")]),
        stage(denied, &[]),
    ];
    for stage in closed {
        let (text, failed) = find(&stage, "marc");
        assert!(failed, "{text}");
        for user in [json!(5), json!("Marc Demo"), json!("Marc Demo [5]")] {
            let update = json!({"model": "res.partner", "ids": [14], "values": {"user_id": user}});
            let (text, failed) = stage.call("update_records", &update);
            assert!(failed, "{update}: {text}");
        }
        let calls = stage.fake_odoo.calls();
        assert!(
            calls
                .iter()
                .all(|call| call.path != "/json/2/res.users/search_read")
        );
    }
}
