//! `[roles.NAME]`: what callers with a role may do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use smart_default::SmartDefault;

use super::{Approval, ArgumentsConfig, RoleLimits, Writes, schema};
use gatepost_base::CredentialName;
use gatepost_odoo::{Domain, MethodName, Operation};
use gatepost_policy::{self, Pattern};

/// A role: a list of rules, each of which allows or denies something.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct RoleConfig {
    /// The credential of the Odoo user that calls with this role act as, such as
    /// `sales`. Default: the instance's own API key.
    #[schemars(schema_with = "schema::credential_name")]
    pub credential: Option<CredentialName>,
    /// A stricter limit on writes than the instance's: `read_only`, `confirm` or
    /// `direct`. Default `direct`: no stricter.
    #[default(Writes::Direct)]
    pub writes: Writes,
    /// Who confirms a change: `client` or `human`, as in the instance.
    /// Default `client`.
    pub approval: Approval,
    /// Whether its callers find active internal users by name and link them, although no
    /// rule opens `res.users`. One role with `false` closes it, whatever others allow.
    #[default(true)]
    pub find_users: bool,
    /// Limits for its callers that differ from `[limits]`.
    pub limits: Option<RoleLimits>,
    /// The rules (`[[roles.NAME.rules]]`).
    pub rules: Vec<RuleConfig>,
}

/// Something that a role allows or denies.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["models"]))]
pub struct RuleConfig {
    /// Instances by name or pattern. Default: every instance.
    #[default(every_name())]
    #[schemars(schema_with = "schema::patterns")]
    pub instances: Vec<Pattern>,
    /// Models by name or pattern, such as `["res.partner", "sale.*"]`.
    #[schemars(schema_with = "schema::patterns")]
    pub models: Vec<Pattern>,
    /// The operations on them. Default `["read"]`; in a rule with `deny` all; in a
    /// rule with `methods` none.
    #[schemars(schema_with = "schema::operations")]
    pub operations: Option<Vec<Operation>>,
    /// Methods of the models that may be called, such as `["action_confirm"]`.
    /// Reading the records needs another rule.
    #[schemars(schema_with = "schema::method_names")]
    pub methods: Vec<MethodName>,
    /// Which arguments methods accept, by method and argument. A method that is not
    /// listed here accepts any.
    #[schemars(extend("propertyNames" = { "format": "method-name" }))]
    pub arguments: BTreeMap<MethodName, ArgumentsConfig>,
    /// Fields that may be read, by name or pattern. Default: all but secret ones.
    /// In a rule with `deny`: the fields denied; `*` denies the whole model.
    #[default(every_name())]
    #[schemars(schema_with = "schema::patterns")]
    pub fields: Vec<Pattern>,
    /// Exceptions to `fields`.
    #[schemars(schema_with = "schema::patterns")]
    pub hidden_fields: Vec<Pattern>,
    /// Which of the readable fields may be written. Default: all.
    #[schemars(schema_with = "schema::patterns")]
    pub write_fields: Option<Vec<Pattern>>,
    /// The records that the rule applies to, as an Odoo domain. Default: all.
    #[schemars(schema_with = "schema::list")]
    pub domain: Vec<Value>,
    /// Whether the rule denies what it names, whatever other rules allow.
    pub deny: bool,
}

impl RoleConfig {
    /// The role in the form that policy uses.
    pub fn to_policy(&self) -> gatepost_policy::Role {
        gatepost_policy::Role {
            rules: self.rules.iter().map(RuleConfig::to_policy).collect(),
            credential: self.credential.clone(),
            write_mode: self.writes.to_mode(self.approval),
            closes_user_search: !self.find_users,
        }
    }
}

impl RuleConfig {
    /// The operations, with defaults filled in.
    pub(super) fn operations(&self) -> Vec<Operation> {
        let mut operations = match &self.operations {
            Some(operations) => operations.clone(),
            // Otherwise a rule for a method would also allow every field and record.
            None if !self.methods.is_empty() => Vec::new(),
            None if !self.deny => vec![Operation::Read],
            None => Operation::ALL.to_vec(),
        };
        if !self.methods.is_empty() {
            operations.push(Operation::Call);
        }
        operations
    }

    /// The arguments that its methods accept, with defaults filled in.
    fn arguments(&self) -> BTreeMap<MethodName, gatepost_policy::Arguments> {
        let written = self.arguments.iter();
        let mut all: BTreeMap<_, _> = written
            .map(|(method, arguments)| (method.clone(), arguments.to_policy()))
            .collect();
        for method in &self.methods {
            if !self.deny && method.as_str() == "message_post" && !all.contains_key(method) {
                all.insert(
                    method.clone(),
                    gatepost_policy::Arguments::of_message_post(),
                );
            }
        }
        all
    }

    fn to_policy(&self) -> gatepost_policy::Rule {
        gatepost_policy::Rule {
            instances: self.instances.clone(),
            models: self.models.clone(),
            operations: self.operations(),
            methods: self.methods.clone(),
            arguments: self.arguments(),
            fields: self.fields.clone(),
            hidden_fields: self.hidden_fields.clone(),
            write_fields: self.write_fields.clone(),
            // Checked to be valid. Otherwise a rule would allow nothing, or deny everything.
            domain: Domain::parse(&Value::Array(self.domain.clone())).unwrap_or_else(|_| {
                if self.deny {
                    Domain::default()
                } else {
                    Domain::nothing()
                }
            }),
            deny: self.deny,
        }
    }
}

/// The pattern `*`, in a list.
pub(super) fn every_name() -> Vec<Pattern> {
    vec![Pattern::everything()]
}
