//! Imports.

use serde_json::{Value, json};

use super::{ADMIN_KEY, INTERNAL_KEY, asked, company, done, shown};
use crate::Company;

#[expect(
    clippy::needless_pass_by_value,
    reason = "a test writes `json!` in place"
)]
fn load(company: &Company, model: &str, fields: Value, data: Value) -> Value {
    let body = json!({"fields": fields, "data": data});
    let before = company.snapshot();
    let answer = done(company, &format!("{model}/load"), &body);
    if answer["ids"] == false {
        assert_eq!(company.snapshot(), before);
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
fn an_external_id_makes_one_record_however_often_it_comes() {
    let company = company();
    let rows = json!([["shop.1", "Ann", "base"], ["shop.2", "Bob", ""]]);
    let answer = load(&company, "res.partner", json!(["id", "name", "ref"]), rows);
    assert_eq!(
        answer,
        json!({"ids": [52, 53], "messages": [], "nextrow": 0})
    );
    let rows = json!([["shop.1", "Anna", "x"], ["shop.3", "Cid", "y"]]);
    let answer = load(&company, "res.partner", json!(["id", "name", "ref"]), rows);
    assert_eq!(answer["ids"], json!([52, 54]));
    assert_eq!(shown(&company, "res.partner", &json!(52), "name"), "Anna");
    let meta = done(&company, "res.partner/get_metadata", &json!({"ids": [52]}));
    assert_eq!(meta[0]["xmlid"], "shop.1");
    let data = json!({"domain": [["module", "=", "shop"]], "fields": ["complete_name", "model", "res_id"], "limit": 1});
    assert_eq!(
        done(&company, "ir.model.data/search_read", &data),
        json!([{"id": 1, "complete_name": "shop.1", "model": "res.partner", "res_id": 52}])
    );
    // What is deleted can come again.
    done(&company, "res.partner/unlink", &json!({"ids": [52]}));
    let answer = load(
        &company,
        "res.partner",
        json!(["id", "name"]),
        json!([["shop.1", "Ann"]]),
    );
    assert_eq!(answer["ids"], json!([55]));
}

#[test]
fn relations_are_named_by_name_by_external_id_or_by_id() {
    let company = company();
    load(
        &company,
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
    let id = load(&company, "res.partner", fields, rows)["ids"][0].take();
    assert_eq!(
        shown(&company, "res.partner", &id, "country_id"),
        json!([20, "Belgium"])
    );
    assert_eq!(
        shown(&company, "res.partner", &id, "category_id"),
        json!([4])
    );
    assert_eq!(
        shown(&company, "res.partner", &id, "user_id"),
        json!([6, "Sally Sales"])
    );
    let rows = json!([["20", "1,2"]]);
    load(
        &company,
        "res.partner",
        json!([".id", "category_id/.id"]),
        rows,
    );
    assert_eq!(
        shown(&company, "res.partner", &json!(20), "category_id"),
        json!([1, 2])
    );
}

#[test]
fn lines_stand_below_their_order() {
    let company = company();
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
    let answer = load(&company, "sale.order", fields, rows);
    assert_eq!(answer["ids"], json!([41, 42]));
    assert_eq!(
        shown(&company, "sale.order", &json!(41), "amount_untaxed"),
        1620.5
    );
    assert_eq!(
        shown(&company, "sale.order", &json!(42), "amount_untaxed"),
        40.0
    );
}

#[test]
fn all_that_is_wrong_is_told_by_row_and_nothing_is_kept() {
    let company = company();
    let fields = json!(["name", "is_company", "color", "credit_limit", "type"]);
    let rows = json!([
        ["Good", "yes", "3", "1.25", "Invoice"],
        ["Bad", "maybe", "x", "1,5", "zz"]
    ]);
    let answer = load(&company, "res.partner", fields, rows);
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
fn each_way_to_fail_has_odoos_words() {
    let company = company();
    done(
        &company,
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
        let answer = load(&company, model, fields, json!([row]));
        assert_eq!(messages(&answer), [message]);
    }
    let answer = load(
        &company,
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
    let (status, error) = asked(&company, ADMIN_KEY, "res.partner/load", &unknown);
    assert_eq!(
        (status, error["message"].as_str().unwrap()),
        (500, "Invalid field name 'nope'")
    );
    let forbidden = json!({"fields": ["name"], "data": [["A"]]});
    let (status, answer) = asked(&company, INTERNAL_KEY, "res.partner/load", &forbidden);
    assert_eq!(status, 200);
    assert!(messages(&answer)[0].starts_with("You are not allowed to create"));
}

#[test]
fn a_name_that_several_have_is_guessed_with_a_warning() {
    let company = company();
    let twins = json!({"vals_list": [{"name": "Twin"}, {"name": "Twin"}]});
    let twins = done(&company, "res.partner/create", &twins);
    let answer = load(
        &company,
        "res.partner",
        json!(["name", "parent_id"]),
        json!([["A", "Twin"]]),
    );
    assert_eq!(answer["messages"][0]["type"], "warning");
    assert_eq!(
        answer["messages"][0]["message"],
        "Found multiple matches for value \"Twin\" in field \"Related Company\" (2 matches)"
    );
    let parent = shown(&company, "res.partner", &answer["ids"][0], "parent_id");
    assert_eq!(parent[0], twins[0]);
}

#[test]
fn an_import_reads_times_in_the_users_zone() {
    let company = company();
    let rows = json!([["A", "2026-12-24 10:00:00"]]);
    let answer = load(&company, "crm.lead", json!(["name", "date_closed"]), rows);
    assert_eq!(
        shown(&company, "crm.lead", &answer["ids"][0], "date_closed"),
        "2026-12-24 09:00:00"
    );
}
