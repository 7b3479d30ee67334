//! One cell of an import and its value.

use jiff::{
    civil::{Date, DateTime},
    tz::TimeZone,
};
use serde_json::{Value, json};

use super::{
    error::FakeOdooError,
    table::{Field, Table, link, text as text_of},
    transaction::Transaction,
    value::is_truthy,
};

/// An error in a cell.
pub(super) struct LoadCellError {
    pub(super) message: String,
    pub(super) moreinfo: Option<Value>,
}

/// The value of a cell, with a warning if it was ambiguous.
pub(super) struct LoadCellValue {
    pub(super) value: Value,
    pub(super) warning: Option<String>,
}

impl From<Value> for LoadCellValue {
    fn from(value: Value) -> Self {
        Self {
            value,
            warning: None,
        }
    }
}

fn cell_error(message: String, moreinfo: impl Into<Option<Value>>) -> LoadCellError {
    LoadCellError {
        message,
        moreinfo: moreinfo.into(),
    }
}

/// A cell as Odoo prints it in a message.
fn display_cell(cell: &Value) -> String {
    cell.as_str()
        .map_or_else(|| cell.to_string(), str::to_owned)
}

/// Reads the cell of a field; `part` is the part of the column after the slash.
///
/// # Errors
/// The outer error is a Python exception and aborts the whole import; the inner
/// one is reported for its row.
pub(super) fn read_cell(
    transaction: &Transaction<'_>,
    field: &Field,
    part: Option<&str>,
    cell: &Value,
) -> Result<Result<LoadCellValue, LoadCellError>, FakeOdooError> {
    if !is_truthy(cell) {
        return Ok(Ok(Value::Bool(false).into()));
    }
    let text = display_cell(cell);
    let label = field.label;
    let (value, problem, moreinfo) = match field.kind {
        "boolean" => {
            let Some(word) = cell.as_str() else {
                return Err(FakeOdooError::new(
                    500,
                    "builtins.AttributeError",
                    "'bool' object has no attribute 'lower'",
                ));
            };
            let truth = match word.to_lowercase().as_str() {
                "1" | "true" | "yes" => Some(true),
                "0" | "false" | "no" => Some(false),
                _ => None,
            };
            (
                truth.map(Value::from),
                format!("Unknown value '{word}' for boolean field '{label}'"),
                Some(json!("Use '1' for yes and '0' for no")),
            )
        }
        "integer" => (
            text.trim().parse::<i64>().ok().map(Value::from),
            format!("'{text}' does not seem to be an integer for field '{label}'"),
            None,
        ),
        "float" | "monetary" => (
            text.trim().parse::<f64>().ok().map(Value::from),
            format!("'{text}' does not seem to be a number for field '{label}'"),
            None,
        ),
        "date" => (
            text.parse::<Date>()
                .ok()
                .map(|date| date.to_string().into()),
            format!("'{text}' does not seem to be a valid date for field '{label}'"),
            Some(json!("Use the format '2012-12-31'")),
        ),
        "datetime" => (
            local_to_utc(&text).map(Value::from),
            format!("'{text}' does not seem to be a valid datetime for field '{label}'"),
            Some(json!("Use the format '2012-12-31 23:59:59'")),
        ),
        "selection" => {
            let (wanted, mut choices) = (text.to_lowercase(), field.choices.iter());
            let choice =
                choices.find(|(key, label)| wanted == label.to_lowercase() || text == *key);
            (
                choice.map(|(key, _)| Value::from(*key)),
                format!("Value '{text}' not found in selection field '{label}'"),
                Some(field.choices.iter().map(|(_, label)| *label).collect()),
            )
        }
        "many2one" | "many2many" | "one2many" => {
            return Ok(read_relation(transaction, field, part, &text));
        }
        _ => return Ok(Ok(Value::from(text).into())),
    };
    Ok(value
        .map(LoadCellValue::from)
        .ok_or_else(|| cell_error(problem, moreinfo)))
}

/// Converts a time from the user's time zone to UTC.
///
/// All users are in Brussels. Imports use the user's time zone, plain writes UTC.
fn local_to_utc(text: &str) -> Option<String> {
    const FORMAT: &str = "%Y-%m-%d %H:%M:%S";
    let time = DateTime::strptime(FORMAT, text).ok()?;
    let local = time.in_tz("Europe/Brussels").ok()?;
    let utc = local.with_time_zone(TimeZone::UTC);
    Some(utc.strftime(FORMAT).to_string())
}

fn read_relation(
    transaction: &Transaction<'_>,
    field: &Field,
    part: Option<&str>,
    text: &str,
) -> Result<LoadCellValue, LoadCellError> {
    let Some(table) = transaction.database.related(field) else {
        return Ok(Value::Bool(false).into());
    };
    if field.kind == "many2one" {
        return find_linked_record(transaction, table, field, part, text);
    }
    let mut ids = Vec::new();
    let mut warning = None;
    for text in text.split(',') {
        let read = find_linked_record(transaction, table, field, part, text)?;
        ids.push(read.value);
        warning = warning.or(read.warning);
    }
    Ok(LoadCellValue {
        value: json!([[6, 0, ids]]),
        warning,
    })
}

/// The record that a cell identifies by external id, id or name.
fn find_linked_record(
    transaction: &Transaction<'_>,
    table: &Table,
    field: &Field,
    part: Option<&str>,
    text: &str,
) -> Result<LoadCellValue, LoadCellError> {
    let label = field.label;
    let values = |model: &str| {
        json!({
            "name": "Possible Values", "type": "ir.actions.act_window", "target": "new",
            "view_mode": "list,form", "views": [[false, "list"], [false, "form"]],
            "context": {"create": false}, "help": "See all possible values", "res_model": model,
        })
    };
    let values_by_id = || {
        let mut values = values("ir.model.data");
        if let Some(values) = values.as_object_mut() {
            values.insert("domain".to_owned(), json!([["model", "=", table.model]]));
        }
        values
    };
    match part {
        Some(".id") => {
            let Ok(id) = text.trim().parse::<u32>() else {
                return Err(cell_error(
                    format!("Invalid database id '{text}' for the field '{label}'"),
                    values_by_id(),
                ));
            };
            if table.rows.contains_key(&id) {
                return Ok(Value::from(id).into());
            }
            Err(cell_error(
                format!("No matching record found for database id '{text}' in field '{label}'"),
                values_by_id(),
            ))
        }
        Some("id") => {
            let (module, name) = split_external_id(text);
            let found = transaction.database.find_external_id(module, name);
            found
                .filter(|(_, data)| text_of(data, "model") == table.model)
                .and_then(|(_, data)| link(data, "res_id"))
                .map(|id| Value::from(id).into())
                .ok_or_else(|| {
                    cell_error(
                        format!(
                            "No matching record found for external id '{text}' in field '{label}'"
                        ),
                        values_by_id(),
                    )
                })
        }
        Some(_) => Err(cell_error(
            "Can not create Many-To-One records indirectly, import the field separately".to_owned(),
            None,
        )),
        None => {
            let named = table.ids_where(|row| {
                let other = text_of(row, "login");
                table.display_name(row) == text || (!other.is_empty() && other == text)
            });
            match named.as_slice() {
                [] => Err(cell_error(
                    format!("No matching record found for name '{text}' in field '{label}'"),
                    values(table.model),
                )),
                [only] => Ok(Value::from(*only).into()),
                [first, ..] => Ok(LoadCellValue {
                    value: (*first).into(),
                    warning: Some(format!(
                        "Found multiple matches for value \"{text}\" in field \"{label}\" ({} matches)",
                        named.len()
                    )),
                }),
            }
        }
    }
}

/// The module and the name of an external id.
pub(super) fn split_external_id(id: &str) -> (&str, &str) {
    id.split_once('.').unwrap_or(("__import__", id))
}
