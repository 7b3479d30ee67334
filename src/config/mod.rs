//! The configuration: one struct file per section, how it is read, and what
//! must fit between its keys.
//!
//! [`load()`] is the way in. The environment is read here and nowhere else.

mod admin;
mod argument;
mod audit;
mod build;
mod changes;
mod check;
mod credential;
mod diagnostic;
mod environment;
mod excerpt;
mod facade;
mod file;
mod grant;
mod instance;
mod keys;
mod layers;
mod limits;
mod load;
mod provider;
mod redis;
#[cfg(test)]
mod reference;
mod role;
mod schema;
mod server;
#[cfg(test)]
mod snippets;
mod sources;
mod telemetry;
mod token_policy;
mod writes;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::redis::{OnRedisFailure, Redis};
pub use admin::Admin;
pub use argument::{Argument, ArgumentType, Arguments};
pub use audit::Audit;
pub use build::BuildError;
pub use changes::Changes;
pub use credential::Credential;
pub use diagnostic::{ConfigError, ConfigErrors, ConfigLocation};
pub use facade::Facade;
pub use grant::{CallerKind, Grant};
pub use instance::Instance;
pub use keys::Keys;
pub use limits::{Limits, RoleLimits};
pub use load::{LocatedRules, ValidConfig, load, load_admin, load_rules, load_schema_valid};
pub use provider::{BasicEncoding, ClientAuth, Provider, ProviderKind, StepUp, Validation};
pub use role::{Role, Rule, RuleOperation};
pub use server::{Server, Tls};
pub use sources::Sources;
pub use telemetry::Telemetry;
pub use writes::{Approval, Writes};

use gatepost_base::{InstanceName, ProviderName, RoleName};
use gatepost_policy::Policy;
use gatepost_state::limits::{Rate, Rates};

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
            Some((name.clone(), limits.role_rates(own)))
        });
        Rates {
            address: Rate::per_minute(limits.address_per_minute, limits.address_burst),
            instance: Rate::per_minute(limits.instance_per_minute, limits.instance_burst),
            caller: limits.caller_rates(),
            by_role: of_roles.collect(),
        }
    }

    /// Whether any role may change anything in any instance.
    pub fn allows_writes(&self) -> bool {
        let policy = self.policy();
        self.instances
            .iter()
            .any(|(name, one)| one.writes != Writes::ReadOnly && policy.allows_any_write(name))
    }
}
