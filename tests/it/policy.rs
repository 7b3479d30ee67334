//! What a role may see, from outside, in front of the sample company.

use gatepost_base::RoleName;
use gatepost_identity::{ApiKey, StoredKey, change_keys};
use odoo_sim::ADMIN_KEY;
use serde_json::{Value, json};

use crate::stage::{Stage, calling};

/// A stage whose caller has these rules.
fn stage(rules: &str) -> Stage {
    Stage::with(
        ADMIN_KEY,
        &[
            ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
            ("GATEPOST_ROLES__READER__RULES", rules),
        ],
    )
}

/// The methods of a model that Odoo was asked to run, but for `fields_get`.
fn asked(stage: &Stage, model: &str) -> Vec<(String, Value)> {
    let calls = stage.company.calls();
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
fn a_hidden_field_is_told_like_one_that_does_not_exist_on_every_way() {
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
        let told = |field: &str| {
            let arguments = arguments.to_string().replace("FIELD", field);
            let (text, failed) = stage.call(tool, &serde_json::from_str(&arguments).unwrap());
            assert!(failed, "{arguments}: {text}");
            text.replace(field, "FIELD")
        };
        // As long as it, and as far from every other name.
        assert_eq!(told("phone"), told("qqqqq"), "{tool} {arguments}");
    }
    for model in ["res.partner", "sale.order"] {
        assert_eq!(asked(&stage, model), [], "{model}");
    }
}

#[test]
fn a_hidden_field_is_not_shown_nor_listed_nor_proposed() {
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
    for (_, body) in asked(&stage, "res.partner") {
        assert!(!body["fields"].to_string().contains("email"), "{body}");
        // Nor does a hidden field decide what comes first.
        assert!(body["order"].is_string(), "{body}");
    }
}

#[test]
fn a_name_is_not_looked_for_in_a_hidden_field() {
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
    let sent = asked(&hidden, "sale.order");
    assert!(
        sent.iter()
            .all(|(_, body)| !body.to_string().contains("mail")),
        "{sent:?}"
    );
}

const BELGIUM: &str =
    r#"[{ models = ["res.partner"], domain = [["country_id.code", "=", "BE"]] }]"#;

#[test]
fn the_records_of_a_rule_hold_for_searches_counts_ids_and_names() {
    let all = Stage::open();
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
    for (method, body) in asked(&stage, "res.partner") {
        assert!(
            body["domain"]
                .to_string()
                .contains(r#"["country_id.code","=","BE"]"#),
            "{method} {body}"
        );
    }
}

#[test]
fn a_path_does_not_look_through_records_that_no_rule_covers() {
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
        let (text, failed) = stage.call(
            "count_records",
            &json!({"model": "sale.order", "domain": domain}),
        );
        assert!(failed && text.contains("hierarchy"), "{text}");
    }
}

#[test]
fn what_is_denied_stays_denied_and_is_not_listed() {
    let roles = |who: &str| {
        let stage = Stage::with(
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
fn the_roles_of_a_caller_add_up_and_what_one_denies_none_opens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.toml");
    let key = |roles: &[&str]| {
        let key = ApiKey::fresh().unwrap();
        let stored = StoredKey {
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
        change_keys(&file, |keys| keys.add(&key, stored)).unwrap();
        format!("Authorization: Bearer {}", key.reveal())
    };
    let (orders, two) = (key(&["orders"]), key(&["orders", "contacts"]));
    let three = key(&["orders", "contacts", "never"]);
    let stage = Stage::with(
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
        let call = calling(
            "search_records",
            &json!({"model": model, "fields": [field]}),
        );
        let headers = ["Content-Type: application/json", key];
        !stage
            .request("POST", "/mcp", &headers, &call.to_string())
            .tool()
            .1
    };
    assert!(works(&orders, "sale.order", "state") && !works(&orders, "res.partner", "city"));
    assert!(!works(&orders, "sale.order", "amount_total"));
    assert!(works(&two, "sale.order", "state") && works(&two, "res.partner", "city"));
    assert!(!works(&three, "sale.order", "state") && works(&three, "sale.order", "name"));
}

#[test]
fn a_field_of_a_parent_is_seen_where_it_is_seen_there() {
    let ask = |rules: &str, field: &str| {
        let (text, failed) = stage(rules).call(
            "search_records",
            &json!({"model": "res.users", "fields": [field]}),
        );
        assert!(!failed || text.contains("has no field"), "{text}");
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
fn a_secret_is_shown_only_where_a_rule_names_it() {
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
fn what_not_all_records_show_is_asked_for_by_name_only() {
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
