//! The configuration file: one struct file per section.

mod admin;
mod instance;
mod keys;
mod role;
mod server;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use admin::Admin;
pub use instance::Instance;
pub use keys::Keys;
pub use role::{Operation, Role, Rule};
pub use server::{Server, Tls};

use crate::names::{InstanceName, RoleName};

/// The whole configuration. Every key has its default here, in its type.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where clients connect.
    pub server: Server,
    /// Where operators look.
    pub admin: Admin,
    /// The Odoo instances by name; at least one.
    pub instances: BTreeMap<InstanceName, Instance>,
    /// The roles by name.
    pub roles: BTreeMap<RoleName, Role>,
    /// Our own API keys.
    pub keys: Keys,
}
