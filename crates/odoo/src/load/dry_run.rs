//! An import that Odoo checks and rolls back, and the arguments of any import.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{CellMeaning, Load};
use crate::Schema;

/// Where a dry run makes the table invalid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DryRun {
    /// The rows at which records begin, from 0.
    record_start_rows: Vec<usize>,
    /// Whether the model has the field of [`INVALID_TIME`].
    has_create_date: bool,
}

/// A column that no client may write, and a value that is not a time.
const INVALID_TIME: (&str, &str) = ("create_date", "never");

/// A database id that no record has.
const INVALID_ID: (&str, &str) = (".id", "-1");

impl Load {
    /// The same table as a dry run, which Odoo rolls back; `None` for a model where
    /// that is not certain.
    ///
    /// JSON/2 has no dry run, but Odoo rolls back an import in which one cell is
    /// invalid. So each record gets an invalid time, and the first one a database id
    /// that no record has. Odoo reports such a cell as an error and omits it from the
    /// values, so everything else runs as in the real import (`BaseModel.load`,
    /// `_convert_records`).
    pub fn into_dry_run(self, schema: &Schema) -> Option<Self> {
        let dry_run = DryRun {
            record_start_rows: self.record_start_rows(schema),
            has_create_date: schema.field(INVALID_TIME.0).is_some(),
        };
        if !dry_run.has_create_date && !self.adds_invalid_id() {
            return None;
        }
        let dry_run = Some(dry_run);
        Some(Self { dry_run, ..self })
    }

    /// Whether it is a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.is_some()
    }

    /// Whether an error of Odoo's is about a cell that the dry run made invalid.
    pub(crate) fn is_dry_run_marker(&self, field: &str) -> bool {
        self.is_dry_run()
            && (field == INVALID_TIME.0 || (field == INVALID_ID.0 && self.adds_invalid_id()))
    }

    fn adds_invalid_id(&self) -> bool {
        self.key_column()
            .is_none_or(|(_, column)| column.meaning != CellMeaning::DatabaseId)
    }

    pub(crate) fn arguments(&self) -> Map<String, Value> {
        let mut fields: Vec<Value> = self
            .columns
            .iter()
            .map(|column| Value::from(&*column.text))
            .collect();
        let mut rows: Vec<Vec<Value>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| Value::from(cell.as_str())).collect())
            .collect();
        if let Some(dry_run) = &self.dry_run {
            let begins: BTreeSet<usize> = dry_run.record_start_rows.iter().copied().collect();
            let mut add = |(column, wrong): (&str, &str), at: &dyn Fn(usize) -> bool| {
                fields.push(Value::from(column));
                for (index, row) in rows.iter_mut().enumerate() {
                    row.push(Value::from(if at(index) { wrong } else { "" }));
                }
            };
            if dry_run.has_create_date {
                add(INVALID_TIME, &|index| begins.contains(&index));
            }
            if self.adds_invalid_id() {
                add(INVALID_ID, &|index| index == 0);
            }
        }
        Map::from_iter([
            ("fields".to_owned(), Value::Array(fields)),
            (
                "data".to_owned(),
                rows.into_iter().map(Value::Array).collect(),
            ),
        ])
    }

    /// Its context keys: `import_file` makes Odoo behave as its import screen does (no
    /// invitations to new users, each error with its column), and a dry run sends no
    /// mail at once.
    pub(crate) fn context(&self) -> Map<String, Value> {
        let mut keys = Map::from_iter([("import_file".to_owned(), Value::Bool(true))]);
        if self.is_dry_run() {
            keys.insert("mail_notify_force_send".to_owned(), Value::Bool(false));
        }
        keys
    }
}
