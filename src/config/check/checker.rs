//! What every check uses: names that must exist, URLs, and where a finding goes.

use super::{Findings, http_url::HttpUrl};
use crate::config::{
    Config,
    diagnostic::{ConfigError, EntryPart, closest_name},
    layers::Layers,
};
use gatepost_base::{InstanceName, ProviderName, RoleName};
use gatepost_policy::Pattern;

/// Checks one configuration; each file of this folder adds the checks of a section.
pub(super) struct ConfigChecker<'a> {
    pub(super) config: &'a Config,
    pub(super) layers: &'a Layers,
    pub(super) findings: Findings,
}

impl<'a> ConfigChecker<'a> {
    pub(super) fn new(config: &'a Config, layers: &'a Layers) -> Self {
        Self {
            config,
            layers,
            findings: Findings::default(),
        }
    }
}

impl ConfigChecker<'_> {
    pub(super) fn check_role_exists(&mut self, path: &[String], role: &RoleName) {
        let names = self.config.roles.keys().map(RoleName::as_str);
        self.check_exists(path, "role", role.as_str(), names);
    }

    pub(super) fn check_provider_exists(&mut self, path: &[String], provider: &ProviderName) {
        let names = self.config.providers.keys().map(ProviderName::as_str);
        self.check_exists(path, "identity provider", provider.as_str(), names);
    }

    /// Reports a name that is not among the configured ones.
    pub(super) fn check_exists<'n>(
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
    pub(super) fn check_instance_exists(&mut self, path: &[String], pattern: &Pattern) {
        let names = self.config.instances.keys().map(InstanceName::as_str);
        if !names.clone().any(|name| pattern.matches(name)) {
            self.check_exists(path, "instance", &pattern.to_string(), names);
        }
    }

    /// The parsed URL; a malformed one is reported.
    pub(super) fn url(&mut self, path: &[String], text: &str) -> Option<HttpUrl> {
        HttpUrl::parse(text)
            .map_err(|(message, hint)| self.error(path, message, Some(hint)))
            .ok()
    }

    pub(super) fn error(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let error = self.diagnostic(path, message, hint);
        self.findings.errors.push(error);
    }

    pub(super) fn warning(&mut self, path: &[String], message: &str, hint: Option<&str>) {
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
pub(super) fn suggest_name<'a>(
    wanted: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let names: Vec<&str> = names.collect();
    match closest_name(wanted, names.iter().copied()) {
        Some(name) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => Some(format!("configured: `{}`", names.join("`, `"))),
    }
}
