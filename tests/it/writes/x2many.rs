//! Lines of a record: previewed before and after, and never those of another
//! record.

use serde_json::{Value, json};

use super::{
    ALL, answered, assert_unchanged, confirm_id, created_ids, direct, normalized, refused_as,
    stage, with_confirm,
};
use crate::test_gateway::TestGateway;

/// The ids in a list of a record.
fn list_ids(stage: &TestGateway, (model, id): (&str, u32), list: &str) -> Vec<u32> {
    let read = json!({"model": model, "ids": [id], "fields": [list]});
    let text = answered(stage, "read_records", &read);
    let (_, list) = text.split_once(&format!("{list}: [")).unwrap();
    let ids = list.split(']').next().unwrap().split(',');
    ids.map(|id| id.trim().parse().unwrap()).collect()
}

/// Two quotations of the sample company with their lines.
fn two_orders(stage: &TestGateway) -> [(u32, Vec<u32>); 2] {
    let before = stage.fake_odoo.snapshot();
    let order = |quantity: u32| json!({"partner_id": 7, "order_line": [{"product_id": 1, "product_uom_qty": quantity}, {"product_id": 2}]});
    let create = json!({"model": "sale.order", "values": [order(2), order(3)]});
    answered(stage, "create_records", &create);
    let orders = created_ids(stage, &before, "sale.order");
    [0, 1].map(|at| {
        let id = orders[at];
        (id, list_ids(stage, ("sale.order", id), "order_line"))
    })
}

fn update(id: u32, commands: &Value) -> Value {
    json!({"model": "sale.order", "ids": [id], "values": {"order_line": commands}})
}

/// A gateway with previews, in front of a company that has two quotations.
fn confirming() -> (TestGateway, [(u32, Vec<u32>); 2]) {
    let confirming = stage("confirm", ALL, &[]);
    let create = |quantity: u32| {
        json!({"model": "sale.order", "values": [{"partner_id": 7,
            "order_line": [{"product_id": 1, "product_uom_qty": quantity}, {"product_id": 2}]}]})
    };
    let before = confirming.fake_odoo.snapshot();
    for quantity in [2, 3] {
        confirmed(&confirming, "create_records", &create(quantity));
    }
    let orders = created_ids(&confirming, &before, "sale.order");
    let orders = [0, 1].map(|at| {
        let id = orders[at];
        (id, list_ids(&confirming, ("sale.order", id), "order_line"))
    });
    (confirming, orders)
}

/// Previews a change and then confirms it.
fn confirmed(stage: &TestGateway, tool: &str, arguments: &Value) -> String {
    let preview = answered(stage, tool, arguments);
    answered(stage, tool, &with_confirm(arguments, &confirm_id(&preview)))
}

#[test]
fn line_of_another_record_cannot_be_changed_through_a_list() {
    let stage = direct();
    let [(own, mine), (other, theirs)] = two_orders(&stage);
    let line = theirs[0];
    for command in [
        json!([1, line, {"name": "touched"}]),
        json!([2, line]),
        json!([3, line]),
    ] {
        let change = update(own, &json!([command]));
        insta::assert_snapshot!(refused_as(&stage, "update_records", &change, "unfit"));
    }
    // Lines of the record itself, or of any record in the update, are accepted.
    answered(
        &stage,
        "update_records",
        &update(own, &json!([[1, mine[0], {"product_uom_qty": 9}]])),
    );
    let both = json!({"model": "sale.order", "ids": [own, other],
        "values": {"order_line": [[1, line, {"product_uom_qty": 8}]]}});
    answered(&stage, "update_records", &both);
}

#[test]
fn moved_line_is_reported_without_approval() {
    let stage = direct();
    let [(own, mine), (other, theirs)] = two_orders(&stage);
    let company = stage.fake_odoo.snapshot();
    // An order as a source of lines.
    let source = |id: u32| {
        let name = &company.record("sale.order", id).unwrap()["name"];
        format!("{} [{id}]", name.as_str().unwrap())
    };
    let put = update(own, &json!([[4, theirs[0]]]));
    let text = answered(&stage, "update_records", &put);
    assert!(text.contains(&source(other)), "{text}");
    let all = update(own, &json!([mine[0], mine[1], theirs[1]]));
    let text = answered(&stage, "update_records", &all);
    assert!(text.contains(&source(other)), "{text}");
    let now = list_ids(&stage, ("sale.order", own), "order_line");
    assert_eq!(now, [mine[0], mine[1], theirs[1]]);
    // A new record takes over lines of others, too.
    let create =
        json!({"model": "sale.order", "values": [{"partner_id": 7, "order_line": [[4, mine[0]]]}]});
    let text = answered(&stage, "create_records", &create);
    assert!(text.contains(&source(own)), "{text}");
}

#[test]
fn preview_shows_lines_before_and_after_by_name() {
    let (stage, [(own, mine), (_, theirs)]) = confirming();
    let before = stage.fake_odoo.snapshot();
    let preview = answered(
        &stage,
        "update_records",
        &update(
            own,
            &json!([[1, mine[0], {"product_uom_qty": "5"}], [0, 0, {"product_id": 2, "product_uom_qty": 7}], [4, theirs[0]]]),
        ),
    );
    assert_unchanged(&stage, &before, "a preview");
    insta::assert_snapshot!(normalized(&preview));
}

#[test]
fn confirmation_is_invalid_after_a_line_changed() {
    let (stage, [(own, mine), _]) = confirming();
    let change = update(own, &json!([[1, mine[0], {"product_uom_qty": 5}]]));
    let id = confirm_id(&answered(&stage, "update_records", &change));
    // The order's own values are unchanged.
    let line =
        json!({"model": "sale.order.line", "ids": [mine[0]], "values": {"product_uom_qty": 4}});
    confirmed(&stage, "update_records", &line);
    let stale = with_confirm(&change, &id);
    let text = stage.call_succeeds("update_records", &stale, "previewed");
    assert!(text.contains("product_uom_qty: 4 -> 5"), "{text}");
}

#[test]
fn hidden_fields_of_lines_are_not_in_preview() {
    let rules = r#"[{ models = ["sale.order"], operations = ["read", "write"] },
        { models = ["sale.order.line"], operations = ["read", "write"], domain = [["id", "=", 1]], hidden_fields = ["product_id"] }]"#;
    let stage = stage("confirm", rules, &[]);
    let change = update(1, &json!([[1, 1, {"product_uom_qty": 77}]]));
    let preview = answered(&stage, "update_records", &change);
    insta::assert_snapshot!(normalized(&preview));
    let hidden = update(1, &json!([[1, 1, {"product_id": 2}]]));
    insta::assert_snapshot!(refused_as(&stage, "update_records", &hidden, "unfit"));
}

#[test]
fn undo_is_not_offered_for_irreversible_change() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let tags = json!({"model": "res.partner.category", "values": [{"name": "Passing"}, {"name": "Lasting"}]});
    answered(&stage, "create_records", &tags);
    let tags = created_ids(&stage, &before, "res.partner.category");
    let update = |commands: Value| json!({"model": "res.partner", "ids": [7], "values": {"category_id": commands}});
    let text = answered(&stage, "update_records", &update(json!([[2, tags[0]]])));
    assert!(!text.contains("undo_change"), "{text}");
    insta::assert_snapshot!(text.lines().last().unwrap());
    let text = answered(&stage, "update_records", &update(json!([[4, tags[1]]])));
    assert!(text.contains("undo_change"), "{text}");
}

#[test]
fn delete_preview_lists_dependent_records_by_name() {
    let (stage, [(own, _), _]) = confirming();
    let delete = json!({"model": "sale.order", "ids": [own]});
    let preview = answered(&stage, "delete_records", &delete);
    insta::assert_snapshot!(normalized(&preview));
    let before = stage.fake_odoo.snapshot();
    let family = json!({"model": "res.partner", "values": [{"name": "Head", "child_ids": [{"name": "Child"}]}]});
    confirmed(&stage, "create_records", &family);
    let head = created_ids(&stage, &before, "res.partner")[0];
    let delete = json!({"model": "res.partner", "ids": [head]});
    let preview = answered(&stage, "delete_records", &delete);
    insta::assert_snapshot!(normalized(&preview));
}

#[test]
fn coercion_notes_are_reported_without_approval() {
    let stage = direct();
    let change = json!({"model": "sale.order", "ids": [1],
        "values": {"date_order": "2026-12-24T10:00:00", "partner_id": "Azure Interior", "validity_date": ""},
        "context": {"tz": "Europe/Brussels"}});
    let text = answered(&stage, "update_records", &change);
    let notes: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("Note"))
        .collect();
    insta::assert_snapshot!(notes.join("\n"));
    let order = stage
        .fake_odoo
        .snapshot()
        .record("sale.order", 1)
        .unwrap()
        .clone();
    assert_eq!(order["date_order"], json!("2026-12-24 09:00:00"));
}

#[test]
fn response_about_many_records_names_some_and_lists_all_ids() {
    let stage = direct();
    let before = stage.fake_odoo.snapshot();
    let values: Vec<Value> = (0..300)
        .map(|at| json!({"name": format!("Many {at}")}))
        .collect();
    let create = json!({"model": "res.partner", "values": values});
    let text = answered(&stage, "create_records", &create);
    let ids = created_ids(&stage, &before, "res.partner");
    let range = format!("[{}-{}]", ids[0], ids[299]);
    assert!(text.contains(&range), "{text}");
    assert!(
        text.contains("Many 19") && !text.contains("Many 20"),
        "{text}"
    );
    let update = json!({"model": "res.partner", "ids": ids, "values": {"comment": "x"}});
    let text = answered(&stage, "update_records", &update);
    assert!(text.contains(&range) && text.len() < 2_500, "{text}");
    let delete = json!({"model": "res.partner", "ids": ids[..200]});
    let text = answered(&stage, "delete_records", &delete);
    assert!(
        text.contains(&format!("[{}-{}]", ids[0], ids[199])),
        "{text}"
    );
}

#[test]
fn update_shows_the_stored_list_with_the_names_of_new_lines() {
    let stage = direct();
    let [(order, lines), _] = two_orders(&stage);
    let new = json!([[0, 0, {"product_id": 2}], [2, lines[0], 0]]);
    let text = answered(&stage, "update_records", &update(order, &new));
    let stored = list_ids(&stage, ("sale.order", order), "order_line");
    assert_eq!(stored.len(), 2);
    let (_, now) = text.split_once("\nNow: order_line: ").unwrap();
    let labels: Vec<&str> = now.lines().next().unwrap().split(", ").collect();
    for (label, id) in labels.iter().zip(stored) {
        let name = label.strip_suffix(&format!(" [{id}]"));
        assert!(name.is_some_and(|name| !name.is_empty()), "{text}");
    }
}
