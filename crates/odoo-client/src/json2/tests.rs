use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Json2;
use crate::{CallError, Dialect, OdooApiKey, WireResponse};
use gatepost_odoo::{Call, Context, Domain, FieldName, ModelName, Order, RecordId};

/// Exchanges recorded from a real Odoo 19.
const RECORDED: &str = include_str!("../../../../tests/fixtures/odoo19/recordings.jsonl");

fn dialect() -> Json2 {
    Json2 {
        database: Some("prod".to_owned()),
    }
}

fn decoded(status: u16, media: &str, body: &[u8]) -> Result<String, String> {
    let response = WireResponse {
        status,
        headers: http::HeaderMap::new(),
        media: media.to_owned(),
        body: body.to_vec().into(),
    };
    dialect()
        .decode(response)
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        .map_err(|error| format!("{}: {error}", error.kind()))
}

#[test]
fn search_is_encoded_with_its_limit_and_database() {
    let model = ModelName::try_from("res.partner").unwrap();
    let domain = Domain::parse(&json!([["name", "ilike", "azure"]])).unwrap();
    let order = Order::parse("name desc").unwrap();
    let context = Context {
        company_ids: vec![RecordId::try_from(1).unwrap()],
        include_archived: true,
        ..Context::default()
    };
    let fields = [FieldName::try_from("name").unwrap()];
    let call = Call::search_read(model, &domain, &fields, &order, 40, 20).in_context(context);
    let request = dialect()
        .encode(&call, &OdooApiKey::new("s3cret\n"))
        .unwrap();
    assert_eq!(request.path, "/json/2/res.partner/search_read");
    insta::assert_snapshot!(String::from_utf8(request.body.to_vec()).unwrap(), @r#"{"context":{"allowed_company_ids":[1],"active_test":false},"domain":[["name","ilike","azure"]],"fields":["name"],"limit":20,"order":"name desc","offset":40}"#);
    let header = |name: &str| {
        request
            .headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    assert_eq!(header("authorization").unwrap(), "bearer s3cret");
    assert_eq!(header("x-odoo-database").unwrap(), "prod");
    assert!(header("cookie").is_none());
    assert!(!format!("{:?}", request.headers).contains("s3cret"));
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "JSON has six kinds of values for good"
)]
#[test]
fn recorded_errors_have_messages_without_odoo_internals() {
    let mut output = Vec::new();
    for line in RECORDED.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let response = &exchange["response"];
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        let media = response["headers"]["content-type"]
            .as_str()
            .unwrap_or("")
            .split(';')
            .next()
            .unwrap();
        let body = match &response["body"] {
            Value::String(text) if media != "application/json" => text.clone(),
            other => other.to_string(),
        };
        if let Err(error) = decoded(status, media, body.as_bytes()) {
            for inside in [
                "Traceback",
                "File \"",
                "psycopg",
                "SELECT",
                "id=",
                "Sally",
                "Administration",
                "/home",
            ] {
                assert!(!error.contains(inside), "{inside} in {error}");
            }
            output.push(format!("{}\n  {error}", exchange["name"].as_str().unwrap()));
        }
    }
    insta::assert_snapshot!(output.join("\n"));
}

#[test]
fn documentation_request_is_a_get_without_a_body() {
    let call = Call::documentation(ModelName::try_from("crm.lead").unwrap());
    let request = dialect().encode(&call, &OdooApiKey::new("s3cret")).unwrap();
    assert_eq!(
        (request.method.as_str(), &*request.path),
        ("GET", "/doc-bearer/crm.lead.json")
    );
    assert!(request.body.is_empty());
    let names: Vec<&str> = request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "authorization",
            "accept",
            "accept-encoding",
            "user-agent",
            "x-odoo-database"
        ]
    );
}

#[test]
fn user_messages_are_passed_on_and_internal_errors_are_not() {
    let decode = |name: &str, message: &str| {
        let body = json!({"name": name, "message": message, "arguments": [message, 5, "Go"], "debug": "Traceback"});
        decoded(422, "application/json", body.to_string().as_bytes()).unwrap_err()
    };
    let user = |message: &str| decode("odoo.exceptions.UserError", message);
    for people in [
        "Please select a company.",
        "You have to select a product from the list.",
        "Incompatible companies on records:\n- A belongs to company B",
        "Update the price set on the line, where needed.",
        "1 < 2",
    ] {
        assert_eq!(user(people), format!("odoo_rule: Odoo refused: {people}"));
    }
    assert_eq!(
        user("<p>No <b>way</b>.</p><p>a &lt; b</p>"),
        "odoo_rule: Odoo refused: No way.\na < b"
    );
    // A record's name, which anyone may have written, turns no text around and hides none.
    for hidden in [
        "`Pay\u{202e}100\u{200b}\u{1b}` is closed",
        "<p>`Pay&#x202e;100&#8203;` is closed</p>",
    ] {
        assert_eq!(
            user(hidden).trim_end_matches('`'),
            "odoo_rule: Odoo refused: `Pay100` is closed"
        );
    }
    assert_eq!(
        user("\u{646}\u{645}\u{6cc}\u{200c}\u{62f}\u{627}\u{646}\u{645}"),
        "odoo_rule: Odoo refused: \u{646}\u{645}\u{6cc}\u{200c}\u{62f}\u{627}\u{646}\u{645}"
    );
    assert_eq!(
        decode("odoo.exceptions.RedirectWarning", "You cannot."),
        "odoo_rule: Odoo refused: You cannot."
    );
    assert!(user(&"x".repeat(5_000)).len() < 1_100);
    for inside in [
        "Traceback (most recent call last):",
        "SELECT id FROM res_partner WHERE id = 1",
        "INSERT INTO res_partner (id) VALUES (1)",
        "DELETE FROM res_partner WHERE id = 1",
        "File \"/opt/odoo/x.py\", line 1",
    ] {
        assert!(user(inside).starts_with("odoo_error"), "{inside}");
    }
}

#[test]
fn errors_of_rejected_writes_say_that_nothing_was_changed() {
    let mut output = BTreeSet::new();
    for line in RECORDED.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let response = &exchange["response"];
        let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
        if response["headers"]["content-type"] != "application/json; charset=utf-8" {
            continue;
        }
        let wire = WireResponse {
            status,
            headers: http::HeaderMap::new(),
            media: "application/json".to_owned(),
            body: response["body"].to_string().into_bytes().into(),
        };
        if let Err(CallError::Fault(fault)) = dialect().decode(wire) {
            let text = format!("{fault}{}", fault.after_failed_write());
            let says = [
                "nothing was changed",
                "Nothing was changed",
                "it was not done",
            ];
            assert!(says.iter().any(|say| text.contains(say)), "{text}");
            output.insert(format!("{}: {text}", fault.kind()));
        }
    }
    let output: Vec<String> = output.into_iter().collect();
    insta::assert_snapshot!(output.join("\n"));
}

#[test]
fn truncated_and_foreign_responses_are_distinguished() {
    assert!(
        decoded(200, "application/json", b"[1")
            .unwrap_err()
            .starts_with("odoo_cut_off")
    );
    assert!(
        decoded(200, "application/json", b"")
            .unwrap_err()
            .starts_with("odoo_cut_off")
    );
    assert!(
        decoded(200, "application/json", b"\xff\xfe")
            .unwrap_err()
            .starts_with("odoo_cut_off")
    );
    assert!(
        decoded(200, "text/html", b"<html>login")
            .unwrap_err()
            .starts_with("not_odoo")
    );
    assert!(
        decoded(502, "text/html", b"bad gateway")
            .unwrap_err()
            .starts_with("odoo_unavailable")
    );
    assert!(
        decoded(500, "application/json", b"{}")
            .unwrap_err()
            .starts_with("not_odoo")
    );
    assert_eq!(decoded(200, "application/json", b"null").unwrap(), "null");
}

// BC-47.
#[test]
fn nan_and_infinity_become_texts_and_the_other_rows_stay() {
    let rows =
        br#"[{"id":1,"x":NaN,"y":-Infinity,"n":"NaN \" Infinity"},{"id":2,"x":Infinity,"y":1.5}]"#;
    assert_eq!(
        decoded(200, "application/json", rows).unwrap(),
        r#"[{"id":1,"x":"NaN","y":"-Infinity","n":"NaN \" Infinity"},{"id":2,"x":"Infinity","y":1.5}]"#
    );
    for broken in [&b"[NaN"[..], b"[1,", b"[\"NaN\\"] {
        assert!(decoded(200, "application/json", broken).is_err());
    }
}
