//! The keys to each Odoo, and who names them.

use std::{collections::BTreeSet, path::Path};

use super::{ConfigChecker, secret, suggest_name};
use crate::config::{Instance, excerpt::looks_like_secret};
use gatepost_base::{CredentialName, InstanceName};
use gatepost_identity::{AmbiguousCredential, ApiKeyStore, choose_credential};
use gatepost_odoo_client::ApiKey;

/// A place that names a credential: that of a role or of a grant.
struct CredentialRef<'a> {
    /// The key in the configuration.
    path: Vec<String>,
    /// What the key belongs to, such as `role`.
    owner: &'static str,
    credential: &'a CredentialName,
    /// The instances for which it is named.
    instances: Vec<&'a InstanceName>,
}

impl<'a> ConfigChecker<'a> {
    /// The key of the instance, and those of its credentials.
    pub(super) fn instance_keys(&mut self, name: &InstanceName, instance: &Instance) {
        let variable = |key: &str| {
            format!("GATEPOST_INSTANCES__{name}__{key}")
                .to_ascii_uppercase()
                .replace('-', "_")
        };
        let of_service = match self.config.instances.len() {
            1 => "ODOO_API_KEY".to_owned(),
            _ => variable("api_key"),
        };
        let table = path!["instances", name];
        let (key, file) = (&instance.api_key, &instance.api_key_file);
        if let Some(key) = self.api_key(table, key.as_deref(), file.as_deref(), &of_service) {
            self.findings.service_keys.insert(name.clone(), key);
        }
        for (credential, form) in &instance.credentials {
            let table = path!["instances", name, "credentials", credential];
            let variable = variable(&format!("credentials__{credential}__api_key"));
            let (key, file) = (&form.api_key, &form.api_key_file);
            if let Some(key) = self.api_key(table, key.as_deref(), file.as_deref(), &variable) {
                let of_instance = self.findings.credentials.entry(name.clone());
                of_instance.or_default().insert(credential.clone(), key);
            }
        }
    }

    /// The key that a table holds or names a file for.
    fn api_key(
        &mut self,
        table: &[String],
        key: Option<&str>,
        file: Option<&Path>,
        variable: &str,
    ) -> Option<ApiKey> {
        let under = |key: &str| [table, &[key.to_owned()]].concat();
        let (here, in_file) = (under("api_key"), under("api_key_file"));
        let key = match (key, file) {
            (None, None) => {
                self.error(
                    &here,
                    "the API key of an Odoo user is missing",
                    Some(&format!(
                        "set `api_key_file` to a file that holds it, or {variable}"
                    )),
                );
                return None;
            }
            (Some(_), Some(_)) => {
                self.error(
                    &in_file,
                    "`api_key` and `api_key_file` are both set",
                    Some("keep one of them, better the file"),
                );
                return None;
            }
            (Some(key), None) => secret::check_api_key(key)
                .map(str::to_owned)
                .map_err(|message| (here, format!("`api_key` {message}"))),
            (None, Some(file)) => {
                if secret::is_readable_by_others(file) {
                    self.warning(
                        &in_file,
                        "others than its owner can read the file with the API key",
                        Some("chmod 600"),
                    );
                }
                secret::read(file).map_err(|message| (in_file, message))
            }
        };
        match key {
            Ok(key) => Some(ApiKey::new(&key)),
            Err((path, message)) => {
                self.error(&path, &message, None);
                None
            }
        }
    }

    /// Whether every credential that is named is there, and the reverse.
    pub(super) fn credentials(&mut self) {
        let config = self.config;
        let mut named = BTreeSet::new();
        for naming in self.credential_refs() {
            for instance in &naming.instances {
                let known = config.instances.get(*instance);
                if known.is_some_and(|known| known.credentials.contains_key(naming.credential)) {
                    named.insert((*instance, naming.credential));
                } else {
                    self.missing_credential(&naming, instance);
                }
            }
        }
        for (name, instance) in &config.instances {
            for credential in instance.credentials.keys() {
                if !named.contains(&(name, credential)) {
                    self.warning(
                        path!["instances", name, "credentials", credential],
                        "no role that opens this instance and no grant names this credential, so no call uses it",
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
            let one = std::slice::from_ref(name);
            Some(CredentialRef {
                path: path!["roles", name, "credential"].to_vec(),
                owner: "role",
                credential: role.credential.as_ref()?,
                instances: config
                    .instances
                    .keys()
                    .filter(|instance| policy.allow_instance(one, instance).is_ok())
                    .collect(),
            })
        });
        let of_grants = config
            .grants
            .iter()
            .enumerate()
            .filter_map(|(index, grant)| {
                Some(CredentialRef {
                    path: path!["grants", index, "credential"].to_vec(),
                    owner: "grant",
                    credential: grant.credential.as_ref()?,
                    instances: config
                        .instances
                        .keys()
                        .filter(|instance| grant.applies_to(instance))
                        .collect(),
                })
            });
        of_roles.chain(of_grants).collect()
    }

    fn missing_credential(&mut self, naming: &CredentialRef<'_>, instance: &InstanceName) {
        let CredentialRef {
            path,
            owner: what,
            credential,
            ..
        } = naming;
        if looks_like_secret(credential.as_str()) {
            // Not repeated: people put the key itself here.
            self.error(
                path,
                &format!("the instance `{instance}`, which this {what} opens, has no credential of this name"),
                Some("`credential` is the name of a credential and not its key"),
            );
            return;
        }
        let known = self.config.instances.get(instance);
        let names = known.into_iter().flat_map(|known| known.credentials.keys());
        let hint = suggest_name(credential.as_str(), names.map(CredentialName::as_str)).unwrap_or_else(|| {
            format!("add `[instances.{instance}.credentials.{credential}]` with `api_key_file`, or leave `{instance}` out of the instances of this {what}")
        });
        self.error(
            path,
            &format!("the instance `{instance}`, which this {what} opens, has no credential `{credential}`"),
            Some(&hint),
        );
    }

    /// A key of ours whose roles name several credentials is refused.
    fn check_key_credentials(&mut self) {
        let config = self.config;
        let policy = config.policy();
        let mut refused = Vec::new();
        for (id, key) in self.findings.keyring.iter().flat_map(ApiKeyStore::iter) {
            for instance in config.instances.keys().filter(|_| key.revoked.is_none()) {
                if let Err(AmbiguousCredential {
                    first: one,
                    second: other,
                    ..
                }) = choose_credential([], policy.credentials(&key.roles, instance))
                {
                    refused.push(format!("the key `{id}` is refused in `{instance}`, for its roles name both `{one}` and `{other}` as credential"));
                }
            }
        }
        for message in refused {
            self.warning(
                path!["keys", "file"],
                &message,
                Some("make a key for each, or let its roles name one credential"),
            );
        }
    }
}
