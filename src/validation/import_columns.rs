//! Validates the columns of an import against the model's fields.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::values::writable_field;
use crate::access::{OdooSession, OperationError};
use gatepost_odoo::{
    CellMeaning, Column, Field, FieldKind, FieldName, Load, ModelName, Operation, Schema, cell_at,
    format_row_ranges,
};

/// Errors that are shown.
const MAX_ERRORS: usize = 20;

/// Validates an import against the fields that the caller can see. Errors in cells
/// that Odoo reports by itself are left to Odoo. Returns whether Odoo has to look
/// up links by their names.
///
/// # Errors
/// [`OperationError::InvalidArgument`] with all errors.
pub async fn validate_import(
    access: &OdooSession<'_>,
    model: &ModelName,
    load: &Load,
) -> Result<bool, OperationError> {
    let schema = access.schema(model).await?;
    let operation = if load.only_updates() {
        Operation::Write
    } else {
        Operation::Create
    };
    let mut by_name = false;
    let mut errors = Vec::new();
    for (at, column) in load.columns().iter().enumerate() {
        let suggest = errors.len() < MAX_ERRORS;
        match validate_column(access, (model, &schema), column, operation, suggest).await? {
            Ok(Some(kind)) => {
                let links = matches!(kind, FieldKind::Many2many | FieldKind::Many2one);
                by_name |= links && column.meaning() == CellMeaning::Value;
                errors.extend(non_finite_numbers(load, at, kind));
            }
            Ok(None) => {}
            Err(error) => errors.push(format!("column `{}` {error}", column.as_str())),
        }
    }
    errors.extend(lost_lines(load, &schema));
    if errors.is_empty() {
        return Ok(by_name);
    }
    let count = errors.len();
    errors.truncate(MAX_ERRORS);
    let mut text = format!(
        "nothing was imported, because the table is invalid:\n- {}",
        errors.join("\n- ")
    );
    if count > MAX_ERRORS {
        text.push_str("\n- and more");
    }
    Err(OperationError::InvalidArgument(text))
}

/// The kind of the field that a column is for, if it is for one, or the error of
/// the column.
async fn validate_column(
    access: &OdooSession<'_>,
    (model, schema): (&ModelName, &Schema),
    column: &Column,
    mut operation: Operation,
    suggest: bool,
) -> Result<Result<Option<FieldKind>, String>, OperationError> {
    let mut model = model.clone();
    let mut schema = std::borrow::Cow::Borrowed(schema);
    let mut steps = column.steps();
    while let Some((step, rest)) = steps.split_first() {
        let field = match writable_field(&schema, &model, step.as_str(), operation, suggest) {
            Ok((field, _)) => field.clone(),
            Err(error) => return Ok(Err(error)),
        };
        if field.kind != FieldKind::One2many {
            return Ok(check_last_step(&field, rest.is_empty(), column.meaning()));
        }
        let Some(relation) = &field.relation else {
            return Ok(Err("is a list whose model Odoo does not return".to_owned()));
        };
        if rest.is_empty() && column.meaning() != CellMeaning::DatabaseId {
            return Ok(Err(format!(
                "is a list of lines, which Odoo would look up by their names; write the fields of new lines as `{step}/name`, and existing lines as `{step}/.id`"
            )));
        }
        schema = std::borrow::Cow::Owned(access.schema(relation).await?);
        model = relation.clone();
        // Lines may be new even if the record is not.
        operation = Operation::Create;
        steps = rest;
    }
    Ok(Ok(None))
}

fn check_last_step(
    field: &Field,
    last: bool,
    meaning: CellMeaning,
) -> Result<Option<FieldKind>, String> {
    let name = &field.name;
    let links = matches!(field.kind, FieldKind::Many2many | FieldKind::Many2one);
    match (links, last, meaning) {
        (true, false, _) => Err(format!(
            "goes through a link; change the linked record by an import of its own, and name it in `{name}/.id`, `{name}/id` or `{name}`"
        )),
        (false, false, _) | (false, true, CellMeaning::DatabaseId | CellMeaning::ExternalId) => {
            Err(format!("continues after `{name}`, which is a plain value"))
        }
        (true, true, _) => Ok(Some(field.kind)),
        (false, true, CellMeaning::Value) if field.kind.is_properties() => {
            Err("has properties, which cannot be imported here; use update_records".to_owned())
        }
        (false, true, CellMeaning::Value) => Ok(Some(field.kind)),
    }
}

/// Records that would lose their lines: if all cells in the columns of lines are
/// empty, Odoo deletes the lines of the record.
fn lost_lines(load: &Load, schema: &Schema) -> Vec<String> {
    let Some((key, _)) = load.key_column() else {
        return Vec::new();
    };
    let begins: BTreeSet<usize> = load.record_start_rows(schema).into_iter().collect();
    let mut lists: BTreeMap<&FieldName, Vec<usize>> = BTreeMap::new();
    for (at, _, list) in load.line_columns(schema) {
        lists.entry(list).or_default().push(at);
    }
    let mut errors = Vec::new();
    for (name, places) in lists {
        let mut bare: Vec<RangeInclusive<usize>> = Vec::new();
        let mut current: Option<RangeInclusive<usize>> = None;
        for (index, row) in load.rows().iter().enumerate() {
            if begins.contains(&index) {
                bare.extend(current.take());
                if !cell_at(row, key).is_empty() {
                    current = Some(index..=index);
                }
            }
            if places.iter().any(|at| !cell_at(row, *at).is_empty()) {
                current = None;
            }
        }
        bare.extend(current);
        if !bare.is_empty() {
            errors.push(format!(
                "{} may update a record and have no cell in the columns of `{name}`: Odoo would delete all lines that the record has; import such records without these columns",
                format_row_ranges(&bare)
            ));
        }
    }
    errors
}

/// Cells that Python parses as a number but JSON cannot represent, such as `nan`:
/// Odoo would store them, and could not return them any more.
fn non_finite_numbers(load: &Load, at: usize, kind: FieldKind) -> Option<String> {
    if !matches!(kind, FieldKind::Float | FieldKind::Monetary) {
        return None;
    }
    let rows = load.rows().iter().enumerate();
    let invalid_rows = rows.filter(|(_, row)| {
        let number = cell_at(row, at).trim().parse::<f64>();
        number.is_ok_and(|number| !number.is_finite())
    });
    let invalid_rows: Vec<RangeInclusive<usize>> =
        invalid_rows.map(|(index, _)| index..=index).collect();
    let column = load.columns().get(at)?;
    (!invalid_rows.is_empty()).then(|| {
        format!(
            "{} have no finite number in `{}`; write digits, such as 12.5",
            format_row_ranges(&invalid_rows),
            column.as_str()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::lost_lines;
    use gatepost_odoo::{Load, Schema};

    #[test]
    fn import_row_that_would_delete_all_lines_is_reported() {
        let schema = Schema::parse(
            br#"{"name":{"type":"char"},"line_ids":{"type":"one2many","relation":"x.line"}}"#,
        )
        .unwrap();
        let errors_of = |columns: &[&str], rows: &[&[&str]]| {
            let text =
                |cells: &[&str]| -> Vec<String> { cells.iter().map(ToString::to_string).collect() };
            let load =
                Load::new(&text(columns), rows.iter().map(|row| text(row)).collect()).unwrap();
            lost_lines(&load, &schema).join("; ")
        };
        let columns = ["id", "name", "line_ids/name", "line_ids/qty"];
        let lost = errors_of(
            &columns,
            &[
                &["a", "A", "", ""],
                &["b", "B", "", "1"],
                &["", "", "y", ""],
                &["", "C", "", ""],
                &["d", "D", "", ""],
            ],
        );
        insta::assert_snapshot!(lost, @"rows 1, 5 may update a record and have no cell in the columns of `line_ids`: Odoo would delete all lines that the record has; import such records without these columns");
        assert_eq!(errors_of(&columns, &[&["b", "B", "x", ""]]), "");
        assert_eq!(errors_of(&["name", "line_ids/name"], &[&["A", ""]]), "");
        assert_eq!(errors_of(&["id", "name"], &[&["a", "A"]]), "");
    }
}
