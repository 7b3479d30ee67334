//! What policy has to know of Odoo to decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Search, Undecided, evidence::Found};
use gatepost_odoo::{ModelName, Schema};

/// The fields of models, as Odoo told them to the caller's Odoo user: all of
/// them, also those that policy hides. And for a change, which of its records
/// a search found.
///
/// Policy asks nobody. What it lacks it names ([`Undecided::Needs`],
/// [`Undecided::Seeks`]), and whoever asked comes again with it.
#[derive(Debug, Default)]
pub struct Schemas {
    known: BTreeMap<ModelName, Arc<Schema>>,
    pub(super) found: Found,
}

impl Schemas {
    /// Adds the fields of a model.
    pub fn add(&mut self, model: ModelName, schema: Arc<Schema>) {
        self.known.insert(model, schema);
    }

    /// Adds which records a search found that policy asked for.
    pub fn add_found(&mut self, search: Search, ids: &BTreeSet<i64>) {
        self.found.add(search, ids);
    }

    /// The fields of the model.
    ///
    /// # Errors
    /// [`Undecided::Needs`].
    pub(super) fn of(&self, model: &ModelName) -> Result<&Schema, Undecided> {
        self.known
            .get(model)
            .map(Arc::as_ref)
            .ok_or_else(|| Undecided::Needs(model.clone()))
    }
}
