//! `[roles.NAME]`: what may be done.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Approval, Arguments, RoleLimits, Writes, schema};
use gatepost_base::CredentialName;
use gatepost_odoo::{Domain, MethodName, Operation};
use gatepost_policy::{self, Pattern};

/// A role: a list of rules, each of which opens something, or denies it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The credential of the Odoo user that calls by this role act as, such as
    /// `sales`. Default: the instance's own API key.
    #[serde(default)]
    #[schemars(schema_with = "schema::credential_name")]
    pub credential: Option<CredentialName>,
    /// How freely its callers may change what it opens, where that is less than
    /// the instance lets them: `read_only`, `confirm` or `direct`. Default `direct`.
    #[serde(default = "Writes::direct")]
    pub writes: Writes,
    /// Who confirms a change: `client` or `human`, as in the instance.
    /// Default `client`.
    #[serde(default)]
    pub approval: Approval,
    /// How much its callers may, where that is not what `[limits]` says.
    #[serde(default)]
    pub limits: Option<RoleLimits>,
    /// The rules (`[[roles.NAME.rules]]`).
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One thing that a role opens, or denies.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Instances by name or pattern. Default: every instance.
    #[serde(default = "everything")]
    #[schemars(schema_with = "schema::patterns")]
    pub instances: Vec<Pattern>,
    /// Models by name or pattern, such as `["res.partner", "sale.*"]`.
    #[schemars(schema_with = "schema::patterns")]
    pub models: Vec<Pattern>,
    /// What may be done with them. Default `["read"]`, in a rule that denies
    /// everything; in one that names `methods`, nothing but these.
    #[serde(default)]
    pub operations: Option<Vec<RuleOperation>>,
    /// Methods of the models that may be called, such as `["action_confirm"]`.
    /// They open nothing else: another rule lets the records be read.
    #[serde(default)]
    #[schemars(schema_with = "schema::method_names")]
    pub methods: Vec<MethodName>,
    /// What methods may be called with, by method and argument: those that are
    /// named here with these arguments alone, the others with any.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "format": "method-name" }))]
    pub arguments: BTreeMap<MethodName, Arguments>,
    /// Fields that may be seen, by name or pattern. Default: all but secret ones.
    /// In a rule that denies: those that may not; all is the whole model.
    #[serde(default = "everything")]
    #[schemars(schema_with = "schema::patterns")]
    pub fields: Vec<Pattern>,
    /// Fields that may not be seen after all.
    #[serde(default)]
    #[schemars(schema_with = "schema::patterns")]
    pub hidden_fields: Vec<Pattern>,
    /// Fields that may be written, of those that may be seen. Default: all of them.
    #[serde(default)]
    #[schemars(schema_with = "schema::patterns")]
    pub write_fields: Option<Vec<Pattern>>,
    /// Records that the rule is about, as an Odoo domain. Default: all.
    #[serde(default)]
    #[schemars(schema_with = "schema::domain")]
    pub domain: Vec<Value>,
    /// Whether the rule denies what it names, whatever other rules open.
    #[serde(default)]
    pub deny: bool,
}

/// What may be done with a model's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleOperation {
    /// Make new ones.
    Create,
    /// Remove them.
    Delete,
    /// Look at them.
    Read,
    /// Change them.
    Write,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            credential: None,
            writes: Writes::direct(),
            approval: Approval::default(),
            limits: None,
            rules: Vec::new(),
        }
    }
}

impl Role {
    /// The role as policy knows it.
    pub fn to_policy(&self) -> gatepost_policy::Role {
        gatepost_policy::Role {
            rules: self.rules.iter().map(Rule::to_policy).collect(),
            credential: self.credential.clone(),
            write_mode: self.writes.to_mode(self.approval),
        }
    }
}

impl Rule {
    /// What the rule is about, defaults filled in.
    pub(super) fn odoo_operations(&self) -> Vec<Operation> {
        let mut effects: Vec<Operation> = match &self.operations {
            Some(operations) => operations.iter().map(|one| one.to_odoo()).collect(),
            // Else whoever opens a method opens every field and record with it.
            None if !self.methods.is_empty() => Vec::new(),
            None if !self.deny => vec![Operation::Read],
            None => vec![
                Operation::Read,
                Operation::Create,
                Operation::Write,
                Operation::Delete,
                Operation::Call,
            ],
        };
        if !self.methods.is_empty() {
            effects.push(Operation::Call);
        }
        effects
    }

    /// What its methods may be called with.
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
            operations: self.odoo_operations(),
            methods: self.methods.clone(),
            arguments: self.arguments(),
            fields: self.fields.clone(),
            hidden_fields: self.hidden_fields.clone(),
            write_fields: self.write_fields.clone(),
            // Checked: it is one. A rule that opens would open nothing with one
            // that is none, and a rule that denies would deny everything.
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

impl RuleOperation {
    fn to_odoo(self) -> Operation {
        match self {
            Self::Create => Operation::Create,
            Self::Delete => Operation::Delete,
            Self::Read => Operation::Read,
            Self::Write => Operation::Write,
        }
    }
}

fn everything() -> Vec<Pattern> {
    vec![Pattern::everything()]
}
