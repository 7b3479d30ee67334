//! Checks across keys, and of the files that keys name.

/// The path of a key; its steps are keys, names and indices. Declared before
/// the modules because they use it.
macro_rules! path {
    ($($step:expr),+) => {
        &[$($step.to_string()),+]
    };
}

mod audit;
mod authentication;
mod changes;
mod checker;
mod credentials;
mod facade;
mod files;
mod grants;
mod http_url;
mod instances;
mod listeners;
mod providers;
mod public_urls;
mod redis;
mod roles;
mod rule_conflicts;
mod secret;
mod telemetry;
mod token_policies;

use self::checker::ConfigChecker;
use super::{Config, diagnostic::ConfigError, layers::Layers, secrets::Secrets};

/// The errors and warnings found, and the contents of the files read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<ConfigError>,
    pub(super) secrets: Secrets,
}

/// Runs every check that needs more than one key.
pub(super) fn check_config(config: &Config, layers: &Layers) -> Findings {
    let mut check = ConfigChecker::new(config, layers);
    check.listeners();
    check.origins();
    check.instances();
    check.public_urls();
    check.providers();
    check.token_policies();
    check.grants();
    check.facade();
    check.redis();
    check.roles();
    check.keys();
    check.credentials();
    check.audit();
    check.changes();
    check.telemetry();
    check.warn_without_authentication();
    check.findings
}

/// Checks only the roles, and returns the errors.
pub(super) fn role_errors(config: &Config, layers: &Layers) -> Vec<ConfigError> {
    let mut check = ConfigChecker::new(config, layers);
    check.roles();
    check.findings.errors
}
