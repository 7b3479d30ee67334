//! How many calls to Odoo each tool makes, cold and warm, as a user with few rights.

use std::fmt::Write as _;

use odoo_sim::{RecordedCall, SALES_KEY};
use serde_json::{Value, json};

use crate::{test_gateway::TestGateway, writes::change_id};

/// All operations and two methods, as a salesperson who may not read invoices and
/// journals.
fn stage() -> TestGateway {
    let rules = r#"[{ models = ["*"], operations = ["read", "create", "write", "delete"] },
        { models = ["sale.order"], methods = ["action_cancel", "action_draft"] },
        { models = ["res.partner"], methods = ["message_post"] }]"#;
    TestGateway::with_key(
        SALES_KEY,
        &[
            ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
            ("GATEPOST_INSTANCES__DEMO__SERVICE_KEY_WRITES", "true"),
            ("GATEPOST_INSTANCES__DEMO__WRITES", "direct"),
            ("GATEPOST_ROLES__READER__RULES", rules),
        ],
    )
}

/// Calls a tool; returns its text, and the calls that Odoo received and refused.
fn call(stage: &TestGateway, tool: &str, arguments: &Value) -> (String, usize, usize) {
    let before = stage.fake_odoo.calls().len();
    let (text, failed) = stage.call(tool, arguments);
    assert!(!failed, "{tool} {arguments}: {text}");
    let calls = stage.fake_odoo.calls().split_off(before);
    let refused = calls.iter().filter(|call| call.status != 200).count();
    (text, calls.len(), refused)
}

/// The paths of calls, for a message.
fn paths(calls: &[RecordedCall]) -> Vec<String> {
    let line = |call: &RecordedCall| format!("{} {}", call.status, call.path);
    calls.iter().map(line).collect()
}

#[test]
fn warm_reads_cost_one_call_and_creating_a_record_at_most_six_and_none_is_refused() {
    let partner =
        |name: &str| json!({"model": "res.partner", "values": [{"name": name, "country_id": 20}]});
    let order = || json!({"model": "sale.order", "values": [{"partner_id": 14, "journal_id": 1}]});
    let rows = |name: &str| json!({"model": "res.partner", "fields": ["name", "city"], "rows": [[name, "Gent"]]});
    let tools = [
        (
            "search_records",
            [
                json!({"model": "res.partner", "fields": ["name", "invoice_ids"]}),
                json!({"model": "res.partner", "fields": ["email", "invoice_ids"]}),
            ],
        ),
        (
            "read_records",
            [
                json!({"model": "res.partner", "ids": [14]}),
                json!({"model": "res.partner", "ids": [15]}),
            ],
        ),
        (
            "count_records",
            [
                json!({"model": "res.partner", "domain": [["city", "=", "Gent"]]}),
                json!({"model": "res.partner", "domain": [["is_company", "=", true]]}),
            ],
        ),
        (
            "aggregate_records",
            [
                json!({"model": "sale.order", "group_by": ["state"], "measures": ["amount_total:sum"]}),
                json!({"model": "sale.order", "group_by": ["partner_id"], "measures": ["amount_total:sum"]}),
            ],
        ),
        (
            "find_by_name",
            [
                json!({"model": "res.partner", "name": "azure"}),
                json!({"model": "res.partner", "name": "deco"}),
            ],
        ),
        ("list_models", [json!({}), json!({"query": "sale"})]),
        (
            "describe_model",
            [
                json!({"model": "res.partner"}),
                json!({"model": "res.partner"}),
            ],
        ),
        ("create_records", [partner("Ada"), partner("Grace")]),
        ("create_records", [order(), order()]),
        (
            "update_records",
            [
                json!({"model": "res.partner", "ids": [14], "values": {"phone": "1"}}),
                json!({"model": "res.partner", "ids": [15], "values": {"phone": "2"}}),
            ],
        ),
        (
            "delete_records",
            [
                json!({"model": "sale.order.line", "ids": [1]}),
                json!({"model": "sale.order.line", "ids": [2]}),
            ],
        ),
        ("import_records", [rows("Ada"), rows("Grace")]),
        (
            "post_message",
            [
                json!({"model": "res.partner", "id": 14, "body": "Hello"}),
                json!({"model": "res.partner", "id": 15, "body": "Hello"}),
            ],
        ),
        (
            "call_method",
            [
                json!({"model": "sale.order", "method": "action_cancel", "ids": [2]}),
                json!({"model": "sale.order", "method": "action_draft", "ids": [2]}),
            ],
        ),
    ];
    let mut table =
        String::from("tool              | model           | cold | refused | warm | refused\n");
    for (tool, [first, second]) in tools {
        let stage = stage();
        let (_, cold, cold_refused) = call(&stage, tool, &first);
        let before = stage.fake_odoo.calls().len();
        let (_, warm, refused) = call(&stage, tool, &second);
        let model = first["model"].as_str().unwrap_or("-");
        writeln!(
            table,
            "{tool:17} | {model:15} | {cold:4} | {cold_refused:7} | {warm:4} | {refused:7}"
        )
        .unwrap();
        let made = || paths(&stage.fake_odoo.calls().split_off(before));
        assert_eq!(refused, 0, "{tool}: {:?}", made());
        let most = match tool {
            "list_models" | "describe_model" => 0,
            // The groups and their total.
            "aggregate_records" => 2,
            "search_records" | "read_records" | "count_records" | "find_by_name" => 1,
            _ => 6,
        };
        assert!(warm <= most, "{tool}: {:?}", made());
    }
    // A change has to be there first.
    let stage = stage();
    let changes: Vec<String> = [14, 15]
        .iter()
        .map(|id| json!({"model": "res.partner", "ids": [id], "values": {"phone": "1"}}))
        .map(|update| change_id(&call(&stage, "update_records", &update).0))
        .collect();
    for (at, change) in changes.iter().enumerate() {
        let before = stage.fake_odoo.calls().len();
        let (_, made, refused) = call(&stage, "undo_change", &json!({ "change": change }));
        assert_eq!(
            refused,
            0,
            "{:?}",
            paths(&stage.fake_odoo.calls()[before..])
        );
        writeln!(table, "undo_change, {}. | res.partner | {made:4}", at + 1).unwrap();
    }
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let listed = stage.post(&list).json();
    for tool in listed["result"]["tools"].as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        assert!(table.contains(&format!("\n{name}")), "{name}");
    }
    insta::assert_snapshot!(table, @r"
    tool              | model           | cold | refused | warm | refused
    search_records    | res.partner     |    8 |       2 |    1 |       0
    read_records      | res.partner     |    5 |       0 |    1 |       0
    count_records     | res.partner     |    5 |       0 |    1 |       0
    aggregate_records | sale.order      |    6 |       0 |    2 |       0
    find_by_name      | res.partner     |    4 |       0 |    1 |       0
    list_models       | -               |    1 |       0 |    0 |       0
    describe_model    | res.partner     |    2 |       1 |    0 |       0
    create_records    | res.partner     |   20 |       6 |    4 |       0
    create_records    | sale.order      |   23 |       7 |    5 |       0
    update_records    | res.partner     |    8 |       0 |    4 |       0
    delete_records    | sale.order.line |    6 |       0 |    2 |       0
    import_records    | res.partner     |   18 |       6 |    3 |       0
    post_message      | res.partner     |    9 |       0 |    4 |       0
    call_method       | sale.order      |    7 |       0 |    3 |       0
    undo_change, 1. | res.partner |    4
    undo_change, 2. | res.partner |    4
    ");
}

#[test]
fn refused_field_is_requested_only_once_and_named_each_time() {
    let stage = stage();
    let search =
        json!({"model": "res.partner", "fields": ["name", "invoice_ids", "city"], "limit": 2});
    let requests = || {
        let calls = stage.fake_odoo.calls();
        let asks = |call: &&RecordedCall| call.body.to_string().contains("invoice_ids");
        calls.iter().filter(asks).count()
    };
    let (first, _, refused) = call(&stage, "search_records", &search);
    assert!(refused > 0 && requests() > 0);
    let asked = requests();
    let (second, calls, _) = call(&stage, "search_records", &search);
    assert_eq!((first, calls, requests()), (second.clone(), 1, asked));
    assert!(second.contains("`invoice_ids`"), "{second}");
    // Another Odoo user's refusals are none of this one's.
    let only = json!({"model": "res.partner", "fields": ["invoice_ids"], "limit": 2});
    let (only, calls, refused) = call(&stage, "search_records", &only);
    assert_eq!((calls, refused), (1, 0), "{only}");
}
