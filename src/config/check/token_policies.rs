//! Checks of which tokens each instance accepts.

use std::collections::BTreeMap;

use super::{ConfigChecker, http_url::HttpUrl};
use crate::config::{InstanceConfig, ProviderConfig};
use gatepost_base::{InstanceName, ProviderName};
use gatepost_identity::Validation;

impl ConfigChecker<'_> {
    pub(super) fn token_policies(&mut self) {
        let config = self.config;
        let mut owners: BTreeMap<String, &InstanceName> = BTreeMap::new();
        for (name, instance) in &config.instances {
            let providers = config.providers_of(instance);
            self.instance_providers(name, instance, &providers);
            if providers.is_empty() {
                continue;
            }
            if instance.public_urls.is_empty() {
                self.error(
                    path!["instances", name, "public_urls"],
                    "the instance has no public URL, so clients cannot find its login",
                    Some(&format!("set it to the URL that users enter, such as `[\"https://mcp.example.com/{name}/mcp\"]`; or set `providers = []` if only API keys give access to this instance")),
                );
            }
            self.audiences(name, instance, &providers);
            for audience in config.audiences_of(instance) {
                if let Some(other) = owners.insert(audience.clone(), name)
                    && other != name
                {
                    self.warning(
                        path!["instances", name, "audiences"],
                        &format!("`{audience}` is also an audience of the instance `{other}`, so a token for one gives access to the other"),
                        Some("give each instance its own audience (Zitadel: its own project, with a provider entry for each)"),
                    );
                }
            }
            self.challenge_scopes(name, instance);
            self.check_zitadel_roles(name, &providers);
        }
    }

    fn instance_providers(
        &mut self,
        name: &InstanceName,
        instance: &InstanceConfig,
        providers: &[ProviderName],
    ) {
        for (index, provider) in instance.providers.iter().flatten().enumerate() {
            let path = path!["instances", name, "providers", index];
            self.check_provider_exists(path, provider);
        }
        let introspecting = providers
            .iter()
            .filter_map(|one| self.config.providers.get(one))
            .filter(|one| one.validation() != Validation::Jwt);
        if introspecting.count() > 1 {
            self.warning(
                path!["instances", name, "providers"],
                "several providers use introspection; a token that does not name its issuer is checked only with the first",
                Some("set `validation = \"jwt\"` for the others"),
            );
        }
    }

    fn audiences(
        &mut self,
        name: &InstanceName,
        instance: &InstanceConfig,
        providers: &[ProviderName],
    ) {
        let path = path!["instances", name, "audiences"];
        if let Some(audiences) = &instance.audiences {
            if audiences.is_empty() || audiences.iter().any(String::is_empty) {
                let message = "without an audience no token is accepted for this instance";
                self.error(path, message, None);
            }
            for audience in audiences {
                if let Some(other) = self.other_instance_at(audience, name) {
                    self.error(
                        path,
                        &format!("`{audience}` is the origin of a public URL of the instance `{other}` too, so a token for one would give access to the other"),
                        Some("give each instance its own host, or use an audience of its own"),
                    );
                }
            }
            return;
        }
        for provider in providers {
            if self.is_zitadel(provider, |one| one.project.is_none()) {
                self.error(
                    path,
                    &format!("the provider `{provider}` is a Zitadel, whose tokens have a project as audience, never a URL"),
                    Some(&format!("set `providers.{provider}.project` to the id of the project for this Odoo")),
                );
            }
        }
    }

    /// Another instance with a public URL at this origin.
    fn other_instance_at(&self, origin: &str, name: &InstanceName) -> Option<&InstanceName> {
        let origin = HttpUrl::parse(origin).ok().filter(|url| url.path == "/")?;
        let at_origin =
            |url: &String| HttpUrl::parse(url).is_ok_and(|url| url.same_origin(&origin));
        let mut others = self
            .config
            .instances
            .iter()
            .filter(|(other, _)| *other != name);
        Some(
            others
                .find(|(_, other)| other.public_urls.iter().any(at_origin))?
                .0,
        )
    }

    fn challenge_scopes(&mut self, name: &InstanceName, instance: &InstanceConfig) {
        for (index, scope) in instance.challenge_scopes.iter().flatten().enumerate() {
            let path = path!["instances", name, "challenge_scopes", index];
            if !is_scope(scope) {
                let message = "a scope is one word without quotes and backslashes";
                self.error(path, message, None);
            } else if scope == "offline_access" {
                self.warning(
                    path,
                    "clients request `offline_access` themselves; MCP says that a resource should not",
                    Some("remove it"),
                );
            }
        }
    }

    /// Requires a role condition for each Zitadel, because a Zitadel user of any
    /// organisation can get a token with any project's audience (zitadel#10139).
    fn check_zitadel_roles(&mut self, name: &InstanceName, providers: &[ProviderName]) {
        for provider in providers {
            let by_role = self.config.grants.iter().any(|grant| {
                grant.applies_to(name)
                    && grant.provider_role.is_some()
                    && grant.provider.as_ref().is_none_or(|one| one == provider)
            });
            if !by_role && self.is_zitadel(provider, |_| true) {
                self.error(
                    path!["instances", name],
                    &format!("no grant requires a role of the provider `{provider}`, and a Zitadel user of any organisation can get a token for this instance"),
                    Some("give users a role in the project, and add `[[grants]]` with `provider_role` and `roles`"),
                );
            }
        }
    }

    fn is_zitadel(&self, name: &ProviderName, also: fn(&ProviderConfig) -> bool) -> bool {
        let provider = self.config.providers.get(name);
        provider.is_some_and(|one| one.is_zitadel() && also(one))
    }
}

/// Whether a text is a scope (RFC 6749 section 3.3), which is sent in quotes in a header.
pub(super) fn is_scope(text: &str) -> bool {
    let fits = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    !text.is_empty() && text.bytes().all(fits)
}
