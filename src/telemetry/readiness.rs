//! Which services that requests depend on are available.

use gatepost_base::{InstanceName, ProviderName};

/// Which services that requests depend on are available, for `/readyz` and the
/// metrics. An `Err` has the reason.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// The Odoo instances.
    pub instances: Vec<(InstanceName, Result<(), String>)>,
    /// The identity providers, as far as that is known.
    pub providers: Vec<(ProviderName, Result<(), String>)>,
    /// The audit journal, if one is configured.
    pub audit: Option<Result<(), String>>,
    /// The state store, if any role may write.
    pub state_store: Option<Result<(), String>>,
    /// The instances where no API key works: each has expired or is rejected.
    pub unusable: Vec<InstanceName>,
    /// What will fail soon, or fails for some callers, for the administrator.
    pub warnings: Vec<String>,
    /// The rate limiter, if calls are refused while it is unavailable.
    pub limits: Option<Result<(), String>>,
}
