//! Checks of `[[grants]]`.

use std::collections::BTreeSet;

use super::{ConfigChecker, token_policies::is_scope};
use crate::config::{GrantConfig, ProviderConfig};
use gatepost_identity::ApiKeyId;

impl ConfigChecker<'_> {
    pub(super) fn grants(&mut self) {
        let config = self.config;
        for (index, grant) in config.grants.iter().enumerate() {
            for (at, role) in grant.roles.iter().enumerate() {
                self.check_role_exists(path!["grants", index, "roles", at], role);
            }
            if grant.roles.is_empty() {
                let message = "the list is empty, so this grant gives no role";
                self.warning(path!["grants", index, "roles"], message, None);
            }
            if let Some(provider) = &grant.provider {
                self.check_provider_exists(path!["grants", index, "provider"], provider);
            }
            for (at, pattern) in grant.instances.iter().enumerate() {
                self.check_instance_exists(path!["grants", index, "instances", at], pattern);
            }
            self.check_grant_conditions(index, grant);
            self.check_grant_providers(index, grant);
        }
    }

    fn check_grant_conditions(&mut self, index: usize, grant: &GrantConfig) {
        let of_tokens = [
            ("provider_role", &grant.provider_role),
            ("scope", &grant.scope),
            ("subject", &grant.subject),
            ("client_id", &grant.client_id),
        ];
        for (key, value) in of_tokens
            .iter()
            .chain(&[("organization", &grant.organization)])
        {
            if value.as_deref() == Some("") {
                self.error(path!["grants", index, key], "this is empty", None);
            }
        }
        let scope = grant.scope.as_deref().unwrap_or_default();
        if !scope.is_empty() && !is_scope(scope) {
            self.error(
                path!["grants", index, "scope"],
                "a scope is one word without quotes and backslashes",
                Some("write one grant for each scope"),
            );
        }
        let some = of_tokens.iter().any(|(_, value)| value.is_some());
        let any = some || grant.provider.is_some() || grant.kind.is_some();
        match &grant.api_key {
            Some(_) if any || grant.organization.is_some() => self.error(
                path!["grants", index, "api_key"],
                "a caller has either an API key or a token, so no caller meets these conditions",
                Some("split this into two grants"),
            ),
            Some(id) if ApiKeyId::try_from(id.as_str()).is_err() => self.error(
                path!["grants", index, "api_key"],
                "this is not the id of a key",
                Some("`gatepost key list` prints the ids; do not write the key itself here"),
            ),
            None if !some => self.error(
                path!["grants", index],
                "this grant has no condition on the user, so every user of the provider would meet it",
                Some("add `provider_role`, `scope`, `subject`, `client_id` or `api_key`"),
            ),
            Some(_) | None => {}
        }
        if grant.organization.is_some() && grant.provider_role.is_none() {
            self.error(
                path!["grants", index, "organization"],
                "this is the organisation in which a role was given, and the grant names no role",
                Some("add `provider_role`"),
            );
        }
    }

    /// Checks the conditions against the providers whose users may meet them.
    fn check_grant_providers(&mut self, index: usize, grant: &GrantConfig) {
        let config = self.config;
        if grant.api_key.is_some() {
            return;
        }
        let open = config
            .instances
            .iter()
            .filter(|(name, _)| grant.applies_to(name));
        let accepted: BTreeSet<_> = open
            .flat_map(|(_, instance)| config.providers_of(instance))
            .filter(|one| grant.provider.as_ref().is_none_or(|wanted| wanted == one))
            .collect();
        // Two entries may be one provider, for two instances.
        let issuers: BTreeSet<&str> = accepted
            .iter()
            .filter_map(|one| Some(config.providers.get(one)?.issuer.as_str()))
            .collect();
        if issuers.len() > 1 {
            self.warning(
                path!["grants", index],
                "several providers are accepted where this grant applies, and the same user, client or role name may mean something else at each",
                Some("add `provider`"),
            );
        }
        let is_zitadel = |name| {
            config
                .providers
                .get(name)
                .is_some_and(ProviderConfig::is_zitadel)
        };
        if let Some(zitadel) = accepted.iter().find(|name| is_zitadel(*name))
            && grant.provider_role.is_none()
            && grant.subject.is_none()
        {
            self.error(
                path!["grants", index],
                &format!("the provider `{zitadel}` is a Zitadel, where a user of any organisation can get a token with any scope and client name"),
                Some("add `provider_role` or `subject`"),
            );
        }
    }
}
