//! Row filters: which records of a model show a set of fields.

use std::collections::BTreeSet;

use super::{
    Forbidden, Incomplete, PolicyFacts, ReadAccess,
    effective_rules::{EffectiveRules, intersect, subtract_denied},
};
use gatepost_odoo::{Domain, FieldName, FieldPath, ModelName, Operation, Operator, Schema};

/// How many `related` fields that lead to `related` fields are followed.
const MAX_RELATED_DEPTH: usize = 8;

impl EffectiveRules<'_> {
    /// Whether some rule shows the field, whatever it shows in turn.
    pub(super) fn exposes(&self, model: &ModelName, field: &str) -> bool {
        self.allow(model, Operation::Read).is_ok()
            && self
                .rule_filter_for_field(model, Operation::Read, field, None)
                .is_some()
    }

    /// Whether some rule opens the field for writing.
    pub(super) fn allows_writing(&self, model: &ModelName, field: &str) -> bool {
        [Operation::Create, Operation::Write]
            .into_iter()
            .any(|operation| {
                self.rule_filter_for_field(model, operation, field, None)
                    .is_some()
            })
    }

    /// The records that the operation is open for, and that show the field if one
    /// is given. Ignores what the field shows in turn, and whether the model has
    /// the fields of the rules' domains.
    ///
    /// # Errors
    /// [`Forbidden`].
    pub(super) fn row_filter_without_schema(
        &self,
        model: &ModelName,
        operation: Operation,
        field: Option<&FieldName>,
    ) -> Result<Domain, Forbidden> {
        self.allow(model, operation)?;
        let every = self
            .rule_filter_for_field(model, operation, "id", None)
            .unwrap_or_else(Domain::nothing);
        let Some(field) = field else {
            return Ok(every);
        };
        if field.as_str() == "id" && operation.writes_values() {
            return Err(field_denied(model, operation, field));
        }
        let of_field = self
            .rule_filter_for_field(model, operation, field.as_str(), None)
            .ok_or_else(|| field_denied(model, operation, field))?;
        Ok(intersect(every, of_field))
    }

    /// The records of the model for which all of these fields are open together;
    /// an empty domain is every record.
    ///
    /// # Errors
    /// [`Forbidden::Operation`], [`Forbidden::Field`], or what is missing.
    pub(super) fn row_filter(
        &self,
        model: &ModelName,
        operation: Operation,
        fields: &BTreeSet<FieldName>,
        facts: &PolicyFacts,
    ) -> Result<Domain, Incomplete> {
        if let Some(access) = self.read_access(model)
            && operation == Operation::Read
        {
            return self.row_filter_by(access, fields, facts);
        }
        self.allow(model, operation)?;
        let schema = self.schema_for_rules(model, operation, facts)?;
        let mut filter = self
            .rule_filter_for_field(model, operation, "id", schema)
            .ok_or_else(|| Forbidden::operation_on(model, operation))?;
        for field in fields {
            let more = self.row_filter_of_field(model, operation, field, facts, 0)?;
            filter = intersect(filter, more);
        }
        Ok(filter)
    }

    /// The visible records that show all of these fields, by what was decided before.
    fn row_filter_by(
        &self,
        access: &ReadAccess,
        fields: &BTreeSet<FieldName>,
        facts: &PolicyFacts,
    ) -> Result<Domain, Incomplete> {
        let mut filter = access.row_filter().clone();
        for field in fields {
            if access
                .visible_in_all_records()
                .field(field.as_str())
                .is_some()
            {
                continue;
            }
            let more = match access.field_filter(field) {
                Some(more) => more.clone(),
                // Hidden or unknown: the error says which.
                None => {
                    self.row_filter_of_field(access.model(), Operation::Read, field, facts, 0)?
                }
            };
            filter = intersect(filter, more);
        }
        Ok(filter)
    }

    /// The fields of the model, if the domain of a rule names any. A rule for
    /// several models may name a field that this one does not have, and Odoo's
    /// error would quote the rule.
    pub(super) fn schema_for_rules<'s>(
        &self,
        model: &ModelName,
        operation: Operation,
        facts: &'s PolicyFacts,
    ) -> Result<Option<&'s Schema>, Incomplete> {
        let mut rules = self
            .allow_rules(model, operation)
            .chain(self.deny_rules(model, operation));
        if rules.any(|rule| !rule.domain.is_empty()) {
            facts.schema_of(model).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The records for which the field is open, or `None` where no rule opens it.
    /// With a schema, a rule whose domain names a field that the model does not
    /// have opens nothing, or denies everything.
    fn rule_filter_for_field(
        &self,
        model: &ModelName,
        operation: Operation,
        field: &str,
        schema: Option<&Schema>,
    ) -> Option<Domain> {
        let opened = self
            .allow_rules(model, operation)
            .filter(|rule| rule.has_filter_fields(schema))
            .filter(|rule| rule.opens_field(field, operation))
            .map(|rule| rule.domain.clone())
            .reduce(Domain::or);
        let denying = self.deny_rules(model, operation).filter(|rule| {
            if field == "id" {
                rule.denies_all(operation)
            } else {
                rule.denies_field(field)
            }
        });
        subtract_denied(opened, denying, schema)
    }

    /// The records that show the field and, if it shows another one, that one too.
    pub(super) fn row_filter_of_field(
        &self,
        model: &ModelName,
        operation: Operation,
        field: &FieldName,
        facts: &PolicyFacts,
        depth: usize,
    ) -> Result<Domain, Incomplete> {
        let denied = || field_denied(model, operation, field);
        let schema = self.schema_for_rules(model, operation, facts)?;
        let filter = self
            .rule_filter_for_field(model, operation, field.as_str(), schema)
            .ok_or_else(denied)?;
        if matches!(field.as_str(), "id" | "display_name") {
            return Ok(filter);
        }
        let schema = facts.schema_of(model)?;
        let Some(shown) = &schema.field(field.as_str()).ok_or_else(denied)?.related else {
            return Ok(filter);
        };
        if depth == MAX_RELATED_DEPTH {
            return Err(denied().into());
        }
        // The path to it must be readable; only its end must be writable.
        let of_shown = self
            .row_filter_of_path(model, operation, shown, facts, depth + 1)
            .map_err(|incomplete| incomplete.with_denial(denied))?;
        Ok(intersect(filter, of_shown))
    }

    /// The records from which the path can be followed to its end.
    pub(super) fn row_filter_of_path(
        &self,
        model: &ModelName,
        operation: Operation,
        path: &FieldPath,
        facts: &PolicyFacts,
        depth: usize,
    ) -> Result<Domain, Incomplete> {
        self.allow(model, operation)?;
        let (first, rest) = path.split_first();
        let unknown = || Forbidden::Path {
            model: model.clone(),
            path: path.clone(),
        };
        let name = FieldName::try_from(first).map_err(|_no_name| unknown())?;
        let Some(rest) = rest else {
            return self.row_filter_of_field(model, operation, &name, facts, depth);
        };
        self.allow(model, Operation::Read)?;
        let filter = self.row_filter_of_field(model, Operation::Read, &name, facts, depth)?;
        let relation = relation_of(facts.schema_of(model)?, first).ok_or_else(unknown)?;
        let behind = self.row_filter_of_path(relation, operation, &rest, facts, depth)?;
        let every = self.row_filter(relation, operation, &BTreeSet::new(), facts)?;
        let behind = intersect(every, behind);
        if behind.is_empty() {
            return Ok(filter);
        }
        // An empty link reveals nothing.
        let link = FieldPath::from(&name);
        let unlinked = Domain::compare(link.clone(), Operator::Equal, false);
        let linked = Domain::related(link, Operator::Any, behind);
        Ok(intersect(filter, unlinked.or(linked)))
    }
}

/// The model that a relation links to.
pub(super) fn relation_of<'s>(schema: &'s Schema, field: &str) -> Option<&'s ModelName> {
    schema.field(field)?.relation.as_ref()
}

fn field_denied(model: &ModelName, operation: Operation, field: &FieldName) -> Forbidden {
    let (model, field) = (model.clone(), field.clone());
    if operation.writes_values() {
        Forbidden::Writing { model, field }
    } else {
        Forbidden::Field { model, field }
    }
}
