//! The commands of x2many fields.

use serde_json::{Value, json};

use super::{ADMIN_KEY, call_as, call_ok, call_rejected, fake_odoo, read_field};

/// The tags of contact 20, which starts with 1, after a value was written.
fn tags_after_write(value: &Value) -> Result<Value, String> {
    let odoo = fake_odoo();
    let body = json!({"ids": [20], "vals": {"category_id": [[6, 0, [1]]]}});
    call_ok(&odoo, "res.partner/write", &body);
    let body = json!({"ids": [20], "vals": {"category_id": value}});
    match call_as(&odoo, ADMIN_KEY, "res.partner/write", &body) {
        (200, _) => Ok(read_field(&odoo, "res.partner", &json!(20), "category_id")),
        (_, error) => Err(error["message"].as_str().unwrap().to_owned()),
    }
}

#[test]
fn x2many_commands_change_links() {
    for (value, now) in [
        (json!([[0, 0, {"name": "Made"}]]), json!([1, 4])),
        (json!([[0, "virtual_1", {"name": "Made"}]]), json!([1, 4])),
        (json!([[1, 1, {"name": "Renamed"}]]), json!([1])),
        (json!([[2, 1, 0]]), json!([])),
        (json!([[3, 1, 0]]), json!([])),
        (json!([[4, 2, 0]]), json!([1, 2])),
        (json!([[4, 2]]), json!([1, 2])),
        (json!([[5, 0, 0]]), json!([])),
        (json!([[6, 0, [2, 3]]]), json!([2, 3])),
        (json!([[4, 3], [3, 1]]), json!([3])),
        (json!([2, 3]), json!([2, 3])),
        (json!(false), json!([])),
        (json!(null), json!([])),
    ] {
        assert_eq!(tags_after_write(&value), Ok(now), "{value}");
    }
}

#[test]
fn unrecognized_x2many_commands_are_ignored() {
    for value in [
        json!([[9, 2, 0]]),
        json!([["4", 2]]),
        json!([[]]),
        json!([]),
        json!([[7]]),
        json!([[2, "VIP"], [8, 1]])
            .get(1)
            .map(|one| json!([one]))
            .unwrap(),
    ] {
        assert_eq!(tags_after_write(&value), Ok(json!([1])), "{value}");
    }
}

#[test]
fn invalid_x2many_values_are_rejected() {
    for (value, message) in [
        (json!(2), "Wrong value for res.partner.category_id: 2"),
        (json!("VIP"), "Wrong value for res.partner.category_id: VIP"),
        (
            json!({"id": 2}),
            "Wrong value for res.partner.category_id: ",
        ),
        (json!([[4]]), "list index out of range"),
        (json!([[6, 0]]), "list index out of range"),
        (json!([[0, {"name": "x"}]]), "list index out of range"),
        (json!([6, 0, [2]]), "unhashable type: 'list'"),
        (json!([2, [4, 1]]), "unhashable type: 'list'"),
        (json!([{"name": "x"}]), "unhashable type: 'dict'"),
        (
            json!([true]),
            "column is of type integer but expression is of type boolean",
        ),
        (
            json!(["VIP"]),
            "invalid input syntax for type integer: \"VIP\"",
        ),
        (
            json!([[4, "VIP"]]),
            "invalid input syntax for type integer: \"VIP\"",
        ),
        (
            json!([null]),
            "The operation cannot be completed: Missing required value for the field 'category_id'.",
        ),
        (
            json!([[4, "10"]]),
            "Expected singleton: res.partner.category('1', '0')",
        ),
        (
            json!([[0, 0, {"nope": 1}]]),
            "Invalid field 'nope' in 'res.partner.category'",
        ),
        (
            json!([[0, 0, {}]]),
            "The operation cannot be completed: Missing required value for the field 'Name' (name).",
        ),
        (
            json!([[4, 999]]),
            "The operation cannot be completed: Another model is using the record you are trying to delete.",
        ),
        (
            json!([1, 999]),
            "The operation cannot be completed: Another model is using the record you are trying to delete.",
        ),
    ] {
        let text = tags_after_write(&value).unwrap_err();
        assert!(text.starts_with(message), "{value}: {text}");
    }
}

#[test]
fn x2many_commands_create_update_and_delete_order_lines() {
    let odoo = fake_odoo();
    let order = json!({"partner_id": 14, "order_line": [
        [0, 0, {"product_id": 1, "product_uom_qty": 2}],
        [0, 0, {"product_id": 6, "price_unit": "12.345", "name": "Lamp, special"}],
    ]});
    let id = call_ok(&odoo, "sale.order/create", &json!({"vals_list": order}))[0].take();
    let lines = read_field(&odoo, "sale.order", &id, "order_line");
    assert_eq!(lines.as_array().unwrap().len(), 2);
    let write = |commands: Value| {
        let body = json!({"ids": [id], "vals": {"order_line": commands}});
        call_ok(&odoo, "sale.order/write", &body);
    };
    let total = || read_field(&odoo, "sale.order", &id, "amount_untaxed");
    assert_eq!(total(), 1512.35);
    write(json!([[1, lines[1], {"product_uom_qty": 3, "price_unit": 10}]]));
    assert_eq!(total(), 1530.0);
    // Removing a line from an order deletes it, because it cannot exist without
    // one.
    write(json!([[3, lines[1], 0]]));
    assert_eq!(total(), 1500.0);
    let gone = json!({"ids": [lines[1]], "fields": ["name"]});
    assert_eq!(call_ok(&odoo, "sale.order.line/read", &gone), json!([]));
    // A moved line counts in its new order.
    let moved = json!({"ids": [lines[0]], "vals": {"order_id": 4}});
    let there = || read_field(&odoo, "sale.order", &json!(4), "amount_untaxed");
    let before = there().as_f64().unwrap();
    call_ok(&odoo, "sale.order.line/write", &moved);
    assert_eq!(total(), 0.0);
    assert_eq!(there(), before + 1500.0);
    write(json!([[4, lines[0]]]));
    assert_eq!(total(), 1500.0);
    write(json!([[5]]));
    assert_eq!(total(), 0.0);
}

#[test]
fn removing_child_contact_clears_its_parent() {
    let odoo = fake_odoo();
    let children = || read_field(&odoo, "res.partner", &json!(14), "child_ids");
    let write = |commands: Value| {
        let body = json!({"ids": [14], "vals": {"child_ids": commands}});
        call_ok(&odoo, "res.partner/write", &body);
    };
    assert_eq!(children(), json!([40]));
    write(json!([[4, 41]]));
    assert_eq!(children(), json!([40, 41]));
    assert_eq!(
        read_field(&odoo, "res.partner", &json!(41), "complete_name"),
        "Azure Interior, Nicole Ford"
    );
    write(json!([[6, 0, [41]]]));
    assert_eq!(children(), json!([41]));
    assert_eq!(
        read_field(&odoo, "res.partner", &json!(40), "parent_id"),
        false
    );
    let body = json!({"ids": [14], "vals": {"child_ids": [[4, 999]]}});
    let (status, name, _) = call_rejected(&odoo, ADMIN_KEY, "res.partner/write", &body);
    assert_eq!(
        (status, name.as_str()),
        (404, "odoo.exceptions.MissingError")
    );
}
