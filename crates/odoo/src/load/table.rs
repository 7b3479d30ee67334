//! A table of records to create or update.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    CellMeaning, Column, InvalidLoad, cell_at,
    column::{parse_ids, record_starts, split_line_columns},
    dry_run::DryRun,
    invalid::{MAX_BYTES, MAX_CELL_BYTES, MAX_COLUMNS},
};
use crate::{FieldKind, FieldName, Schema};
use gatepost_base::text::first_chars;

/// How many characters of an invalid cell or column an error shows.
const MAX_SHOWN_CHARS: usize = 60;
/// The maximum length of an external id.
const MAX_EXTERNAL_ID: usize = 200;

/// The modules whose external ids an import may assign: Odoo's default, and that of
/// Odoo's exports.
///
/// A real module owns its ids: its next upgrade deletes records that it does not
/// know, and `base.main_company` would change the company itself.
const OWN_MODULES: [&str; 2] = [IMPORT_MODULE, "__export__"];
/// Odoo's default module for an external id.
const IMPORT_MODULE: &str = "__import__";

/// A table of records to create or update (Odoo 19, `BaseModel.load`).
///
/// Every row has a cell for each column, no two columns set the same field,
/// external ids belong to no real module, and no two rows name the same record.
#[derive(Clone, PartialEq, Debug)]
pub struct Load {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<String>>,
    /// The marks of a dry run, if it is one.
    pub(super) dry_run: Option<DryRun>,
}

impl Load {
    /// The table of these columns and rows.
    ///
    /// # Errors
    /// [`InvalidLoad`] with the first problem.
    pub fn new(columns: &[String], rows: Vec<Vec<String>>) -> Result<Self, InvalidLoad> {
        if !(1..=MAX_COLUMNS).contains(&columns.len()) {
            return Err(InvalidLoad::Columns(columns.len()));
        }
        let columns: Vec<Column> = columns
            .iter()
            .map(|text| {
                Column::parse(text)
                    .ok_or_else(|| InvalidLoad::Column(first_chars(text, MAX_SHOWN_CHARS)))
            })
            .collect::<Result<_, _>>()?;
        let mut seen = BTreeSet::new();
        if let Some(twice) = columns.iter().find(|column| !seen.insert(&column.steps)) {
            return Err(InvalidLoad::DuplicateColumn(twice.text.clone()));
        }
        let load = Self {
            columns,
            rows,
            dry_run: None,
        };
        load.check()?;
        Ok(load)
    }

    fn check(&self) -> Result<(), InvalidLoad> {
        let mut bytes = 0_usize;
        let mut named: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (index, cells) in self.rows.iter().enumerate() {
            let row = index + 1;
            if cells.len() != self.columns.len() {
                return Err(InvalidLoad::Width {
                    row,
                    cells: cells.len(),
                    columns: self.columns.len(),
                });
            }
            for (column, cell) in self.columns.iter().zip(cells) {
                bytes += cell.len();
                if cell.len() > MAX_CELL_BYTES {
                    let column = column.text.clone();
                    return Err(InvalidLoad::Cell { row, column });
                }
                if cell.contains('\0') {
                    let column = column.text.clone();
                    return Err(InvalidLoad::Nul { row, column });
                }
                check_cell(column, cell, row)?;
                if column.steps.is_empty()
                    && !cell.is_empty()
                    && let Some(first) = named.insert(record_key(column, cell), row)
                {
                    return Err(InvalidLoad::DuplicateRecord {
                        first,
                        second: row,
                        value: first_chars(cell, MAX_SHOWN_CHARS),
                    });
                }
            }
        }
        if bytes > MAX_BYTES {
            return Err(InvalidLoad::Size);
        }
        Ok(())
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The rows, with a cell for each column.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// The column that names the records themselves, with its position.
    pub fn key_column(&self) -> Option<(usize, &Column)> {
        let mut columns = self.columns.iter().enumerate();
        columns.find(|(_, column)| column.steps.is_empty())
    }

    /// The columns of lines, each with its position and the list that it is in.
    pub fn line_columns<'l>(
        &'l self,
        schema: &'l Schema,
    ) -> impl Iterator<Item = (usize, &'l Column, &'l FieldName)> {
        self.columns.iter().enumerate().filter_map(|(at, column)| {
            let list = column.steps.first()?;
            let field = schema.field(list.as_str())?;
            (field.kind == FieldKind::One2many).then_some((at, column, list))
        })
    }

    /// Whether every row names a record by its database id, so that none is created.
    pub fn only_updates(&self) -> bool {
        self.key_column().is_some_and(|(at, column)| {
            column.meaning == CellMeaning::DatabaseId
                && self.rows.iter().all(|row| !cell_at(row, at).is_empty())
        })
    }

    /// The external ids of its records, as module and name.
    pub fn external_ids(&self) -> Vec<(String, String)> {
        let key = self.key_column();
        let Some((at, _)) = key.filter(|(_, column)| column.meaning == CellMeaning::ExternalId)
        else {
            return Vec::new();
        };
        let cells = self.rows.iter().map(|row| cell_at(row, at));
        cells
            .filter(|cell| !cell.is_empty())
            .map(Self::external_id)
            .collect()
    }

    /// The external id in a cell, as module and name.
    pub fn external_id(cell: &str) -> (String, String) {
        let (module, name) = cell.split_once('.').unwrap_or((IMPORT_MODULE, cell));
        (module.to_owned(), name.to_owned())
    }

    /// The rows at which records of the table begin, from 0.
    pub fn record_start_rows(&self, schema: &Schema) -> Vec<usize> {
        let (lines, others) =
            split_line_columns(self.columns.iter().map(Column::steps).enumerate(), schema);
        let rows: Vec<&[String]> = self.rows.iter().map(Vec::as_slice).collect();
        record_starts(&rows, &lines, &others)
    }
}

/// A key that is equal where Odoo sees the same record: `07` is 7, and a name without
/// a module is in the default one.
fn record_key(column: &Column, cell: &str) -> (String, String) {
    match (column.meaning, parse_ids(cell).as_deref()) {
        (CellMeaning::DatabaseId, Some([id])) => (String::new(), id.to_string()),
        (CellMeaning::DatabaseId | CellMeaning::ExternalId | CellMeaning::Value, _) => {
            Load::external_id(cell)
        }
    }
}

fn check_cell(column: &Column, cell: &str, row: usize) -> Result<(), InvalidLoad> {
    if cell.is_empty() {
        return Ok(());
    }
    match column.meaning {
        CellMeaning::Value => Ok(()),
        CellMeaning::DatabaseId => {
            let ids = parse_ids(cell);
            let right = ids.is_some_and(|ids| !column.steps.is_empty() || ids.len() == 1);
            right.then_some(()).ok_or_else(|| InvalidLoad::DatabaseId {
                row,
                column: column.text.clone(),
                value: first_chars(cell, MAX_SHOWN_CHARS),
            })
        }
        // Odoo looks up the external id of a link and never creates one.
        CellMeaning::ExternalId if !column.steps.is_empty() => Ok(()),
        CellMeaning::ExternalId => {
            let name = match cell.split_once('.') {
                Some((module, name)) => OWN_MODULES.contains(&module).then_some(name),
                None => Some(cell),
            };
            name.filter(|name| {
                (1..=MAX_EXTERNAL_ID).contains(&name.len())
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
            })
            .map(|_| ())
            .ok_or_else(|| InvalidLoad::ExternalId {
                row,
                value: first_chars(cell, MAX_SHOWN_CHARS),
            })
        }
    }
}
