//! What a call changes.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::odoo::Call;

/// Names of fields that one record has room for.
const MAX_FIELDS: usize = 200;
/// Characters of one value.
const MAX_CHARS: usize = 500;
/// Bytes of all values together.
const MAX_VALUES_BYTES: usize = 32 << 10;

/// What stands for a value that nobody may read here.
const HIDDEN: &str = "(hidden)";

/// The fields that a call changes, and their new values where the
/// administrator asks for them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Changes {
    /// The names, sorted; at most two hundred.
    pub fields: Vec<Box<str>>,
    /// How many there are in all.
    #[serde(rename = "fields_count")]
    pub count: usize,
    /// The arguments with the values, shortened, without those of fields that
    /// hold secrets by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Value>,
}

impl Changes {
    /// What the call changes; none for a read.
    ///
    /// `vals` and `vals_list` are what Odoo's `write` and `create` call them;
    /// of any other method the names of its arguments are told.
    pub fn of(call: &Call, values: bool) -> Option<Self> {
        if call.effect().is_read() {
            return None;
        }
        let arguments = call.arguments();
        let mut names = BTreeSet::new();
        match (arguments.get("vals"), arguments.get("vals_list")) {
            (Some(Value::Object(vals)), _) => names.extend(vals.keys()),
            (_, Some(Value::Array(list))) => {
                names.extend(list.iter().filter_map(Value::as_object).flat_map(Map::keys));
            }
            _ => names.extend(arguments.keys()),
        }
        Some(Self {
            count: names.len(),
            fields: names
                .into_iter()
                .take(MAX_FIELDS)
                .map(|name| name.as_str().into())
                .collect(),
            values: values.then(|| bounded(&arguments)),
        })
    }
}

/// The arguments as they may be written down.
fn bounded(arguments: &Map<String, Value>) -> Value {
    let covered = covered(&Value::Object(arguments.clone()));
    if covered.to_string().len() <= MAX_VALUES_BYTES {
        covered
    } else {
        Value::from("(too large)")
    }
}

/// A value with long texts cut, and without what stands under a secret's name.
fn covered(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => {
            let mut cut: String = text.chars().take(MAX_CHARS).collect();
            if cut.len() < text.len() {
                cut.push('…');
            }
            Value::from(cut)
        }
        Value::Array(items) => items.iter().map(covered).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let shown = if is_secret(name) {
                    Value::from(HIDDEN)
                } else {
                    covered(value)
                };
                (name.clone(), shown)
            })
            .collect(),
    }
}

/// Whether a field of this name may hold a secret: `password`, `api_key`,
/// `totp_secret`, `access_token`, `signup_token`, `oauth_access_token` and their like.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["passw", "secret", "token", "key", "credential", "pin"]
        .iter()
        .any(|word| match *word {
            // As a word of its own only: `shipping` and `monkey` have none.
            "pin" | "key" => name.split('_').any(|part| part == *word || part == "keys"),
            part => name.contains(part),
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{Changes, bounded, is_secret};
    use crate::odoo::{Call, Domain, MethodName, ModelName};

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_read_changes_nothing_and_any_other_call_names_what_it_is_given() {
        let model = || ModelName::try_from("res.partner").unwrap();
        let read = Call::search_count(model(), &Domain::default());
        assert_eq!(Changes::of(&read, true), None);
        let told = |call: &Call| {
            let changes = Changes::of(call, false).unwrap();
            assert_eq!(changes.values, None);
            (changes.fields.join(","), changes.count)
        };
        let vals = || map(&json!({"name": "A", "email": "B"}));
        assert_eq!(
            told(&Call::write(model(), &[], vals())),
            ("email,name".to_owned(), 2)
        );
        let create = Call::create(model(), vec![vals(), map(&json!({"phone": "1"}))]);
        assert_eq!(told(&create), ("email,name,phone".to_owned(), 3));
        let method = MethodName::known("message_post");
        let run = Call::run(model(), method, &[], map(&json!({"body": "x"})));
        assert_eq!(told(&run), ("body".to_owned(), 1));
    }

    #[test]
    fn values_that_are_asked_for_are_short_and_have_no_secrets() {
        let shown = bounded(&map(&json!({"vals": {
            "name": "A".repeat(600),
            "password": "hunter2",
            "child_ids": [[0, 0, {"api_key": "hunter2", "email": "a@b"}]],
        }})));
        let vals = &shown["vals"];
        assert_eq!(vals["name"].as_str().unwrap().chars().count(), 501);
        assert_eq!(vals["password"], json!("(hidden)"));
        assert_eq!(
            vals["child_ids"],
            json!([[0, 0, {"api_key": "(hidden)", "email": "a@b"}]])
        );
        let many: Vec<Value> = vec![json!({"name": "A".repeat(400)}); 200];
        assert_eq!(
            bounded(&map(&json!({"vals_list": many}))),
            json!("(too large)")
        );
    }

    #[test]
    fn a_secret_is_known_by_its_name() {
        for name in [
            "password",
            "new_password",
            "api_key",
            "totp_secret",
            "access_token",
            "pin",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["name", "shipping_id", "monkey", "partner_id", "keyword"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
