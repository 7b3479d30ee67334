//! The names of the records that values link to.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::RecordSnapshot;
use gatepost_base::text::one_line;
use gatepost_odoo::{ModelName, RecordId, Schema};

const NAME_CHARS: usize = 160;

/// The records that values link to: their names, and the values of those that are
/// lines of a list, as far as they were read.
#[derive(Clone, Debug, Default)]
pub struct DisplayNames {
    names: BTreeMap<(ModelName, RecordId), String>,
    lines: BTreeMap<ModelName, RecordSnapshot>,
    schemas: BTreeMap<ModelName, Schema>,
}

impl DisplayNames {
    /// No names.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of a record.
    pub fn get(&self, record: &(ModelName, RecordId)) -> Option<&String> {
        self.names.get(record)
    }

    /// A record by its name, if that is known, and its id: `Azure [14]`.
    pub fn label(&self, model: &ModelName, id: RecordId) -> String {
        match self.get(&(model.clone(), id)) {
            Some(name) if !name.is_empty() => format!("{} [{id}]", one_line(name, NAME_CHARS)),
            Some(_) | None => format!("[{id}]"),
        }
    }

    /// Adds the name of a record.
    pub fn insert(&mut self, record: (ModelName, RecordId), name: String) {
        self.names.insert(record, name);
    }

    /// Adds the names of records of a model.
    pub(crate) fn add_names(&mut self, model: &ModelName, records: &RecordSnapshot) {
        let ids = records.rows().map(|(id, _)| id);
        self.names
            .extend(ids.map(|id| ((model.clone(), id), records.name(id).to_owned())));
    }

    /// The values of a record in a list.
    pub fn line_values(&self, model: &ModelName, id: RecordId) -> Option<&Map<String, Value>> {
        self.lines.get(model)?.row(id)
    }

    /// The fields of a model whose records are lines of a list.
    pub fn schema(&self, model: &ModelName) -> Option<&Schema> {
        self.schemas.get(model)
    }

    /// The records that were read, as JSON.
    pub fn lines_to_json(&self) -> Value {
        let lines = self.lines.iter();
        Value::Object(
            lines
                .map(|(model, records)| (model.as_str().to_owned(), records.to_json()))
                .collect(),
        )
    }

    /// The records that were read, by their models.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&ModelName, &RecordSnapshot)> {
        self.lines.iter()
    }

    /// Adds the fields of models.
    pub(crate) fn add_schemas(&mut self, schemas: BTreeMap<ModelName, Schema>) {
        self.schemas.extend(schemas);
    }

    /// Adds records of a model.
    pub(crate) fn add_lines(&mut self, model: &ModelName, lines: RecordSnapshot) {
        self.lines.entry(model.clone()).or_default().merge(lines);
    }
}
