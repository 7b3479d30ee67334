//! `[roles.NAME]`: what may be done.

use serde::Deserialize;

use crate::policy::Pattern;

/// A role: a list of rules, each of which opens something.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The rules (`[[roles.NAME.rules]]`).
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// One thing that a role opens.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Instances by name or pattern. Default: every instance.
    #[serde(default = "everywhere")]
    pub instances: Vec<Pattern>,
    /// Models by name or pattern, such as `["res.partner", "sale.*"]`.
    pub models: Vec<Pattern>,
    /// What may be done with them. Only `read` so far; default `["read"]`.
    #[serde(default = "read")]
    pub operations: Vec<Operation>,
}

/// What may be done with a model's records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Look at them.
    Read,
}

fn everywhere() -> Vec<Pattern> {
    Pattern::parse("*").into_iter().collect()
}

fn read() -> Vec<Operation> {
    vec![Operation::Read]
}
