//! What policy says no to.

use crate::{
    names::InstanceName,
    odoo::{Effect, ModelName},
};

/// A refusal by our own policy. Names what was asked; never the rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// No role of the caller has any rule in the instance.
    #[error(
        "you have no access to the Odoo instance `{0}`; retrying will not help, ask the administrator for a role"
    )]
    Instance(InstanceName),
    /// No rule allows the effect on the model.
    #[error(
        "you may not {} records of `{model}` through this gateway; retrying will not help, `list_models` names the models you can read",
        effect.as_str()
    )]
    Operation {
        /// The model that was asked for.
        model: ModelName,
        /// What was to be done.
        effect: Effect,
    },
}

impl Forbidden {
    /// The model that was asked for, if one was.
    pub fn model(&self) -> Option<&ModelName> {
        match self {
            Self::Instance(_) => None,
            Self::Operation { model, .. } => Some(model),
        }
    }

    /// What was to be done, if that was the question.
    pub fn effect(&self) -> Option<Effect> {
        match self {
            Self::Instance(_) => None,
            Self::Operation { effect, .. } => Some(*effect),
        }
    }
}
