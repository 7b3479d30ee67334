//! Imports: Odoo's `load`.

use serde_json::{Value, json};

use super::{
    constraints::strip_integrity_prefix,
    error::FakeOdooError,
    invocation::Invocation,
    load_cell::{self, LoadCellError, split_external_id},
    table::{Row, Table, link, row_from_json, text},
    transaction::Transaction,
    value::is_truthy,
};

/// The number of errors after which the import stops.
const MAX_ERRORS: usize = 10;

/// `load` (`odoo/orm/models.py`): creates and writes records by external id.
///
/// Errors are part of the result; any error rolls the import back.
pub(super) fn load(
    transaction: &mut Transaction<'_>,
    call: &Invocation<'_>,
) -> Result<Value, FakeOdooError> {
    let columns: Vec<Vec<&str>> = call
        .argument("fields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|name| name.as_str().unwrap_or_default().split('/').collect())
        .collect();
    for column in &columns {
        check_column(transaction, call.table, column)?;
    }
    let empty = Vec::new();
    let rows: Vec<LoadRow<'_>> = call
        .argument("data")
        .and_then(Value::as_array)
        .unwrap_or(&empty)
        .iter()
        .enumerate()
        .map(|(at, row)| LoadRow {
            row_index: at,
            cells: columns
                .iter()
                .map(Vec::as_slice)
                .zip(row.as_array().into_iter().flatten())
                .collect(),
        })
        .collect();
    let before = transaction.database.clone();
    let mut import = LoadRun {
        transaction,
        messages: Vec::new(),
        errors: 0,
        has_unreadable_cell: false,
    };
    let mut ids = Vec::new();
    for (at, record) in group_rows(call.table, rows).into_iter().enumerate() {
        if let Some(id) = import.load_record(call.table, at, &record)? {
            ids.push(id);
        }
        if import.errors >= MAX_ERRORS {
            import.messages.push(json!({"type": "warning", "message": "Found more than 10 errors and more than one error per 10 records, interrupted to avoid showing too many errors."}));
            break;
        }
    }
    let failed = import.errors > 0 || import.has_unreadable_cell;
    let messages = import.messages;
    if failed {
        transaction.database = before;
    }
    Ok(json!({
        "ids": if failed { json!(false) } else { json!(ids) },
        "messages": messages,
        "nextrow": 0,
    }))
}

/// A row of the data: its cells by column.
#[derive(Clone)]
struct LoadRow<'a> {
    row_index: usize,
    cells: Vec<(&'a [&'a str], &'a Value)>,
}

/// The rows of one record: its own cells, and lines below it.
struct LoadRecord<'a> {
    first_row: usize,
    last_row: usize,
    own_cells: Vec<(&'a [&'a str], &'a Value)>,
    /// The rows of each one2many field, without the field's name.
    lines: Vec<(&'a str, Vec<LoadRow<'a>>)>,
}

/// Rejects a column that is not a field.
fn check_column(
    transaction: &Transaction<'_>,
    table: &Table,
    column: &[&str],
) -> Result<(), FakeOdooError> {
    match column {
        [] | ["id" | ".id"] => Ok(()),
        [name, rest @ ..] => {
            let field = table.fields.get(name).ok_or_else(|| {
                FakeOdooError::value_error(format!("Invalid field name '{name}'"))
            })?;
            match transaction.database.related(field) {
                Some(related) => check_column(transaction, related, rest),
                None => Ok(()),
            }
        }
    }
}

/// Whether a column belongs to a line below the record.
fn is_line_column(table: &Table, column: &[&str]) -> bool {
    column.len() > 1
        && column
            .first()
            .and_then(|name| table.fields.get(name))
            .is_some_and(|field| field.kind == "one2many")
}

/// Groups rows into records: a row without own cells continues the record before
/// it.
fn group_rows<'a>(table: &Table, rows: Vec<LoadRow<'a>>) -> Vec<LoadRecord<'a>> {
    let mut records: Vec<LoadRecord<'a>> = Vec::new();
    for row in rows {
        let (lines, own): (Vec<_>, Vec<_>) = row
            .cells
            .into_iter()
            .partition(|(column, _)| is_line_column(table, column));
        let continues = !lines.is_empty() && own.iter().all(|(_, cell)| !is_truthy(cell));
        if !continues || records.is_empty() {
            records.push(LoadRecord {
                first_row: row.row_index,
                last_row: row.row_index,
                own_cells: own,
                lines: Vec::new(),
            });
        }
        let Some(record) = records.last_mut() else {
            continue;
        };
        record.last_row = row.row_index;
        let mut below: Vec<(&str, LoadRow<'a>)> = Vec::new();
        for (column, cell) in lines {
            let Some((name, rest)) = column.split_first() else {
                continue;
            };
            match below.iter_mut().find(|(known, _)| known == name) {
                Some((_, line)) => line.cells.push((rest, cell)),
                None => below.push((
                    name,
                    LoadRow {
                        row_index: row.row_index,
                        cells: vec![(rest, cell)],
                    },
                )),
            }
        }
        for (name, line) in below {
            if line.cells.iter().all(|(_, cell)| !is_truthy(cell)) {
                continue;
            }
            match record.lines.iter_mut().find(|(known, _)| *known == name) {
                Some((_, lines)) => lines.push(line),
                None => record.lines.push((name, vec![line])),
            }
        }
    }
    records
}

struct LoadRun<'t, 'a> {
    transaction: &'t mut Transaction<'a>,
    messages: Vec<Value>,
    /// The number of records that could not be saved.
    errors: usize,
    /// Whether a cell could not be read. Its record is still tried without it, so
    /// that all errors are reported at once.
    has_unreadable_cell: bool,
}

impl LoadRun<'_, '_> {
    /// Creates or writes one record; returns its id.
    fn load_record(
        &mut self,
        table: &Table,
        at: usize,
        record: &LoadRecord<'_>,
    ) -> Result<Option<u32>, FakeOdooError> {
        let values = self.record_values(table, at, record)?;
        let own = |wanted: &str| {
            let cell = record
                .own_cells
                .iter()
                .find(|(column, _)| *column == [wanted]);
            cell.map(|(_, cell)| *cell).filter(|cell| is_truthy(cell))
        };
        let mut id = own(".id");
        let number = id.and_then(|id| cell_text(id).parse::<i64>().ok());
        let exists = |number: &i64| {
            let number = u32::try_from(*number).ok();
            number
                .is_some_and(|number| self.transaction.database.row(table.model, number).is_some())
        };
        if let Some(number) = number.filter(|number| !exists(number)) {
            let text = format!("Unknown database identifier '{number}'");
            let mut message = load_message(at, record, "error", &text);
            message.insert("field".to_owned(), ".id".into());
            self.messages.push(message.into());
            self.has_unreadable_cell = true;
            id = None;
        }
        match self.save_record(table, own("id"), id, &values) {
            Ok(id) => Ok(Some(id)),
            Err(error) => {
                self.report_error(at, record, &error);
                Ok(None)
            }
        }
    }

    /// The values of a record, with its lines as x2many commands.
    fn record_values(
        &mut self,
        table: &Table,
        at: usize,
        record: &LoadRecord<'_>,
    ) -> Result<Row, FakeOdooError> {
        let mut values = Row::new();
        for (column, cell) in &record.own_cells {
            let [name, part @ ..] = column else { continue };
            let Some(field) = table.fields.get(name) else {
                continue;
            };
            if *name == "id" {
                continue;
            }
            match load_cell::read_cell(self.transaction, field, part.first().copied(), cell)? {
                Ok(read) => {
                    if let Some(warning) = read.warning {
                        let mut message = load_message(at, record, "warning", &warning);
                        message.insert("field".to_owned(), (*name).into());
                        self.messages.push(message.into());
                    }
                    values.insert((*name).to_owned(), read.value);
                }
                Err(LoadCellError { message, moreinfo }) => {
                    let mut message = load_message(at, record, "error", &message);
                    message.insert("field".to_owned(), (*name).into());
                    if let Some(moreinfo) = moreinfo {
                        message.insert("moreinfo".to_owned(), moreinfo);
                    }
                    message.insert("field_name".to_owned(), field.label.into());
                    self.messages.push(message.into());
                    self.has_unreadable_cell = true;
                }
            }
        }
        for (name, lines) in &record.lines {
            let Some(related) = table
                .fields
                .get(name)
                .and_then(|field| self.transaction.database.related(field))
                .cloned()
            else {
                continue;
            };
            let mut commands = Vec::new();
            for line in group_rows(&related, lines.clone()) {
                let known = self.find_line_record(&related, &line);
                let values = self.record_values(&related, at, &line)?;
                commands.push(match known {
                    Some(id) => json!([1, id, values]),
                    None => json!([0, 0, values]),
                });
            }
            values.insert((*name).to_owned(), commands.into());
        }
        Ok(values)
    }

    /// The record that a line identifies by external id or id.
    fn find_line_record(&self, table: &Table, line: &LoadRecord<'_>) -> Option<u32> {
        line.own_cells
            .iter()
            .find_map(|(column, cell)| match column {
                [".id"] => cell_text(cell).parse().ok(),
                ["id"] => {
                    let id = cell_text(cell);
                    let (module, name) = split_external_id(&id);
                    let (_, data) = self.transaction.database.find_external_id(module, name)?;
                    (text(data, "model") == table.model).then(|| link(data, "res_id"))?
                }
                _ => None,
            })
    }

    fn save_record(
        &mut self,
        table: &Table,
        named: Option<&Value>,
        id: Option<&Value>,
        values: &Row,
    ) -> Result<u32, FakeOdooError> {
        let model = table.model;
        let named = named.map(cell_text);
        let mut known = None;
        if let Some(id) = id {
            let id = cell_text(id);
            let Ok(number) = id.parse() else {
                return Err(FakeOdooError::invalid_integer(&id));
            };
            known = Some(number);
        }
        let mut is_registered = false;
        if let Some(named) = &named {
            let (module, name) = split_external_id(named);
            if let Some((at, data)) = self.transaction.database.find_external_id(module, name) {
                let of = text(data, "model");
                if of != model {
                    return Err(FakeOdooError::user_error(format!(
                        "For external id {named} when trying to create/update a record of model {model} found record of different model {of} ({at})"
                    )));
                }
                known = known.or_else(|| link(data, "res_id"));
                is_registered = true;
            }
        }
        let id = match known {
            Some(id) => {
                self.transaction.write(model, &[id], values)?;
                id
            }
            None => self.transaction.create(model, values)?,
        };
        if let Some(named) = named.filter(|_| !is_registered) {
            let (module, name) = split_external_id(&named);
            let data = json!({"module": module, "name": name, "model": model, "res_id": id});
            self.transaction
                .create_as_superuser("ir.model.data", &row_from_json(data))?;
        }
        Ok(id)
    }

    fn report_error(&mut self, at: usize, record: &LoadRecord<'_>, error: &FakeOdooError) {
        self.errors += 1;
        let message = strip_integrity_prefix(error.message());
        let message = if error.is_odoo_exception() {
            message.to_owned()
        } else {
            format!("Unknown error during import: {message}")
        };
        let mut report = load_message(at, record, "error", &message);
        let missing = message.strip_prefix("Missing required value for the field '");
        if let Some((name, _)) = missing
            .and_then(|rest| rest.split_once("' ("))
            .and_then(|(_, rest)| rest.split_once(')'))
        {
            report.insert("field".to_owned(), name.into());
        }
        self.messages.push(report.into());
    }
}

fn load_message(at: usize, record: &LoadRecord<'_>, kind: &str, message: &str) -> Row {
    row_from_json(json!({
        "rows": {"from": record.first_row, "to": record.last_row},
        "type": kind, "record": at, "message": message,
    }))
}

fn cell_text(cell: &Value) -> String {
    cell.as_str()
        .map_or_else(|| cell.to_string(), |text| text.trim().to_owned())
}
