//! What Odoo answers: models, fields, rows, records, errors, and nonsense.
//!
//! The first line of an input is the number of a tool call; the other sections are
//! answers ([`Script`]). Other requests are answered by the sample company.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    request::configuration,
    script::{Script, first_line, sections},
    stack::{Stack, post_head},
};

thread_local! {
    static STACK: Stack = Stack::new(&configuration());
}

/// The path and the call of this number.
fn call(number: u8) -> Option<(&'static str, &'static str, Value)> {
    let direct = "/direct/mcp";
    let confirm = "/confirm/mcp";
    Some(match number {
        b'0' => (
            direct,
            "search_records",
            json!({"model": "res.partner", "domain": [["name", "ilike", "a"]], "limit": 3}),
        ),
        b'1' => (
            direct,
            "read_records",
            json!({"model": "sale.order", "ids": [1, 2], "fields": ["name", "partner_id", "order_line", "amount_total", "date_order", "state", "note", "tag_ids"]}),
        ),
        b'2' => (direct, "count_records", json!({"model": "res.partner"})),
        b'3' => (
            direct,
            "find_by_name",
            json!({"model": "res.partner", "name": "azure"}),
        ),
        b'4' => (direct, "list_models", json!({})),
        b'5' => (direct, "describe_model", json!({"model": "sale.order"})),
        b'6' => (
            direct,
            "create_records",
            json!({"model": "res.partner", "values": [{"name": "Ada", "country_id": "France", "category_id": ["Consultant"]}]}),
        ),
        b'7' => (
            confirm,
            "update_records",
            json!({"model": "res.partner", "ids": [14], "values": {"name": "Ada", "parent_id": 15}}),
        ),
        b'8' => (
            direct,
            "delete_records",
            json!({"model": "res.partner", "ids": [14]}),
        ),
        b'9' => (
            confirm,
            "call_method",
            json!({"model": "sale.order", "ids": [1], "method": "action_confirm"}),
        ),
        b'a' => (
            confirm,
            "import_records",
            json!({"model": "res.partner", "columns": ["name", "country_id/id", "child_ids/name"], "rows": [["Ada", "base.be", "Bea"], ["", "", "Cid"]]}),
        ),
        b'b' => (
            direct,
            "post_message",
            json!({"model": "crm.lead", "id": 1, "body": "Hello"}),
        ),
        b'c' => (
            direct,
            "update_records",
            json!({"model": "sale.order", "ids": [1], "values": {"order_line": [{"id": 1, "name": "x"}]}}),
        ),
        _ => return None,
    })
}

pub(crate) fn run(data: &[u8]) {
    let mut sections = sections(data);
    let number = sections
        .next()
        .and_then(|first| first_line(first).0.first());
    let Some((path, tool, arguments)) = number.and_then(|number| call(*number)) else {
        return;
    };
    let script = Script::parse(sections);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
    let body = Bytes::from(body.to_string());
    let outcome = STACK.with(|stack| stack.exchange(data, post_head(path), body, script, |_| None));
    // Whatever Odoo answers, the call has a result for the model.
    let answer: Value = serde_json::from_slice(&outcome.response.body).unwrap();
    let text = answer.pointer("/result/content/0/text");
    assert!(text.is_some_and(Value::is_string), "{answer}");
}
