//! One cell of the data files.

use jiff::{ToSpan, civil::Date};
use serde_json::Value;

/// The value that a cell of the data files stands for.
pub(super) fn parse_cell(kind: &str, cell: &str, today: Date) -> Value {
    match kind {
        "boolean" | "integer" | "many2many" | "many2one" | "many2one_reference" => {
            serde_json::from_str(cell).unwrap_or_default()
        }
        "date" | "datetime" => parse_date(cell, today).into(),
        // The parser of serde_json may miss the nearest number.
        "float" | "monetary" => cell.parse::<f64>().map_or(Value::Null, Value::from),
        _ => cell
            .replace("\\n", "\n")
            .replace("{year}", &today.year().to_string())
            .into(),
    }
}

/// The date that `today`, `today-3` or `today+10 16:00:00` stands for.
pub(super) fn parse_date(cell: &str, today: Date) -> String {
    let (day, time) = cell.split_at(cell.find(' ').unwrap_or(cell.len()));
    let offset = day.strip_prefix("today").and_then(|days| days.parse().ok());
    let date = today.checked_add(offset.unwrap_or(0_i32).days());
    format!("{}{time}", date.unwrap_or(today))
}
