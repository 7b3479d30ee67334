//! Creating, writing, deleting, and the actions of buttons.

use serde_json::{Value, json};

use super::{
    ADMIN_KEY, INTERNAL_KEY, SALES_KEY, call_as, call_ok, call_rejected, fake_odoo, read_field,
};

#[test]
fn created_quotation_gets_number_defaults_and_amounts() {
    let odoo = fake_odoo();
    odoo.set_clock(Some("2026-11-21T10:11:12Z".parse().unwrap()));
    let rows = json!({"vals_list": [
        {"partner_id": 14, "order_line": [[0, 0, {"product_id": 4, "product_uom_qty": 3, "discount": 10}]]},
        {"partner_id": 15, "name": "Mine"},
    ]});
    assert_eq!(call_ok(&odoo, "sale.order/create", &rows), json!([41, 42]));
    let fields = [
        "name",
        "state",
        "date_order",
        "user_id",
        "company_id",
        "currency_id",
        "amount_untaxed",
        "amount_tax",
        "amount_total",
        "create_uid",
        "write_date",
    ];
    let read = json!({"ids": [41], "fields": fields});
    assert_eq!(
        call_ok(&odoo, "sale.order/read", &read),
        json!([{
            "id": 41, "name": "S00041", "state": "draft", "date_order": "2026-11-21 10:11:12",
            "user_id": [6, "Sally Sales"], "company_id": [1, "Example Furniture (Brussels)"], "currency_id": [2, "EUR"],
            "amount_untaxed": 325.35, "amount_tax": 68.32, "amount_total": 393.67,
            "create_uid": [2, "Mitchell Admin"], "write_date": "2026-11-21 10:11:12",
        }])
    );
    assert_eq!(read_field(&odoo, "sale.order", &json!(42), "name"), "Mine");
    let lines = read_field(&odoo, "sale.order", &json!(41), "order_line");
    let line =
        json!({"ids": lines, "fields": ["name", "price_unit", "price_subtotal", "price_total"]});
    let line = call_ok(&odoo, "sale.order.line/read", &line)[0].take();
    assert_eq!(line["name"], "Office Chair");
    assert_eq!(line["price_subtotal"], 325.35);
    // The next one continues the sequence, although one had its own name.
    let next = json!({"vals_list": {"partner_id": 14}});
    let next = call_ok(&odoo, "sale.order/create", &next)[0].take();
    assert_eq!(read_field(&odoo, "sale.order", &next, "name"), "S00042");
}

#[test]
fn one_invalid_record_rolls_back_the_whole_call() {
    let odoo = fake_odoo();
    let rows = json!({"vals_list": [{"name": "Good"}, {"email": "nameless@example.com"}]});
    let (status, name, message) = call_rejected(&odoo, ADMIN_KEY, "res.partner/create", &rows);
    assert_eq!(
        (status, name.as_str()),
        (422, "odoo.exceptions.ValidationError")
    );
    assert_eq!(
        message,
        "The operation cannot be completed: Contacts require a name"
    );
    // Invalid in the values for another record, after the first was changed.
    let body = json!({"ids": [20, 21], "vals": {"name": "x", "parent_id": 21}});
    let (_, _, message) = call_rejected(&odoo, ADMIN_KEY, "res.partner/write", &body);
    assert_eq!(message, "You cannot create recursive Partner hierarchies.");
}

#[test]
fn write_updates_write_date_and_write_uid() {
    let odoo = fake_odoo();
    let stamp = |at: &str| odoo.set_clock(Some(at.parse().unwrap()));
    let seen = |field: &str| read_field(&odoo, "res.partner", &json!(20), field);
    stamp("2026-11-21T10:00:00Z");
    call_ok(
        &odoo,
        "res.partner/write",
        &json!({"ids": [20], "vals": {"ref": "1"}}),
    );
    assert_eq!(seen("write_date"), "2026-11-21 10:00:00");
    assert_eq!(seen("write_uid"), json!([2, "Mitchell Admin"]));
    let made = seen("create_date");
    stamp("2026-11-21T10:00:01.9Z");
    let body = json!({"ids": [20], "vals": {"ref": "2"}});
    assert_eq!(call_as(&odoo, SALES_KEY, "res.partner/write", &body).0, 200);
    assert_eq!(seen("write_date"), "2026-11-21 10:00:01");
    assert_eq!(seen("write_uid"), json!([6, "Sally Sales"]));
    assert_eq!(seen("create_date"), made);
}

#[test]
fn unknown_field_error_depends_on_model() {
    let odoo = fake_odoo();
    for (path, body, error, message) in [
        (
            "res.partner/write",
            json!({"ids": [20], "vals": {"nope": 1}}),
            "builtins.KeyError",
            "nope",
        ),
        (
            "crm.lead/write",
            json!({"ids": [6], "vals": {"nope": 1}}),
            "builtins.ValueError",
            "Invalid field 'nope' in 'crm.lead'",
        ),
        (
            "res.partner/create",
            json!({"vals_list": {"name": "x", "nope": 1}}),
            "builtins.ValueError",
            "Invalid field 'nope' in 'res.partner'",
        ),
    ] {
        assert_eq!(
            call_rejected(&odoo, ADMIN_KEY, path, &body),
            (500, error.to_owned(), message.to_owned())
        );
    }
}

#[test]
fn access_rights_and_record_rules_limit_writes() {
    let odoo = fake_odoo();
    let new = json!({"vals_list": {"name": "x"}});
    let change = json!({"ids": [20], "vals": {"name": "x"}});
    let gone = json!({"ids": [20]});
    for (key, path, body, begins) in [
        (
            INTERNAL_KEY,
            "res.partner/create",
            &new,
            "You are not allowed to create 'Contact' (res.partner) records.",
        ),
        (
            INTERNAL_KEY,
            "res.partner/write",
            &change,
            "You are not allowed to modify 'Contact' (res.partner) records.",
        ),
        (
            INTERNAL_KEY,
            "crm.lead/message_post",
            &gone,
            "You are not allowed to modify 'Lead' (crm.lead) records.",
        ),
        (
            SALES_KEY,
            "res.partner/unlink",
            &gone,
            "You are not allowed to delete 'Contact' (res.partner) records.",
        ),
        (
            SALES_KEY,
            "product.template/write",
            &change,
            "You are not allowed to modify 'Product' (product.template) records.",
        ),
        (
            SALES_KEY,
            "sale.order/write",
            &json!({"ids": [1], "vals": {"note": "x"}}),
            "You are not allowed to modify",
        ),
    ] {
        let (status, name, message) = call_rejected(&odoo, key, path, body);
        assert_eq!(
            (status, name.as_str()),
            (403, "odoo.exceptions.AccessError"),
            "{path}"
        );
        if path == "sale.order/write" {
            // Another user's order: rejected by a record rule, not by an access right.
            assert!(
                message.contains("doesn't have 'write' access to:"),
                "{message}"
            );
        } else {
            assert!(message.starts_with(begins), "{message}");
        }
    }
}

#[test]
fn write_that_hides_the_record_from_its_writer_is_rejected() {
    let odoo = fake_odoo();
    let body = json!({"ids": [8], "vals": {"user_id": 2}});
    let (status, name, _) = call_rejected(&odoo, SALES_KEY, "sale.order/write", &body);
    assert_eq!(
        (status, name.as_str()),
        (403, "odoo.exceptions.AccessError")
    );
}

#[test]
fn unlink_cascades_to_lines_and_is_rejected_for_referenced_record() {
    let odoo = fake_odoo();
    let (_, name, message) = call_rejected(
        &odoo,
        ADMIN_KEY,
        "res.partner/unlink",
        &json!({"ids": [20]}),
    );
    assert_eq!(name, "odoo.exceptions.ValidationError");
    assert!(
        message.contains("The troublemaker is: 'Journal Entry' (account.move)"),
        "{message}"
    );
    // Order 4 is cancelled, so it may be deleted.
    let lines = read_field(&odoo, "sale.order", &json!(4), "order_line");
    assert!(!lines.as_array().unwrap().is_empty());
    let before = odoo.snapshot();
    assert_eq!(
        call_ok(&odoo, "sale.order/unlink", &json!({"ids": [4]})),
        true
    );
    let after = odoo.snapshot();
    assert_eq!(
        call_ok(
            &odoo,
            "sale.order.line/read",
            &json!({"ids": lines, "fields": ["name"]})
        ),
        json!([])
    );
    let changes = before.changes_to(&after);
    let models: Vec<&str> = changes.iter().map(|change| change.model).collect();
    assert_eq!(
        models,
        [
            vec!["mail.followers"; 1],
            vec!["sale.order"],
            vec!["sale.order.line"; 2]
        ]
        .concat()
    );
    assert!(changes.iter().all(|change| change.after.is_none()));
    // Optional links to it are cleared.
    let tag = json!({"ids": [1]});
    call_ok(&odoo, "res.partner.category/unlink", &tag);
    assert_eq!(
        read_field(&odoo, "res.partner", &json!(14), "category_id"),
        json!([])
    );
}

#[test]
fn order_actions_follow_state_transitions() {
    let odoo = fake_odoo();
    let state = || read_field(&odoo, "sale.order", &json!(26), "state");
    let press = |button: &str| {
        call_as(
            &odoo,
            ADMIN_KEY,
            &format!("sale.order/{button}"),
            &json!({"ids": [26]}),
        )
    };
    assert_eq!(state(), "sent");
    assert_eq!(press("action_confirm"), (200, json!(true)));
    assert_eq!(state(), "sale");
    assert_eq!(
        press("action_confirm").1["message"],
        "Some orders are not in a state requiring confirmation."
    );
    assert_eq!(press("action_lock"), (200, Value::Null));
    assert_eq!(
        press("action_cancel").1["message"],
        "You cannot cancel a locked order. Please unlock it first."
    );
    assert_eq!(press("action_unlock"), (200, Value::Null));
    let line = read_field(&odoo, "sale.order", &json!(26), "order_line")[0].take();
    let (_, error) = call_as(
        &odoo,
        ADMIN_KEY,
        "sale.order.line/unlink",
        &json!({"ids": [line]}),
    );
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("Once a sales order is confirmed")
    );
    assert_eq!(press("action_cancel"), (200, json!(true)));
    assert_eq!(press("action_draft"), (200, json!(true)));
    assert_eq!(state(), "draft");
    assert_eq!(press("unlink"), (200, json!(true)));
    assert_eq!(press("action_confirm").0, 404);
}

#[test]
fn lead_actions_set_lost_and_won() {
    let odoo = fake_odoo();
    let seen = |field: &str| read_field(&odoo, "crm.lead", &json!(4), field);
    let press = |button: &str| {
        call_as(
            &odoo,
            ADMIN_KEY,
            &format!("crm.lead/{button}"),
            &json!({"ids": [4]}),
        )
    };
    assert_eq!(press("action_set_lost"), (200, Value::Null));
    assert_eq!(
        (seen("active"), seen("won_status")),
        (json!(false), json!("lost"))
    );
    assert_eq!(press("action_unarchive"), (200, Value::Null));
    assert_eq!(
        (seen("active"), seen("won_status")),
        (json!(true), json!("pending"))
    );
    assert_eq!(press("action_set_won"), (200, json!(true)));
    assert_eq!(
        (seen("probability"), seen("won_status")),
        (json!(100.0), json!("won"))
    );
    assert_eq!(seen("stage_id"), json!([4, "Won"]));
    assert_eq!(
        press("action_set_lost").1["message"],
        "A lead in a Won stage cannot be lost. Move it to another stage first."
    );
}

#[test]
fn archived_record_is_hidden_until_unarchived() {
    let odoo = fake_odoo();
    let found = || {
        call_ok(
            &odoo,
            "res.partner/search_count",
            &json!({"domain": [["id", "=", 20]]}),
        )
    };
    assert_eq!(
        call_ok(&odoo, "res.partner/action_archive", &json!({"ids": [20]})),
        Value::Null
    );
    assert_eq!(found(), 0);
    assert_eq!(
        call_ok(&odoo, "res.partner/action_unarchive", &json!({"ids": [20]})),
        Value::Null
    );
    assert_eq!(found(), 1);
    let (status, name, message) = call_rejected(
        &odoo,
        ADMIN_KEY,
        "crm.stage/action_archive",
        &json!({"ids": [1]}),
    );
    assert_eq!((status, name.as_str()), (500, "builtins.AssertionError"));
    assert_eq!(message, "No 'active' field on model crm.stage");
}

#[test]
fn links_across_companies_are_rejected() {
    let odoo = fake_odoo();
    // Order 5 belongs to the second company, contact 7 to the first.
    let body = json!({"ids": [5], "vals": {"partner_id": 7}});
    let (status, name, message) = call_rejected(&odoo, ADMIN_KEY, "sale.order/write", &body);
    assert_eq!((status, name.as_str()), (422, "odoo.exceptions.UserError"));
    assert_eq!(
        message,
        "Uh-oh! You’ve got some company inconsistencies here:\n- “S00005” belongs to company “Example Furniture (Chicago)” while “Customer” (partner_id: 'Sally Sales') belongs to another company.\nTo avoid a mess, no company crossover is allowed!"
    );
    // A salesperson of the first company only.
    let body = json!({"ids": [5], "vals": {"company_id": 2, "user_id": 6}});
    let (_, name, _) = call_rejected(&odoo, ADMIN_KEY, "crm.lead/write", &body);
    assert_eq!(name, "odoo.exceptions.UserError");
}

#[test]
fn create_adds_contact_for_user_and_variant_for_product() {
    let odoo = fake_odoo();
    let made = call_ok(
        &odoo,
        "res.users/create",
        &json!({"vals_list": {"name": "Nora New", "login": "nora"}}),
    );
    let partner = read_field(&odoo, "res.users", &made[0], "partner_id");
    assert_eq!(partner[1], "Nora New");
    let product = json!({"name": "Stool", "list_price": 30});
    let product = call_ok(
        &odoo,
        "product.template/create",
        &json!({"vals_list": product}),
    )[0]
    .take();
    let variant =
        json!({"domain": [["product_tmpl_id", "=", product]], "fields": ["name", "lst_price"]});
    let variant = call_ok(&odoo, "product.product/search_read", &variant)[0].take();
    assert_eq!(
        (&variant["name"], &variant["lst_price"]),
        (&json!("Stool"), &json!(30.0))
    );
}

#[test]
fn defaults_come_from_model_and_context() {
    let odoo = fake_odoo();
    let fields = json!(["type", "priority", "user_id", "stage_id", "name"]);
    assert_eq!(
        call_ok(
            &odoo,
            "crm.lead/default_get",
            &json!({"fields": fields, "context": {"default_name": "Call"}})
        ),
        json!({"type": "opportunity", "priority": "0", "user_id": 2, "name": "Call"})
    );
    let body = json!({"vals_list": {}, "context": {"default_name": "Call"}});
    let made = call_ok(&odoo, "crm.lead/create", &body)[0].take();
    assert_eq!(read_field(&odoo, "crm.lead", &made, "name"), "Call");
}

#[test]
fn concurrent_creates_get_unique_order_numbers() {
    let odoo = fake_odoo();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let order = json!({"vals_list": {"partner_id": 14}});
                    call_ok(&odoo, "sale.order/create", &order);
                }
            });
        }
    });
    let names = json!({"domain": [["id", ">", 40]], "fields": ["name"]});
    let orders = call_ok(&odoo, "sale.order/search_read", &names);
    let mut names: Vec<&str> = orders
        .as_array()
        .unwrap()
        .iter()
        .map(|order| order["name"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), names[99]), (100, "S00140"));
}
