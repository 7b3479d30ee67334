//! Checks that the models, fields and methods that rules name exist. A misspelled
//! name would hide nothing, or deny a whole model.

use std::collections::{BTreeMap, BTreeSet};

use super::odoo_lookup::{CheckedUser, ModelVisibility, OdooLookup, closest_name};
use crate::gateway::Gateway;
use gatepost_identity::CheckStatus;
use gatepost_odoo::{ModelName, Schema};
use gatepost_policy::{Pattern, Rule, RuleRef};

/// Something in a rule that does not match Odoo.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PolicyFinding {
    /// The rule.
    pub rule: RuleRef,
    /// The path in the rule, such as `hidden_fields` and `0`.
    pub path: Vec<String>,
    /// How severe it is.
    pub severity: CheckStatus,
    /// What is wrong.
    pub text: String,
    /// How to mend it.
    pub remedy: String,
}

/// The checks of all rules, and their findings so far.
pub(super) struct PolicyCheck<'a> {
    pub(super) lookup: OdooLookup<'a>,
    findings: BTreeSet<PolicyFinding>,
}

/// A rule, and the Odoo users that its calls act as.
pub(super) struct CheckedRule<'a> {
    pub(super) rule_ref: RuleRef,
    pub(super) rule: &'a Rule,
    users: Vec<CheckedUser>,
}

/// A model as one Odoo user sees it.
pub(super) struct VisibleModel {
    pub(super) user: CheckedUser,
    pub(super) model: ModelName,
    pub(super) schema: Schema,
}

impl Gateway {
    /// Checks that every instance has the models, fields and methods that rules name
    /// in full, as the Odoo users of the roles. Patterns are not checked.
    pub async fn check_rules(&self) -> Vec<PolicyFinding> {
        let mut check = PolicyCheck {
            lookup: OdooLookup::new(self),
            findings: BTreeSet::new(),
        };
        for rule in self.checked_rules() {
            check.check_rule(&rule).await;
        }
        check.findings.into_iter().collect()
    }

    fn checked_rules(&self) -> Vec<CheckedRule<'_>> {
        let mut rules: BTreeMap<RuleRef, CheckedRule<'_>> = BTreeMap::new();
        for instance in self.routes.instances() {
            let name = instance.name();
            for role in self.policy.roles() {
                let roles = std::slice::from_ref(role);
                let user = CheckedUser {
                    instance: name.clone(),
                    credential: self.policy.credentials(roles, name).next().cloned(),
                };
                for (rule_ref, rule) in self.policy.rules_with_refs(roles, name) {
                    let entry = rules
                        .entry(rule_ref.clone())
                        .or_insert_with(|| CheckedRule {
                            rule_ref,
                            rule,
                            users: Vec::new(),
                        });
                    entry.users.push(user.clone());
                }
            }
        }
        rules.into_values().collect()
    }
}

impl PolicyCheck<'_> {
    async fn check_rule(&mut self, at: &CheckedRule<'_>) {
        let mut visible = Vec::new();
        // Whether every model was read, so that a name not found does not exist.
        let mut complete = true;
        for (index, pattern) in at.rule.models.iter().enumerate() {
            let Some(model) = exact_model(pattern) else {
                complete = false;
                continue;
            };
            let seen = self.visibility_by_user(at, &model).await;
            complete &= !seen.iter().any(|(_, seen)| seen.is_unknown());
            if seen.iter().all(|(_, seen)| seen.is_missing()) {
                let path = vec!["models".to_owned(), index.to_string()];
                self.report_missing_model(at, path, &model).await;
            }
            visible.extend(seen.into_iter().filter_map(|(user, seen)| match seen {
                ModelVisibility::Fields(schema) => Some(VisibleModel {
                    user,
                    model: model.clone(),
                    schema,
                }),
                ModelVisibility::Missing | ModelVisibility::Unknown => None,
            }));
        }
        if !visible.is_empty() {
            self.check_fields(at, &visible, complete);
            self.check_domain(at, &visible).await;
        }
        self.check_methods(at, &visible, complete).await;
        self.check_arguments(at).await;
    }

    async fn report_missing_model(
        &mut self,
        at: &CheckedRule<'_>,
        path: Vec<String>,
        model: &ModelName,
    ) {
        let near = match at.users.first() {
            Some(user) => self.lookup.similar_model(user, model).await,
            None => None,
        };
        let instances: BTreeSet<String> = at
            .users
            .iter()
            .map(|user| format!("`{}`", user.instance))
            .collect();
        let instances = instances.into_iter().collect::<Vec<_>>().join(", ");
        let text =
            format!("the Odoo user of this role cannot see a model `{model}` in {instances}");
        let remedy = near.map_or_else(
            || "remove it, or list the instances that have it in `instances`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        self.report(at, path, CheckStatus::Warn, text, remedy);
    }

    /// Checks that each field of the rule exists in one of its models.
    fn check_fields(&mut self, at: &CheckedRule<'_>, visible: &[VisibleModel], complete: bool) {
        let rule = at.rule;
        let lists = [
            ("hidden_fields", Some(&rule.hidden_fields), true),
            ("fields", Some(&rule.fields), rule.deny),
            ("write_fields", rule.write_fields.as_ref(), false),
        ];
        let models: BTreeSet<&str> = visible.iter().map(|one| one.model.as_str()).collect();
        let models = models.into_iter().collect::<Vec<_>>().join("`, `");
        for (key, patterns, hides) in lists {
            for (index, pattern) in patterns.into_iter().flatten().enumerate() {
                let name = pattern.to_string();
                let mut schemas = visible.iter().map(|one| &one.schema);
                let exists = schemas.clone().any(|schema| schema.field(&name).is_some());
                if pattern.is_prefix() || name == "id" || exists {
                    continue;
                }
                let effect = if hides {
                    ", so the field that was meant is not hidden"
                } else {
                    ""
                };
                // A model that the rule matches by pattern may have the field.
                let severity = if hides && complete {
                    CheckStatus::Fail
                } else {
                    CheckStatus::Warn
                };
                let text = format!(
                    "the Odoo user of this role cannot see a field `{name}` of `{models}`{effect}"
                );
                let remedy = similar_field_hint(&mut schemas, &name);
                let path = vec![key.to_owned(), index.to_string()];
                self.report(at, path, severity, text, remedy);
            }
        }
    }

    /// Checks that each method of the rule exists in one of its models.
    async fn check_methods(
        &mut self,
        at: &CheckedRule<'_>,
        visible: &[VisibleModel],
        complete: bool,
    ) {
        if at.rule.methods.is_empty() || (complete && visible.is_empty()) {
            return;
        }
        let mut pages = Vec::new();
        if complete {
            for VisibleModel { user, model, .. } in visible {
                // Some users cannot read documentation.
                pages.push(self.lookup.documentation(user, model).await);
            }
        }
        let pages: Option<Vec<_>> = pages.into_iter().collect();
        let Some(pages) = pages.filter(|_| complete) else {
            let (text, remedy) = if complete {
                (
                    "the Odoo user of this role cannot read Odoo's documentation",
                    "compare the spelling with Odoo, or give the user the group `api_doc.group_allow_doc`",
                )
            } else {
                (
                    "not all models are named in full, or Odoo did not describe them",
                    "compare the spelling with Odoo, or name the models in full",
                )
            };
            let text = format!("unverified whether these methods exist: {text}");
            let path = vec!["methods".to_owned()];
            self.report(at, path, CheckStatus::Pass, text, remedy.to_owned());
            return;
        };
        for (index, method) in at.rule.methods.iter().enumerate() {
            if pages.iter().any(|page| page.method(method).is_some()) {
                continue;
            }
            let names = pages.iter().flat_map(|page| page.names());
            let remedy = closest_name(method.as_str(), names).map_or_else(
                || "remove it".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let path = vec!["methods".to_owned(), index.to_string()];
            let text = format!("none of these models has a public method `{method}`");
            self.report(at, path, CheckStatus::Warn, text, remedy);
        }
    }

    /// Checks that the models of argument rules exist.
    async fn check_arguments(&mut self, at: &CheckedRule<'_>) {
        for (method, arguments) in &at.rule.arguments {
            for (name, argument) in arguments.iter() {
                let Some(model) = argument.model() else {
                    continue;
                };
                let seen = self.visibility_by_user(at, model).await;
                if seen.iter().all(|(_, seen)| seen.is_missing()) {
                    let path = ["arguments", method.as_str(), name.as_str(), "ids_of"];
                    let path = path.map(str::to_owned).to_vec();
                    self.report_missing_model(at, path, model).await;
                }
            }
        }
    }

    async fn visibility_by_user(
        &mut self,
        at: &CheckedRule<'_>,
        model: &ModelName,
    ) -> Vec<(CheckedUser, ModelVisibility)> {
        let mut all = Vec::with_capacity(at.users.len());
        for user in &at.users {
            let seen = self.lookup.visibility(user, model).await;
            all.push((user.clone(), seen));
        }
        all
    }

    pub(super) fn report(
        &mut self,
        at: &CheckedRule<'_>,
        path: Vec<String>,
        severity: CheckStatus,
        text: String,
        remedy: String,
    ) {
        self.findings.insert(PolicyFinding {
            rule: at.rule_ref.clone(),
            path,
            severity,
            text,
            remedy,
        });
    }
}

/// The model that a pattern names in full.
fn exact_model(pattern: &Pattern) -> Option<ModelName> {
    if pattern.is_prefix() {
        return None;
    }
    ModelName::try_from(pattern.to_string().as_str()).ok()
}

/// How to find the field that was meant.
pub(super) fn similar_field_hint<'a>(
    schemas: impl IntoIterator<Item = &'a Schema>,
    name: &str,
) -> String {
    let mut near = schemas
        .into_iter()
        .flat_map(|schema| schema.similar_names(name, 1));
    near.next().map_or_else(
        || "`describe_model` lists the fields of a model".to_owned(),
        |near| format!("did you mean `{near}`?"),
    )
}
