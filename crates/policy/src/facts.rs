//! What policy must know about Odoo to decide.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Incomplete, MembershipQuery, ReadAccess, membership::MembershipAnswers};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{ModelName, Schema};

/// The fields of models as the caller's Odoo user sees them, including those
/// that policy hides; for a change also which of its records a search found.
///
/// Policy does no I/O. It names what is missing ([`Incomplete::NeedsSchema`],
/// [`Incomplete::NeedsRecords`]); the caller adds it and asks again.
#[derive(Debug, Default)]
pub struct PolicyFacts {
    schemas: BTreeMap<ModelName, Schema>,
    /// What was decided before about reading a model, which saves deciding again.
    read_access: Option<Arc<ReadAccess>>,
    pub(super) memberships: MembershipAnswers,
}

impl PolicyFacts {
    /// Adds the fields of a model.
    pub fn add_schema(&mut self, model: ModelName, schema: Schema) {
        self.schemas.insert(model, schema);
    }

    /// Adds what the policy decided before about reading a model, for the same Odoo
    /// user, and with it the fields of the model. Only for the same roles in the same
    /// instance is the decision used.
    pub fn set_read_access(&mut self, access: Arc<ReadAccess>) {
        self.read_access = Some(access);
    }

    /// Adds the ids that a search found.
    pub fn add_memberships(&mut self, search: MembershipQuery, ids: &BTreeSet<i64>) {
        self.memberships.add(search, ids);
    }

    /// What was decided before for these roles.
    pub(super) fn read_access_of(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
    ) -> Option<&ReadAccess> {
        let decided = self.read_access.as_deref();
        decided.filter(|access| access.is_of(roles, instance))
    }

    /// The fields of the model.
    ///
    /// # Errors
    /// [`Incomplete::NeedsSchema`].
    pub(super) fn schema_of(&self, model: &ModelName) -> Result<&Schema, Incomplete> {
        let decided = self.read_access.as_deref();
        let decided = decided
            .filter(|access| access.model() == model)
            .map(ReadAccess::schema);
        self.schemas
            .get(model)
            .or(decided)
            .ok_or_else(|| Incomplete::NeedsSchema(model.clone()))
    }
}
