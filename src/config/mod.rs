//! The configuration: one file per section, and how it is read and checked.
//!
//! [`load()`] is the entry point. Only this module reads the environment. `figment`
//! only merges the layers and remembers which layer set a key; validation is here
//! because serde would stop at the first error.

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
mod restart;
mod role;
mod schema;
mod secrets;
mod server;
mod sources;
mod stdio_state;
mod telemetry;
#[cfg(test)]
mod tests;
mod token_policy;
mod writes;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use self::redis::Redis;
pub use admin::Admin;
pub use argument::{Argument, ArgumentType, Arguments};
pub use audit::Audit;
pub use build::BuildError;
pub use changes::Changes;
pub use credential::Credential;
pub use diagnostic::{ConfigError, ConfigErrors, ConfigLocation};
pub use facade::Facade;
pub use grant::Grant;
pub use instance::Instance;
pub use keys::Keys;
pub use limits::{Limits, RoleLimits};
pub use load::{LocatedRules, ValidConfig, load, load_admin, load_rules, load_schema_valid};
pub use provider::{BasicEncoding, ClientAuthMethod, Provider, ProviderKind, StepUp};
pub use role::{Role, Rule};
pub use secrets::{InlineSecret, Secrets};
pub use server::{Server, Tls};
pub use sources::Sources;
pub use telemetry::Telemetry;
pub use writes::{Approval, Writes};

use gatepost_base::{InstanceName, ProviderName, RoleName};
use gatepost_policy::Policy;
use gatepost_state::limits::{Rate, Rates};

/// The whole configuration. The type of each section has the defaults of its keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listeners for clients.
    pub server: Server,
    /// The listener for operators.
    pub admin: Admin,
    /// The Odoo instances by name; at least one.
    #[schemars(extend("propertyNames" = { "format": "instance-name" }))]
    pub instances: BTreeMap<InstanceName, Instance>,
    /// The identity providers by name.
    #[schemars(extend("propertyNames" = { "format": "provider-name" }))]
    pub providers: BTreeMap<ProviderName, Provider>,
    /// Which callers have which roles.
    pub grants: Vec<Grant>,
    /// The roles by name.
    #[schemars(extend("propertyNames" = { "format": "role-name" }))]
    pub roles: BTreeMap<RoleName, Role>,
    /// The gateway's own API keys.
    pub keys: Keys,
    /// Rate limits.
    pub limits: Limits,
    /// Traces.
    pub telemetry: Telemetry,
    /// What several replicas share.
    pub redis: Option<Redis>,
    /// The audit journal.
    pub audit: Audit,
    /// The change store.
    pub changes: Changes,
    /// Client registration for providers without it.
    pub facade: Option<Facade>,
}

impl Config {
    /// The roles in the form that policy uses.
    pub fn policy(&self) -> Policy {
        let roles = self.roles.iter();
        Policy::new(
            roles
                .map(|(name, role)| (name.clone(), role.to_policy()))
                .collect(),
        )
    }

    /// The rate limits, with those of the roles.
    pub fn rates(&self) -> Rates {
        let limits = self.limits;
        let by_role = self.roles.iter().filter_map(|(name, role)| {
            let own = role.limits.as_ref()?;
            Some((name.clone(), limits.role_rates(own)))
        });
        Rates {
            address: Rate::per_minute(limits.address_per_minute, limits.address_burst),
            instance: Rate::per_minute(limits.instance_per_minute, limits.instance_burst),
            caller: limits.caller_rates(),
            by_role: by_role.collect(),
        }
    }

    /// Whether any role allows a write in any instance.
    pub fn allows_writes(&self) -> bool {
        let policy = self.policy();
        self.instances
            .iter()
            .any(|(name, one)| one.writes != Writes::ReadOnly && policy.allows_any_write(name))
    }
}
