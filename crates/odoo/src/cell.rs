//! The values that Odoo's import reads from cells.

use serde_json::{Number, Value};

use super::{CellMeaning, Field, FieldKind, load::parse_ids};

/// The value that Odoo's import reads from a cell (Odoo 19, `ir.fields.converter`),
/// or `None` where only Odoo knows.
pub fn cell_value(field: &Field, meaning: CellMeaning, cell: &str) -> Option<Value> {
    if cell.is_empty() {
        return Some(Value::Bool(false));
    }
    if meaning != CellMeaning::Value {
        let one = field.kind == FieldKind::Many2one && meaning == CellMeaning::DatabaseId;
        return match parse_ids(cell).as_deref() {
            Some([id]) if one => Some(id.get().into()),
            Some(_) | None => None,
        };
    }
    match field.kind {
        FieldKind::Boolean => parse_boolean(cell).map(Value::Bool),
        FieldKind::Char | FieldKind::Text => Some(Value::from(cell)),
        FieldKind::Date => is_date(cell).then(|| Value::from(cell)),
        FieldKind::Integer => {
            let digits = cell.strip_prefix('-').unwrap_or(cell);
            (digits.len() <= 9 && is_digits(digits))
                .then(|| cell.parse::<i64>().ok())
                .flatten()
                .map(Value::from)
        }
        FieldKind::Float | FieldKind::Monetary => {
            let digits = cell.strip_prefix('-').unwrap_or(cell);
            let (whole, rest) = digits.split_once('.').unwrap_or((digits, "0"));
            (digits.len() <= 15 && is_digits(whole) && is_digits(rest))
                .then(|| cell.parse::<f64>().ok())
                .flatten()
                .and_then(Number::from_f64)
                .map(Value::Number)
        }
        // Odoo takes the first choice with this key or label, ignoring case. Labels in
        // other languages are unknown here.
        FieldKind::Selection => {
            let mut matching = field.selection.iter().filter(|choice| {
                [&choice.key, &choice.label]
                    .iter()
                    .any(|text| text.to_lowercase() == cell.to_lowercase())
            });
            match (matching.next(), matching.next()) {
                (Some(choice), None) => Some(Value::from(&*choice.key)),
                (Some(_), Some(_)) | (None, _) => None,
            }
        }
        // Odoo reads a time in the user's time zone, sanitizes HTML, and looks up names.
        FieldKind::Binary
        | FieldKind::Datetime
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::Many2many
        | FieldKind::Many2one
        | FieldKind::Many2oneReference
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Unknown => None,
    }
}

/// The boolean that a cell means in every language.
fn parse_boolean(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Some(true),
        "" | "0" | "false" | "no" => Some(false),
        _ => None,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    matches!(&*parts, [year, month, day]
        if [(year, 4), (month, 2), (day, 2)]
            .iter()
            .all(|(part, length)| part.len() == *length && is_digits(part)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::cell_value;
    use crate::{CellMeaning, Schema};

    #[test]
    fn cell_value_is_known_only_when_unambiguous() {
        let schema = Schema::parse(
            br#"{"n":{"type":"integer"},"f":{"type":"float"},"b":{"type":"boolean"},"d":{"type":"date"},
                 "t":{"type":"datetime"},"c":{"type":"char"},"m":{"type":"many2one","relation":"res.partner"},
                 "l":{"type":"many2many","relation":"res.partner"},
                 "s":{"type":"selection","selection":[["lead","Lead"],["out","In"],["in","Out"]]}}"#,
        )
        .unwrap();
        let of = |name: &str, meaning, cell: &str| {
            cell_value(schema.field(name).unwrap(), meaning, cell)
        };
        for (name, cell, value) in [
            ("n", "12", json!(12)),
            ("n", "-5", json!(-5)),
            ("f", "-1.5", json!(-1.5)),
            ("b", "Yes", json!(true)),
            ("b", "0", json!(false)),
            ("b", "", json!(false)),
            ("d", "2026-11-21", json!("2026-11-21")),
            ("c", " x ", json!(" x ")),
            ("c", "", json!(false)),
            ("s", "Lead", json!("lead")),
        ] {
            assert_eq!(
                of(name, CellMeaning::Value, cell),
                Some(value),
                "{name} {cell}"
            );
        }
        for (name, cell) in [
            ("n", "1_0"),
            ("n", " 1"),
            ("n", "1.0"),
            ("f", "1e3"),
            ("f", "."),
            ("f", "nan"),
            ("b", "oui"),
            ("d", "21/11/2026"),
            ("d", "2026-11-21 10:00:00"),
            ("t", "2026-11-21 10:00:00"),
            ("m", "Azure"),
            ("l", "7"),
            ("s", "in"),
            ("s", "x"),
        ] {
            assert_eq!(of(name, CellMeaning::Value, cell), None, "{name} {cell}");
        }
        assert_eq!(of("m", CellMeaning::DatabaseId, "7"), Some(json!(7)));
        assert_eq!(of("m", CellMeaning::DatabaseId, "7,8"), None);
        assert_eq!(of("m", CellMeaning::ExternalId, "base.be"), None);
        assert_eq!(
            of("m", CellMeaning::ExternalId, ""),
            Some(Value::Bool(false))
        );
        assert_eq!(of("l", CellMeaning::DatabaseId, "7"), None);
    }
}
