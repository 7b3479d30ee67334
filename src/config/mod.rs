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
mod configuration;
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

pub use self::redis::RedisConfig;
pub use admin::AdminConfig;
pub use argument::{ArgumentConfig, ArgumentType, ArgumentsConfig};
pub use audit::AuditConfig;
pub use build::BuildError;
pub use changes::ChangesConfig;
pub use configuration::Config;
pub use credential::CredentialConfig;
pub use diagnostic::{ConfigError, ConfigErrors, ConfigLocation};
pub use facade::FacadeConfig;
pub use grant::GrantConfig;
pub use instance::InstanceConfig;
pub use keys::KeysConfig;
pub use limits::{LimitsConfig, RoleLimits};
pub use load::{LocatedRules, ValidConfig, load, load_admin, load_rules, load_schema_valid};
pub use provider::{BasicEncoding, ClientAuthMethod, ProviderConfig, ProviderKind, StepUp};
pub use role::{RoleConfig, RuleConfig};
pub use secrets::{InlineSecret, Secrets};
pub use server::{ServerConfig, TlsConfig};
pub use sources::Sources;
pub use telemetry::TelemetryConfig;
pub use writes::{Approval, Writes};
