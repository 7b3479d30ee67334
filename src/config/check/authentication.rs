//! Who gets in.

use super::{ConfigChecker, secret};
use crate::config::diagnostic::ConfigError;
use gatepost_identity::ApiKeyStore;

impl ConfigChecker<'_> {
    pub(super) fn keys(&mut self) {
        let config = self.config;
        let path = path!["keys", "file"];
        let Some(file) = &config.keys.file else {
            return;
        };
        if secret::is_writable_by_others(file) {
            self.warning(
                path,
                "others than its owner can write the keys file, and so give themselves keys",
                Some("chmod 600"),
            );
        }
        match ApiKeyStore::load(file) {
            Ok(keyring) => {
                for (id, key) in keyring.iter() {
                    for role in key
                        .roles
                        .iter()
                        .filter(|role| !config.roles.contains_key(*role))
                    {
                        self.warning(
                            path,
                            &format!("the key `{id}` has the role `{role}`, which is not configured and opens nothing"),
                            None,
                        );
                    }
                }
                self.findings.keyring = Some(keyring);
            }
            Err(error) if error.is_missing() => {
                let message = format!("{} does not exist yet", file.display());
                self.warning(path, &message, Some("`gatepost key new` makes it"));
            }
            Err(error) => self.error(path, &error.to_string(), None),
        }
    }

    /// Default deny has a price: a gateway that refuses everybody looks broken.
    pub(super) fn warn_without_authentication(&mut self) {
        let keyed = self
            .findings
            .keyring
            .as_ref()
            .is_some_and(|keys| keys.iter().any(|(_, key)| key.revoked.is_none()));
        let granted = !self.config.providers.is_empty() && !self.config.grants.is_empty();
        if !self.config.providers.is_empty() && self.config.grants.is_empty() {
            self.warning(
                path!["providers"],
                "there is an identity provider and no grant, so that nobody it vouches for has a role",
                Some("add `[[grants]]` with `provider_role` and `roles`"),
            );
        }
        if !keyed && !granted && self.config.server.anonymous_role.is_none() {
            self.findings.warnings.push(ConfigError {
                location: self.layers.root_location(),
                key: String::new(),
                message: "NOBODY CAN GET IN: there is no API key and no other way to prove who one is".to_owned(),
                hint: Some(match self.config.keys.file {
                    Some(_) => "make a key: `gatepost key new --role ROLE --name NAME`".to_owned(),
                    None => "set `keys.file` (GATEPOST_KEYS__FILE), configure a role, and make a key: `gatepost key new --role ROLE --name NAME`".to_owned(),
                }),
            });
        }
    }
}
