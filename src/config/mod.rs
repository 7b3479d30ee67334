//! The configuration: one struct file per section, how it is read, and what
//! must fit between its keys.
//!
//! [`load()`] is the way in. The environment is read here and nowhere else.

mod admin;
mod admission;
mod argument;
mod assemble;
mod audit;
mod changes;
mod check;
mod credential;
mod environment;
mod facade;
mod file;
mod form;
mod grant;
mod instance;
mod keys;
mod layers;
mod limits;
mod load;
mod mistake;
mod provider;
mod quote;
mod redis;
#[cfg(test)]
mod reference;
mod role;
mod server;
#[cfg(test)]
mod snippets;
mod sources;
mod telemetry;
mod writes;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::redis::{Redis, WhenDown};
pub use admin::Admin;
pub use argument::{Argument, ArgumentType, Arguments};
pub use assemble::CannotAssemble;
pub use audit::Audit;
pub use changes::Changes;
pub use credential::Credential;
pub use facade::Facade;
pub use grant::{CallerKind, Grant};
pub use instance::Instance;
pub use keys::Keys;
pub use limits::{Limits, RoleLimits};
pub use load::{Checked, Rules, load, load_admin, load_form, load_rules};
pub use mistake::{Mistake, Mistakes, Place};
pub use provider::{BasicEncoding, ClientAuth, Provider, ProviderKind, StepUp, Validation};
pub use role::{Operation, Role, Rule};
pub use server::{Server, Tls};
pub use sources::Sources;
pub use telemetry::Telemetry;
pub use writes::{Approval, Writes};

use gatepost_base::{InstanceName, ProviderName, RoleName};
use gatepost_policy::Policy;
use gatepost_state::limits::{Allowance, Rates};

/// The whole configuration. Every key has its default here, in its type.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where clients connect.
    pub server: Server,
    /// Where operators look.
    pub admin: Admin,
    /// The Odoo instances by name; at least one.
    #[schemars(extend("propertyNames" = { "format": "instance-name" }))]
    pub instances: BTreeMap<InstanceName, Instance>,
    /// The identity providers by name.
    #[schemars(extend("propertyNames" = { "format": "provider-name" }))]
    pub providers: BTreeMap<ProviderName, Provider>,
    /// Who gets which roles.
    pub grants: Vec<Grant>,
    /// The roles by name.
    #[schemars(extend("propertyNames" = { "format": "role-name" }))]
    pub roles: BTreeMap<RoleName, Role>,
    /// Our own API keys.
    pub keys: Keys,
    /// How much anybody may.
    pub limits: Limits,
    /// What is told to operators.
    pub telemetry: Telemetry,
    /// Where several replicas count together.
    pub redis: Option<Redis>,
    /// Who did what.
    pub audit: Audit,
    /// What is remembered of changes.
    pub changes: Changes,
    /// One client for all, where a provider lets none register.
    pub facade: Option<Facade>,
}

impl Config {
    /// The roles as policy knows them.
    pub fn policy(&self) -> Policy {
        let roles = self.roles.iter();
        Policy::new(
            roles
                .map(|(name, role)| (name.clone(), role.to_policy()))
                .collect(),
        )
    }

    /// How much everybody may.
    pub fn rates(&self) -> Rates {
        let limits = self.limits;
        let of_roles = self.roles.iter().filter_map(|(name, role)| {
            let own = role.limits.as_ref()?;
            Some((name.clone(), limits.of_role(own)))
        });
        Rates {
            address: Allowance::per_minute(limits.address_per_minute, limits.address_burst),
            instance: Allowance::per_minute(limits.instance_per_minute, limits.instance_burst),
            caller: limits.caller(),
            by_role: of_roles.collect(),
        }
    }

    /// Whether any role may change anything in any instance.
    pub fn may_change(&self) -> bool {
        let policy = self.policy();
        self.instances
            .iter()
            .any(|(name, one)| one.writes != Writes::ReadOnly && policy.opens_changes(name))
    }
}
