//! Who gets which roles, and whether all of that exists.

use std::collections::BTreeSet;

use super::{ConfigChecker, suggest_name, token_policies::is_scope};
use crate::config::Grant;
use gatepost_base::InstanceName;
use gatepost_identity::ApiKeyId;

impl ConfigChecker<'_> {
    pub(super) fn grants(&mut self) {
        let config = self.config;
        for (index, grant) in config.grants.iter().enumerate() {
            for (at, role) in grant.roles.iter().enumerate() {
                self.check_role_exists(path!["grants", index, "roles", at], role);
            }
            if grant.roles.is_empty() {
                self.warning(
                    path!["grants", index, "roles"],
                    "the list is empty, so this grant gives nothing",
                    None,
                );
            }
            if let Some(provider) = &grant.provider {
                self.check_provider_exists(path!["grants", index, "provider"], provider);
            }
            self.check_grant_instances(index, grant);
            self.check_grant_conditions(index, grant);
            self.check_grant_providers(index, grant);
        }
    }

    fn check_grant_instances(&mut self, index: usize, grant: &Grant) {
        let config = self.config;
        for (at, pattern) in grant.instances.iter().enumerate() {
            let mut names = config.instances.keys();
            if !names.any(|name| pattern.matches(name.as_str())) {
                let names = config.instances.keys().map(InstanceName::as_str);
                let near = suggest_name(&pattern.to_string(), names);
                self.error(
                    path!["grants", index, "instances", at],
                    &format!("there is no instance `{pattern}`"),
                    near.as_deref(),
                );
            }
        }
    }

    fn check_grant_conditions(&mut self, index: usize, grant: &Grant) {
        let of_tokens = [
            ("provider_role", grant.provider_role.as_deref()),
            ("scope", grant.scope.as_deref()),
            ("subject", grant.subject.as_deref()),
            ("client_id", grant.client_id.as_deref()),
        ];
        for (key, value) in of_tokens
            .iter()
            .chain(&[("organization", grant.organization.as_deref())])
        {
            if *value == Some("") {
                self.error(path!["grants", index, key], "this is empty", None);
            }
        }
        if grant
            .scope
            .as_ref()
            .is_some_and(|scope| !scope.is_empty() && !is_scope(scope))
        {
            self.error(
                path!["grants", index, "scope"],
                "a scope is one word without quotes and backslashes",
                Some("make a grant for each scope"),
            );
        }
        let some = of_tokens.iter().any(|(_, value)| value.is_some());
        let any = some || grant.provider.is_some() || grant.kind.is_some();
        match &grant.api_key {
            Some(_) if any || grant.organization.is_some() => self.error(
                path!["grants", index, "api_key"],
                "a key of ours and a token of a provider are never the same caller, so nobody meets these conditions",
                Some("make two grants of it"),
            ),
            Some(id) if ApiKeyId::try_from(id.as_str()).is_err() => self.error(
                path!["grants", index, "api_key"],
                "this is not the id of a key",
                Some("`gatepost key list` shows the ids; the key itself is not to stand here"),
            ),
            None if !some => self.error(
                path!["grants", index],
                "this grant has no condition that tells people apart, so that everybody with any account would meet it",
                Some("add `provider_role`, `scope`, `subject`, `client_id` or `api_key`"),
            ),
            Some(_) | None => {}
        }
        if grant.organization.is_some() && grant.provider_role.is_none() {
            self.error(
                path!["grants", index, "organization"],
                "this is the organisation in which a role was given, and no role is named",
                Some("add `provider_role`"),
            );
        }
    }

    /// Whether the conditions tell people apart, with the providers that may
    /// vouch for them where the grant holds.
    fn check_grant_providers(&mut self, index: usize, grant: &Grant) {
        let config = self.config;
        if grant.api_key.is_some() {
            return;
        }
        let open = config
            .instances
            .iter()
            .filter(|(name, _)| grant.applies_to(name));
        let mut vouching: Vec<_> = open
            .flat_map(|(_, instance)| config.providers_of(instance))
            .filter(|one| grant.provider.as_ref().is_none_or(|wanted| wanted == one))
            .collect();
        vouching.sort();
        vouching.dedup();
        // Two entries may be one provider, for two instances.
        let issuers: BTreeSet<&str> = vouching
            .iter()
            .filter_map(|one| Some(config.providers.get(one)?.issuer.as_str()))
            .collect();
        if issuers.len() > 1 {
            self.warning(
                path!["grants", index],
                "several providers vouch where this grant holds, and what one of them says of a user, a client or a role says nothing of the same word at another",
                Some("add `provider`"),
            );
        }
        let zitadel = vouching.iter().find(|one| {
            let provider = config.providers.get(*one);
            provider.is_some_and(crate::config::Provider::is_zitadel)
        });
        if let Some(zitadel) = zitadel
            && grant.provider_role.is_none()
            && grant.subject.is_none()
        {
            self.error(
                path!["grants", index],
                &format!("the provider `{zitadel}` is a Zitadel, where every user of every organisation gets tokens with any scope and can name a program like another"),
                Some("add `provider_role` or `subject`"),
            );
        }
    }
}
