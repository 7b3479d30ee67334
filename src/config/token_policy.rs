//! Which tokens an instance accepts, with the defaults filled in.

use super::{Config, GrantConfig, InstanceConfig};
use gatepost_base::{InstanceName, ProviderName};

impl Config {
    /// The providers whose tokens an instance accepts.
    pub fn providers_of(&self, instance: &InstanceConfig) -> Vec<ProviderName> {
        match &instance.providers {
            Some(named) => named.clone(),
            None => self.providers.keys().cloned().collect(),
        }
    }

    /// The audiences of which a token for an instance must have one.
    pub fn audiences_of(&self, instance: &InstanceConfig) -> Vec<String> {
        if let Some(audiences) = &instance.audiences {
            return audiences.clone();
        }
        let providers = self.providers_of(instance);
        let known = providers.iter().filter_map(|name| self.providers.get(name));
        let of_projects: Vec<String> = known.filter_map(|one| one.project.clone()).collect();
        if of_projects.is_empty() {
            let urls = instance.public_urls.iter();
            urls.map(|url| url.trim_end_matches('/').to_owned())
                .collect()
        } else {
            of_projects
        }
    }

    /// The scopes that a first login for an instance requests.
    pub fn challenge_scopes_of(&self, instance: &InstanceConfig) -> Vec<String> {
        if let Some(scopes) = &instance.challenge_scopes {
            return scopes.clone();
        }
        let providers = self.providers_of(instance);
        let first = providers.first().and_then(|name| self.providers.get(name));
        first.map_or_else(Vec::new, super::ProviderConfig::challenge_scopes)
    }

    /// The audiences of all instances with this provider.
    pub fn audiences_of_provider(&self, provider: &ProviderName) -> Vec<String> {
        let with = self
            .instances
            .values()
            .filter(|instance| self.providers_of(instance).contains(provider));
        with.flat_map(|instance| self.audiences_of(instance))
            .collect()
    }
}

impl GrantConfig {
    /// Whether the grant applies in an instance.
    pub fn applies_to(&self, instance: &InstanceName) -> bool {
        let mut patterns = self.instances.iter();
        patterns.any(|pattern| pattern.matches(instance.as_str()))
    }
}
