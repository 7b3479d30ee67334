//! What may be done: roles, their rules, and the only maker of [`Permitted`].
//!
//! Default deny. A call that no rule of any of the caller's roles allows is
//! [`Forbidden`]. Fields, record domains and methods get their rules here too
//! when they come; nothing outside decides.

mod forbidden;
mod pattern;
mod permitted;
mod protected;
mod role;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use forbidden::Forbidden;
pub use pattern::{InvalidPattern, Pattern};
pub use permitted::Permitted;
pub use role::{Role, Rule};

use crate::{
    names::{CredentialName, InstanceName, RoleName},
    odoo::{Call, Effect, Inquiry, ModelName},
};

/// All roles there are.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    roles: BTreeMap<RoleName, Role>,
}

impl Policy {
    /// The policy of these roles.
    pub fn new(roles: BTreeMap<RoleName, Role>) -> Self {
        Self { roles }
    }

    /// Lets a call through if a rule of one of the roles allows it.
    ///
    /// # Errors
    /// [`Forbidden`], which says what was asked and not which rule is missing.
    pub fn permit(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        call: Call,
    ) -> Result<Permitted<Call>, Forbidden> {
        self.allow(roles, instance, call.model(), call.effect())?;
        Ok(Permitted::by_policy(call))
    }

    /// Lets a question of our own through: anybody who may do anything at all
    /// in the instance may have it asked, the fields of a model only by who
    /// may read the model.
    ///
    /// # Errors
    /// [`Forbidden`] otherwise.
    pub fn permit_inquiry(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        inquiry: &Inquiry,
    ) -> Result<Permitted<Call>, Forbidden> {
        match inquiry.about() {
            Some(model) => self.allow(roles, instance, model, Effect::Read)?,
            None => self.admit(roles, instance)?,
        }
        Ok(Permitted::by_policy(inquiry.to_call()))
    }

    /// Lets a caller into an instance if any of the roles has a rule there.
    ///
    /// # Errors
    /// [`Forbidden::Instance`] otherwise.
    pub fn admit(&self, roles: &[RoleName], instance: &InstanceName) -> Result<(), Forbidden> {
        self.rules(roles, instance)
            .next()
            .map(|_| ())
            .ok_or_else(|| Forbidden::Instance(instance.clone()))
    }

    /// Whether any model of the instance is open for the effect: a tool whose
    /// effect is open nowhere is not shown.
    pub fn opens(&self, roles: &[RoleName], instance: &InstanceName, effect: Effect) -> bool {
        self.rules(roles, instance)
            .any(|rule| rule.operations.contains(&effect))
    }

    /// The credentials that the roles name, of those that [admit](Self::admit)
    /// to the instance: a role that opens nothing there names nobody there.
    pub fn credentials<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> impl Iterator<Item = &'a CredentialName> {
        roles
            .iter()
            .filter_map(|role| self.roles.get(role))
            .filter(|role| role.rules.iter().any(|rule| rule.applies(instance)))
            .filter_map(|role| role.credential.as_ref())
    }

    /// Allows the effect on the model, or says that it is forbidden.
    ///
    /// # Errors
    /// [`Forbidden::Operation`].
    pub fn allow(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        model: &ModelName,
        effect: Effect,
    ) -> Result<(), Forbidden> {
        if self
            .rules(roles, instance)
            .any(|rule| rule.allows(model, effect))
        {
            Ok(())
        } else {
            Err(Forbidden::Operation {
                model: model.clone(),
                effect,
            })
        }
    }

    /// What the roles open in an instance, one line a rule, for the
    /// administrator.
    pub fn summary(&self, roles: &[RoleName], instance: &InstanceName) -> Vec<String> {
        self.rules(roles, instance)
            .map(|rule| {
                let models: Vec<String> = rule.models.iter().map(ToString::to_string).collect();
                let effects: Vec<&str> = rule.operations.iter().map(|one| one.as_str()).collect();
                format!("it may {} {}", effects.join(", "), models.join(", "))
            })
            .collect()
    }

    /// Whether these roles would allow what was forbidden.
    pub fn would_allow(
        &self,
        roles: &[RoleName],
        instance: &InstanceName,
        forbidden: &Forbidden,
    ) -> bool {
        match forbidden {
            Forbidden::Instance(instance) => self.admit(roles, instance).is_ok(),
            Forbidden::Operation { model, effect } => {
                self.allow(roles, instance, model, *effect).is_ok()
            }
        }
    }

    /// The rules that apply; linear, for policies have tens of rules.
    fn rules<'a>(
        &'a self,
        roles: &'a [RoleName],
        instance: &'a InstanceName,
    ) -> impl Iterator<Item = &'a Rule> {
        roles
            .iter()
            .filter_map(|role| self.roles.get(role))
            .flat_map(|role| &role.rules)
            .filter(|rule| rule.applies(instance))
    }
}
