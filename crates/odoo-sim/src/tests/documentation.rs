//! Odoo's documentation of its own methods.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{ADMIN_KEY, SALES_KEY, fake_odoo};

fn get_page(key: &str, name: &str, tag: Option<&str>) -> (u16, Value, String) {
    let mut request = Request::get(format!("/doc-bearer/{name}"))
        .header("authorization", format!("Bearer {key}"));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let response = fake_odoo().handle(&request.body(Bytes::new()).unwrap());
    let tag = response.headers().get("etag");
    let tag = tag.map_or("", |tag| tag.to_str().unwrap()).to_owned();
    let body = serde_json::from_slice(response.body()).unwrap_or_default();
    (response.status().as_u16(), body, tag)
}

#[test]
fn method_documentation_matches_recorded_odoo() {
    let (_, page, _) = get_page(ADMIN_KEY, "sale.order.json", None);
    let recorded = include_str!("../../../../tests/fixtures/odoo19/recordings.jsonl");
    let recorded = recorded
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|exchange| exchange["name"] == "doc.model.sale.order.excerpt")
        .unwrap();
    let recorded = &recorded["response"]["body"];
    assert_eq!(page["model"], recorded["model"]);
    assert_eq!(page["name"], recorded["name"]);
    for (name, method) in recorded["methods"].as_object().unwrap() {
        let ours = &page["methods"][name];
        for key in ["signature", "api", "model", "module"] {
            assert_eq!(ours[key], method[key], "{name} {key}");
        }
        for (parameter, described) in method["parameters"].as_object().unwrap() {
            for key in ["kind", "default", "annotation"] {
                assert_eq!(
                    ours["parameters"][parameter][key], described[key],
                    "{name} {parameter}"
                );
            }
        }
    }
}

#[test]
fn documentation_index_lists_models_fields_and_methods() {
    let (status, index, tag) = get_page(ADMIN_KEY, "index.json", None);
    assert_eq!(status, 200);
    let lead = index["models"]
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["model"] == "crm.lead")
        .unwrap();
    assert_eq!(lead["fields"]["stage_id"], json!({"string": "Stage"}));
    let methods = lead["methods"].as_array().unwrap();
    assert!(methods.contains(&json!("action_set_won")));
    assert!(!methods.contains(&json!("action_confirm")));
    assert_eq!(get_page(ADMIN_KEY, "index.json", Some(&tag)).0, 304);
}

#[test]
fn documentation_is_refused_without_admin_rights_or_for_unknown_model() {
    assert_eq!(get_page(SALES_KEY, "sale.order.json", None).0, 403);
    assert_eq!(get_page("nobody", "index.json", None).0, 401);
    assert_eq!(get_page(ADMIN_KEY, "no.such.model.json", None).0, 404);
}
