//! Checks of the Odoo API keys, and of the places that name them.

use std::collections::BTreeSet;

use super::{
    ConfigChecker,
    checker::suggest_name,
    secret::{self, SecretKeys},
};
use crate::config::{InstanceConfig, excerpt::looks_like_secret};
use gatepost_base::{CredentialName, InstanceName};
use gatepost_identity::{AmbiguousCredential, ApiKeyStore, choose_credential};
use gatepost_odoo_client::OdooApiKey;

/// A role or grant that names a credential.
struct CredentialRef<'a> {
    /// The key in the configuration.
    path: Vec<String>,
    /// `role` or `grant`.
    owner: &'static str,
    credential: &'a CredentialName,
    /// The instances where the credential is used.
    instances: Vec<&'a InstanceName>,
}

impl<'a> ConfigChecker<'a> {
    /// Reads the service key of the instance, and the keys of its credentials.
    pub(super) fn instance_keys(&mut self, name: &InstanceName, instance: &InstanceConfig) {
        let variable = |key: &str| {
            format!("GATEPOST_INSTANCES__{name}__{key}")
                .to_ascii_uppercase()
                .replace('-', "_")
        };
        let service_variable = match self.config.instances.len() {
            1 => "ODOO_API_KEY".to_owned(),
            _ => variable("api_key"),
        };
        let service_key = SecretKeys {
            table: path!["instances", name],
            key: "api_key",
            inline: instance.api_key.as_deref(),
            file: instance.api_key_file.as_deref(),
            parse: secret::api_key,
        };
        if let Some(key) = self.odoo_api_key(&service_key, &service_variable) {
            let keys = &mut self.findings.secrets.service_keys;
            keys.insert(name.clone(), key);
        }
        for (credential, own) in &instance.credentials {
            let keys = SecretKeys {
                table: path!["instances", name, "credentials", credential],
                inline: own.api_key.as_deref(),
                file: own.api_key_file.as_deref(),
                ..service_key
            };
            let variable = variable(&format!("credentials__{credential}__api_key"));
            if let Some(key) = self.odoo_api_key(&keys, &variable) {
                let of_instance = self.findings.secrets.credentials.entry(name.clone());
                of_instance.or_default().insert(credential.clone(), key);
            }
        }
    }

    fn odoo_api_key(&mut self, keys: &SecretKeys<'_>, variable: &str) -> Option<OdooApiKey> {
        if keys.is_missing() {
            let hint = format!("set `api_key_file` to a file that holds it, or {variable}");
            let message = "the API key of an Odoo user is missing";
            self.error(&keys.path(), message, Some(&hint));
        }
        self.secret(keys).map(|key| OdooApiKey::new(&key))
    }

    /// Checks that every credential that is named exists, and the reverse.
    pub(super) fn credentials(&mut self) {
        let config = self.config;
        let mut used = BTreeSet::new();
        for named in self.credential_refs() {
            for instance in &named.instances {
                let known = config.instances.get(*instance);
                if known.is_some_and(|known| known.credentials.contains_key(named.credential)) {
                    used.insert((*instance, named.credential));
                } else {
                    self.missing_credential(&named, instance);
                }
            }
        }
        for (name, instance) in &config.instances {
            for credential in instance.credentials.keys() {
                if !used.contains(&(name, credential)) {
                    self.warning(
                        path!["instances", name, "credentials", credential],
                        "no grant, and no role that opens this instance, names this credential, so no call uses it",
                        Some(&format!("set `credential` of a role or grant to `{credential}`")),
                    );
                }
            }
        }
        self.check_key_credentials();
    }

    /// All places that name a credential.
    fn credential_refs(&self) -> Vec<CredentialRef<'a>> {
        let config = self.config;
        let policy = config.policy();
        let of_roles = config.roles.iter().filter_map(|(name, role)| {
            let roles = std::slice::from_ref(name);
            let instances = config.instances.keys();
            Some(CredentialRef {
                path: path!["roles", name, "credential"].to_vec(),
                owner: "role",
                credential: role.credential.as_ref()?,
                instances: instances
                    .filter(|instance| policy.allow_instance(roles, instance).is_ok())
                    .collect(),
            })
        });
        let grants = config.grants.iter().enumerate();
        let of_grants = grants.filter_map(|(index, grant)| {
            let instances = config.instances.keys();
            Some(CredentialRef {
                path: path!["grants", index, "credential"].to_vec(),
                owner: "grant",
                credential: grant.credential.as_ref()?,
                instances: instances.filter(|one| grant.applies_to(one)).collect(),
            })
        });
        of_roles.chain(of_grants).collect()
    }

    fn missing_credential(&mut self, named: &CredentialRef<'_>, instance: &InstanceName) {
        let (owner, credential) = (named.owner, named.credential);
        let start = format!("this {owner} applies to the instance `{instance}`, which has no");
        if looks_like_secret(credential.as_str()) {
            // Not repeated: people put the key itself here.
            self.error(
                &named.path,
                &format!("{start} credential of this name"),
                Some("`credential` takes the name of a credential, not its key"),
            );
            return;
        }
        let known = self.config.instances.get(instance);
        let names = known.into_iter().flat_map(|known| known.credentials.keys());
        let hint = suggest_name(credential.as_str(), names.map(CredentialName::as_str)).unwrap_or_else(|| {
            format!("add `[instances.{instance}.credentials.{credential}]` with `api_key_file`, or remove `{instance}` from the instances of this {owner}")
        });
        let message = format!("{start} credential `{credential}`");
        self.error(&named.path, &message, Some(&hint));
    }

    /// Warns of API keys whose roles name several credentials; their calls are rejected.
    fn check_key_credentials(&mut self) {
        let config = self.config;
        let policy = config.policy();
        let keyring = self.findings.secrets.keyring.clone();
        for (id, key) in keyring.iter().flat_map(ApiKeyStore::iter) {
            for instance in config.instances.keys().filter(|_| key.revoked.is_none()) {
                if let Err(AmbiguousCredential { first, second, .. }) =
                    choose_credential([], policy.credentials(&key.roles, instance))
                {
                    self.warning(
                        path!["keys", "file"],
                        &format!("the key `{id}` is rejected in `{instance}` because its roles name both `{first}` and `{second}` as credential"),
                        Some("create one key for each, or give its roles one credential"),
                    );
                }
            }
        }
    }
}
