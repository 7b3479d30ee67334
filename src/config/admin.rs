//! `[admin]`: where operators look.

use std::net::SocketAddr;

use serde::Deserialize;

/// The listener with `/livez`, `/readyz` and `/metrics`. It asks for no
/// proof: keep it inside.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// The address. Default `127.0.0.1:9090`; an empty text switches it off.
    pub listen: Option<SocketAddr>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 9090))),
        }
    }
}
