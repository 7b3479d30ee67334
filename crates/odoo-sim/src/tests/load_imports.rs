//! Imports.

use serde_json::{Value, json};

use super::{ADMIN_KEY, INTERNAL_KEY, call_as, call_ok, fake_odoo, read_field};
use crate::FakeOdoo;

#[expect(
    clippy::needless_pass_by_value,
    reason = "a test writes `json!` in place"
)]
fn load(odoo: &FakeOdoo, model: &str, fields: Value, data: Value) -> Value {
    let body = json!({"fields": fields, "data": data});
    let before = odoo.snapshot();
    let answer = call_ok(odoo, &format!("{model}/load"), &body);
    if answer["ids"] == false {
        assert_eq!(odoo.snapshot(), before);
    }
    answer
}

fn messages(answer: &Value) -> Vec<&str> {
    assert_eq!(answer["ids"], false, "{answer}");
    let messages = answer["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|one| one["message"].as_str().unwrap())
        .collect()
}

#[test]
fn repeated_external_id_updates_the_same_record() {
    let odoo = fake_odoo();
    let rows = json!([["shop.1", "Ann", "base"], ["shop.2", "Bob", ""]]);
    let answer = load(&odoo, "res.partner", json!(["id", "name", "ref"]), rows);
    assert_eq!(
        answer,
        json!({"ids": [52, 53], "messages": [], "nextrow": 0})
    );
    let rows = json!([["shop.1", "Anna", "x"], ["shop.3", "Cid", "y"]]);
    let answer = load(&odoo, "res.partner", json!(["id", "name", "ref"]), rows);
    assert_eq!(answer["ids"], json!([52, 54]));
    assert_eq!(read_field(&odoo, "res.partner", &json!(52), "name"), "Anna");
    let data = json!({"domain": [["module", "=", "shop"]], "fields": ["complete_name", "model", "res_id"], "limit": 1});
    assert_eq!(
        call_ok(&odoo, "ir.model.data/search_read", &data),
        json!([{"id": 1, "complete_name": "shop.1", "model": "res.partner", "res_id": 52}])
    );
    // A deleted record can be imported again.
    call_ok(&odoo, "res.partner/unlink", &json!({"ids": [52]}));
    let answer = load(
        &odoo,
        "res.partner",
        json!(["id", "name"]),
        json!([["shop.1", "Ann"]]),
    );
    assert_eq!(answer["ids"], json!([55]));
}

#[test]
fn relation_cells_accept_name_external_id_or_database_id() {
    let odoo = fake_odoo();
    load(
        &odoo,
        "res.partner.category",
        json!(["id", "name"]),
        json!([["shop.gold", "Gold"]]),
    );
    let fields = json!([
        "name",
        "country_id",
        "category_id/id",
        "user_id/.id",
        "parent_id"
    ]);
    let rows = json!([["Ann", "Belgium", "shop.gold", "6", "Azure Interior"]]);
    let id = load(&odoo, "res.partner", fields, rows)["ids"][0].take();
    assert_eq!(
        read_field(&odoo, "res.partner", &id, "country_id"),
        json!([20, "Belgium"])
    );
    assert_eq!(
        read_field(&odoo, "res.partner", &id, "category_id"),
        json!([4])
    );
    assert_eq!(
        read_field(&odoo, "res.partner", &id, "user_id"),
        json!([6, "Sally Sales"])
    );
    let rows = json!([["20", "1,2"]]);
    load(
        &odoo,
        "res.partner",
        json!([".id", "category_id/.id"]),
        rows,
    );
    assert_eq!(
        read_field(&odoo, "res.partner", &json!(20), "category_id"),
        json!([1, 2])
    );
}

#[test]
fn rows_without_own_values_become_order_lines() {
    let odoo = fake_odoo();
    let fields = json!([
        "id",
        "partner_id/.id",
        "order_line/product_id/.id",
        "order_line/product_uom_qty"
    ]);
    let rows = json!([
        ["shop.o1", "14", "1", "2"],
        ["", "", "4", "1"],
        ["shop.o2", "15", "6", "1"]
    ]);
    let answer = load(&odoo, "sale.order", fields, rows);
    assert_eq!(answer["ids"], json!([41, 42]));
    assert_eq!(
        read_field(&odoo, "sale.order", &json!(41), "amount_untaxed"),
        1620.5
    );
    assert_eq!(
        read_field(&odoo, "sale.order", &json!(42), "amount_untaxed"),
        40.0
    );
}

#[test]
fn cell_errors_are_reported_by_row_and_import_is_rolled_back() {
    let odoo = fake_odoo();
    let fields = json!(["name", "is_company", "color", "credit_limit", "type"]);
    let rows = json!([
        ["Good", "yes", "3", "1.25", "Invoice"],
        ["Bad", "maybe", "x", "1,5", "zz"]
    ]);
    let answer = load(&odoo, "res.partner", fields, rows);
    assert_eq!(
        messages(&answer),
        [
            "Unknown value 'maybe' for boolean field 'Is a Company'",
            "'x' does not seem to be an integer for field 'Color Index'",
            "'1,5' does not seem to be a number for field 'Credit Limit'",
            "Value 'zz' not found in selection field 'Address Type'",
        ]
    );
    assert_eq!(answer["messages"][0]["rows"], json!({"from": 1, "to": 1}));
    assert_eq!(
        answer["messages"][3]["moreinfo"],
        json!(["Contact", "Invoice", "Delivery"])
    );
}

#[test]
fn load_errors_have_odoo_messages() {
    let odoo = fake_odoo();
    call_ok(
        &odoo,
        "res.partner.category/load",
        &json!({"fields": ["id", "name"], "data": [["shop.t", "Tag"]]}),
    );
    for (model, fields, row, message) in [
        (
            "res.partner",
            json!(["name", "country_id/id"]),
            json!(["A", "base.nope"]),
            "No matching record found for external id 'base.nope' in field 'Country'",
        ),
        (
            "res.partner",
            json!(["name", "country_id/.id"]),
            json!(["A", "999"]),
            "No matching record found for database id '999' in field 'Country'",
        ),
        (
            "res.partner",
            json!(["name", "country_id/.id"]),
            json!(["A", "abc"]),
            "Invalid database id 'abc' for the field 'Country'",
        ),
        (
            "res.partner",
            json!(["name", "country_id/name"]),
            json!(["A", "Belgium"]),
            "Can not create Many-To-One records indirectly, import the field separately",
        ),
        (
            "res.partner",
            json!([".id", "name"]),
            json!(["999", "A"]),
            "Unknown database identifier '999'",
        ),
        (
            "res.partner",
            json!(["name"]),
            json!([""]),
            "Contacts require a name",
        ),
        (
            "res.partner",
            json!(["id", "name"]),
            json!(["shop.t", "A"]),
            "For external id shop.t when trying to create/update a record of model res.partner found record of different model res.partner.category (1)",
        ),
        (
            "crm.lead",
            json!(["name", "date_deadline"]),
            json!(["A", "2026-13-40"]),
            "'2026-13-40' does not seem to be a valid date for field 'Expected Closing'",
        ),
        (
            "crm.lead",
            json!(["name", "date_closed"]),
            json!(["A", "2026-12-24T10"]),
            "'2026-12-24T10' does not seem to be a valid datetime for field 'Closed Date'",
        ),
    ] {
        let answer = load(&odoo, model, fields, json!([row]));
        assert_eq!(messages(&answer), [message]);
    }
    let answer = load(
        &odoo,
        "crm.lead",
        json!(["date_deadline"]),
        json!([["2026-12-24"]]),
    );
    assert!(
        messages(&answer)[0]
            .starts_with("Missing required value for the field 'Opportunity' (name).")
    );
    assert_eq!(answer["messages"][0]["field"], "name");
    let unknown = json!({"fields": ["name", "nope"], "data": [["A", "1"]]});
    let (status, error) = call_as(&odoo, ADMIN_KEY, "res.partner/load", &unknown);
    assert_eq!(
        (status, error["message"].as_str().unwrap()),
        (500, "Invalid field name 'nope'")
    );
    let forbidden = json!({"fields": ["name"], "data": [["A"]]});
    let (status, answer) = call_as(&odoo, INTERNAL_KEY, "res.partner/load", &forbidden);
    assert_eq!(status, 200);
    assert!(messages(&answer)[0].starts_with("You are not allowed to create"));
}

#[test]
fn ambiguous_relation_name_uses_first_match_with_warning() {
    let odoo = fake_odoo();
    let twins = json!({"vals_list": [{"name": "Twin"}, {"name": "Twin"}]});
    let twins = call_ok(&odoo, "res.partner/create", &twins);
    let answer = load(
        &odoo,
        "res.partner",
        json!(["name", "parent_id"]),
        json!([["A", "Twin"]]),
    );
    assert_eq!(answer["messages"][0]["type"], "warning");
    assert_eq!(
        answer["messages"][0]["message"],
        "Found multiple matches for value \"Twin\" in field \"Related Company\" (2 matches)"
    );
    let parent = read_field(&odoo, "res.partner", &answer["ids"][0], "parent_id");
    assert_eq!(parent[0], twins[0]);
}

#[test]
fn load_reads_datetimes_in_user_time_zone() {
    let odoo = fake_odoo();
    let rows = json!([["A", "2026-12-24 10:00:00"]]);
    let answer = load(&odoo, "crm.lead", json!(["name", "date_closed"]), rows);
    assert_eq!(
        read_field(&odoo, "crm.lead", &answer["ids"][0], "date_closed"),
        "2026-12-24 09:00:00"
    );
}
