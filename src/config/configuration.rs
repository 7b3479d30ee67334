//! The whole configuration, by section.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Admin, Audit, Changes, Facade, Grant, Instance, Keys, Limits, Provider, Redis, Role, Server,
    Telemetry, Writes,
};
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
