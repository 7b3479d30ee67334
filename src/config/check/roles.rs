//! What the roles open, and whether it exists.

use super::{ConfigChecker, suggest_name};
use crate::config::{Rule, RuleOperation};
use gatepost_base::{InstanceName, RoleName};
use gatepost_odoo::{Domain, FieldName, MethodName, ModelName};
use gatepost_policy::{Pattern, is_secret};

/// Methods that do what an operation does, or read what no rule then looks at:
/// they are never called by their names.
///
/// All public methods of Odoo 19's models that take a domain, names of fields,
/// values or another model were looked at (`odoo/orm/models.py`, `addons/web`,
/// `addons/mail` and the other modules of the community edition).
const RESERVED_METHODS: [(&str, &str); 62] = [
    ("activity_search", "read"),
    ("check_access_rights", "read"),
    ("copy", "create"),
    ("copy_data", "read"),
    ("copy_translations", "write"),
    ("create", "create"),
    ("create_filter", "create"),
    ("default_get", "read"),
    ("export_data", "read"),
    ("fields_get", "read"),
    ("find_or_create_record", "create"),
    ("formatted_read_group", "read"),
    ("formatted_read_grouping_sets", "read"),
    ("get_activity_data", "read"),
    ("get_avatar_card_data", "read"),
    ("get_external_id", "read"),
    ("get_field_translations", "read"),
    ("get_metadata", "read"),
    ("get_new_partner", "read"),
    ("get_property_definition", "read"),
    ("get_view", "read"),
    ("get_views", "read"),
    ("hierarchy_read", "read"),
    ("html_field_history_get_comparison_at_revision", "read"),
    ("html_field_history_get_content_at_revision", "read"),
    ("html_field_history_get_unified_diff_at_revision", "read"),
    ("load", "create"),
    ("load_product_from_pos", "read"),
    ("mark_all_as_read", "read"),
    ("message_new", "create"),
    ("message_parse", "create"),
    ("message_process", "create"),
    ("message_route", "create"),
    ("message_update", "write"),
    ("name_create", "create"),
    ("name_search", "read"),
    ("onchange", "read"),
    ("rating_get_grades", "read"),
    ("rating_get_stats", "read"),
    ("read", "read"),
    ("read_config_open_orders", "read"),
    ("read_group", "read"),
    ("read_pos_orders", "read"),
    ("read_progress_bar", "read"),
    ("search", "read"),
    ("search_count", "read"),
    ("search_or_create", "create"),
    ("search_paid_order_ids", "read"),
    ("search_panel_select_multi_range", "read"),
    ("search_panel_select_range", "read"),
    ("search_read", "read"),
    ("unlink", "delete"),
    ("update_field_translations", "write"),
    ("web_name_search", "read"),
    ("web_override_translations", "write"),
    ("web_read", "read"),
    ("web_read_group", "read"),
    ("web_resequence", "write"),
    ("web_save", "write"),
    ("web_save_multi", "write"),
    ("web_search_read", "read"),
    ("write", "write"),
];

/// Methods that send what nobody has read: rendered from templates, with
/// whatever is in a record, or to whomever is named. `message_post` is for that.
const SENDING_METHODS: [&str; 5] = [
    "message_mail_with_source",
    "message_notify",
    "message_post_with_source",
    "send_mail",
    "send_mail_batch",
];

/// Methods that write what they are given into any field, so that only rules
/// for their arguments keep them within bounds: `action_set_lost` of a lead
/// with `name` renames it.
const VALUE_WRITING_METHODS: [&str; 14] = [
    "action_create_from_template",
    "action_get_share_url",
    "action_set_lost",
    "action_split",
    "activity_schedule",
    "attach_document",
    "create_driver_history",
    "create_opp_portal",
    "create_version",
    "do_replenish",
    "plan_task_in_calendar",
    "set_embedded_actions_setting",
    "update_contact_details_from_portal",
    "update_lead_portal",
];

impl ConfigChecker<'_> {
    pub(super) fn roles(&mut self) {
        let config = self.config;
        for (name, role) in &config.roles {
            if role.rules.is_empty() {
                self.warning(
                    path!["roles", name],
                    "this role has no rules, so it opens nothing",
                    Some(&format!("add `[[roles.{name}.rules]]` with `models`")),
                );
            }
            for (index, rule) in role.rules.iter().enumerate() {
                self.rule(name, index, rule);
            }
            self.rule_conflicts(name, &role.rules);
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
            self.warning(
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
            if pattern.is_prefix() {
                self.warning(
                    path,
                    &format!("no instance is called like `{pattern}`"),
                    None,
                );
            } else {
                let near = suggest_name(
                    &pattern.to_string(),
                    config.instances.keys().map(InstanceName::as_str),
                );
                self.error(
                    path,
                    &format!("there is no instance `{pattern}`"),
                    near.as_deref(),
                );
            }
        }
        for (at, pattern) in rule.models.iter().enumerate() {
            if !pattern.is_prefix()
                && let Err(error) = ModelName::try_from(pattern.to_string().as_str())
            {
                let path = path!["roles", role, "rules", index, "models", at];
                self.error(path, &error.to_string(), None);
            }
        }
    }

    fn methods(&mut self, role: &RoleName, index: usize, rule: &Rule) {
        self.arguments(role, index, rule);
        if rule.deny {
            return;
        }
        for (at, method) in rule.methods.iter().enumerate() {
            let path = path!["roles", role, "rules", index, "methods", at];
            let name = method.as_str();
            if let Some((_, operation)) = RESERVED_METHODS.iter().find(|(known, _)| *known == name)
            {
                self.error(
                    path,
                    &format!("`{method}` is not called by its name, for then no field or record would be looked at"),
                    Some(&format!("write `operations = [\"{operation}\"]`")),
                );
            } else if SENDING_METHODS.contains(&name) {
                self.error(
                    path,
                    &format!(
                        "`{method}` is not called by its name, for it sends what nobody has seen"
                    ),
                    Some("list `message_post`"),
                );
            } else if VALUE_WRITING_METHODS.contains(&name) && !rule.arguments.contains_key(method)
            {
                self.error(
                    path,
                    &format!("`{method}` writes into any field what it is called with, and nothing here says what that may be"),
                    Some(&format!("write `arguments.{method} = {{}}` for none, or name them, such as `arguments.{method}.NAME = {{ type = \"text\" }}`")),
                );
            }
        }
    }

    fn arguments(&mut self, role: &RoleName, index: usize, rule: &Rule) {
        for (method, arguments) in &rule.arguments {
            let path = path!["roles", role, "rules", index, "arguments", method];
            if rule.deny {
                self.error(
                    path,
                    "a rule that denies does so whatever a method is called with",
                    Some("say in the rule that opens the method what it may be called with"),
                );
                continue;
            }
            if !rule.methods.contains(method) {
                let near =
                    suggest_name(method.as_str(), rule.methods.iter().map(MethodName::as_str));
                self.error(
                    path,
                    &format!("`{method}` is not in `methods` of this rule"),
                    near.as_deref().or(Some("list it there, or leave this out")),
                );
            }
            for (name, argument) in &arguments.0 {
                let Err(wrong) = argument.to_policy() else {
                    continue;
                };
                let mut path =
                    path!["roles", role, "rules", index, "arguments", method, name].to_vec();
                path.extend(wrong.key.map(str::to_owned));
                self.error(&path, &wrong.message, Some(wrong.hint));
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
                    self.error(
                        path,
                        &format!("`{text}` is not the name of a field, nor the beginning of one and a `*`"),
                        Some("write the field alone, such as `email`; its model stands in `models`"),
                    );
                } else if key == "fields" && !rule.deny && !pattern.is_prefix() && is_secret(body) {
                    self.warning(
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
            self.error(
                path!["roles", role, "rules", index, key],
                &format!("a rule that denies has no `{key}`"),
                Some("name what is denied in `fields`, and when in `operations`"),
            );
        }
        let writes = rule
            .operations
            .iter()
            .flatten()
            .any(|one| matches!(one, RuleOperation::Create | RuleOperation::Write));
        if rule.write_fields.is_some() && !rule.deny && !writes {
            self.warning(
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
            Err(error) => self.error(
                path,
                &error.to_string(),
                Some("write it like `[[\"company_id\", \"=\", 1]]`"),
            ),
            Ok(domain) if !domain.is_empty() && rule.models.iter().any(Pattern::is_prefix) => {
                let does = if rule.deny {
                    "denies everything"
                } else {
                    "opens nothing"
                };
                self.warning(
                    path,
                    &format!("the domain is for each model that the patterns cover, and of those that do not have its fields this rule {does}"),
                    Some("name the models in full"),
                );
            }
            Ok(_) => {}
        }
    }
}
