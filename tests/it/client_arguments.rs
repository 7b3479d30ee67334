//! Arguments as real clients send them (BC-15 to BC-26 of the collected reports), and
//! arguments of a hostile one.

use serde_json::{Value, json};

use crate::test_gateway::TestGateway;

/// The most bytes of the text of an error, with the mark of a cut.
const MAX_ERROR_BYTES: usize = 8_100;

const WRITES: [(&str, &str); 4] = [
    ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
    ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
    ("GATEPOST_INSTANCES__DEMO__WRITES", "confirm"),
    (
        "GATEPOST_ROLES__READER__RULES",
        r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"] },
            { models = ["res.partner"], methods = ["action_archive", "message_post"] }]"#,
    ),
];

fn writing() -> TestGateway {
    TestGateway::with_key(odoo_sim::ADMIN_KEY, &WRITES)
}

fn answered(stage: &TestGateway, tool: &str, arguments: &Value) -> String {
    let (text, failed) = stage.call(tool, arguments);
    assert!(!failed, "{tool} {arguments}: {text}");
    text
}

#[test]
fn nulls_strays_texts_and_single_items_are_understood() {
    let stage = TestGateway::anonymous();
    let plain = answered(&stage, "search_records", &json!({"model": "res.partner"}));
    for same in [
        json!({"model": "res.partner", "domain": null, "fields": null, "limit": null,
            "order": null, "cursor": null, "archived": null, "context": null}),
        json!({"model": "res.partner", "task_progress": "- [x] look", "_meta": {}}),
        json!("{\"model\":\"res.partner\"}"),
        json!({"model": "res.partner", "limit": "20", "archived": "false", "fields": ""}),
    ] {
        assert_eq!(answered(&stage, "search_records", &same), plain, "{same}");
    }
    answered(&stage, "list_models", &json!(""));
    let two = answered(
        &stage,
        "read_records",
        &json!({"model": "res.partner", "ids": [1, 3], "fields": ["name", "email"]}),
    );
    for same in [
        json!({"model": "res.partner", "ids": "[1,3]", "fields": "name,email"}),
        json!({"model": "res.partner", "ids": ["1", 3.0], "fields": "[\"name\",\"email\"]"}),
        json!({"model": "res.partner", "ids": [[1, "x"], "y [3]"], "fields": ["name", "email"]}),
    ] {
        assert_eq!(answered(&stage, "read_records", &same), two, "{same}");
    }
}

#[test]
fn argument_names_of_odoo_are_answered_with_the_right_ones() {
    let stage = writing();
    let calls: [(&str, Value); 8] = [
        (
            "search_records",
            json!({"model": "res.partner", "offset": 20}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "context": {"active_test": false}}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "context": {"allowed_company_ids": [1]}}),
        ),
        (
            "create_records",
            json!({"model": "res.partner", "vals_list": [{"name": "x"}]}),
        ),
        (
            "update_records",
            json!({"model": "res.partner", "id": 3, "vals": {"name": "x"}}),
        ),
        (
            "call_method",
            json!({"model": "res.partner", "method": "action_archive", "args": [[3]]}),
        ),
        (
            "count_records",
            json!({"model": "res.partner", "filters": []}),
        ),
        ("list_models", json!({"kwargs": {}})),
    ];
    let said: Vec<String> = calls
        .iter()
        .map(|(tool, arguments)| {
            let (text, failed) = stage.call(tool, arguments);
            assert!(failed, "{tool} {arguments}");
            text
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    unknown argument `offset`; did you mean `cursor`? this tool takes `model`, `domain`, `fields`, `limit`, `order`, `cursor`, `archived`, `context`
    unknown member `active_test` of `context`; it takes `company_ids`, `lang`, `tz`
    unknown member `allowed_company_ids` of `context`; did you mean `company_ids`? it takes `company_ids`, `lang`, `tz`
    unknown argument `vals_list`; did you mean `values`? this tool takes `model`, `values`, `context`, `idempotency_key`, `confirm`
    unknown argument `id`; did you mean `ids`? this tool takes `model`, `ids`, `values`, `context`, `idempotency_key`, `confirm`
    unknown argument `args`; did you mean `ids` or `arguments`? this tool takes `model`, `method`, `ids`, `arguments`, `context`, `idempotency_key`, `confirm`
    unknown argument `filters`; did you mean `domain`? this tool takes `model`, `domain`, `archived`, `context`
    unknown argument `kwargs`; this tool takes `query`
    ");
}

#[test]
fn strays_may_change_between_preview_and_confirmation() {
    let stage = writing();
    let values = json!([{"name": "X", "country_id": "Belgium [20]"}]);
    let preview = answered(
        &stage,
        "create_records",
        &json!({"model": "res.partner", "values": values, "task_progress": "- [ ] create"}),
    );
    assert!(preview.contains("Belgium [20]"), "{preview}");
    let (_, rest) = preview.split_once("`confirm`: \"").unwrap();
    let confirm = rest.split('"').next().unwrap();
    let done = answered(
        &stage,
        "create_records",
        &json!({"model": "res.partner", "values": values.to_string(), "confirm": confirm,
            "task_progress": "- [x] create"}),
    );
    assert!(done.starts_with("Created 1 record"), "{done}");
}

#[test]
fn record_written_back_as_shown_must_have_that_name() {
    let stage = writing();
    let texts = ["Belgium [57]", "Belgium [2000000000]"].map(|shown| {
        let values = json!([{"name": "X", "country_id": shown}]);
        let create = json!({"model": "res.partner", "values": values});
        stage.call_fails("create_records", &create, "unfit")
    });
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn huge_lists_are_refused_in_short_before_anything_is_sent() {
    let stage = writing();
    // So that what follows needs nothing from Odoo but what it asks for.
    answered(&stage, "search_records", &json!({"model": "res.partner"}));
    let names: Vec<String> = (0..7_000)
        .map(|at| format!("{}{at}", "x".repeat(120)))
        .collect();
    let short: Vec<String> = (0..60_000).map(|at| format!("f{at}")).collect();
    let ids: Vec<u32> = (1..100_000).collect();
    let cells: Vec<Vec<&str>> = vec![vec!["a"]; 5_000];
    let unknown: serde_json::Map<String, Value> = names
        .iter()
        .take(400)
        .map(|name| (name.clone(), json!(1)))
        .collect();
    let records: Vec<Value> = vec![Value::Object(unknown.clone()); 15];
    let terms: Vec<Value> = short.iter().map(|name| json!([name, "=", 1])).collect();
    let order = short.join(", ");
    let long = "y".repeat(900_000);
    let partner = "res.partner";
    let hostile = [
        ("search_records", json!({"model": partner, "fields": names})),
        ("search_records", json!({"model": partner, "fields": short})),
        ("search_records", json!({"model": partner, "order": order})),
        ("search_records", json!({"model": partner, "domain": terms})),
        ("search_records", json!({"model": partner, "cursor": long})),
        (
            "search_records",
            json!({"model": partner, "context": {"company_ids": ids}}),
        ),
        ("search_records", json!({"model": long})),
        (
            "search_records",
            json!({"model": partner, long.as_str(): 1}),
        ),
        (
            "search_records",
            json!({"model": partner, "domain": [["name", "=", {"a": long}]]}),
        ),
        ("read_records", json!({"model": partner, "ids": ids})),
        (
            "read_records",
            json!({"model": partner, "ids": [1], "fields": names}),
        ),
        ("count_records", json!({"model": partner, "domain": long})),
        (
            "aggregate_records",
            json!({"model": partner, "group_by": short}),
        ),
        (
            "aggregate_records",
            json!({"model": partner, "group_by": [long]}),
        ),
        (
            "aggregate_records",
            json!({"model": partner, "measures": short}),
        ),
        (
            "aggregate_records",
            json!({"model": partner, "having": vec![json!(["count", ">", 1]); 9_000]}),
        ),
        (
            "aggregate_records",
            json!({"model": partner, "group_by": ["name"], "order": order}),
        ),
        ("find_by_name", json!({"model": partner, "name": long})),
        ("describe_model", json!({"model": partner, "fields": names})),
        ("describe_model", json!({"model": partner, "fields": short})),
        ("list_models", json!({"query": long})),
        (
            "create_records",
            json!({"model": partner, "values": records}),
        ),
        ("create_records", json!({"model": partner, "values": short})),
        (
            "import_records",
            json!({"model": partner, "fields": names, "rows": [["a"]]}),
        ),
        (
            "import_records",
            json!({"model": partner, "fields": ["name"], "rows": cells}),
        ),
        (
            "update_records",
            json!({"model": partner, "ids": [3], "values": unknown}),
        ),
        (
            "update_records",
            json!({"model": partner, "ids": ids, "values": {"name": "x"}}),
        ),
        ("delete_records", json!({"model": partner, "ids": ids})),
        (
            "call_method",
            json!({"model": partner, "method": "action_archive", "ids": ids}),
        ),
        (
            "call_method",
            json!({"model": partner, "method": "action_archive", "ids": [3], "arguments": unknown}),
        ),
        (
            "post_message",
            json!({"model": partner, "id": 3, "body": "x", "partner_ids": ids}),
        ),
        (
            "post_message",
            json!({"model": partner, "id": 3, "body": long}),
        ),
        ("undo_change", json!({"change": long})),
    ];
    let before = stage.fake_odoo.snapshot();
    for (tool, arguments) in &hostile {
        let (text, failed) = stage.call(tool, arguments);
        let shown: String = arguments.to_string().chars().take(80).collect();
        if *tool == "list_models" {
            assert!(
                text.len() < MAX_ERROR_BYTES,
                "{tool} {shown}: {} bytes",
                text.len()
            );
            continue;
        }
        assert!(failed, "{tool} {shown}: {text}");
        assert!(
            text.len() < MAX_ERROR_BYTES,
            "{tool} {shown}: {} bytes",
            text.len()
        );
    }
    assert!(before.changes_to(&stage.fake_odoo.snapshot()).is_empty());
    // Every tool was tried.
    let listed = stage
        .post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        .json();
    for tool in listed["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        assert!(hostile.iter().any(|(tried, _)| *tried == name), "{name}");
    }
}
