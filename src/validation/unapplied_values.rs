//! Whether records have the values that were written.

use serde_json::{Map, Value};

use gatepost_odoo::{Field, FieldKind, Schema};

/// Whether a value that Odoo returned is the one that was written; `None` if that
/// cannot be decided: for files, commands, and HTML that differs.
pub(crate) fn is_as_written(field: &Field, written: &Value, given: &Value) -> Option<bool> {
    match field.kind {
        // Odoo wraps text in a paragraph, and sanitizes much else.
        FieldKind::Html => {
            let (written, given) = (text(written)?, text(given)?);
            let is_equal = given == written || given == format!("<p>{written}</p>");
            is_equal.then_some(true)
        }
        FieldKind::Binary
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Unknown => None,
        FieldKind::Many2many => Some(sorted_ids(given)? == ids_of_set_command(written)?),
        FieldKind::Many2one => {
            let given = given.get(0).unwrap_or(given);
            Some(non_empty(written) == non_empty(given))
        }
        FieldKind::Float | FieldKind::Monetary => {
            // Odoo rounds to the field's decimals, which it does not always return;
            // there are seldom fewer than two.
            let (one, other) = (number(written)?, number(given)?);
            let cents = one * 100.0;
            let is_rounded = (cents - cents.round()).abs() > 1e-6;
            let tolerance = if is_rounded { 0.005_001 } else { 1e-9 };
            Some((one - other).abs() <= f64::max(tolerance, one.abs() * 1e-9))
        }
        FieldKind::Integer | FieldKind::Many2oneReference => {
            Some(number(written)?.total_cmp(&number(given)?).is_eq())
        }
        FieldKind::Char | FieldKind::Text => Some(text(written)?.trim() == text(given)?.trim()),
        FieldKind::Boolean
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Reference
        | FieldKind::Selection => Some(non_empty(written) == non_empty(given)),
    }
}

/// The fields that do not have the value that was written.
pub fn unapplied_values<'v>(
    schema: &Schema,
    values: &'v Map<String, Value>,
    row: &Map<String, Value>,
) -> Vec<&'v str> {
    names_where(schema, values, row, |is_as_written| {
        is_as_written == Some(false)
    })
}

/// The fields that do not, or not certainly, have the value that was written.
pub(crate) fn unproven_values<'v>(
    schema: &Schema,
    values: &'v Map<String, Value>,
    row: &Map<String, Value>,
) -> Vec<&'v str> {
    names_where(schema, values, row, |is_as_written| {
        is_as_written != Some(true)
    })
}

fn names_where<'v>(
    schema: &Schema,
    values: &'v Map<String, Value>,
    row: &Map<String, Value>,
    is_wanted: impl Fn(Option<bool>) -> bool,
) -> Vec<&'v str> {
    let wanted = values.iter().filter(|(name, written)| {
        let pair = schema.field(name).zip(row.get(*name));
        is_wanted(pair.and_then(|(field, given)| is_as_written(field, written, given)))
    });
    wanted.map(|(name, _)| name.as_str()).collect()
}

/// The value; `None` if it is empty, which is `false` for most types.
fn non_empty(value: &Value) -> Option<&Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Bool(true) | Value::Number(_) | Value::String(_) => Some(value),
        Value::Array(_) | Value::Object(_) => Some(value),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(false) => Some(0.0),
        Value::Bool(true) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(false) => Some(""),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The ids that a command sets; `None` if there are other commands.
fn ids_of_set_command(written: &Value) -> Option<Vec<i64>> {
    let [only] = written.as_array()?.as_slice() else {
        return None;
    };
    let [code, _, ids] = only.as_array()?.as_slice() else {
        return None;
    };
    let mut ids = sorted_ids(ids).filter(|_| code.as_u64() == Some(6))?;
    ids.dedup();
    Some(ids)
}

fn sorted_ids(list: &Value) -> Option<Vec<i64>> {
    let mut ids: Vec<i64> = list.as_array()?.iter().filter_map(Value::as_i64).collect();
    ids.sort_unstable();
    Some(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::unapplied_values;
    use gatepost_odoo::Schema;

    #[test]
    fn amounts_differ_unless_rounding_explains_the_difference() {
        let schema = Schema::parse(br#"{"rate":{"type":"float"}}"#).unwrap();
        for (written, given, same) in [
            (json!(0.85), json!(0.86), false),
            (json!(0.855), json!(0.86), true),
            (json!(0.855), json!(0.87), false),
            (json!(19.99), json!(19.990_000_000_000_002), true),
            (json!(1e12), json!(1e12), true),
        ] {
            let (written, given) = (json!({"rate": written}), json!({"rate": given}));
            let other = unapplied_values(
                &schema,
                written.as_object().unwrap(),
                given.as_object().unwrap(),
            );
            assert_eq!(other.is_empty(), same, "{written} {given}");
        }
    }

    #[test]
    fn unapplied_values_names_fields_that_odoo_did_not_store() {
        let schema = Schema::parse(
            br#"{"name":{"type":"char"},"amount":{"type":"monetary"},"active":{"type":"boolean"},
                 "user_id":{"type":"many2one","relation":"res.users"},"note":{"type":"html"},
                 "tag_ids":{"type":"many2many","relation":"crm.tag"},"day":{"type":"date"}}"#,
        )
        .unwrap();
        let unapplied = |written: Value, given: Value| -> Vec<String> {
            let (written, given) = (written.as_object().unwrap(), given.as_object().unwrap());
            unapplied_values(&schema, written, given)
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let same = json!({"name": "A", "amount": 10.5, "active": false, "user_id": 7, "note": "x",
            "tag_ids": [[6, 0, [2, 1]]], "day": false});
        let given = json!({"name": "A", "amount": 10.50, "active": false, "user_id": [7, "Marc"],
            "note": "<p>x</p>", "tag_ids": [1, 2], "day": false});
        assert!(unapplied(same.clone(), given).is_empty());
        let other = json!({"name": "B", "amount": 11.5, "active": true, "user_id": false,
            "note": "y", "tag_ids": [1], "day": "2026-01-01"});
        assert_eq!(
            unapplied(same, other),
            ["name", "amount", "active", "user_id", "tag_ids", "day"]
        );
    }
}
