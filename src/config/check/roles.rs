//! What the roles open, and whether it exists.

use super::{Check, nearest};
use crate::{
    config::{Operation, Rule},
    names::{InstanceName, RoleName},
    odoo::{Domain, FieldName, ModelName},
    policy::{Pattern, is_secret},
};

/// Methods of every model that do what an operation does, or read what no rule
/// then looks at: they are never called by their names.
const ORDINARY: [(&str, &str); 26] = [
    ("check_access_rights", "read"),
    ("copy", "create"),
    ("copy_data", "read"),
    ("create", "create"),
    ("default_get", "read"),
    ("export_data", "read"),
    ("fields_get", "read"),
    ("formatted_read_group", "read"),
    ("formatted_read_grouping_sets", "read"),
    ("get_metadata", "read"),
    ("get_views", "read"),
    ("load", "create"),
    ("name_create", "create"),
    ("name_search", "read"),
    ("onchange", "read"),
    ("read", "read"),
    ("read_group", "read"),
    ("search", "read"),
    ("search_count", "read"),
    ("search_read", "read"),
    ("unlink", "delete"),
    ("web_read", "read"),
    ("web_read_group", "read"),
    ("web_save", "write"),
    ("web_search_read", "read"),
    ("write", "write"),
];

impl Check<'_> {
    pub(super) fn roles(&mut self) {
        let config = self.config;
        for (name, role) in &config.roles {
            if role.rules.is_empty() {
                self.doubtful(
                    path!["roles", name],
                    "this role has no rules, so it opens nothing",
                    Some(&format!("add `[[roles.{name}.rules]]` with `models`")),
                );
            }
            for (index, rule) in role.rules.iter().enumerate() {
                self.rule(name, index, rule);
            }
        }
    }

    fn rule(&mut self, role: &RoleName, index: usize, rule: &Rule) {
        let config = self.config;
        let no_operation = rule.operations.as_ref().is_some_and(Vec::is_empty);
        let empty = [
            ("instances", rule.instances.is_empty()),
            ("models", rule.models.is_empty()),
            ("operations", no_operation && rule.methods.is_empty()),
            ("fields", rule.fields.is_empty() && rule.deny),
        ];
        for (key, _) in empty.iter().filter(|(_, empty)| *empty) {
            let does = if rule.deny { "denies" } else { "opens" };
            self.doubtful(
                path!["roles", role, "rules", index, key],
                &format!("the list is empty, so this rule {does} nothing"),
                None,
            );
        }
        self.methods(role, index, rule);
        self.fields(role, index, rule);
        self.domain(role, index, rule);
        for (at, pattern) in rule.instances.iter().enumerate() {
            let path = path!["roles", role, "rules", index, "instances", at];
            if config
                .instances
                .keys()
                .any(|name| pattern.matches(name.as_str()))
            {
                continue;
            }
            if pattern.is_open() {
                self.doubtful(
                    path,
                    &format!("no instance is called like `{pattern}`"),
                    None,
                );
            } else {
                let near = nearest(
                    &pattern.to_string(),
                    config.instances.keys().map(InstanceName::as_str),
                );
                self.wrong(
                    path,
                    &format!("there is no instance `{pattern}`"),
                    near.as_deref(),
                );
            }
        }
        for (at, pattern) in rule.models.iter().enumerate() {
            if !pattern.is_open()
                && let Err(error) = ModelName::try_from(pattern.to_string().as_str())
            {
                let path = path!["roles", role, "rules", index, "models", at];
                self.wrong(path, &error.to_string(), None);
            }
        }
    }

    fn methods(&mut self, role: &RoleName, index: usize, rule: &Rule) {
        if rule.deny {
            return;
        }
        for (at, method) in rule.methods.iter().enumerate() {
            let known = ORDINARY.iter().find(|(name, _)| *name == method.as_str());
            if let Some((_, operation)) = known {
                self.wrong(
                    path!["roles", role, "rules", index, "methods", at],
                    &format!("`{method}` is not called by its name, for then no field or record would be looked at"),
                    Some(&format!("write `operations = [\"{operation}\"]`")),
                );
            }
        }
    }

    fn fields(&mut self, role: &RoleName, index: usize, rule: &Rule) {
        let none = Vec::new();
        let lists = [
            ("fields", &rule.fields),
            ("hidden_fields", &rule.hidden_fields),
            ("write_fields", rule.write_fields.as_ref().unwrap_or(&none)),
        ];
        for (key, patterns) in lists {
            for (at, pattern) in patterns.iter().enumerate() {
                let path = path!["roles", role, "rules", index, key, at];
                let text = pattern.to_string();
                let body = text.trim_end_matches('*');
                if !body.is_empty() && FieldName::try_from(body).is_err() {
                    self.wrong(
                        path,
                        &format!("`{text}` is not the name of a field, nor the beginning of one and a `*`"),
                        Some("write the field alone, such as `email`; its model stands in `models`"),
                    );
                } else if key == "fields" && !rule.deny && !pattern.is_open() && is_secret(body) {
                    self.doubtful(
                        path,
                        &format!("`{text}` sounds like a secret, and this opens it"),
                        Some("leave it out unless somebody needs it"),
                    );
                }
            }
        }
        let only_opening = [
            ("hidden_fields", !rule.hidden_fields.is_empty()),
            ("write_fields", rule.write_fields.is_some()),
        ];
        for (key, _) in only_opening.iter().filter(|(_, set)| *set && rule.deny) {
            self.wrong(
                path!["roles", role, "rules", index, key],
                &format!("a rule that denies has no `{key}`"),
                Some("name what is denied in `fields`, and when in `operations`"),
            );
        }
        let writes = rule
            .operations
            .iter()
            .flatten()
            .any(|one| matches!(one, Operation::Create | Operation::Write));
        if rule.write_fields.is_some() && !rule.deny && !writes {
            self.doubtful(
                path!["roles", role, "rules", index, "write_fields"],
                "this rule lets nothing be written",
                Some("add `create` or `write` to `operations`"),
            );
        }
    }

    fn domain(&mut self, role: &RoleName, index: usize, rule: &Rule) {
        let path = path!["roles", role, "rules", index, "domain"];
        let value = serde_json::Value::Array(rule.domain.clone());
        match Domain::parse(&value) {
            Err(error) => self.wrong(
                path,
                &error.to_string(),
                Some("write it like `[[\"company_id\", \"=\", 1]]`"),
            ),
            Ok(domain) if !domain.is_empty() && rule.models.iter().any(Pattern::is_open) => {
                let does = if rule.deny {
                    "denies everything"
                } else {
                    "opens nothing"
                };
                self.doubtful(
                    path,
                    &format!("the domain is for each model that the patterns cover, and of those that do not have its fields this rule {does}"),
                    Some("name the models in full"),
                );
            }
            Ok(_) => {}
        }
    }
}
