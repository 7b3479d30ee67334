//! Checks that the fields in the domains of rules exist, along their whole paths.

use std::collections::BTreeMap;

use super::{
    odoo_lookup::{CheckedUser, ModelVisibility},
    policy_check::{CheckedRule, PolicyCheck, VisibleModel, similar_field_hint},
};
use gatepost_identity::CheckStatus;
use gatepost_odoo::{Condition, Domain, FieldKind, ModelName, Operand, Schema, Term};

/// A field in a domain that does not exist.
struct UnresolvedField {
    text: String,
    remedy: String,
    /// Whether it is a field of a related model. The gateway checks only the
    /// fields of the rule's own models before a call.
    in_related_model: bool,
}

impl PolicyCheck<'_> {
    /// Checks that each model has the fields of the rule's domain.
    pub(super) async fn check_domain(&mut self, at: &CheckedRule<'_>, visible: &[VisibleModel]) {
        let rule = at.rule;
        if rule.domain.is_empty() {
            return;
        }
        let mut unresolved: BTreeMap<&ModelName, Vec<UnresolvedField>> = BTreeMap::new();
        let mut times: BTreeMap<&ModelName, usize> = BTreeMap::new();
        for one in visible {
            *times.entry(&one.model).or_default() += 1;
            if let Some(found) = self.find_unresolved_field(at, one).await {
                unresolved.entry(&one.model).or_default().push(found);
            }
        }
        let does = if rule.deny {
            "denies everything"
        } else {
            "allows nothing"
        };
        for (model, found) in unresolved {
            // If some instance has the field, the rule may be meant for that one.
            let severity = if times.get(model) == Some(&found.len()) {
                CheckStatus::Fail
            } else {
                CheckStatus::Warn
            };
            for field in found {
                let effect = if field.in_related_model {
                    "so Odoo rejects every call that this rule applies to".to_owned()
                } else {
                    format!("so this rule {does} of `{model}` there")
                };
                let (path, text) = (vec!["domain".to_owned()], field.text);
                self.report(
                    at,
                    path,
                    severity,
                    format!("{text}, {effect}"),
                    field.remedy,
                );
            }
        }
    }

    /// The first field of the domain that does not exist.
    async fn find_unresolved_field(
        &mut self,
        at: &CheckedRule<'_>,
        start: &VisibleModel,
    ) -> Option<UnresolvedField> {
        let user: &CheckedUser = &start.user;
        // A work list instead of recursion: conditions, each with its model.
        let mut open: Vec<(ModelName, Schema, Condition, bool)> = Vec::new();
        for condition in conditions(&at.rule.domain) {
            let schema = start.schema.clone();
            open.push((start.model.clone(), schema, condition, false));
        }
        while let Some((model, schema, condition, in_related_model)) = open.pop() {
            let (first, rest) = condition.path.split_first();
            let Some(field) = schema.field(first) else {
                return Some(UnresolvedField {
                    text: format!(
                        "the Odoo user of this role in `{}` cannot see a field `{first}` of `{model}`",
                        user.instance
                    ),
                    remedy: similar_field_hint([&schema], first),
                    in_related_model,
                });
            };
            let Some(relation) = field.relation.clone() else {
                let has_parts = matches!(
                    field.kind,
                    FieldKind::Date | FieldKind::Datetime | FieldKind::Properties
                );
                if rest.is_some() && !has_parts {
                    return Some(UnresolvedField {
                        text: format!("`{first}` of `{model}` does not lead to another model"),
                        remedy: "end the path there".to_owned(),
                        in_related_model: true,
                    });
                }
                continue;
            };
            let beyond = match (rest, &condition.operand) {
                (Some(path), operand) => Domain::of(Condition {
                    path,
                    operator: condition.operator,
                    operand: operand.clone(),
                }),
                (None, Operand::Domain(inner)) => inner.clone(),
                (None, Operand::Value(_)) => continue,
            };
            // If the user cannot see the related model, Odoo still evaluates the domain.
            if let ModelVisibility::Fields(schema) = self.lookup.visibility(user, &relation).await {
                for condition in conditions(&beyond) {
                    open.push((relation.clone(), schema.clone(), condition, true));
                }
            }
        }
        None
    }
}

fn conditions(domain: &Domain) -> Vec<Condition> {
    let terms = domain.terms().iter().filter_map(|term| match term {
        Term::Condition(condition) => Some(condition.clone()),
        Term::And | Term::Constant(_) | Term::Not | Term::Or => None,
    });
    terms.collect()
}
