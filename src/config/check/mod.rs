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

use super::{
    Config,
    diagnostic::{ConfigError, EntryPart, closest_name},
    layers::Layers,
    secrets::Secrets,
};
use gatepost_base::{InstanceName, ProviderName, RoleName};
use http_url::HttpUrl;

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

/// Checks one configuration; each file of this folder adds the checks of a section.
struct ConfigChecker<'a> {
    config: &'a Config,
    layers: &'a Layers,
    findings: Findings,
}

impl<'a> ConfigChecker<'a> {
    fn new(config: &'a Config, layers: &'a Layers) -> Self {
        Self {
            config,
            layers,
            findings: Findings::default(),
        }
    }
}

impl ConfigChecker<'_> {
    fn check_role_exists(&mut self, path: &[String], role: &RoleName) {
        let names = self.config.roles.keys().map(RoleName::as_str);
        self.check_exists(path, "role", role.as_str(), names);
    }

    fn check_provider_exists(&mut self, path: &[String], provider: &ProviderName) {
        let names = self.config.providers.keys().map(ProviderName::as_str);
        self.check_exists(path, "identity provider", provider.as_str(), names);
    }

    /// Reports a name that is not among the configured ones.
    fn check_exists<'n>(
        &mut self,
        path: &[String],
        kind: &str,
        name: &str,
        mut configured: impl Iterator<Item = &'n str> + Clone,
    ) {
        if configured.clone().all(|one| one != name) {
            let near = suggest_name(name, &mut configured);
            self.error(
                path,
                &format!("there is no {kind} `{name}`"),
                near.as_deref(),
            );
        }
    }

    /// Reports an instance pattern that matches no configured instance.
    fn check_instance_exists(&mut self, path: &[String], pattern: &gatepost_policy::Pattern) {
        let names = self.config.instances.keys().map(InstanceName::as_str);
        if !names.clone().any(|name| pattern.matches(name)) {
            self.check_exists(path, "instance", &pattern.to_string(), names);
        }
    }

    /// The parsed URL; a malformed one is reported.
    fn url(&mut self, path: &[String], text: &str) -> Option<HttpUrl> {
        HttpUrl::parse(text)
            .map_err(|(message, hint)| self.error(path, message, Some(hint)))
            .ok()
    }

    fn error(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let error = self.diagnostic(path, message, hint);
        self.findings.errors.push(error);
    }

    fn warning(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let warning = self.diagnostic(path, message, hint);
        self.findings.warnings.push(warning);
    }

    /// A finding about the key at `path`; an empty path is the whole configuration.
    fn diagnostic(&self, path: &[String], message: &str, hint: Option<&str>) -> ConfigError {
        let location = self.layers.location(path, EntryPart::Value);
        ConfigError::new(location, path, message, hint.map(str::to_owned))
    }
}

/// "did you mean ..?", or the names that exist.
fn suggest_name<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    match closest_name(wanted, names.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => Some(format!("configured: `{}`", names.join("`, `"))),
    }
}
