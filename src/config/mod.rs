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

pub use self::redis::Redis;
pub use admin::Admin;
pub use argument::{Argument, ArgumentType, Arguments};
pub use audit::Audit;
pub use build::BuildError;
pub use changes::Changes;
pub use configuration::Config;
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
