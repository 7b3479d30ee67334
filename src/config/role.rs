//! `[roles.NAME]`: what may be done.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{RoleLimits, form};
use crate::{
    names::CredentialName,
    odoo::Effect,
    policy::{self, Pattern},
};

/// A role: a list of rules, each of which opens something.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The credential of the Odoo user that calls by this role act as, such as
    /// `sales`. Default: the instance's own API key.
    #[serde(default)]
    #[schemars(schema_with = "form::credential_name")]
    pub credential: Option<CredentialName>,
    /// How much its callers may, where that is not what `[limits]` says.
    #[serde(default)]
    pub limits: Option<RoleLimits>,
    /// The rules (`[[roles.NAME.rules]]`).
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One thing that a role opens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Instances by name or pattern. Default: every instance.
    #[serde(default = "everywhere")]
    #[schemars(schema_with = "form::patterns")]
    pub instances: Vec<Pattern>,
    /// Models by name or pattern, such as `["res.partner", "sale.*"]`.
    #[schemars(schema_with = "form::patterns")]
    pub models: Vec<Pattern>,
    /// What may be done with them. Only `read` so far; default `["read"]`.
    #[serde(default = "read")]
    pub operations: Vec<Operation>,
}

/// What may be done with a model's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Look at them.
    Read,
}

impl Role {
    /// The role as policy knows it.
    pub fn to_policy(&self) -> policy::Role {
        policy::Role {
            rules: self.rules.iter().map(Rule::to_policy).collect(),
            credential: self.credential.clone(),
        }
    }
}

impl Rule {
    fn to_policy(&self) -> policy::Rule {
        policy::Rule {
            instances: self.instances.clone(),
            models: self.models.clone(),
            operations: self.operations.iter().map(|one| one.to_effect()).collect(),
        }
    }
}

impl Operation {
    fn to_effect(self) -> Effect {
        match self {
            Self::Read => Effect::Read,
        }
    }
}

fn everywhere() -> Vec<Pattern> {
    Pattern::parse("*").into_iter().collect()
}

fn read() -> Vec<Operation> {
    vec![Operation::Read]
}
