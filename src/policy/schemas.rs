//! What policy has to know of models to follow a path.

use std::{collections::BTreeMap, sync::Arc};

use super::Undecided;
use crate::odoo::{ModelName, Schema};

/// The fields of models, as Odoo told them to the caller's Odoo user: all of
/// them, also those that policy hides.
///
/// Policy asks nobody. What it lacks it names ([`Undecided::Needs`]), and
/// whoever asked comes again with it.
#[derive(Debug, Default)]
pub struct Schemas {
    known: BTreeMap<ModelName, Arc<Schema>>,
}

impl Schemas {
    /// Adds the fields of a model.
    pub fn add(&mut self, model: ModelName, schema: Arc<Schema>) {
        self.known.insert(model, schema);
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
