mod arbitrary_calls;
mod data_files;
mod documentation;
mod fault_injection;
mod load_imports;
mod messages;
mod record_pages;
mod recorded_exchanges;
mod recorded_values;
mod silent_coercion;
mod writing;
mod x2many_commands;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{ADMIN_KEY, FakeOdoo, INTERNAL_KEY, SALES_KEY};

fn fake_odoo() -> FakeOdoo {
    FakeOdoo::new(jiff::civil::date(2026, 11, 21))
}

fn call_as(odoo: &FakeOdoo, key: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::post(format!("/json/2/{path}"))
        .header("authorization", format!("bearer {key}"))
        .header("x-odoo-database", "demo")
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .unwrap();
    let response = odoo.handle(&request);
    let body = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), body)
}

/// The administrator's result; asserts status 200.
fn call_ok(odoo: &FakeOdoo, path: &str, body: &Value) -> Value {
    let (status, result) = call_as(odoo, ADMIN_KEY, path, body);
    assert_eq!(status, 200, "{path} {body}: {result}");
    result
}

/// The status, name and message of an error; asserts that nothing has changed.
fn call_rejected(odoo: &FakeOdoo, key: &str, path: &str, body: &Value) -> (u16, String, String) {
    let before = odoo.snapshot();
    let (status, result) = call_as(odoo, key, path, body);
    assert_eq!(odoo.snapshot(), before, "{path} {body}");
    let of = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
    (status, of("name"), of("message"))
}

/// One value of a record, as `read` returns it.
fn read_field(odoo: &FakeOdoo, model: &str, id: &Value, field: &str) -> Value {
    let body = json!({"ids": [id], "fields": [field]});
    call_ok(odoo, &format!("{model}/read"), &body)[0][field].take()
}

fn count(key: &str, model: &str, domain: &Value) -> Value {
    call_as(
        &fake_odoo(),
        key,
        &format!("{model}/search_count"),
        &json!({"domain": domain}),
    )
    .1
}

#[test]
fn domains_match_expected_records() {
    let partners = |domain: Value| count(ADMIN_KEY, "res.partner", &domain);
    assert_eq!(partners(json!([["name", "ilike", "AZURE"]])), 1);
    assert_eq!(partners(json!([["complete_name", "=like", "Azure%"]])), 2);
    assert_eq!(
        partners(json!(["|", ["city", "=", "Gent"], ["city", "=", "Lyon"]])),
        2
    );
    assert_eq!(partners(json!([["country_id.code", "=", "BE"]])), 4);
    assert_eq!(partners(json!(["!", ["is_company", "=", true]])), 16);
    assert_eq!(partners(json!([["active", "=", false]])), 1);
    assert_eq!(partners(json!([["id", "child_of", 14]])), 2);
    assert_eq!(
        partners(json!([[
            "country_id",
            "any",
            [["code", "in", ["JP", "IT"]]]
        ]])),
        2
    );
    assert_eq!(partners(json!([["parent_id", "=", "Azure Interior"]])), 1);
    assert_eq!(partners(json!([["id", "in", 5]])), 0);
}

// Odoo 19, `odoo/tools/date_utils.py`, `parse_date`.
#[test]
fn dates_in_domains_are_computed_or_refused() {
    let odoo = fake_odoo();
    // A Saturday.
    odoo.set_clock(Some("2026-11-21T09:30:00Z".parse().unwrap()));
    let orders = |operator: &str, date: &str| {
        let body = json!({"domain": [["date_order", operator, date]]});
        call_as(&odoo, ADMIN_KEY, "sale.order/search_count", &body)
    };
    for (from_now, absolute) in [
        ("today", "2026-11-21 00:00:00"),
        ("now", "2026-11-21 09:30:00"),
        ("-1d", "2026-11-20 09:30:00"),
        ("today -1m", "2026-10-21 00:00:00"),
        ("today +2w -1y", "2025-12-05 00:00:00"),
        ("=1d", "2026-11-01 00:00:00"),
        ("today =10m =5d", "2026-10-05 00:00:00"),
        ("=monday", "2026-11-16 00:00:00"),
        ("today -sunday", "2026-11-15 00:00:00"),
        ("-3H =0M", "2026-11-21 06:00:00"),
    ] {
        for operator in ["<", "<=", ">", ">="] {
            assert_eq!(
                orders(operator, from_now),
                orders(operator, absolute),
                "{operator} {from_now}"
            );
        }
    }
    let (until, after) = (orders("<=", "2026-11-21").1, orders(">", "2026-11-21").1);
    assert_eq!(until.as_u64().unwrap() + after.as_u64().unwrap(), 40);
    assert_eq!(orders("<", "2026-11-22").1, until);
    for nonsense in [
        "yesterday-ish",
        "2026-13-45",
        "=13m",
        "7d",
        "",
        "+7974y",
        "+99999y",
        "-99999m",
        "-2026y",
        "=10000y",
        "--9223372036854775808d",
    ] {
        let (status, error) = orders(">", nonsense);
        assert_eq!(
            (status, error["name"].as_str()),
            (500, Some("builtins.ValueError")),
            "{nonsense}"
        );
    }
}

#[test]
fn access_rights_and_record_rules_limit_reads() {
    assert_eq!(count(ADMIN_KEY, "sale.order", &json!([])), 40);
    assert_eq!(count(SALES_KEY, "sale.order", &json!([])), 10);
    let (status, error) = call_as(
        &fake_odoo(),
        INTERNAL_KEY,
        "sale.order/search_count",
        &json!({"domain": []}),
    );
    assert_eq!(
        (status, error["name"].as_str().unwrap()),
        (403, "odoo.exceptions.AccessError")
    );
    let (status, error) = call_as(
        &fake_odoo(),
        SALES_KEY,
        "sale.order/read",
        &json!({"ids": [1], "fields": ["name"]}),
    );
    assert_eq!(status, 403);
    assert!(error["message"].as_str().unwrap().starts_with("Uh-oh!"));
    let x2many = json!({"domain": [], "fields": ["name", "sale_order_ids"]});
    assert_eq!(
        call_as(
            &fake_odoo(),
            INTERNAL_KEY,
            "res.partner/search_read",
            &x2many
        )
        .0,
        403
    );
}
