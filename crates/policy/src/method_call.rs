//! Authorizes method calls and their arguments.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Forbidden, Incomplete, Rule, write_authorizer::WriteAuthorizer};
use gatepost_odoo::{ArgumentName, MethodName, ModelName, Operation, RecordId};

impl WriteAuthorizer<'_> {
    /// Permits a method with these arguments, on the records of those rules that
    /// list it and accept the arguments.
    ///
    /// # Errors
    /// [`Incomplete`].
    pub(super) fn authorize_method(
        &mut self,
        model: &ModelName,
        method: &MethodName,
        ids: &[RecordId],
        arguments: &Map<String, Value>,
    ) -> Result<(), Incomplete> {
        let operation = Operation::Call;
        let schema = self
            .rules
            .schema_for_rules(model, operation, self.record_facts.facts)?;
        // A method that may not be called at all is another refusal.
        self.rules.allow_method(model, method, schema)?;
        let refused = |why: &[String]| {
            Incomplete::from(Forbidden::Arguments {
                model: model.clone(),
                method: method.clone(),
                why: why.join("; "),
            })
        };
        // Ids and context are separate, and checked elsewhere.
        for name in arguments.keys() {
            if let Err(error) = ArgumentName::try_from(name.as_str()) {
                return Err(refused(&[error.to_string()]));
            }
        }
        let (mut accepting, mut nearest): (Vec<&Rule>, Option<Vec<String>>) = (Vec::new(), None);
        for rule in self.rules.allow_rules_for_method(model, method, schema) {
            let errors = self.argument_errors(rule, method, arguments)?;
            if errors.is_empty() {
                accepting.push(rule);
            } else if nearest
                .as_ref()
                .is_none_or(|near| errors.len() < near.len())
            {
                nearest = Some(errors);
            }
        }
        if accepting.is_empty() {
            return Err(refused(&nearest.unwrap_or_default()));
        }
        let accepting = accepting.into_iter();
        let filter = self
            .rules
            .allow_method_by_rules(accepting, model, method, schema)?;
        if ids.is_empty() && !filter.is_empty() {
            return Err(Forbidden::operation_on(model, operation).into());
        }
        self.add_access(model, operation, BTreeSet::new(), ids.to_vec());
        self.require_covered(model, operation, ids, &filter)
    }

    /// Why a rule does not accept these arguments; empty where it does.
    fn argument_errors(
        &mut self,
        rule: &Rule,
        method: &MethodName,
        arguments: &Map<String, Value>,
    ) -> Result<Vec<String>, Incomplete> {
        let Some(allowed) = rule.arguments.get(method) else {
            return Ok(Vec::new());
        };
        let mut errors = allowed.mismatches(arguments);
        if !errors.is_empty() {
            return Ok(errors);
        }
        for (name, relation, ids) in allowed.records(arguments) {
            if !ids.is_empty() && !self.may_read(relation, &ids)? {
                errors.push(format!(
                    "`{name}` names records of `{relation}` that you may not read through this gateway, or that do not exist"
                ));
            }
        }
        Ok(errors)
    }
}
