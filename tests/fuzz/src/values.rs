//! Values that are written.
//!
//! The first line of an input is `create` or `write` and a model of Odoo 19 whose
//! fields were recorded; the rest is a JSON object with values.

use std::collections::BTreeMap;

use gatepost::validation::values::{ArgumentPath, CoercedValues, coerce, format_errors};
use gatepost_odoo::{ModelName, Operation, Schema};
use serde_json::{Map, Value};

use crate::script::first_line;

thread_local! {
    static MODELS: BTreeMap<ModelName, Schema> = models();
}

fn models() -> BTreeMap<ModelName, Schema> {
    let text = include_str!("../../fixtures/odoo19/value_fields.json");
    let models: BTreeMap<ModelName, Value> = serde_json::from_str(text).unwrap();
    models
        .into_iter()
        .map(|(model, fields)| {
            let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
            (model, schema)
        })
        .collect()
}

pub(crate) fn run(data: &[u8]) {
    let (head, body) = first_line(data);
    let Some((operation, model)) = std::str::from_utf8(head)
        .ok()
        .and_then(|head| head.split_once(' '))
    else {
        return;
    };
    let operation = match operation {
        "create" => Operation::Create,
        "write" => Operation::Write,
        _ => return,
    };
    let (Ok(model), Ok(values)) = (
        ModelName::try_from(model),
        serde_json::from_slice::<Map<String, Value>>(body),
    ) else {
        return;
    };
    let Some(coerced) = coerce_values(&model, operation, values) else {
        return;
    };
    if !coerced.errors.is_empty() {
        assert!(!format_errors(&coerced.errors).is_empty());
        return;
    }
    // Every link is where it says.
    for link in &coerced.links {
        let mut values = coerced.values.clone();
        assert!(link.pointer.set(&mut values, Value::Null), "{link:?}");
    }
    // Coerced values stay as they are.
    let again = coerce_values(&model, operation, coerced.values.clone());
    let again = again.expect("the fields are known");
    assert!(again.errors.is_empty(), "{}", format_errors(&again.errors));
    assert_eq!(again.values, coerced.values);
}

fn coerce_values(
    model: &ModelName,
    operation: Operation,
    values: Map<String, Value>,
) -> Option<CoercedValues> {
    let path = ArgumentPath::argument("values");
    MODELS.with(|models| coerce(model, models, operation, values, (&path, None)).ok())
}
