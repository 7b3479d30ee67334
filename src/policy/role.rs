//! Roles and their rules.

use super::{Pattern, protected};
use crate::{
    names::{CredentialName, InstanceName},
    odoo::{Effect, ModelName},
};

/// A named set of rules. What a caller may do is what any rule of any of
/// their roles allows.
#[derive(Clone, Debug, Default)]
pub struct Role {
    /// The rules; each opens something, none closes anything.
    pub rules: Vec<Rule>,
    /// The Odoo user that calls by this role act as, where something else does
    /// not say otherwise.
    pub credential: Option<CredentialName>,
}

/// One thing that a role opens.
#[derive(Clone, Debug)]
pub struct Rule {
    /// In which instances.
    pub instances: Vec<Pattern>,
    /// Which models. A pattern with `*` never covers the models that
    /// [`protected`] lists; those must be named in full.
    pub models: Vec<Pattern>,
    /// For which effects.
    pub operations: Vec<Effect>,
}

impl Rule {
    pub(super) fn applies(&self, instance: &InstanceName) -> bool {
        self.instances
            .iter()
            .any(|pattern| pattern.matches(instance.as_str()))
    }

    pub(super) fn allows(&self, model: &ModelName, effect: Effect) -> bool {
        let name = model.as_str();
        self.operations.contains(&effect)
            && self.models.iter().any(|pattern| {
                if protected::is_protected(name) {
                    pattern.names(name)
                } else {
                    pattern.matches(name)
                }
            })
    }
}
