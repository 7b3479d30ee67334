//! What roles may read of one model, decided once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Incomplete, PolicyFacts, effective_rules::EffectiveRules, incomplete::unless_denied};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Domain, FieldName, ModelName, Operation, Schema};

/// What a set of roles may read of one model, as one Odoo user sees it.
///
/// It costs one decision per field of the model, so it is made once and shared. It
/// holds as long as the policy and the schemas that it was made from.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadAccess {
    roles: Box<[RoleName]>,
    instance: InstanceName,
    model: ModelName,
    /// All fields that the Odoo user may see.
    schema: Schema,
    visible: Schema,
    visible_in_all_records: Schema,
    row_filter: Domain,
    /// The records that show a field, for the visible fields that some of them hide.
    field_filters: BTreeMap<FieldName, Domain>,
}

impl ReadAccess {
    /// # Errors
    /// As of [`super::Policy::permit`].
    pub(super) fn evaluate(
        rules: &EffectiveRules<'_>,
        (roles, instance): (&[RoleName], &InstanceName),
        model: &ModelName,
        facts: &PolicyFacts,
    ) -> Result<Self, Incomplete> {
        let row_filter = rules.row_filter(model, Operation::Read, &BTreeSet::new(), facts)?;
        let schema = facts.schema_of(model)?;
        let mut uniform = BTreeSet::new();
        let mut field_filters = BTreeMap::new();
        for field in schema.fields() {
            let of_field = rules.row_filter_of_field(model, Operation::Read, &field.name, facts, 0);
            match unless_denied(of_field)? {
                Some(of_field) if row_filter.implies(&of_field) => {
                    uniform.insert(field.name.as_str());
                }
                Some(of_field) => {
                    field_filters.insert(field.name.clone(), of_field);
                }
                None => {}
            }
        }
        let in_all = |name: &str| uniform.contains(name);
        Ok(Self {
            roles: roles.into(),
            instance: instance.clone(),
            model: model.clone(),
            schema: schema.clone(),
            visible: schema.restricted(|field| {
                in_all(field.name.as_str()) || field_filters.contains_key(&field.name)
            }),
            visible_in_all_records: schema.restricted(|field| in_all(field.name.as_str())),
            row_filter,
            field_filters,
        })
    }

    /// Whether it was made for these roles in this instance.
    pub(super) fn is_of(&self, roles: &[RoleName], instance: &InstanceName) -> bool {
        *self.roles == *roles && self.instance == *instance
    }

    /// The model.
    pub fn model(&self) -> &ModelName {
        &self.model
    }

    /// The fields that the Odoo user may see, including those that policy hides.
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The fields that are visible on at least some records. A hidden field is
    /// omitted, like one that does not exist.
    pub fn visible(&self) -> &Schema {
        &self.visible
    }

    /// The fields that are visible on every visible record, so that a read of them
    /// omits no record.
    pub fn visible_in_all_records(&self) -> &Schema {
        &self.visible_in_all_records
    }

    /// Whether some records may be hidden.
    pub fn hides_records(&self) -> bool {
        !self.row_filter.is_empty()
    }

    /// The visible records.
    pub(super) fn row_filter(&self) -> &Domain {
        &self.row_filter
    }

    /// The records that show the field, if a visible record may hide it; `None` also
    /// for a field that every record hides.
    pub(super) fn field_filter(&self, field: &FieldName) -> Option<&Domain> {
        self.field_filters.get(field)
    }
}
