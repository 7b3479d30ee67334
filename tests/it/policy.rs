//! Rules of a role, from outside, in front of the sample company.

use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, update_keys_file};
use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::test_gateway::{TestGateway, tool_call};

/// A gateway whose caller has these rules.
fn stage(rules: &str) -> TestGateway {
    TestGateway::with_key(
        ADMIN_KEY,
        &[
            ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
            ("GATEPOST_ROLES__READER__RULES", rules),
        ],
    )
}

/// The calls to methods of a model that Odoo received, except `fields_get`.
fn odoo_calls(stage: &TestGateway, model: &str) -> Vec<(String, Value)> {
    let calls = stage.fake_odoo.calls();
    let path = format!("/json/2/{model}/");
    calls
        .iter()
        .filter_map(|call| {
            let method = call.path.strip_prefix(&path)?;
            (method != "fields_get").then(|| (method.to_owned(), call.body.clone()))
        })
        .collect()
}

const HIDDEN: &str =
    r#"[{ models = ["*"], hidden_fields = ["email*", "phone"] }, { models = ["res.users"] }]"#;

#[test]
fn hidden_field_is_indistinguishable_from_a_missing_one() {
    let stage = stage(HIDDEN);
    for (tool, arguments) in [
        (
            "search_records",
            json!({"model": "res.partner", "fields": ["name", "FIELD"]}),
        ),
        (
            "read_records",
            json!({"model": "res.partner", "ids": [1], "fields": ["FIELD"]}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "domain": [["FIELD", "ilike", "a"]]}),
        ),
        (
            "count_records",
            json!({"model": "res.partner", "domain": [["FIELD", "=like", "a%"]]}),
        ),
        (
            "count_records",
            json!({"model": "res.partner", "domain": ["!", ["FIELD", "=", false]]}),
        ),
        (
            "count_records",
            json!({"model": "res.partner", "domain": [["parent_id.FIELD", "ilike", "a"]]}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "domain": [["partner_id.parent_id.FIELD", "!=", "a"]]}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "domain": [["partner_id", "any", [["FIELD", "ilike", "a"]]]]}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "domain": [["partner_id", "not any", [["FIELD", "ilike", "a"]]]]}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "order": "FIELD desc"}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "order": "name, FIELD"}),
        ),
        (
            "describe_model",
            json!({"model": "res.partner", "fields": ["FIELD"]}),
        ),
    ] {
        let message = |field: &str| {
            let arguments = arguments.to_string().replace("FIELD", field);
            let (text, failed) = stage.call(tool, &serde_json::from_str(&arguments).unwrap());
            assert!(failed, "{arguments}: {text}");
            text.replace(field, "FIELD")
        };
        // It has the same length, and is as different from every other name.
        assert_eq!(message("phone"), message("qqqqq"), "{tool} {arguments}");
    }
    for model in ["res.partner", "sale.order"] {
        assert_eq!(odoo_calls(&stage, model), [], "{model}");
    }
}

#[test]
fn hidden_field_is_not_returned_listed_or_suggested() {
    let stage = stage(HIDDEN);
    for (tool, arguments) in [
        ("search_records", json!({"model": "res.partner"})),
        (
            "read_records",
            json!({"model": "res.partner", "ids": [1, 2, 3]}),
        ),
        ("describe_model", json!({"model": "res.partner"})),
        (
            "describe_model",
            json!({"model": "res.partner", "query": "mail"}),
        ),
    ] {
        let (text, failed) = stage.call(tool, &arguments);
        assert!(!failed, "{text}");
        assert!(!text.contains("email") && !text.contains("phone"), "{text}");
    }
    let (text, _) = stage.call(
        "search_records",
        &json!({"model": "res.partner", "fields": ["emial"]}),
    );
    assert!(!text.contains("email"), "{text}");
    for (_, body) in odoo_calls(&stage, "res.partner") {
        assert!(!body["fields"].to_string().contains("email"), "{body}");
        // Nor does the order depend on a hidden field.
        assert!(body["order"].is_string(), "{body}");
    }
}

#[test]
fn name_search_ignores_hidden_fields() {
    let everything = stage(r#"[{ models = ["*"] }]"#);
    let hidden = stage(HIDDEN);
    let by_mail = json!({"model": "res.partner", "name": "@"});
    let (text, _) = everything.call("find_by_name", &by_mail);
    assert!(text.starts_with("id | name"), "{text}");
    let (text, _) = hidden.call("find_by_name", &by_mail);
    assert!(text.starts_with("No record"), "{text}");
    let (text, _) = hidden.call(
        "find_by_name",
        &json!({"model": "res.partner", "name": "azure int"}),
    );
    assert!(text.contains("| Azure Interior"), "{text}");
    let of_orders =
        |text: &str| json!({"model": "sale.order", "domain": [["partner_id", "ilike", text]]});
    let (text, failed) = hidden.call("count_records", &of_orders("azure"));
    assert!(!failed && !text.starts_with("0 "), "{text}");
    let (text, failed) = hidden.call("count_records", &of_orders("@"));
    assert!(!failed && text.starts_with("0 "), "{text}");
    let sent = odoo_calls(&hidden, "sale.order");
    assert!(
        sent.iter()
            .all(|(_, body)| !body.to_string().contains("mail")),
        "{sent:?}"
    );
}

const BELGIUM: &str =
    r#"[{ models = ["res.partner"], domain = [["country_id.code", "=", "BE"]] }]"#;

#[test]
fn row_filter_applies_to_search_count_read_and_name_search() {
    let all = TestGateway::anonymous();
    let stage = stage(BELGIUM);
    let belgians = json!({"model": "res.partner", "domain": [["country_id.code", "=", "BE"]]});
    let (expected, _) = all.call("count_records", &belgians);
    let (counted, _) = stage.call("count_records", &json!({"model": "res.partner"}));
    assert_eq!(expected.lines().next(), counted.lines().next());
    let tautology =
        json!({"model": "res.partner", "domain": ["|", [1, "=", 1], ["name", "=", "x"]]});
    let (counted, _) = stage.call("count_records", &tautology);
    assert_eq!(expected.lines().next(), counted.lines().next());
    let (text, _) = stage.call(
        "search_records",
        &json!({"model": "res.partner", "limit": 100}),
    );
    assert!(!text.contains("Azure Interior"), "{text}");
    let (text, _) = stage.call(
        "find_by_name",
        &json!({"model": "res.partner", "name": "azure"}),
    );
    assert!(text.starts_with("No record"), "{text}");
    let (text, _) = all.call(
        "find_by_name",
        &json!({"model": "res.partner", "name": "azure int"}),
    );
    let id: u32 = text
        .lines()
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let (hidden, _) = stage.call(
        "read_records",
        &json!({"model": "res.partner", "ids": [id]}),
    );
    let (absent, _) = stage.call(
        "read_records",
        &json!({"model": "res.partner", "ids": [99_999]}),
    );
    assert_eq!(
        hidden.replace(&id.to_string(), "ID"),
        absent.replace("99999", "ID")
    );
    for (method, body) in odoo_calls(&stage, "res.partner") {
        assert!(
            body["domain"]
                .to_string()
                .contains(r#"["country_id.code","=","BE"]"#),
            "{method} {body}"
        );
    }
}

#[test]
fn field_path_does_not_traverse_records_outside_the_row_filter() {
    let rules = BELGIUM.replacen('[', r#"[{ models = ["sale.order"] }, "#, 1);
    let stage = stage(&rules);
    for domain in [
        json!([["partner_id.name", "ilike", "azure"]]),
        json!([["partner_id", "any", [["name", "ilike", "azure"]]]]),
        json!([["partner_id", "ilike", "azure"]]),
    ] {
        let (text, failed) = stage.call(
            "count_records",
            &json!({"model": "sale.order", "domain": domain}),
        );
        assert!(!failed && text.starts_with("0 "), "{domain}: {text}");
    }
    for domain in [
        json!([["partner_id", "child_of", 1]]),
        json!([["partner_id", "child_of", "Azure"]]),
    ] {
        let count = json!({"model": "sale.order", "domain": domain});
        stage.call_fails("count_records", &count, "forbidden");
    }
}

#[test]
fn denied_models_and_fields_are_neither_readable_nor_listed() {
    let roles = |who: &str| {
        let stage = TestGateway::with_key(
            ADMIN_KEY,
            &[
                ("GATEPOST_SERVER__ANONYMOUS_ROLE", who),
                (
                    "GATEPOST_ROLES__ORDERS__RULES",
                    r#"[{ models = ["sale.order"], fields = ["name"] }]"#,
                ),
                (
                    "GATEPOST_ROLES__MONEY__RULES",
                    r#"[{ models = ["*"] }, { models = ["sale.*"], fields = ["amount_*"], deny = true }, { models = ["crm.*"], deny = true }]"#,
                ),
            ],
        );
        ["sale.order", "crm.lead", "res.partner"].map(|model| {
            let field = if model == "sale.order" {
                "amount_total"
            } else {
                "name"
            };
            let (_, failed) = stage.call(
                "search_records",
                &json!({"model": model, "fields": [field]}),
            );
            let (listed, _) = stage.call("list_models", &json!({"query": model}));
            (!failed, listed.contains(&format!("\n{model} |")))
        })
    };
    assert_eq!(
        roles("orders"),
        [(false, true), (false, false), (false, false)]
    );
    assert_eq!(
        roles("money"),
        [(false, true), (false, false), (true, true)]
    );
}

#[test]
fn roles_are_additive_and_deny_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let key = |roles: &[&str]| {
        let key = ApiKey::generate().unwrap();
        let stored = StoredKey {
            id: key.id().clone(),
            hash: key.hash(),
            name: "test".to_owned(),
            roles: roles
                .iter()
                .map(|role| RoleName::try_from(*role).unwrap())
                .collect(),
            created: jiff::Timestamp::UNIX_EPOCH,
            expires: None,
            revoked: None,
        };
        update_keys_file(&file, |keys| keys.add(stored)).unwrap();
        format!("Authorization: Bearer {}", key.reveal())
    };
    let (orders, two) = (key(&["orders"]), key(&["orders", "contacts"]));
    let three = key(&["orders", "contacts", "never"]);
    let stage = TestGateway::with_key(
        ADMIN_KEY,
        &[
            ("GATEPOST_KEYS__FILE", file.to_str().unwrap()),
            (
                "GATEPOST_ROLES__ORDERS__RULES",
                r#"[{ models = ["sale.order"], fields = ["name", "state"] }]"#,
            ),
            (
                "GATEPOST_ROLES__CONTACTS__RULES",
                r#"[{ models = ["res.partner"] }]"#,
            ),
            (
                "GATEPOST_ROLES__NEVER__RULES",
                r#"[{ models = ["*"], fields = ["state"], deny = true }]"#,
            ),
        ],
    );
    let works = |key: &str, model: &str, field: &str| {
        let call = tool_call(
            "search_records",
            &json!({"model": model, "fields": [field]}),
        );
        let headers = ["Content-Type: application/json", key];
        !stage
            .request("POST", "/mcp", &headers, &call.to_string())
            .tool_result()
            .1
    };
    assert!(works(&orders, "sale.order", "state") && !works(&orders, "res.partner", "city"));
    assert!(!works(&orders, "sale.order", "amount_total"));
    assert!(works(&two, "sale.order", "state") && works(&two, "res.partner", "city"));
    assert!(!works(&three, "sale.order", "state") && works(&three, "sale.order", "name"));
}

#[test]
fn inherited_field_requires_access_to_the_parent_field() {
    let ask = |rules: &str, field: &str| {
        let search = json!({"model": "res.users", "fields": [field]});
        let response = stage(rules).post(&tool_call("search_records", &search));
        let (_, failed) = response.tool_result();
        assert!(!failed || response.error_kind() == "unfit");
        !failed
    };
    assert!(ask(r#"[{ models = ["res.users"] }]"#, "login"));
    assert!(!ask(r#"[{ models = ["res.users"] }]"#, "name"));
    assert!(ask(
        r#"[{ models = ["res.users", "res.partner"] }]"#,
        "name"
    ));
    assert!(!ask(
        r#"[{ models = ["res.users"] }, { models = ["res.partner"], hidden_fields = ["name"] }]"#,
        "name"
    ));
}

#[test]
fn secret_field_is_returned_only_if_a_rule_names_it() {
    let ask = |rules: &str| {
        let arguments = json!({"model": "sale.order", "fields": ["access_token"]});
        stage(rules).call("search_records", &arguments).1
    };
    assert!(ask(r#"[{ models = ["*"] }]"#));
    assert!(ask(
        r#"[{ models = ["sale.order"], fields = ["access_*"] }]"#
    ));
    assert!(!ask(
        r#"[{ models = ["sale.order"], fields = ["access_token"] }]"#
    ));
}

#[test]
fn partially_visible_field_is_returned_only_on_request() {
    let stage = stage(
        r#"[{ models = ["res.partner"], fields = ["name"] }, { models = ["res.partner"], domain = [["country_id.code", "=", "BE"]] }]"#,
    );
    let count = |fields: Value| {
        let (text, failed) = stage.call(
            "search_records",
            &json!({"model": "res.partner", "fields": fields, "limit": 200}),
        );
        assert!(!failed, "{text}");
        text.lines().count()
    };
    let (all, some) = (count(json!(["name"])), count(json!(["name", "city"])));
    assert!(some < all, "{some} of {all}");
    assert_eq!(count(json!([])), all);
}
