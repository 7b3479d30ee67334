//! The read tools in front of the sample company.

use std::sync::Arc;

use odoo_sim::{ADMIN_KEY, FakeOdoo, FaultPoint, INTERNAL_KEY, SALES_KEY};
use serde_json::json;

use crate::test_gateway::{TestGateway, tool_call};

const ANONYMOUS: (&str, &str) = ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader");

#[test]
fn search_sends_one_request_with_length_database_and_companies() {
    let stage = TestGateway::anonymous();
    let (text, failed) = stage.call(
        "search_records",
        &json!({"model": "sale.order", "domain": [["state", "=", "Sales Order"], ["amount_total", ">", "5000"]], "fields": ["name", "amount_total"], "order": "name", "limit": 2}),
    );
    assert!(!failed, "{text}");
    insta::assert_snapshot!(text.lines().take(4).collect::<Vec<_>>().join("\n"), @r"
    id: 2
    name: S00002
    amount_total: 7298.72
    id: 5
    ");
    let calls = stage.fake_odoo.calls();
    let searches: Vec<_> = calls
        .iter()
        .filter(|call| call.path.ends_with("sale.order/search_read"))
        .collect();
    let [search] = searches.as_slice() else {
        panic!("{} searches", searches.len())
    };
    assert_eq!(
        search.body,
        json!({
            "context": {"allowed_company_ids": [1, 2]},
            "domain": ["&", ["state", "=", "sale"], ["amount_total", ">", 5000.0]],
            "fields": ["name", "amount_total"], "limit": 3, "order": "name, id",
        })
    );
    for call in &calls {
        assert!(call.headers.contains_key("content-length"), "{}", call.path);
        assert_eq!(call.headers["x-odoo-database"], "demo");
        assert!(
            !call.headers.contains_key("cookie") && !call.headers.contains_key("transfer-encoding")
        );
    }
    let fields = calls
        .iter()
        .filter(|call| call.path.ends_with("sale.order/fields_get"))
        .count();
    stage.call("search_records", &json!({"model": "sale.order"}));
    let again = stage
        .fake_odoo
        .calls()
        .iter()
        .filter(|call| call.path.ends_with("sale.order/fields_get"))
        .count();
    assert_eq!((fields, again), (1, 1), "the fields are asked once");
}

#[test]
fn pages_have_no_gap_and_cursor_of_another_search_is_rejected() {
    let stage = TestGateway::anonymous();
    let mut cursor = json!(null);
    let mut seen = Vec::new();
    for _ in 0..20 {
        let (text, failed) = stage.call(
            "search_records",
            &json!({"model": "res.partner", "fields": ["name"], "limit": 7, "cursor": cursor}),
        );
        assert!(!failed, "{text}");
        // The last page has so few records that each is rendered separately.
        seen.extend(text.lines().filter_map(|line| {
            let id = line
                .strip_prefix("id: ")
                .or_else(|| line.split(" | ").next())?;
            id.parse::<u32>().ok()
        }));
        let Some(next) = text
            .split("cursor `")
            .nth(1)
            .and_then(|rest| rest.split('`').next())
        else {
            break;
        };
        cursor = json!(next);
    }
    let mut unique = seen.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((seen.len(), unique.len()), (37, 37));
    let foreign = json!({"model": "crm.lead", "cursor": cursor});
    stage.call_fails("search_records", &foreign, "cursor");
}

#[test]
fn unreadable_field_is_left_out_and_the_others_are_read() {
    let stage = TestGateway::with_key(INTERNAL_KEY, &[ANONYMOUS]);
    let (text, failed) = stage.call(
        "search_records",
        &json!({"model": "res.partner", "domain": [["name", "=", "Azure Interior"]], "fields": ["name", "sale_order_ids", "city", "email"]}),
    );
    assert!(!failed, "{text}");
    assert!(
        text.contains("Azure Interior") && text.contains("Fremont"),
        "{text}"
    );
    let mut notes = text
        .lines()
        .filter(|line| line.contains("`sale_order_ids`"));
    insta::assert_snapshot!(notes.next().unwrap_or(&text), @"omitted because Odoo does not let this user read them: `sale_order_ids`");
}

#[test]
fn hidden_and_missing_ids_are_named_and_the_rest_is_read() {
    let stage = TestGateway::with_key(SALES_KEY, &[ANONYMOUS]);
    let (text, failed) = stage.call(
        "read_records",
        &json!({"model": "sale.order", "ids": [2, 1, 999], "fields": ["name"]}),
    );
    assert!(!failed, "{text}");
    assert!(text.contains("name: S00002"), "{text}");
    assert!(!text.contains("Sally"), "{text}");
    let mut notes = text.lines().filter(|line| line.contains("999"));
    insta::assert_snapshot!(notes.next().unwrap_or(&text), @"not found or not visible to this Odoo user: 1, 999");
}

#[test]
fn invalid_reads_are_answered_with_a_hint() {
    let stage = TestGateway::anonymous();
    let mut output = Vec::new();
    for (tool, arguments) in [
        ("search_records", json!({"model": "Res Partner"})),
        ("search_records", json!({"model": "res.partnr"})),
        ("search_records", json!({"model": "res.users"})),
        (
            "search_records",
            json!({"model": "res.partner", "fields": ["nam", "emial"]}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "domain": [["countri_id.code", "=", "BE"]]}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "domain": [["user_id.password", "ilike", "a"]]}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "domain": [["credit", ">", 5]]}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "domain": {"name": "x"}}),
        ),
        (
            "search_records",
            json!({"model": "sale.order", "domain": [["state", "=", "confirmed"]]}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "domain": [["date_order", ">", "yesterday-ish"]]}),
        ),
        (
            "search_records",
            json!({"model": "res.partner", "domain": [["sale_order_ids.date_order", "in", ["2026-13-45"]]]}),
        ),
        (
            "search_records",
            json!({"model": "sale.order", "group_by": "state"}),
        ),
        (
            "search_records",
            json!({"model": "sale.order", "domain": [["name", "=", "zzzz"]]}),
        ),
        (
            "search_records",
            json!({"model": "sale.order", "order": "total desc"}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "domain": [["access_token", "=like", "a%"]]}),
        ),
        (
            "search_records",
            json!({"model": "sale.order", "limit": 5000}),
        ),
        (
            "search_records",
            json!({"model": "sale.order", "limit": "ten"}),
        ),
        (
            "search_records",
            json!({"model": "sale.order", "colour": 1}),
        ),
        ("search_records", json!({})),
        (
            "read_records",
            json!({"model": "sale.order", "ids": ["one"]}),
        ),
        ("read_records", json!({"model": "sale.order", "ids": []})),
        (
            "read_records",
            json!({"model": "sale.order", "ids": [99999]}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "context": {"company_ids": [9]}}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "context": {"lang": "tlh"}}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "context": {"tz": "Mars/Base"}}),
        ),
        (
            "count_records",
            json!({"model": "sale.order", "context": {"uid": 1}}),
        ),
        (
            "describe_model",
            json!({"model": "sale.order", "fields": ["stat"]}),
        ),
        (
            "find_by_name",
            json!({"model": "res.partner", "name": "zzzz"}),
        ),
        ("list_models", json!({"query": "zzzz"})),
        ("list_models", json!({"query": "invoices"})),
    ] {
        let (text, _) = stage.call(tool, &arguments);
        assert!(
            !text.contains("Traceback") && !text.contains("/opt/odoo"),
            "{text}"
        );
        output.push(format!(
            "{tool} {arguments}\n  {}",
            text.lines().next().unwrap_or_default()
        ));
    }
    insta::assert_snapshot!(output.join("\n"));
}

#[test]
fn dates_from_now_find_what_the_same_days_find() {
    let stage = TestGateway::anonymous();
    let count = |domain: serde_json::Value| {
        let arguments = json!({"model": "sale.order", "domain": domain});
        let (text, failed) = stage.call("count_records", &arguments);
        assert!(!failed, "{text}");
        let number = text.split(' ').next().unwrap();
        number.parse::<u32>().unwrap()
    };
    let all = count(json!([]));
    let ago = |days: i64| {
        let day = jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        day.saturating_sub(jiff::Span::new().days(days)).to_string()
    };
    let mut some = 0;
    for days in [0, 20, 45, 60, 90, 400] {
        let found = count(json!([["date_order", ">=", format!("today -{days}d")]]));
        assert_eq!(
            found,
            count(json!([["date_order", ">=", ago(days)]])),
            "{days}"
        );
        some += u32::from(found > 0 && found < all);
        // A day is the whole of it.
        let until = count(json!([["date_order", "<=", ago(days)]]));
        assert_eq!(
            until + count(json!([["date_order", ">", ago(days)]])),
            all,
            "{days}"
        );
    }
    assert!(some > 0, "the company has orders on both sides of a day");
    let calls = stage.fake_odoo.calls();
    let sent = calls
        .iter()
        .rfind(|call| call.path.ends_with("/search_count"));
    assert_eq!(
        sent.unwrap().body["domain"],
        json!([["date_order", ">", ago(400)]])
    );
}

#[test]
fn result_without_records_does_not_say_how_to_open_one() {
    let stage = TestGateway::anonymous();
    let none = json!({"model": "sale.order", "domain": [["name", "=", "zzzz"]]});
    let some = json!({"model": "sale.order", "limit": 1});
    let by_name = json!({"model": "sale.order", "name": "zzzz"});
    for (tool, arguments, opens) in [
        ("search_records", &none, false),
        ("count_records", &some, false),
        ("find_by_name", &by_name, false),
        ("search_records", &some, true),
    ] {
        let mut arguments = arguments.clone();
        if tool == "count_records" {
            arguments.as_object_mut().unwrap().remove("limit");
        }
        let (text, failed) = stage.call(tool, &arguments);
        assert!(!failed && text.contains("(companies: "), "{text}");
        assert_eq!(
            text.contains("open one at"),
            opens,
            "{tool} {arguments}: {text}"
        );
    }
}

#[test]
fn unreachable_odoo_is_a_tool_error_with_retry_advice() {
    let company = Arc::new(FakeOdoo::new(jiff::civil::date(2026, 11, 21)));
    // A port that was just free may already be another test's; this one is never
    // assigned.
    let stage = TestGateway::in_front_of("http://127.0.0.1:9", company, ADMIN_KEY, &[ANONYMOUS]);
    let count = json!({"model": "res.partner"});
    insta::assert_snapshot!(stage.call_fails("count_records", &count, "odoo_unreachable"), @"Odoo cannot be reached. Nothing was sent; try again in a minute, then tell the administrator");
}

#[test]
fn progress_is_reported_on_the_stream_of_the_call() {
    let stage = TestGateway::anonymous();
    let mut message = tool_call("count_records", &json!({"model": "res.partner"}));
    message["params"]["_meta"] = json!({"progressToken": "p-7"});
    let answer = stage.request(
        "POST",
        "/mcp",
        &[
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
        ],
        &message.to_string(),
    );
    assert_eq!(answer.header("content-type").unwrap(), "text/event-stream");
    assert!(
        answer.body.contains(
            r#""method":"notifications/progress","params":{"progressToken":"p-7","progress":"#
        ),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains(r#""isError":false"#),
        "{}",
        answer.body
    );
}

#[test]
fn batch_of_the_oldest_revision_gets_one_batch_response() {
    let stage = TestGateway::anonymous();
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "nope"},
        7,
        {"id": 3},
    ]);
    let answers = stage.post(&batch).json();
    let answers: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|answer| (answer["id"].clone(), answer["error"]["code"].clone()))
        .collect();
    let expected = [
        (json!(1), json!(null)),
        (json!(2), json!(-32601)),
        (json!(null), json!(-32600)),
        (json!(3), json!(-32600)),
    ];
    assert_eq!(answers, expected);
}

#[test]
fn relations_do_not_reach_models_the_role_may_not_read() {
    let stage = TestGateway::with_key(
        ADMIN_KEY,
        &[
            ANONYMOUS,
            (
                "GATEPOST_ROLES__READER__RULES",
                r#"[{ models = ["res.partner"] }]"#,
            ),
        ],
    );
    for (domain, allowed) in [
        (json!([["user_id", "=", 2]]), true),
        (json!([["user_id", "in", [2, false]]]), true),
        (json!([["user_id", "!=", false]]), true),
        (json!([["user_id", "=", "Mitchell Admin"]]), false),
        (json!([["user_id", "ilike", "mit"]]), false),
        (json!([["user_id", "in", ["Mitchell Admin"]]]), false),
        (json!([["user_id", "child_of", "Mitchell"]]), false),
        (json!([["user_id", "any", []]]), false),
        (json!([["user_id", "any", [[1, "=", 1]]]]), false),
        (json!([["user_id.login", "=", "admin"]]), false),
        (json!([["parent_id", "ilike", "azure"]]), true),
    ] {
        let (text, failed) = stage.call(
            "count_records",
            &json!({"model": "res.partner", "domain": domain}),
        );
        assert_eq!(!failed, allowed, "{domain}: {text}");
    }
    for (order, allowed) in [
        ("user_id", false),
        ("create_uid desc", false),
        ("parent_id, name", true),
    ] {
        let (text, failed) = stage.call(
            "search_records",
            &json!({"model": "res.partner", "order": order}),
        );
        assert_eq!(!failed, allowed, "{order}: {text}");
    }
}

#[test]
fn model_that_odoo_fails_to_describe_leaves_others_usable_and_is_not_asked_again_at_once() {
    let stage = TestGateway::anonymous();
    stage
        .fake_odoo
        .inject_error("sale.order/fields_get", FaultPoint::BeforeCall);
    let search = |model: &str| json!({"model": model, "limit": 1});
    for _ in 0..3 {
        let text = stage.call_fails("search_records", &search("sale.order"), "odoo_error");
        insta::allow_duplicates!(
            insta::assert_snapshot!(text, @"Odoo itself fails to describe the model `sale.order`, so it cannot be used now; other models are not affected. Nothing was changed. Retrying at once will not help; tell the administrator, who finds the cause in Odoo's log")
        );
    }
    // The one that failed is not recorded; another one would have succeeded.
    let calls = stage.fake_odoo.calls();
    let path = "/json/2/sale.order/fields_get";
    assert!(calls.iter().all(|call| call.path != path));
    for model in ["res.partner", "sale.order.line"] {
        let (text, is_error) = stage.call("search_records", &search(model));
        assert!(!is_error, "{text}");
    }
}
