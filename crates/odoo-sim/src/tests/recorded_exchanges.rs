//! The exchanges recorded from a real Odoo 19.

use bytes::Bytes;
use http::Request;
use serde_json::Value;

use super::{ADMIN_KEY, INTERNAL_KEY, SALES_KEY, fake_odoo};

/// The recorded exchanges that any Odoo with the same models answers alike.
///
/// Those left out need methods, settings or a second database that the simulator
/// does not have.
const REPLAYED: [&str; 56] = [
    "auth.ok",
    "auth.none",
    "auth.bad_key",
    "db.unknown",
    "route.wrong_model",
    "route.wrong_method",
    "route.private_underscore",
    "route.api_private",
    "route.get_method",
    "route.missing_segment",
    "args.missing_required",
    "args.unknown_kw",
    "args.ids_on_api_model",
    "args.body_bad_json",
    "args.wrong_content_type",
    "args.context_not_dict",
    "args.ids_string",
    "err.access_company",
    "err.domain_unknown_field",
    "err.fields_unknown",
    "err.domain_bad_leaf",
    "att.raw_pdf",
    "ok.search",
    "ok.search_count",
    "ok.read",
    "ok.read_load_none",
    "ok.name_search",
    "ok.fields_get_attrs",
    "ok.context_get",
    "ver.web_version",
    "ver.health",
    "gotcha.read_missing_ids_silently_dropped",
    "ok.search_read",
    "err.order_bad",
    "ok.formatted_read_group",
    "group.by_link",
    "group.by_path",
    "group.by_month",
    "group.by_week",
    "group.by_day_of_week",
    "group.by_tag",
    "group.by_boolean",
    "group.total",
    "group.nothing",
    "group.no_group",
    "group.having",
    "err.group_unknown_field",
    "err.group_no_granularity",
    "err.group_granularity",
    "err.group_function",
    "err.group_measure",
    "err.group_order",
    "err.group_not_stored",
    "err.group_sum_of_text",
    "users.by_name",
    "users.by_id",
];

/// The name of an exchange, the key to send, and the replacements in its body.
type AdaptedExchange = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// The exchanges that write, or need another user or other ids.
const REPLAYED_ADAPTED: [AdaptedExchange; 33] = [
    ("act.action_archive", ADMIN_KEY, &[("[8]", "[2]")]),
    ("act.action_confirm", ADMIN_KEY, &[("28", "26")]),
    ("act.message_post", ADMIN_KEY, &[]),
    ("act.returns_none", ADMIN_KEY, &[]),
    ("args.missing_ids_write", ADMIN_KEY, &[]),
    ("doc.index_denied", INTERNAL_KEY, &[]),
    ("err.access_model_create", INTERNAL_KEY, &[]),
    ("err.access_model_read", SALES_KEY, &[]),
    ("err.access_rule_read", SALES_KEY, &[("26", "27")]),
    (
        "err.access_rule_search_silently_filtered",
        SALES_KEY,
        &[("26", "27")],
    ),
    ("err.date_format", ADMIN_KEY, &[]),
    ("err.ensure_one", ADMIN_KEY, &[]),
    ("err.m2o_dangling", ADMIN_KEY, &[]),
    ("err.missing_write", ADMIN_KEY, &[]),
    ("err.redirect_warning", ADMIN_KEY, &[("54", "8")]),
    ("err.user_unlink_confirmed", ADMIN_KEY, &[]),
    ("err.validation_fk", ADMIN_KEY, &[]),
    ("err.validation_not_null", ADMIN_KEY, &[]),
    ("err.validation_recursion", ADMIN_KEY, &[]),
    ("err.validation_required", ADMIN_KEY, &[]),
    ("err.validation_selection", ADMIN_KEY, &[]),
    ("err.validation_unique", ADMIN_KEY, &[]),
    ("err.write_unknown_field", ADMIN_KEY, &[]),
    (
        "gotcha.m2o_string_silently_clears",
        ADMIN_KEY,
        &[("60", "20")],
    ),
    ("idem.load_error", ADMIN_KEY, &[]),
    ("idem.load_upsert_1", ADMIN_KEY, &[]),
    ("idem.load_upsert_2", ADMIN_KEY, &[]),
    ("ok.create_multi", ADMIN_KEY, &[]),
    ("ok.create_single_dict", ADMIN_KEY, &[]),
    ("ok.default_get", ADMIN_KEY, &[]),
    ("ok.write", ADMIN_KEY, &[("64,65", "20,21")]),
    ("rep.portal_url", ADMIN_KEY, &[]),
    ("users.portal", ADMIN_KEY, &[("[4,6]", "[4,3]")]),
];

/// The exchanges whose message is exactly the same here.
const SAME_MESSAGE: [&str; 26] = [
    "doc.index_denied",
    "err.access_company",
    "err.date_format",
    "err.ensure_one",
    "err.m2o_dangling",
    "err.missing_write",
    "err.user_unlink_confirmed",
    "err.validation_fk",
    "err.validation_not_null",
    "err.validation_recursion",
    "err.validation_required",
    "err.validation_selection",
    "err.validation_unique",
    "err.write_unknown_field",
    "args.missing_required",
    "args.unknown_kw",
    "err.domain_unknown_field",
    "route.wrong_method",
    "err.order_bad",
    "err.group_unknown_field",
    "err.group_no_granularity",
    "err.group_granularity",
    "err.group_function",
    "err.group_measure",
    "err.group_order",
    "err.group_not_stored",
];

/// The types of the values in JSON, without the values; for a list, those of its
/// first element.
fn json_shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(all) => format!("[{}]", all.first().map(json_shape).unwrap_or_default()),
        Value::Object(map) => {
            let mut keys: Vec<&str> = map.keys().map(String::as_str).collect();
            keys.sort_unstable();
            format!("{{{}}}", keys.join(","))
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON has six kinds of values for good"
)]
#[test]
fn responses_match_recorded_odoo_exchanges() {
    let recorded = include_str!("../../../../tests/fixtures/odoo19/recordings.jsonl");
    let mut replayed = 0;
    for line in recorded.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let name = exchange["name"].as_str().unwrap();
        let here = REPLAYED_ADAPTED.iter().find(|(one, _, _)| *one == name);
        let (key, others) = match here {
            Some((_, key, others)) => (*key, *others),
            None if REPLAYED.contains(&name) => (ADMIN_KEY, &[][..]),
            None => continue,
        };
        replayed += 1;
        let odoo = fake_odoo();
        let sent = &exchange["request"];
        let mut request = Request::builder()
            .method(sent["method"].as_str().unwrap())
            .uri(sent["path"].as_str().unwrap());
        for (header, value) in sent["headers"].as_object().unwrap() {
            let value = value.as_str().unwrap().replace("$KEY", key);
            request = request.header(header, if value == "prod" { "demo" } else { &value });
        }
        let body = match &sent["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => others.iter().fold(other.to_string(), |text, (from, to)| {
                assert!(text.contains(from), "{name}");
                text.replace(from, to)
            }),
        };
        let response = odoo.handle(&request.body(Bytes::from(body)).unwrap());
        let wanted = &exchange["response"];
        assert_eq!(
            Value::from(response.status().as_u16()),
            wanted["status"],
            "{name}"
        );
        let media = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
        let got = response.headers()["content-type"].to_str().unwrap();
        assert_eq!(
            media(got),
            media(wanted["headers"]["content-type"].as_str().unwrap()),
            "{name}"
        );
        if let Some(error) = wanted["body"]["name"].as_str() {
            let got: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(got["name"], error, "{name}");
            if SAME_MESSAGE.contains(&name) {
                assert_eq!(got["message"], wanted["body"]["message"], "{name}");
                assert_eq!(got["arguments"], wanted["body"]["arguments"], "{name}");
            }
            let keys = ["name", "message", "arguments", "context", "debug"];
            assert!(keys.iter().all(|key| got.get(key).is_some()), "{name}");
        } else if media(got) == "application/json" {
            let got: Value = serde_json::from_slice(response.body()).unwrap();
            assert_eq!(json_shape(&got), json_shape(&wanted["body"]), "{name}");
            if wanted["body"]["ids"] == false {
                assert_eq!(got, wanted["body"], "{name}");
            }
        }
    }
    assert_eq!(replayed, REPLAYED.len() + REPLAYED_ADAPTED.len());
}
