//! How a real Odoo 19 handled values, from `tests/fixtures/odoo19/values.jsonl`.

use serde_json::{Map, Value, json};

use super::{ArgumentPath, coerce, members, models};
use gatepost_odoo::{Field, FieldKind, ModelName, Operation};

/// One exchange with a real Odoo 19: the values that were written, its response
/// and what it stored, and the coerced values.
#[derive(serde::Deserialize)]
struct Exchange {
    model: ModelName,
    field: String,
    /// The value of an update.
    #[serde(default)]
    given: Value,
    /// The values of a new record.
    create: Option<Map<String, Value>>,
    /// Odoo's response to the original value.
    odoo: Answer,
    #[serde(default)]
    refused: bool,
    /// The coerced value.
    #[serde(default)]
    sent: Value,
    /// Odoo's response to the coerced value.
    then: Option<Answer>,
}

#[derive(serde::Deserialize)]
struct Answer {
    status: u16,
    #[serde(default)]
    stored: Value,
}

/// Odoo stores what is sent. It fails on what is rejected, or would store
/// something else. Coerced values have exactly the recorded form.
#[test]
fn odoo_stores_coerced_values_and_fails_on_or_alters_rejected_ones() {
    let known = models(include_str!(
        "../../../../tests/fixtures/odoo19/value_fields.json"
    ));
    let exchanges = include_str!("../../../../tests/fixtures/odoo19/values.jsonl");
    let mut silent = 0;
    let mut loud = 0;
    let mut kept = 0;
    for line in exchanges.lines() {
        let exchange: Exchange = serde_json::from_str(line).unwrap();
        let at = ArgumentPath::argument("values");
        let field = exchange.field.as_str();
        let creating = exchange.create.is_some();
        let (effect, values) = match exchange.create {
            Some(values) => (Operation::Create, values),
            None => (Operation::Write, members(json!({field: exchange.given}))),
        };
        let given = values.get(field).cloned().unwrap_or_default();
        let fitted = coerce(&exchange.model, &known, effect, values, (&at, None)).unwrap();
        assert_eq!(!fitted.errors.is_empty(), exchange.refused, "{line}");

        if exchange.refused {
            // Silent if Odoo responds 200, but stores something else, or a value
            // that only its business logic should write, or nothing in a required
            // field.
            let schema = known[&exchange.model].field(field);
            // Properties are rejected whenever some could be lost, which is usual
            // here.
            let on_purpose = |field: &Field| {
                field.readonly || field.required || field.kind == FieldKind::Properties
            };
            let wrong = exchange.odoo.stored != given || schema.is_none_or(on_purpose);
            assert!(exchange.odoo.status != 200 || wrong, "{line}");
            silent += usize::from(exchange.odoo.status == 200);
            loud += usize::from(exchange.odoo.status != 200);
            continue;
        }
        let sent = if creating {
            Value::Object(fitted.values)
        } else {
            fitted.values[field].clone()
        };
        assert_eq!(sent, exchange.sent, "{line}");
        // Names and ids are looked up before anything is sent.
        if !fitted.links.is_empty() || !fitted.missing.is_empty() {
            continue;
        }
        let then = exchange.then.unwrap();
        assert_eq!(then.status, 200, "{line}");
        let field = known[&exchange.model].field(field).unwrap();
        if !creating && is_stored_verbatim(field.kind) && !then.stored.is_object() {
            let rounded = |value: &Value| value.as_f64().map(|number| (number * 1e7).round());
            let stored = then.stored == sent || rounded(&then.stored) == rounded(&sent);
            assert!(stored, "{line}");
            kept += 1;
        }
    }
    assert!(
        silent >= 30 && loud >= 30 && kept >= 40,
        "{silent} silent, {loud} loud, {kept} kept"
    );
}

/// Whether Odoo returns a value of this kind exactly as it was written.
fn is_stored_verbatim(kind: FieldKind) -> bool {
    matches!(
        kind,
        FieldKind::Boolean
            | FieldKind::Char
            | FieldKind::Date
            | FieldKind::Datetime
            | FieldKind::Float
            | FieldKind::Integer
            | FieldKind::Monetary
            | FieldKind::Selection
    )
}
