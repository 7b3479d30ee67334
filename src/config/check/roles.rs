//! What the roles open, and whether it exists.

use super::{Check, nearest};
use crate::{
    config::Rule,
    names::{InstanceName, RoleName},
    odoo::ModelName,
    policy::Pattern,
};

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
        let empty = [
            ("instances", rule.instances.is_empty()),
            ("models", rule.models.is_empty()),
            ("operations", rule.operations.is_empty()),
        ];
        for (key, _) in empty.iter().filter(|(_, empty)| *empty) {
            self.doubtful(
                path!["roles", role, "rules", index, key],
                "the list is empty, so this rule opens nothing",
                None,
            );
        }
        for (at, pattern) in rule.instances.iter().enumerate() {
            let path = path!["roles", role, "rules", index, "instances", at];
            if config
                .instances
                .keys()
                .any(|name| pattern.matches(name.as_str()))
            {
                continue;
            }
            if is_open(pattern) {
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
            if !is_open(pattern)
                && let Err(error) = ModelName::try_from(pattern.to_string().as_str())
            {
                let path = path!["roles", role, "rules", index, "models", at];
                self.wrong(path, &error.to_string(), None);
            }
        }
    }
}

fn is_open(pattern: &Pattern) -> bool {
    pattern.to_string().ends_with('*')
}
