//! The fields that a call changes.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use gatepost_base::text::excerpt;
use gatepost_odoo::{Call, Column, Load, Request};
use gatepost_policy::{is_masked, is_protected};

/// The most field names in one record.
const MAX_FIELDS: usize = 200;
/// The longest value, in characters.
const MAX_CHARS: usize = 500;
/// The size of all values together, in bytes.
const MAX_VALUES_BYTES: usize = 32 << 10;

/// The replacement for a hidden value.
const HIDDEN: &str = "(hidden)";

/// The fields that a call changes, and their new values if the administrator enables
/// that.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ChangedFields {
    /// The names, sorted; at most two hundred.
    pub fields: Vec<Box<str>>,
    /// The total number of fields.
    #[serde(rename = "fields_count")]
    pub fields_count: usize,
    /// The arguments with truncated values. Fields with secret names are hidden, and
    /// so are all values of protected models, where a secret may be in `value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Value>,
    /// Whether it was a dry run, which Odoo rolled back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tried: bool,
}

impl ChangedFields {
    /// The fields that the call changes; `None` for a read.
    ///
    /// For `write` and `create` they are the keys of `vals` and `vals_list`, for an
    /// import its columns, for any other method the names of its arguments.
    pub fn of(call: &Call, values: bool) -> Option<Self> {
        if call.operation().is_read() {
            return None;
        }
        if let Request::Load(load) = call.request() {
            let names = load.columns().iter().map(Column::as_str).collect();
            let mut changes = Self::build(call, values, &load_cells(load), names);
            changes.tried = load.is_dry_run();
            return Some(changes);
        }
        let arguments = call.arguments();
        let mut names = BTreeSet::new();
        match (arguments.get("vals"), arguments.get("vals_list")) {
            (Some(Value::Object(vals)), _) => names.extend(vals.keys().map(String::as_str)),
            (_, Some(Value::Array(list))) => {
                names.extend(
                    list.iter()
                        .filter_map(Value::as_object)
                        .flat_map(Map::keys)
                        .map(String::as_str),
                );
            }
            _ => names.extend(arguments.keys().map(String::as_str)),
        }
        Some(Self::build(call, values, &arguments, names))
    }

    fn build(
        call: &Call,
        values: bool,
        arguments: &Map<String, Value>,
        names: BTreeSet<&str>,
    ) -> Self {
        Self {
            fields_count: names.len(),
            fields: names.into_iter().take(MAX_FIELDS).map(Into::into).collect(),
            values: values.then(|| {
                if is_protected(call.model().as_str()) {
                    Value::from(HIDDEN)
                } else {
                    bounded(arguments)
                }
            }),
            tried: false,
        }
    }
}

/// The columns and rows of an import, with the cells of secret columns hidden.
fn load_cells(load: &Load) -> Map<String, Value> {
    let columns = load.columns();
    let secret = |column: &Column| column.as_str().split('/').any(is_masked);
    let hidden: Vec<bool> = columns.iter().map(secret).collect();
    let row = |row: &Vec<String>| -> Value {
        let cells = hidden.iter().zip(row);
        cells
            .map(|(hides, text)| Value::from(if *hides { HIDDEN } else { text }))
            .collect()
    };
    Map::from_iter([
        (
            "fields".to_owned(),
            columns.iter().map(Column::as_str).collect(),
        ),
        ("data".to_owned(), load.rows().iter().map(row).collect()),
    ])
}

/// The arguments with redacted values, or a note if they are too large.
fn bounded(arguments: &Map<String, Value>) -> Value {
    let values = redacted(&Value::Object(arguments.clone()));
    if values.to_string().len() <= MAX_VALUES_BYTES {
        values
    } else {
        Value::from("(too large)")
    }
}

/// A value with long texts truncated and secrets hidden.
fn redacted(value: &Value) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(text) => Value::from(excerpt(text, MAX_CHARS)),
        Value::Array(items) => items.iter().map(redacted).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let shown = if is_masked(name) {
                    Value::from(HIDDEN)
                } else {
                    redacted(value)
                };
                (name.clone(), shown)
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{ChangedFields, bounded};
    use gatepost_odoo::{Call, Domain, Load, MethodName, ModelName, Schema};

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn changed_fields_are_listed_for_every_call_but_reads() {
        let model = || ModelName::try_from("res.partner").unwrap();
        let read = Call::search_count(model(), &Domain::default());
        assert_eq!(ChangedFields::of(&read, true), None);
        let changes = |call: &Call| {
            let changes = ChangedFields::of(call, false).unwrap();
            assert_eq!(changes.values, None);
            (changes.fields.join(","), changes.fields_count)
        };
        let vals = || map(&json!({"name": "A", "email": "B"}));
        assert_eq!(
            changes(&Call::write(model(), &[], vals())),
            ("email,name".to_owned(), 2)
        );
        let create = Call::create(model(), vec![vals(), map(&json!({"phone": "1"}))]);
        assert_eq!(changes(&create), ("email,name,phone".to_owned(), 3));
        let method = MethodName::known("message_post");
        let run = Call::run(model(), method, &[], map(&json!({"body": "x"})));
        assert_eq!(changes(&run), ("body".to_owned(), 1));
    }

    #[test]
    fn recorded_values_are_truncated_and_redacted() {
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
    fn values_of_protected_models_are_hidden() {
        let model = ModelName::try_from("ir.config_parameter").unwrap();
        let vals = map(&json!({"key": "web.base.url", "value": "hunter2"}));
        let changes = ChangedFields::of(&Call::write(model, &[], vals), true).unwrap();
        assert_eq!(changes.values, Some(json!("(hidden)")));
        assert_eq!(changes.fields.join(","), "key,value");
    }

    #[test]
    fn import_records_its_columns_and_hides_secret_cells() {
        let columns = ["name", "smtp_pass", "child_ids/password", "child_ids/name"];
        let columns = columns.map(str::to_owned).to_vec();
        let row = ["A", "hunter2", "hunter3", "B"].map(str::to_owned).to_vec();
        let model = ModelName::try_from("res.partner").unwrap();
        let load = Load::new(&columns, vec![row]).unwrap();
        let changes = ChangedFields::of(&Call::load(model.clone(), load.clone()), true).unwrap();
        assert!(!changes.tried);
        assert_eq!(
            changes.fields.join(","),
            "child_ids/name,child_ids/password,name,smtp_pass"
        );
        let values = changes.values.unwrap();
        assert_eq!(values["data"], json!([["A", "(hidden)", "(hidden)", "B"]]));
        let tried = Call::load(model, load.into_dry_run(&Schema::from_fields([])).unwrap());
        assert!(ChangedFields::of(&tried, false).unwrap().tried);
    }
}
