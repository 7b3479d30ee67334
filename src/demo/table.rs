//! A model and its records.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A model: what it is called, its fields, its records.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) model: &'static str,
    pub(super) label: &'static str,
    /// Who may read it.
    pub(super) open_to: Group,
    pub(super) fields: BTreeMap<&'static str, Field>,
    pub(super) rows: BTreeMap<u32, Map<String, Value>>,
    /// Odoo's `_order`.
    pub(super) order: &'static str,
}

/// A field, as one line of `models.rs` writes it.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) kind: &'static str,
    pub(super) label: &'static str,
    pub(super) relation: Option<&'static str>,
    pub(super) choices: Vec<(&'static str, &'static str)>,
    pub(super) required: bool,
    pub(super) stored: bool,
    /// The field that it shows, as Odoo says it of those of a parent.
    pub(super) shows: Option<&'static str>,
    /// Only who has this group sees the field.
    pub(super) group: Option<Group>,
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
    pub(super) fn display_name(&self, row: &Map<String, Value>) -> String {
        ["complete_name", "name"]
            .iter()
            .find_map(|field| row.get(*field).and_then(Value::as_str))
            .map_or_else(
                || format!("{},{}", self.model, row.get("id").unwrap_or(&Value::Null)),
                str::to_owned,
            )
    }
}

/// The value of a field, `false` when it is not set.
pub(super) fn value<'a>(row: &'a Map<String, Value>, field: &str) -> &'a Value {
    row.get(field).unwrap_or(&Value::Bool(false))
}
