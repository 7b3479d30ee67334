//! A model and its records.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

/// The values of one record, by field.
pub(super) type Row = Map<String, Value>;

/// A model: what it is called, its fields, its records.
///
/// Cheap to clone: what a transaction does not change is shared.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) model: &'static str,
    pub(super) label: &'static str,
    /// Who may read it.
    pub(super) read_group: Group,
    pub(super) fields: Arc<BTreeMap<&'static str, Field>>,
    pub(super) rows: BTreeMap<u32, Arc<Row>>,
    /// Odoo's `_order`.
    pub(super) order: &'static str,
    /// The largest id that was ever given away.
    pub(super) last_id: u32,
}

/// A field, as one line of `models.rs` writes it.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) kind: &'static str,
    pub(super) label: &'static str,
    pub(super) relation: Option<&'static str>,
    /// Of a one2many: the field that points back.
    pub(super) inverse: Option<&'static str>,
    pub(super) choices: Vec<(&'static str, &'static str)>,
    /// Of a float: how many decimals it keeps.
    pub(super) decimals: Option<u8>,
    pub(super) required: bool,
    /// Whether its value is kept. What is not is computed on reading, and a
    /// write to it is ignored without a word.
    pub(super) stored: bool,
    /// What Odoo says of it. It does not keep anybody from writing.
    pub(super) readonly: bool,
    /// Whether a copy of the record takes it along.
    pub(super) copied: bool,
    /// Whether the record it points to must be of the same company.
    pub(super) check_company: bool,
    pub(super) on_delete: OnDelete,
    /// The field that it shows, as Odoo says it of those of a parent.
    pub(super) related: Option<&'static str>,
    /// Only who has this group sees the field.
    pub(super) group: Option<Group>,
}

/// What happens to a record when the one it points to is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OnDelete {
    /// It is deleted too.
    Cascade,
    /// The other cannot be deleted.
    Restrict,
    /// It points nowhere from then on.
    SetNull,
}

/// Groups of users, each with all rights of those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Group {
    /// Everybody who works here.
    Internal,
    /// Sales: their own documents.
    Sales,
    /// Everything.
    Admin,
}

impl Table {
    /// What people call a record.
    pub(super) fn display_name(&self, row: &Row) -> String {
        ["complete_name", "name", "subject"]
            .iter()
            .find_map(|field| row.get(*field).and_then(Value::as_str))
            .map_or_else(
                || format!("{},{}", self.model, row.get("id").unwrap_or(&Value::Null)),
                str::to_owned,
            )
    }

    /// The record as it is.
    pub(super) fn row(&self, id: u32) -> Option<&Row> {
        self.rows.get(&id).map(Arc::as_ref)
    }
}

impl Field {
    /// Whether it holds several records.
    pub(super) fn is_x2many(&self) -> bool {
        self.kind.ends_with("2many")
    }
}

/// The value of a field, `false` when it is not set.
pub(super) fn value<'a>(row: &'a Row, field: &str) -> &'a Value {
    row.get(field).unwrap_or(&Value::Bool(false))
}

/// The text of a field, empty when it is not set.
pub(super) fn text<'a>(row: &'a Row, field: &str) -> &'a str {
    value(row, field).as_str().unwrap_or_default()
}

/// The number of a field, zero when it is not set.
pub(super) fn number(row: &Row, field: &str) -> f64 {
    value(row, field).as_f64().unwrap_or_default()
}

/// The record that a field points to.
pub(super) fn link(row: &Row, field: &str) -> Option<u32> {
    value(row, field)
        .as_u64()
        .and_then(|id| u32::try_from(id).ok())
        .filter(|id| *id > 0)
}
