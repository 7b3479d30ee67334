//! What is known of the records that values name.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::RecordSnapshot;
use gatepost_base::text::one_line;
use gatepost_odoo::{ModelName, RecordId, Schema};

const NAME_CHARS: usize = 160;

/// The records that values name: what they are called, and how those are that
/// stand in lists, as far as they were looked at.
#[derive(Clone, Debug, Default)]
pub struct DisplayNames {
    names: BTreeMap<(ModelName, RecordId), String>,
    lines: BTreeMap<ModelName, RecordSnapshot>,
    schemas: BTreeMap<ModelName, Schema>,
}

impl DisplayNames {
    /// Nothing is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a record is called.
    pub fn get(&self, record: &(ModelName, RecordId)) -> Option<&String> {
        self.names.get(record)
    }

    /// A record by its name, as far as that is known, and its id.
    pub fn label(&self, model: &ModelName, id: RecordId) -> String {
        match self.get(&(model.clone(), id)) {
            Some(name) if !name.is_empty() => format!("{} [{id}]", one_line(name, NAME_CHARS)),
            Some(_) | None => format!("[{id}]"),
        }
    }

    /// Notes what a record is called.
    pub fn insert(&mut self, record: (ModelName, RecordId), name: String) {
        self.names.insert(record, name);
    }

    /// How a record is that is named in a list.
    pub fn line_values(&self, model: &ModelName, id: RecordId) -> Option<&Map<String, Value>> {
        self.lines.get(model)?.row(id)
    }

    /// The fields of a model whose records stand in lists.
    pub fn schema(&self, model: &ModelName) -> Option<&Schema> {
        self.schemas.get(model)
    }

    /// The records that were looked at, as JSON.
    pub fn lines_to_json(&self) -> Value {
        let lines = self.lines.iter();
        Value::Object(
            lines
                .map(|(model, shot)| (model.as_str().to_owned(), shot.to_json()))
                .collect(),
        )
    }

    /// The models and records whose values were looked at.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&ModelName, &RecordSnapshot)> {
        self.lines.iter()
    }

    /// Notes the fields of models.
    pub(crate) fn add_schemas(&mut self, schemas: BTreeMap<ModelName, Schema>) {
        self.schemas.extend(schemas);
    }

    /// Notes how records of a model are.
    pub(crate) fn add_lines(&mut self, model: &ModelName, shot: RecordSnapshot) {
        self.lines.entry(model.clone()).or_default().merge(shot);
    }
}

impl Extend<((ModelName, RecordId), String)> for DisplayNames {
    fn extend<I: IntoIterator<Item = ((ModelName, RecordId), String)>>(&mut self, names: I) {
        self.names.extend(names);
    }
}
