//! Imports: Odoo's `load`.

use serde_json::{Value, json};

use super::{
    call::Call,
    cast::truthy,
    constraints::bare,
    load_cell::{self, Unfit, external},
    refusal::Refusal,
    table::{Row, Table, link, text},
    transaction::Transaction,
};

/// Errors after which it looks no further.
const ENOUGH: usize = 10;

/// `load` (`odoo/orm/models.py`): creates and writes records by external id.
///
/// Errors are part of the answer, and then nothing is kept.
pub(super) fn load(transaction: &mut Transaction<'_>, call: &Call<'_>) -> Result<Value, Refusal> {
    let columns: Vec<Vec<&str>> = call
        .argument("fields")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|name| name.as_str().unwrap_or_default().split('/').collect())
        .collect();
    for column in &columns {
        known(transaction, call.table, column)?;
    }
    let empty = Vec::new();
    let rows: Vec<Cells<'_>> = call
        .argument("data")
        .and_then(Value::as_array)
        .unwrap_or(&empty)
        .iter()
        .enumerate()
        .map(|(at, row)| Cells {
            at,
            cells: columns
                .iter()
                .map(Vec::as_slice)
                .zip(row.as_array().into_iter().flatten())
                .collect(),
        })
        .collect();
    let before = transaction.database.clone();
    let mut import = Import {
        transaction,
        messages: Vec::new(),
        errors: 0,
        unread: false,
    };
    let mut ids = Vec::new();
    for (at, record) in records(call.table, rows).into_iter().enumerate() {
        if let Some(id) = import.record(call.table, at, &record)? {
            ids.push(id);
        }
        if import.errors >= ENOUGH {
            import.messages.push(json!({"type": "warning", "message": "Found more than 10 errors and more than one error per 10 records, interrupted to avoid showing too many errors."}));
            break;
        }
    }
    let failed = import.errors > 0 || import.unread;
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

/// One row of the data, its cells by their column.
#[derive(Clone)]
struct Cells<'a> {
    at: usize,
    cells: Vec<(&'a [&'a str], &'a Value)>,
}

/// The rows that make one record: cells of its own, and lines below it.
struct Imported<'a> {
    from: usize,
    to: usize,
    own: Vec<(&'a [&'a str], &'a Value)>,
    /// The rows of each one2many field, the field's name taken off.
    lines: Vec<(&'a str, Vec<Cells<'a>>)>,
}

/// Refuses a column that no field has.
fn known(transaction: &Transaction<'_>, table: &Table, column: &[&str]) -> Result<(), Refusal> {
    match column {
        [] | ["id" | ".id"] => Ok(()),
        [name, rest @ ..] => {
            let field = table
                .fields
                .get(name)
                .ok_or_else(|| Refusal::value(format!("Invalid field name '{name}'")))?;
            match field
                .relation
                .and_then(|model| transaction.database.table(model))
            {
                Some(related) => known(transaction, related, rest),
                None => Ok(()),
            }
        }
    }
}

/// Whether a column belongs to lines below the record.
fn is_line(table: &Table, column: &[&str]) -> bool {
    column.len() > 1
        && column
            .first()
            .and_then(|name| table.fields.get(name))
            .is_some_and(|field| field.kind == "one2many")
}

/// Puts rows together: one without cells of its own goes on with the record
/// before.
fn records<'a>(table: &Table, rows: Vec<Cells<'a>>) -> Vec<Imported<'a>> {
    let mut records: Vec<Imported<'a>> = Vec::new();
    for row in rows {
        let (lines, own): (Vec<_>, Vec<_>) = row
            .cells
            .into_iter()
            .partition(|(column, _)| is_line(table, column));
        let goes_on = !lines.is_empty() && own.iter().all(|(_, cell)| !truthy(cell));
        if !goes_on || records.is_empty() {
            records.push(Imported {
                from: row.at,
                to: row.at,
                own,
                lines: Vec::new(),
            });
        }
        let Some(record) = records.last_mut() else {
            continue;
        };
        record.to = row.at;
        let mut below: Vec<(&str, Cells<'a>)> = Vec::new();
        for (column, cell) in lines {
            let Some((name, rest)) = column.split_first() else {
                continue;
            };
            match below.iter_mut().find(|(known, _)| known == name) {
                Some((_, line)) => line.cells.push((rest, cell)),
                None => below.push((
                    name,
                    Cells {
                        at: row.at,
                        cells: vec![(rest, cell)],
                    },
                )),
            }
        }
        for (name, line) in below {
            if line.cells.iter().all(|(_, cell)| !truthy(cell)) {
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

struct Import<'t, 'a> {
    transaction: &'t mut Transaction<'a>,
    messages: Vec<Value>,
    /// Records that could not be kept.
    errors: usize,
    /// Whether a cell could not be read. Its record is tried without it, so that
    /// all that is wrong is told at once.
    unread: bool,
}

impl Import<'_, '_> {
    /// Creates or writes one record, and says which.
    fn record(
        &mut self,
        table: &Table,
        at: usize,
        record: &Imported<'_>,
    ) -> Result<Option<u32>, Refusal> {
        let values = self.values(table, at, record)?;
        let own = |wanted: &str| {
            let cell = record.own.iter().find(|(column, _)| *column == [wanted]);
            cell.map(|(_, cell)| *cell).filter(|cell| truthy(cell))
        };
        let mut id = own(".id");
        let number = id.and_then(|id| text_of(id).parse::<i64>().ok());
        let there = |number: &i64| {
            let number = u32::try_from(*number).ok();
            number
                .is_some_and(|number| self.transaction.database.row(table.model, number).is_some())
        };
        if let Some(number) = number.filter(|number| !there(number)) {
            let text = format!("Unknown database identifier '{number}'");
            let mut message = told(at, record, "error", &text);
            message.insert("field".to_owned(), ".id".into());
            self.messages.push(message.into());
            self.unread = true;
            id = None;
        }
        match self.keep(table, own("id"), id, &values) {
            Ok(id) => Ok(Some(id)),
            Err(refusal) => {
                self.failed(at, record, &refusal);
                Ok(None)
            }
        }
    }

    /// The values of a record, with the lines below it as commands.
    fn values(&mut self, table: &Table, at: usize, record: &Imported<'_>) -> Result<Row, Refusal> {
        let mut values = Row::new();
        for (column, cell) in &record.own {
            let [name, part @ ..] = column else { continue };
            let Some(field) = table.fields.get(name) else {
                continue;
            };
            if *name == "id" {
                continue;
            }
            match load_cell::read(self.transaction, field, part.first().copied(), cell)? {
                Ok(read) => {
                    if let Some(warning) = read.warning {
                        let mut message = told(at, record, "warning", &warning);
                        message.insert("field".to_owned(), (*name).into());
                        self.messages.push(message.into());
                    }
                    values.insert((*name).to_owned(), read.value);
                }
                Err(Unfit { message, moreinfo }) => {
                    let mut message = told(at, record, "error", &message);
                    message.insert("field".to_owned(), (*name).into());
                    if let Some(moreinfo) = moreinfo {
                        message.insert("moreinfo".to_owned(), moreinfo);
                    }
                    message.insert("field_name".to_owned(), field.label.into());
                    self.messages.push(message.into());
                    self.unread = true;
                }
            }
        }
        for (name, lines) in &record.lines {
            let Some(related) = table
                .fields
                .get(name)
                .and_then(|field| self.transaction.database.table(field.relation?))
                .cloned()
            else {
                continue;
            };
            let mut commands = Vec::new();
            for line in records(&related, lines.clone()) {
                let known = self.named(&related, &line);
                let values = self.values(&related, at, &line)?;
                commands.push(match known {
                    Some(id) => json!([1, id, values]),
                    None => json!([0, 0, values]),
                });
            }
            values.insert((*name).to_owned(), commands.into());
        }
        Ok(values)
    }

    /// The record that a line names by its external id or its id.
    fn named(&self, table: &Table, line: &Imported<'_>) -> Option<u32> {
        line.own.iter().find_map(|(column, cell)| match column {
            [".id"] => text_of(cell).parse().ok(),
            ["id"] => {
                let id = text_of(cell);
                let (module, name) = external(&id);
                let (_, data) = self.transaction.database.external(module, name)?;
                (text(data, "model") == table.model).then(|| link(data, "res_id"))?
            }
            _ => None,
        })
    }

    fn keep(
        &mut self,
        table: &Table,
        named: Option<&Value>,
        id: Option<&Value>,
        values: &Row,
    ) -> Result<u32, Refusal> {
        let model = table.model;
        let named = named.map(text_of);
        let mut known = None;
        if let Some(id) = id {
            let id = text_of(id);
            let Ok(number) = id.parse() else {
                return Err(Refusal::not_an_integer(&id));
            };
            known = Some(number);
        }
        let mut told_of = false;
        if let Some(named) = &named {
            let (module, name) = external(named);
            if let Some((at, data)) = self.transaction.database.external(module, name) {
                let of = text(data, "model");
                if of != model {
                    return Err(Refusal::user(format!(
                        "For external id {named} when trying to create/update a record of model {model} found record of different model {of} ({at})"
                    )));
                }
                known = known.or_else(|| link(data, "res_id"));
                told_of = true;
            }
        }
        let id = match known {
            Some(id) => {
                self.transaction.write(model, &[id], values)?;
                id
            }
            None => self.transaction.create(model, values)?,
        };
        if let Some(named) = named.filter(|_| !told_of) {
            let (module, name) = external(&named);
            let data = json!({"module": module, "name": name, "model": model, "res_id": id});
            let data = data.as_object().cloned().unwrap_or_default();
            self.transaction.create_own("ir.model.data", &data)?;
        }
        Ok(id)
    }

    fn failed(&mut self, at: usize, record: &Imported<'_>, refusal: &Refusal) {
        self.errors += 1;
        let message = bare(refusal.message());
        let message = if refusal.is_of_odoo() {
            message.to_owned()
        } else {
            format!("Unknown error during import: {message}")
        };
        let mut told = told(at, record, "error", &message);
        let missing = message.strip_prefix("Missing required value for the field '");
        if let Some((name, _)) = missing
            .and_then(|rest| rest.split_once("' ("))
            .and_then(|(_, rest)| rest.split_once(')'))
        {
            told.insert("field".to_owned(), name.into());
        }
        self.messages.push(told.into());
    }
}

fn told(at: usize, record: &Imported<'_>, kind: &str, message: &str) -> Row {
    let told = json!({
        "rows": {"from": record.from, "to": record.to},
        "type": kind, "record": at, "message": message,
    });
    told.as_object().cloned().unwrap_or_default()
}

fn text_of(cell: &Value) -> String {
    cell.as_str()
        .map_or_else(|| cell.to_string(), |text| text.trim().to_owned())
}
