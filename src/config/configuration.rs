//! The whole configuration, by section.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    AdminConfig, AuditConfig, ChangesConfig, FacadeConfig, GrantConfig, InstanceConfig, KeysConfig,
    LimitsConfig, ProviderConfig, RedisConfig, RoleConfig, ServerConfig, TelemetryConfig, Writes,
};
use gatepost_base::{InstanceName, ProviderName, RoleName};
use gatepost_policy::Policy;
use gatepost_state::limits::{Rate, Rates};

/// The whole configuration. The type of each section has the defaults of its keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The listeners for clients.
    pub server: ServerConfig,
    /// The listener for operators.
    pub admin: AdminConfig,
    /// The Odoo instances by name; at least one.
    #[schemars(extend("propertyNames" = { "format": "instance-name" }))]
    pub instances: BTreeMap<InstanceName, InstanceConfig>,
    /// The identity providers by name.
    #[schemars(extend("propertyNames" = { "format": "provider-name" }))]
    pub providers: BTreeMap<ProviderName, ProviderConfig>,
    /// Which callers have which roles.
    pub grants: Vec<GrantConfig>,
    /// The roles by name.
    #[schemars(extend("propertyNames" = { "format": "role-name" }))]
    pub roles: BTreeMap<RoleName, RoleConfig>,
    /// The gateway's own API keys.
    pub keys: KeysConfig,
    /// Rate limits.
    pub limits: LimitsConfig,
    /// Traces.
    pub telemetry: TelemetryConfig,
    /// What several replicas share.
    pub redis: Option<RedisConfig>,
    /// The audit journal.
    pub audit: AuditConfig,
    /// The change store.
    pub changes: ChangesConfig,
    /// Client registration for providers without it.
    pub facade: Option<FacadeConfig>,
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
