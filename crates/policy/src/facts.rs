//! What policy has to know of Odoo to decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Incomplete, MembershipQuery, record_facts::MembershipAnswers};
use gatepost_odoo::{ModelName, Schema};

/// The fields of models, as Odoo told them to the caller's Odoo user: all of
/// them, also those that policy hides. And for a change, which of its records
/// a search found.
///
/// Policy asks nobody. What it lacks it names ([`Undecided::Needs`],
/// [`Undecided::Seeks`]), and whoever asked comes again with it.
#[derive(Debug, Default)]
pub struct PolicyFacts {
    schemas: BTreeMap<ModelName, Arc<Schema>>,
    pub(super) memberships: MembershipAnswers,
}

impl PolicyFacts {
    /// Adds the fields of a model.
    pub fn add_schema(&mut self, model: ModelName, schema: Arc<Schema>) {
        self.schemas.insert(model, schema);
    }

    /// Adds which records a search found that policy asked for.
    pub fn add_memberships(&mut self, search: MembershipQuery, ids: &BTreeSet<i64>) {
        self.memberships.add(search, ids);
    }

    /// The fields of the model.
    ///
    /// # Errors
    /// [`Undecided::Needs`].
    pub(super) fn schema_of(&self, model: &ModelName) -> Result<&Schema, Incomplete> {
        self.schemas
            .get(model)
            .map(Arc::as_ref)
            .ok_or_else(|| Incomplete::NeedsSchema(model.clone()))
    }
}
