//! Checks of `[roles.NAME]`: whether what the rules name exists.

use std::collections::BTreeSet;

use super::{ConfigChecker, checker::suggest_name};
use crate::config::{InstanceConfig, RoleConfig, RuleConfig, Writes};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Domain, FieldName, MethodName, ModelName, Operation};
use gatepost_policy::{MethodRisk, Pattern, is_secret};

/// A rule and where it is.
#[derive(Clone, Copy)]
pub(super) struct RuleLocation<'a> {
    pub(super) role: &'a RoleName,
    pub(super) index: usize,
    pub(super) rule: &'a RuleConfig,
}

impl RuleLocation<'_> {
    /// The path of a key of the rule.
    pub(super) fn path(&self, key: &[String]) -> Vec<String> {
        [path!["roles", self.role, "rules", self.index], key].concat()
    }
}

impl ConfigChecker<'_> {
    pub(super) fn roles(&mut self) {
        let config = self.config;
        for (name, role) in &config.roles {
            if role.rules.is_empty() {
                self.warning(
                    path!["roles", name],
                    "this role has no rules, so it allows nothing",
                    Some(&format!("add `[[roles.{name}.rules]]` with `models`")),
                );
            }
            for (index, rule) in role.rules.iter().enumerate() {
                let rule = RuleLocation {
                    role: name,
                    index,
                    rule,
                };
                self.empty_lists(rule);
                self.unusable_writes(rule, role);
                self.arguments(rule);
                self.methods(rule);
                self.fields(rule);
                self.domain(rule);
                for (at, pattern) in rule.rule.instances.iter().enumerate() {
                    self.rule_instance(&rule.path(path!["instances", at]), pattern);
                }
                for (at, pattern) in rule.rule.models.iter().enumerate() {
                    if !pattern.is_prefix()
                        && let Err(error) = ModelName::try_from(pattern.to_string().as_str())
                    {
                        self.error(&rule.path(path!["models", at]), &error.to_string(), None);
                    }
                }
            }
            self.rule_conflicts(name, &role.rules);
        }
    }

    fn empty_lists(&mut self, at: RuleLocation<'_>) {
        let rule = at.rule;
        let no_operation = rule.operations.as_ref().is_some_and(Vec::is_empty);
        let empty = [
            ("instances", rule.instances.is_empty()),
            ("models", rule.models.is_empty()),
            ("operations", no_operation && rule.methods.is_empty()),
            ("fields", rule.fields.is_empty() && rule.deny),
        ];
        let does = if rule.deny { "denies" } else { "allows" };
        let message = format!("the list is empty, so this rule {does} nothing");
        for (key, _) in empty.iter().filter(|(_, empty)| *empty) {
            self.warning(&at.path(path![key]), &message, None);
        }
    }

    /// Warns of a rule whose changes are refused everywhere, whatever the caller.
    fn unusable_writes(&mut self, at: RuleLocation<'_>, role: &RoleConfig) {
        let rule = at.rule;
        let operations = rule.operations();
        if rule.deny || operations.iter().all(|operation| operation.is_read()) {
            return;
        }
        let key = if rule.methods.is_empty() {
            "operations"
        } else {
            "methods"
        };
        let instances = || {
            self.config.instances.iter().filter(|(name, _)| {
                let mut patterns = rule.instances.iter();
                patterns.any(|pattern| pattern.matches(name.as_str()))
            })
        };
        let reasons: Option<BTreeSet<String>> = if role.writes == Writes::ReadOnly {
            Some([format!("`roles.{}.writes`, which is `read_only`", at.role)].into())
        } else {
            instances()
                .map(|(name, instance)| read_only_setting(name, instance))
                .collect()
        };
        if let Some(settings) = reasons.filter(|settings| !settings.is_empty()) {
            let needs_credential = role.writes != Writes::ReadOnly
                && instances().any(|(_, instance)| lacks_credential(instance));
            let settings = settings.into_iter().collect::<Vec<_>>().join(" and ");
            let message = format!(
                "this rule allows changes, and all of them are refused because of {settings}"
            );
            let hint = if needs_credential {
                "add an Odoo user who may make these changes under `[instances.NAME.credentials.USER]` and name it as the `credential` of the role; set `service_key_writes` only if the user of the service key is meant to make them"
            } else {
                "change that setting, or remove the operations and methods that change records"
            };
            self.warning(&at.path(path![key]), &message, Some(hint));
            return;
        }
        let needs_fields = |one: &Operation| matches!(one, Operation::Create | Operation::Write);
        let has_field = |written: &Vec<Pattern>| {
            let readable = |one: &Pattern| {
                let mut fields = rule.fields.iter();
                fields.any(|field| field.covers(one) || one.covers(field))
                    && !rule.hidden_fields.iter().any(|hidden| hidden.covers(one))
            };
            written.iter().any(readable)
        };
        let every = vec![Pattern::everything()];
        if operations.iter().any(needs_fields)
            && !has_field(rule.write_fields.as_ref().unwrap_or(&every))
        {
            self.warning(
                &at.path(path![key]),
                "this rule allows changes of fields, and no field of it is both readable and writable",
                Some("list the fields in `fields` too, or remove them from `hidden_fields`"),
            );
        }
    }

    fn rule_instance(&mut self, path: &[String], pattern: &Pattern) {
        let mut names = self.config.instances.keys();
        if !pattern.is_prefix() {
            self.check_instance_exists(path, pattern);
        } else if !names.any(|name| pattern.matches(name.as_str())) {
            self.warning(path, &format!("no instance matches `{pattern}`"), None);
        }
    }

    fn methods(&mut self, at: RuleLocation<'_>) {
        if at.rule.deny {
            return;
        }
        for (index, method) in at.rule.methods.iter().enumerate() {
            let (message, hint) = match MethodRisk::of(method) {
                Some(MethodRisk::Operation(operation)) => (
                    format!(
                        "`{method}` cannot be listed here because no field or record would be checked"
                    ),
                    format!("write `operations = [\"{}\"]`", operation.as_str()),
                ),
                Some(MethodRisk::SendsUnseenText) => (
                    format!(
                        "`{method}` cannot be listed here because it sends text that the caller has not seen"
                    ),
                    "list `message_post`".to_owned(),
                ),
                Some(MethodRisk::WritesArguments) if !at.rule.arguments.contains_key(method) => (
                    format!(
                        "`{method}` writes its arguments to any field, and this rule does not limit them"
                    ),
                    format!(
                        "write `arguments.{method} = {{}}` to allow none, or list them, such as `arguments.{method}.NAME = {{ type = \"text\" }}`"
                    ),
                ),
                Some(MethodRisk::WritesArguments) | None => continue,
            };
            self.error(&at.path(path!["methods", index]), &message, Some(&hint));
        }
    }

    fn arguments(&mut self, at: RuleLocation<'_>) {
        for (method, arguments) in &at.rule.arguments {
            let path = at.path(path!["arguments", method]);
            if at.rule.deny {
                self.error(
                    &path,
                    "a rule with `deny` applies to every call of a method, whatever its arguments",
                    Some("limit the arguments in the rule that allows the method"),
                );
                continue;
            }
            if !at.rule.methods.contains(method) {
                let listed = at.rule.methods.iter().map(MethodName::as_str);
                let near = suggest_name(method.as_str(), listed);
                let hint = near.as_deref().or(Some("list it there, or remove this"));
                let message = format!("`{method}` is not in `methods` of this rule");
                self.error(&path, &message, hint);
            }
            for (name, argument) in &arguments.0 {
                if let Err(wrong) = argument.to_policy() {
                    let mut path = [&*path, path![name]].concat();
                    path.extend(wrong.key.map(str::to_owned));
                    self.error(&path, &wrong.message, Some(wrong.hint));
                }
            }
        }
    }

    fn fields(&mut self, at: RuleLocation<'_>) {
        let rule = at.rule;
        let lists = [
            ("fields", Some(&rule.fields)),
            ("hidden_fields", Some(&rule.hidden_fields)),
            ("write_fields", rule.write_fields.as_ref()),
        ];
        for (key, patterns) in lists {
            for (index, pattern) in patterns.into_iter().flatten().enumerate() {
                let path = at.path(path![key, index]);
                let text = pattern.to_string();
                let body = text.trim_end_matches('*');
                if !body.is_empty() && FieldName::try_from(body).is_err() {
                    self.error(
                        &path,
                        &format!("`{text}` is neither a field name nor the beginning of one followed by `*`"),
                        Some("write only the field, such as `email`; the model belongs in `models`"),
                    );
                } else if key == "fields" && !rule.deny && !pattern.is_prefix() && is_secret(body) {
                    let message =
                        format!("`{text}` sounds like a secret, and this rule makes it readable");
                    self.warning(&path, &message, Some("remove it unless it is needed"));
                }
            }
        }
        let only_allowing = [
            ("hidden_fields", !rule.hidden_fields.is_empty()),
            ("write_fields", rule.write_fields.is_some()),
        ];
        for (key, _) in only_allowing.iter().filter(|(_, set)| *set && rule.deny) {
            self.error(
                &at.path(path![key]),
                &format!("a rule with `deny` cannot have `{key}`"),
                Some("list what is denied in `fields`, and for which operations in `operations`"),
            );
        }
        let writes = |one: &Operation| matches!(one, Operation::Create | Operation::Write);
        let writing = rule.operations.iter().flatten().any(writes);
        if rule.write_fields.is_some() && !rule.deny && !writing {
            self.warning(
                &at.path(path!["write_fields"]),
                "this rule does not allow writing",
                Some("add `create` or `write` to `operations`"),
            );
        }
    }

    fn domain(&mut self, at: RuleLocation<'_>) {
        let rule = at.rule;
        let path = at.path(path!["domain"]);
        match Domain::parse(&serde_json::Value::Array(rule.domain.clone())) {
            Err(error) => {
                let hint = "write it like `[[\"company_id\", \"=\", 1]]`";
                self.error(&path, &error.to_string(), Some(hint));
            }
            Ok(domain) if !domain.is_empty() && rule.models.iter().any(Pattern::is_prefix) => {
                let does = if rule.deny {
                    "denies everything"
                } else {
                    "allows nothing"
                };
                let message = format!(
                    "the domain applies to each model that the patterns match; for those without its fields this rule {does}"
                );
                self.warning(&path, &message, Some("name the models in full"));
            }
            Ok(_) => {}
        }
    }
}

/// The setting that makes all calls in an instance read-only, if there is one.
fn read_only_setting(name: &InstanceName, instance: &InstanceConfig) -> Option<String> {
    if instance.writes == Writes::ReadOnly {
        return Some(format!("`instances.{name}.writes`, which is `read_only`"));
    }
    lacks_credential(instance)
        .then(|| format!("`instances.{name}.service_key_writes`, which is `false`"))
}

/// Whether nothing can be changed for want of an Odoo user who may.
fn lacks_credential(instance: &InstanceConfig) -> bool {
    instance.writes != Writes::ReadOnly
        && instance.credentials.is_empty()
        && !instance.service_key_writes
}
