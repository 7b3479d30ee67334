//! What policy must know about Odoo to decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Incomplete, MembershipQuery, membership::MembershipAnswers};
use gatepost_odoo::{ModelName, Schema};

/// The fields of models as the caller's Odoo user sees them, including those
/// that policy hides; for a change also which of its records a search found.
///
/// Policy does no I/O. It names what is missing ([`Incomplete::NeedsSchema`],
/// [`Incomplete::NeedsRecords`]); the caller adds it and asks again.
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

    /// Adds the ids that a search found.
    pub fn add_memberships(&mut self, search: MembershipQuery, ids: &BTreeSet<i64>) {
        self.memberships.add(search, ids);
    }

    /// The fields of the model.
    ///
    /// # Errors
    /// [`Incomplete::NeedsSchema`].
    pub(super) fn schema_of(&self, model: &ModelName) -> Result<&Schema, Incomplete> {
        self.schemas
            .get(model)
            .map(Arc::as_ref)
            .ok_or_else(|| Incomplete::NeedsSchema(model.clone()))
    }
}
