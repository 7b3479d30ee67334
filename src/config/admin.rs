//! `[admin]`: the listener for operators.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use smart_default::SmartDefault;

use super::schema;

/// The listener with `/livez`, `/readyz` and `/metrics`. It has no
/// authentication, so it must not be reachable from outside.
#[derive(Clone, Debug, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// The address. Default `127.0.0.1:9090`; an empty text disables the listener.
    #[default(Some(SocketAddr::from(([127, 0, 0, 1], 9090))))]
    #[serde(deserialize_with = "address_or_off")]
    #[schemars(schema_with = "schema::address_or_off")]
    pub listen: Option<SocketAddr>,
    /// Host names accepted besides addresses, names without a dot and those under
    /// `.internal`, `.local` and `.svc`, such as `metrics.example.com`.
    pub allowed_hosts: Vec<String>,
}

/// An address, or `None` for an empty text because TOML has no null.
fn address_or_off<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(de::Error::custom)
}
