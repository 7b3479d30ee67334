mod documentation;
mod links;
mod loading;
mod messages;
mod mishaps;
mod recorded;
mod silent;
mod values;
mod whatever_comes;
mod writing;

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{ADMIN_KEY, Company, INTERNAL_KEY, SALES_KEY};

fn company() -> Company {
    Company::new(jiff::civil::date(2026, 11, 21))
}

fn asked(company: &Company, key: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::post(format!("/json/2/{path}"))
        .header("authorization", format!("bearer {key}"))
        .header("x-odoo-database", "demo")
        .header("content-type", "application/json")
        .body(Bytes::from(body.to_string()))
        .unwrap();
    let response = company.answer(&request);
    let body = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), body)
}

/// What the administrator is answered, which must be 200.
fn done(company: &Company, path: &str, body: &Value) -> Value {
    let (status, answer) = asked(company, ADMIN_KEY, path, body);
    assert_eq!(status, 200, "{path} {body}: {answer}");
    answer
}

/// The status, the name and the message of a refusal; nothing has changed.
fn refused(company: &Company, key: &str, path: &str, body: &Value) -> (u16, String, String) {
    let before = company.snapshot();
    let (status, answer) = asked(company, key, path, body);
    assert_eq!(company.snapshot(), before, "{path} {body}");
    let of = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
    (status, of("name"), of("message"))
}

/// One value of a record, as `read` shows it.
fn shown(company: &Company, model: &str, id: &Value, field: &str) -> Value {
    let body = json!({"ids": [id], "fields": [field]});
    done(company, &format!("{model}/read"), &body)[0][field].take()
}

fn count(key: &str, model: &str, domain: &Value) -> Value {
    asked(
        &company(),
        key,
        &format!("{model}/search_count"),
        &json!({"domain": domain}),
    )
    .1
}

#[test]
fn domains_find_what_odoo_would() {
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

#[test]
fn everybody_sees_what_is_theirs() {
    assert_eq!(count(ADMIN_KEY, "sale.order", &json!([])), 40);
    assert_eq!(count(SALES_KEY, "sale.order", &json!([])), 10);
    let (status, error) = asked(
        &company(),
        INTERNAL_KEY,
        "sale.order/search_count",
        &json!({"domain": []}),
    );
    assert_eq!(
        (status, error["name"].as_str().unwrap()),
        (403, "odoo.exceptions.AccessError")
    );
    let (status, error) = asked(
        &company(),
        SALES_KEY,
        "sale.order/read",
        &json!({"ids": [1], "fields": ["name"]}),
    );
    assert_eq!(status, 403);
    assert!(error["message"].as_str().unwrap().starts_with("Uh-oh!"));
    let x2many = json!({"domain": [], "fields": ["name", "sale_order_ids"]});
    assert_eq!(
        asked(&company(), INTERNAL_KEY, "res.partner/search_read", &x2many).0,
        403
    );
}
