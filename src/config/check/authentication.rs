//! Checks of `[keys]`, and of whether any caller can authenticate.

use jiff::Timestamp;

use super::ConfigChecker;
use gatepost_identity::ApiKeyStore;

impl ConfigChecker<'_> {
    pub(super) fn keys(&mut self) {
        let config = self.config;
        let path = path!["keys", "file"];
        let Some(file) = &config.keys.file else {
            return;
        };
        let what = "the keys file, and could add keys of their own";
        self.warn_if_writable(path, file, what);
        match ApiKeyStore::load(file) {
            Ok(keyring) => {
                for (id, key) in keyring.iter().filter(|(_, key)| key.revoked.is_none()) {
                    let roles = key.roles.iter();
                    for role in roles.filter(|role| !config.roles.contains_key(*role)) {
                        let message = format!(
                            "the key `{id}` has the role `{role}`, which is not configured and grants nothing"
                        );
                        self.warning(path, &message, None);
                    }
                }
                self.findings.secrets.keyring = Some(keyring);
            }
            Err(error) if error.is_missing() => {
                let message = format!("{} does not exist yet", file.display());
                self.warning(path, &message, Some("`gatepost key new` creates it"));
            }
            Err(error) => self.error(path, &error.to_string(), None),
        }
    }

    /// Warns if every request would be rejected, because such a gateway appears broken.
    pub(super) fn warn_without_authentication(&mut self) {
        let config = self.config;
        let keyring = self.findings.secrets.keyring.as_ref();
        let now = Timestamp::now();
        let keyed = keyring.is_some_and(|keys| keys.iter().any(|(_, key)| key.is_active(now)));
        let granted = !config.providers.is_empty() && !config.grants.is_empty();
        if !config.providers.is_empty() && config.grants.is_empty() {
            self.warning(
                path!["providers"],
                "there is an identity provider and no grant, so none of its users has a role",
                Some("add `[[grants]]` with `provider_role` and `roles`"),
            );
        }
        if !keyed && !granted && config.server.anonymous_role.is_none() {
            let hint = match config.keys.file {
                _ if config.roles.is_empty() => {
                    "to give access: add a role that says what its callers may do (`[[roles.reader.rules]]` with `models = [\"res.partner\"]`, or GATEPOST_ROLES__READER__RULES='[{ models = [\"res.partner\"] }]'), set `keys.file` (GATEPOST_KEYS__FILE), and create a key: `gatepost key new --role reader --name NAME`"
                }
                Some(_) => "create a key: `gatepost key new --role ROLE --name NAME`",
                None => {
                    "set `keys.file` (GATEPOST_KEYS__FILE), configure a role, and create a key: `gatepost key new --role ROLE --name NAME`"
                }
            };
            self.warning(
                &[],
                "EVERY REQUEST WILL BE REJECTED: there is no API key and no other way to authenticate",
                Some(hint),
            );
        }
    }
}
