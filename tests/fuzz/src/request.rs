//! JSON-RPC bodies and header fields, and with them the arguments of all tools.
//!
//! An input is a request: its head in lines, an empty line, the body. The company
//! may be written to.

use bytes::Bytes;
use odoo_sim::ADMIN_KEY;
use serde_json::Value;

use crate::{
    script::Script,
    stack::{Stack, parse_head},
};

thread_local! {
    static STACK: Stack = Stack::new(&configuration());
}

/// Two instances: one writes at once, the other previews.
pub(crate) fn configuration() -> String {
    let instance = format!(
        "url = \"http://PEER\"\ndatabase = \"{}\"\napi_key = \"{ADMIN_KEY}\"\nservice_key_writes = true",
        odoo_sim::DATABASE
    );
    format!(
        r#"
[server]
anonymous_role = "all"
[instances.direct]
{instance}
writes = "direct"
[instances.confirm]
{instance}
writes = "confirm"
[roles.all]
rules = [
    {{ models = ["*"], operations = ["read", "create", "write", "delete"] }},
    {{ models = ["res.users"] }},
    {{ models = ["sale.order", "crm.lead"], methods = ["action_confirm", "message_post"] }},
    {{ models = ["res.country"], domain = [["code", "!=", "BE"]], deny = true }},
]
"#
    )
}

pub(crate) fn run(data: &[u8]) {
    let end = data.windows(2).position(|part| part == b"\n\n");
    let (head, body) = data.split_at(end.unwrap_or(data.len()));
    let body = body.get(2..).unwrap_or_default();
    let Some(head) = parse_head(head) else {
        return;
    };
    let outcome = STACK.with(|stack| {
        let body = Bytes::copy_from_slice(body);
        stack.exchange(data, head, body, Script::default(), |_| None)
    });
    let response = outcome.response;
    // One request has one response, which has its id.
    if response.status == http::StatusCode::OK
        && let Ok(request @ Value::Object(_)) = serde_json::from_slice::<Value>(body)
        && let Ok(answer @ Value::Object(_)) = serde_json::from_slice::<Value>(&response.body)
        && answer.get("jsonrpc").is_some()
    {
        assert_eq!(request.get("id"), answer.get("id"));
        assert_ne!(
            answer.get("result").is_some(),
            answer.get("error").is_some()
        );
    }
}
