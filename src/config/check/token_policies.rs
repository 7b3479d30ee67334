//! Whose tokens each instance takes, and for what.

use std::collections::BTreeMap;

use super::{ConfigChecker, suggest_name};
use crate::config::Instance;
use gatepost_base::{InstanceName, ProviderName};

impl ConfigChecker<'_> {
    pub(super) fn token_policies(&mut self) {
        let config = self.config;
        let mut meant: BTreeMap<String, &InstanceName> = BTreeMap::new();
        for (name, instance) in &config.instances {
            self.named_providers(name, instance);
            if config.providers_of(instance).is_empty() {
                continue;
            }
            if instance.public_urls.is_empty() {
                self.error(
                    path!["instances", name, "public_urls"],
                    "clients find the login through the URL of the instance, and it has none",
                    Some(&format!("set it to what people type, such as `[\"https://mcp.example.com/{name}/mcp\"]`; or `providers = []` if only API keys open this instance")),
                );
            }
            self.audiences(name, instance);
            for audience in config.audiences_of(instance) {
                if let Some(other) = meant.insert(audience.clone(), name)
                    && other != name
                {
                    self.warning(
                        path!["instances", name, "audiences"],
                        &format!("`{audience}` is an audience of the instance `{other}` too, so that a token for one opens the other"),
                        Some("give each instance an audience of its own (Zitadel: a project of its own, with a provider entry for each)"),
                    );
                }
            }
            self.challenge_scopes(name, instance);
            self.check_zitadel_roles(name, instance);
        }
    }

    fn named_providers(&mut self, name: &InstanceName, instance: &Instance) {
        let config = self.config;
        for (index, provider) in instance.providers.iter().flatten().enumerate() {
            let path = path!["instances", name, "providers", index];
            self.check_provider_exists(path, provider);
        }
        let asked = config
            .providers_of(instance)
            .iter()
            .filter_map(|one| config.providers.get(one))
            .filter(|one| one.validation() != crate::config::Validation::Jwt)
            .count();
        if asked > 1 {
            self.warning(
                path!["instances", name, "providers"],
                "several providers would have to be asked about tokens that do not say whose they are; only the first is",
                Some("`validation = \"jwt\"` for the others"),
            );
        }
    }

    pub(super) fn check_provider_exists(&mut self, path: &[String], provider: &ProviderName) {
        let config = self.config;
        if !config.providers.contains_key(provider) {
            let names = config.providers.keys().map(ProviderName::as_str);
            let near = suggest_name(provider.as_str(), names);
            let message = format!("there is no identity provider `{provider}`");
            self.error(path, &message, near.as_deref());
        }
    }

    fn audiences(&mut self, name: &InstanceName, instance: &Instance) {
        let config = self.config;
        let path = path!["instances", name, "audiences"];
        if instance
            .audiences
            .as_ref()
            .is_some_and(|all| all.is_empty() || all.iter().any(String::is_empty))
        {
            self.error(
                path,
                "without an audience no token is for this instance",
                None,
            );
        }
        for provider in config.providers_of(instance) {
            let without = config
                .providers
                .get(&provider)
                .is_some_and(|one| one.is_zitadel() && one.project.is_none());
            if without && instance.audiences.is_none() {
                self.error(
                    path,
                    &format!("the provider `{provider}` is a Zitadel, whose tokens are meant for projects, never for URLs"),
                    Some(&format!("set `providers.{provider}.project` to the id of the project that stands for this Odoo")),
                );
            }
        }
    }

    fn challenge_scopes(&mut self, name: &InstanceName, instance: &Instance) {
        for (index, scope) in instance.challenge_scopes.iter().flatten().enumerate() {
            let path = path!["instances", name, "challenge_scopes", index];
            if !is_scope(scope) {
                self.error(
                    path,
                    "a scope is one word without quotes and backslashes",
                    None,
                );
            } else if scope == "offline_access" {
                self.warning(
                    path,
                    "clients ask for `offline_access` by themselves; MCP says that a resource should not",
                    Some("remove it"),
                );
            }
        }
    }

    /// On Zitadel any user of any organisation gets a token with any project's
    /// audience by asking for it (zitadel#10139): only roles tell who may.
    fn check_zitadel_roles(&mut self, name: &InstanceName, instance: &Instance) {
        let config = self.config;
        for provider in config.providers_of(instance) {
            if !config
                .providers
                .get(&provider)
                .is_some_and(super::super::Provider::is_zitadel)
            {
                continue;
            }
            let by_role = config.grants.iter().any(|grant| {
                grant.applies_to(name)
                    && grant.provider_role.is_some()
                    && grant.provider.as_ref().is_none_or(|one| *one == provider)
            });
            if !by_role {
                self.error(
                    path!["instances", name],
                    &format!("no grant asks for a role of the provider `{provider}`, and on a Zitadel every user of every organisation can get a token for this instance"),
                    Some("give people a role in the project, and add `[[grants]]` with `provider_role` and `roles`"),
                );
            }
        }
    }
}

/// RFC 6749 section 3.3; they stand in quotes in a header.
pub(super) fn is_scope(text: &str) -> bool {
    let fits = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(fits)
}
