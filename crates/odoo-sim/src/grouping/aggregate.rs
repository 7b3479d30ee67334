//! Values that are computed of many records.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::spec::Spec;
use crate::{
    domain,
    error::FakeOdooError,
    invocation::Invocation,
    table::{Row, value as value_of},
    value::ids,
};

impl Invocation<'_> {
    /// The value of an aggregate; `null` if there are no values.
    pub(super) fn aggregate(&self, text: &str, rows: &[&Row]) -> Result<Value, FakeOdooError> {
        if text == "__count" {
            return Ok(rows.len().into());
        }
        let spec = Spec::parse(text)?;
        let Some(field) = self.table.fields.get(spec.field) else {
            return Err(FakeOdooError::value_error(format!(
                "Invalid field '{}' on model '{}' for '{text}'.",
                spec.field, self.table.model
            )));
        };
        let Some(function) = spec.function else {
            return Err(FakeOdooError::value_error(format!(
                "Aggregate method is mandatory for '{}'",
                spec.field
            )));
        };
        let functions = [
            "sum",
            "avg",
            "min",
            "max",
            "count",
            "count_distinct",
            "bool_and",
            "bool_or",
        ];
        if !functions.contains(&function) {
            return Err(FakeOdooError::value_error(format!(
                "Invalid aggregate method '{function}' for '{text}'."
            )));
        }
        self.column(self.table, spec.field)?;
        let is_number = matches!(field.kind, "integer" | "float" | "monetary" | "many2one");
        let fits = match function {
            "sum" | "avg" => is_number,
            "bool_and" | "bool_or" => field.kind == "boolean",
            "min" | "max" => field.kind != "boolean",
            _ => true,
        };
        if !fits {
            let kind = match field.kind {
                "boolean" => "boolean",
                "date" => "date",
                "datetime" => "timestamp without time zone",
                _ => "character varying",
            };
            return Err(FakeOdooError::new(
                500,
                "psycopg2.errors.UndefinedFunction",
                format!("function {function}({kind}) does not exist\nLINE 1: SELECT "),
            ));
        }
        let values: Vec<Value> = rows
            .iter()
            .map(|row| value_of(row, spec.field))
            .filter(|value| field.kind == "boolean" || **value != Value::Bool(false))
            .map(|value| match field.kind {
                "many2one" => ids(value).first().copied().map_or(Value::Null, Value::from),
                _ => value.clone(),
            })
            .filter(|value| !value.is_null())
            .collect();
        let numbers = values.iter().filter_map(Value::as_f64);
        let smallest = |a: &&Value, b: &&Value| domain::compare(a, b).unwrap_or(Ordering::Equal);
        let is_true = |value: &Value| value == &Value::Bool(true);
        Ok(match function {
            "count" => values.len().into(),
            "count_distinct" => {
                let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
                texts.sort_unstable();
                texts.dedup();
                texts.len().into()
            }
            _ if values.is_empty() => Value::Null,
            "sum" if field.kind == "integer" => {
                values.iter().filter_map(Value::as_i64).sum::<i64>().into()
            }
            "sum" => rounded(numbers.sum()),
            "avg" => {
                let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
                json!(numbers.sum::<f64>() / f64::from(count))
            }
            "min" => values.iter().min_by(smallest).cloned().unwrap_or_default(),
            "max" => values.iter().max_by(smallest).cloned().unwrap_or_default(),
            "bool_and" => values.iter().all(is_true).into(),
            _ => values.iter().any(is_true).into(),
        })
    }
}

/// A sum of amounts without the noise of binary fractions: Odoo adds decimals.
fn rounded(sum: f64) -> Value {
    json!((sum * 1e6).round() / 1e6)
}
