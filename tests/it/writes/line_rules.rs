//! Order lines, with rules that limit them by their order.

use serde_json::{Value, json};

use super::{answered, created_ids, refused, refused_as, stage};

/// Orders of the first company, and lines of orders of the first company.
const RULES: &str = r#"[{ models = ["res.partner", "res.company", "product.product"] },
    { models = ["sale.order"], operations = ["read", "create", "write"], domain = [["company_id", "=", 1]] },
    { models = ["sale.order.line"], operations = ["read", "create", "write"], domain = [["order_id.company_id", "=", 1]] }]"#;

#[test]
fn role_limited_to_company_creates_orders_with_lines_only_there() {
    let stage = stage("direct", RULES, &[]);
    let order = |company: Value| {
        let mut order = json!({"partner_id": 15, "order_line": [{"product_id": 1}]});
        if !company.is_null() {
            order["company_id"] = company;
        }
        json!({"model": "sale.order", "values": [order]})
    };
    let before = stage.fake_odoo.snapshot();
    answered(&stage, "create_records", &order(json!(1)));
    assert_eq!(created_ids(&stage, &before, "sale.order.line").len(), 1);
    let text = refused(&stage, "create_records", &order(json!(2)));
    assert!(text.contains("`order_id.company_id`"), "{text}");
    let undecided = order(Value::Null);
    insta::assert_snapshot!(refused_as(
        &stage,
        "create_records",
        &undecided,
        "forbidden"
    ));
}

#[test]
fn line_is_added_to_existing_order_only_if_row_filter_allows_it() {
    let stage = stage("direct", RULES, &[]);
    let add = |ids: Value| json!({"model": "sale.order", "ids": ids, "values": {"order_line": [[0, 0, {"product_id": 1}]]}});
    let before = stage.fake_odoo.snapshot();
    answered(&stage, "update_records", &add(json!([1])));
    assert_eq!(created_ids(&stage, &before, "sale.order.line").len(), 1);
    // Order 5 belongs to the second company.
    refused(&stage, "update_records", &add(json!([5])));
    refused(&stage, "update_records", &add(json!([1, 5])));
    let alone = |order: u32| json!({"model": "sale.order.line", "values": [{"order_id": order, "product_id": 1}]});
    answered(&stage, "create_records", &alone(1));
    refused(&stage, "create_records", &alone(5));
    // The rows of an import are checked too.
    let rows = |company: u32| {
        json!({"model": "sale.order", "fields": ["partner_id/.id", "company_id/.id", "order_line/product_id/.id"],
            "rows": [["15", company.to_string(), "1"]]})
    };
    answered(&stage, "import_records", &rows(1));
    refused(&stage, "import_records", &rows(2));
}

#[test]
fn line_cannot_be_moved_to_order_where_it_could_not_be_created() {
    // All orders are allowed here, and only lines are limited.
    let rules = RULES.replace(r#", domain = [["company_id", "=", 1]]"#, "");
    let stage = stage("direct", &rules, &[]);
    let line = stage.fake_odoo.snapshot().ids("sale.order.line")[0];
    let into = |order: u32| json!({"model": "sale.order", "ids": [order], "values": {"order_line": [[4, line, 0]]}});
    let text = refused(&stage, "update_records", &into(5));
    assert!(text.contains("`order_id.company_id`"), "{text}");
    let company = json!({"model": "sale.order", "ids": [2],
        "values": {"company_id": 2, "order_line": [[0, 0, {"product_id": 1}]]}});
    refused(&stage, "update_records", &company);
}
