//! The columns of an import.

use super::super::{FieldKind, FieldName, RecordId, Schema};

/// The maximum number of steps in one column: lines of lines of lines.
const MAX_STEPS: usize = 6;

/// A column of a table, such as `name`, `country_id/id`, `order_line/product_id/.id`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Column {
    pub(super) text: Box<str>,
    pub(super) steps: Vec<FieldName>,
    pub(super) meaning: CellMeaning,
}

/// What the cells of a column contain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CellMeaning {
    /// The database id of a record (`.id`).
    DatabaseId,
    /// The external id of a record (`id`).
    ExternalId,
    /// A value, or the name of a record.
    Value,
}

impl Column {
    /// Its path from field to field; empty for `id` and `.id` of the record itself.
    pub fn steps(&self) -> &[FieldName] {
        &self.steps
    }

    /// What its cells contain.
    pub fn meaning(&self) -> CellMeaning {
        self.meaning
    }

    /// The column as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    // Odoo also reads `a.id` and `a:id` as paths; Gatepost rejects those.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut parts: Vec<&str> = text.split('/').collect();
        let meaning = match parts.last() {
            Some(&".id") => CellMeaning::DatabaseId,
            Some(&"id") => CellMeaning::ExternalId,
            Some(_) | None => CellMeaning::Value,
        };
        if meaning != CellMeaning::Value {
            parts.pop();
        }
        let steps: Vec<FieldName> = parts
            .iter()
            .map(|part| FieldName::try_from(*part).ok().filter(|_| *part != "id"))
            .collect::<Option<_>>()?;
        (steps.len() <= MAX_STEPS).then(|| Self {
            text: text.into(),
            steps,
            meaning,
        })
    }
}

/// The columns of lines, and the others.
pub fn split_line_columns<'c>(
    columns: impl Iterator<Item = (usize, &'c [FieldName])>,
    schema: &Schema,
) -> (Vec<usize>, Vec<usize>) {
    let (lines, others): (Vec<_>, Vec<_>) = columns.partition(|(_, steps)| {
        steps
            .first()
            .and_then(|step| schema.field(step.as_str()))
            .is_some_and(|field| field.kind == FieldKind::One2many)
    });
    let places = |columns: Vec<(usize, &[FieldName])>| columns.iter().map(|(at, _)| *at).collect();
    (places(lines), places(others))
}

/// The rows at which records begin (Odoo 19, `_extract_records`): a row that has
/// only cells of lines continues the record before it.
pub fn record_starts(rows: &[&[String]], lines: &[usize], others: &[usize]) -> Vec<usize> {
    let has_text =
        |row: &[String], places: &[usize]| places.iter().any(|at| !cell_at(row, *at).is_empty());
    (0..rows.len())
        .filter(|index| {
            let row = rows.get(*index).copied().unwrap_or_default();
            *index == 0 || !has_text(row, lines) || has_text(row, others)
        })
        .collect()
}

/// A cell, or an empty text where the row has none.
pub fn cell_at(row: &[String], at: usize) -> &str {
    row.get(at).map_or("", String::as_str)
}

/// The database ids in a cell, or `None` if it holds anything else.
pub fn parse_ids(cell: &str) -> Option<Vec<RecordId>> {
    cell.split(',')
        .map(|text| {
            let text = text.trim_matches(' ');
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| text.parse::<i64>().ok()).flatten()?;
            RecordId::try_from(number).ok()
        })
        .collect()
}
