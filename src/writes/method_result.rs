//! The result of a method, as far as it may be stored and shown.

use serde_json::{Map, Value, json};

use gatepost_base::text::one_line;
use gatepost_odoo::RecordId;
use gatepost_policy::mentions_secret;

/// Characters of a text.
const TEXT_CHARS: usize = 200;
/// Ids of one result.
const MAX_IDS: usize = 50;
/// Keys of one object.
const MAX_KEYS: usize = 20;

/// The part of a result that is stored. A method can return anything, including
/// values that policy hides and secrets, so only ids are stored as they are, and of
/// anything else what the model may read.
pub(super) fn stored_result(response: &[u8]) -> Value {
    let Ok(value) = serde_json::from_slice::<Value>(response) else {
        return Value::Null;
    };
    match value {
        Value::Array(items) if items.iter().all(|item| RecordId::from_json(item).is_some()) => {
            Value::Array(items.into_iter().take(MAX_IDS).collect())
        }
        value @ (Value::Null | Value::Bool(_) | Value::Number(_)) => describe(&value).into(),
        value @ (Value::String(_) | Value::Array(_) | Value::Object(_)) => describe(&value).into(),
    }
}

/// The stored result of a method whose response was lost.
pub(super) fn lost_result() -> Value {
    json!({"lost": true})
}

/// Describes a stored result for the model.
pub fn describe_result(stored: &Value) -> String {
    match stored {
        Value::String(text) => text.clone(),
        Value::Array(ids) if ids.is_empty() => "Odoo returned an empty list.".to_owned(),
        Value::Array(ids) => {
            let ids: Vec<String> = ids.iter().map(Value::to_string).collect();
            format!(
                "Odoo returned the ids [{}], without their model.",
                ids.join(", ")
            )
        }
        Value::Object(_) => "What Odoo returned was lost.".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => describe(stored),
    }
}

/// Describes a result that is not a list of ids.
fn describe(value: &Value) -> String {
    match value {
        Value::Null | Value::Bool(true) => "Odoo returned only that it is done.".to_owned(),
        Value::Bool(false) => {
            "Odoo returned `false`: with some methods that means that there was nothing to do."
                .to_owned()
        }
        Value::Number(number) => format!("Odoo returned {number}."),
        Value::String(text) if text.is_empty() => "Odoo returned an empty text.".to_owned(),
        Value::String(text) => match text.chars().count() {
            length if length > TEXT_CHARS || mentions_secret(text) => format!(
                "Odoo returned a text of {length} characters, which is not shown here because it is long or may be a secret."
            ),
            _ => format!("Odoo returned \"{}\".", one_line(text, TEXT_CHARS)),
        },
        Value::Array(items) => {
            let count = items.len();
            format!("Odoo returned a list of {count} items, which is not shown here.")
        }
        Value::Object(members) if is_action(members) => describe_action(members),
        Value::Object(members) => {
            let keys = members.keys().take(MAX_KEYS);
            let keys: Vec<String> = keys.map(|key| one_line(key, 40)).collect();
            format!(
                "Odoo returned an object with {}, which is not shown here.",
                keys.join(", ")
            )
        }
    }
}

/// What Odoo's web client would do (Odoo 19, `odoo/addons/base/models/ir_actions.py`).
fn describe_action(action: &Map<String, Value>) -> String {
    let text = |key: &str| {
        let text = action.get(key).and_then(Value::as_str);
        text.map(|text| one_line(text, 80)).unwrap_or_default()
    };
    let name = match text("name") {
        name if name.is_empty() => String::new(),
        name => format!(" \"{name}\""),
    };
    let model = text("res_model");
    match (text("type").as_str(), text("target").as_str()) {
        // A dialog asks for more input.
        ("ir.actions.act_window", "new") => format!(
            "Odoo wants more input: it would open the wizard{name} (`{model}`). The user has to finish it in Odoo."
        ),
        ("ir.actions.act_window", _) => match action.get("res_id").and_then(RecordId::from_json) {
            Some(id) => format!("Odoo would open the record {id} of `{model}`{name}."),
            None => format!("Odoo would open a list of `{model}`{name}."),
        },
        ("ir.actions.client", _) => {
            format!("Odoo would show the user `{}`{name}.", text("tag"))
        }
        ("ir.actions.act_window_close", _) => "Odoo returned only that it is done.".to_owned(),
        ("ir.actions.act_url", _) => {
            "Odoo would open a page, whose address is not shown here.".to_owned()
        }
        ("ir.actions.report", _) => format!("Odoo would print the report{name}."),
        (kind, _) => format!("Odoo would continue with an action of the kind `{kind}`{name}."),
    }
}

fn is_action(members: &Map<String, Value>) -> bool {
    members
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.starts_with("ir.actions."))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{describe_result, stored_result};

    #[test]
    fn method_results_are_summarized_and_never_shown_whole() {
        let described =
            |value: Value| describe_result(&stored_result(value.to_string().as_bytes()));
        insta::assert_snapshot!(
            [
                json!(null),
                json!(true),
                json!(false),
                json!(7),
                json!("S00007"),
                json!(""),
                json!("/my/orders/28?access_token=4f1c"),
                json!("x".repeat(201)),
                json!([7, 8]),
                json!([]),
                json!([{"email": "a@b"}]),
                json!({"email": "a@b", "name": "x\ny"}),
                json!({"type": "ir.actions.act_window", "res_model": "sale.order", "res_id": 7, "name": "Order", "target": "current", "context": {"default_email": "a@b"}}),
                json!({"type": "ir.actions.act_window", "res_model": "sale.order", "res_id": false}),
                json!({"type": "ir.actions.act_window", "res_model": "sale.mass.cancel.orders", "target": "new", "name": "Cancel"}),
                json!({"type": "ir.actions.client", "tag": "display_notification", "params": {"message": "a@b"}}),
                json!({"type": "ir.actions.act_window_close"}),
                json!({"type": "ir.actions.act_url", "url": "/my?access_token=4f1c"}),
                json!({"type": "ir.actions.report", "name": "Quotation"}),
                json!({"type": "ir.actions.server"}),
            ]
            .map(described)
            .join("\n")
        );
        assert_eq!(stored_result(b"<html>"), Value::Null);
        let long: Vec<u32> = (1..=900).collect();
        assert!(described(json!(long)).len() < 500);
    }
}
