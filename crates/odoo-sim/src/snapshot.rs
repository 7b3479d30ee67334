//! Snapshots of all records, for comparison.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{database::Database, table::Row};

/// All records at one moment.
///
/// Two snapshots are equal if no record was created, changed or deleted in between.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    models: BTreeMap<&'static str, BTreeMap<u32, Arc<Row>>>,
}

/// The change of one record between two snapshots.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordChange {
    /// The model, such as `res.partner`.
    pub model: &'static str,
    /// The record's id.
    pub id: u32,
    /// The old values of the fields that differ; `None` if the record is new.
    pub before: Option<Row>,
    /// The new values of the fields that differ; `None` if the record was deleted.
    pub after: Option<Row>,
}

impl Snapshot {
    pub(super) fn of(database: &Database) -> Self {
        Self {
            models: database
                .tables
                .iter()
                .map(|(model, table)| (*model, table.rows.clone()))
                .collect(),
        }
    }

    /// One record with all its values.
    pub fn record(&self, model: &str, id: u32) -> Option<&serde_json::Map<String, Value>> {
        self.models.get(model)?.get(&id).map(Arc::as_ref)
    }

    /// The ids of a model's records.
    pub fn ids(&self, model: &str) -> Vec<u32> {
        self.models
            .get(model)
            .map(|rows| rows.keys().copied().collect())
            .unwrap_or_default()
    }

    /// The changes up to a later snapshot, by model and id.
    pub fn changes_to(&self, later: &Self) -> Vec<RecordChange> {
        let mut changes = Vec::new();
        let none = BTreeMap::new();
        for (model, rows) in &later.models {
            let earlier = self.models.get(model).unwrap_or(&none);
            let mut ids: Vec<u32> = earlier.keys().chain(rows.keys()).copied().collect();
            ids.sort_unstable();
            ids.dedup();
            for id in ids {
                let (before, after) = (earlier.get(&id), rows.get(&id));
                if before == after {
                    continue;
                }
                let differing = |one: Option<&Arc<Row>>, other: Option<&Arc<Row>>| {
                    let fields = one?.iter();
                    Some(
                        fields
                            .filter(|(name, value)| {
                                other.is_none_or(|other| other.get(name.as_str()) != Some(value))
                            })
                            .map(|(name, value)| (name.clone(), value.clone()))
                            .collect(),
                    )
                };
                changes.push(RecordChange {
                    model,
                    id,
                    before: differing(before, after),
                    after: differing(after, before),
                });
            }
        }
        changes
    }
}
