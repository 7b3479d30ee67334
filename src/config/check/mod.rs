//! What must fit between keys, and with the files that they name.

/// The path of a key; some of its steps are numbers or names. Before the
/// modules, for they use it.
macro_rules! path {
    ($($step:expr),+) => {
        &[$($step.to_string()),+]
    };
}

mod audit;
mod authentication;
mod changes;
mod credentials;
mod facade;
mod grants;
mod http_url;
mod instances;
mod listeners;
mod providers;
mod public_urls;
mod redis;
mod roles;
mod rule_conflicts;
mod secret;
mod telemetry;
mod token_policies;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    path::Path,
    sync::Arc,
};

use http::HeaderMap;

use super::{
    Config,
    diagnostic::{ConfigError, ConfigLocation, dotted_path},
    file::EntryPart,
    layers::Layers,
};
use crate::audit::ChainKey;
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName};
use gatepost_identity::{ApiKeyStore, ClientAuth};
use gatepost_odoo_client::ApiKey;
use gatepost_state::redis::RedisPassword;

/// What was found, and what the named files held.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<ConfigError>,
    pub(super) service_keys: BTreeMap<InstanceName, ApiKey>,
    pub(super) credentials: BTreeMap<InstanceName, BTreeMap<CredentialName, ApiKey>>,
    pub(super) keyring: Option<ApiKeyStore>,
    pub(super) client_auths: BTreeMap<ProviderName, Arc<ClientAuth>>,
    pub(super) otlp_headers: HeaderMap,
    pub(super) redis_password: Option<RedisPassword>,
    pub(super) audit_key: Option<ChainKey>,
}

/// Looks at everything that one key alone cannot show.
pub(super) fn check_config(config: &Config, layers: &Layers) -> Findings {
    let mut check = ConfigChecker::new(config, layers);
    check.listeners();
    check.origins();
    check.instances();
    check.public_urls();
    check.providers();
    check.token_policies();
    check.grants();
    check.facade();
    check.redis();
    check.roles();
    check.keys();
    check.credentials();
    check.audit();
    check.changes();
    check.telemetry();
    check.warn_without_authentication();
    check.findings
}

/// What is wrong with the roles alone.
pub(super) fn role_errors(config: &Config, layers: &Layers) -> Vec<ConfigError> {
    let mut check = ConfigChecker::new(config, layers);
    check.roles();
    check.findings.errors
}

/// The looking at one configuration; its parts are in files of their own.
struct ConfigChecker<'a> {
    config: &'a Config,
    layers: &'a Layers,
    findings: Findings,
}

impl<'a> ConfigChecker<'a> {
    fn new(config: &'a Config, layers: &'a Layers) -> Self {
        Self {
            config,
            layers,
            findings: Findings::default(),
        }
    }
}

impl ConfigChecker<'_> {
    fn check_role_exists(&mut self, path: &[String], role: &RoleName) {
        if !self.config.roles.contains_key(role) {
            let near = suggest_name(
                role.as_str(),
                self.config.roles.keys().map(RoleName::as_str),
            );
            self.error(path, &format!("there is no role `{role}`"), near.as_deref());
        }
    }

    fn check_readable(&mut self, path: &[String], file: &Path) {
        if let Err(error) = File::open(file) {
            self.error(
                path,
                &format!("{} cannot be read: {error}", file.display()),
                None,
            );
        }
    }

    /// A file that we write, and make if it is not there.
    fn check_writable(&mut self, path: &[String], file: &Path) {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            let message = format!("{} is no folder", folder.display());
            self.error(path, &message, Some("make it; it must be writable"));
        } else if file.is_dir() {
            self.error(path, &format!("{} is a folder", file.display()), None);
        } else if file.exists()
            && let Err(error) = OpenOptions::new().append(true).open(file)
        {
            let message = format!("{} cannot be written: {error}", file.display());
            self.error(path, &message, None);
        }
    }

    fn error(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let mistake = self.diagnostic(path, message, hint);
        self.findings.errors.push(mistake);
    }

    fn warning(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let warning = self.diagnostic(path, message, hint);
        self.findings.warnings.push(warning);
    }

    fn diagnostic(&self, path: &[String], message: &str, hint: Option<&str>) -> ConfigError {
        let place: ConfigLocation = self.layers.location(path, EntryPart::Value);
        ConfigError {
            location: place,
            key: dotted_path(path),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        }
    }
}

/// "did you mean ..?", or which names there are.
fn suggest_name<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    let near = names
        .iter()
        .map(|name| (strsim::jaro_winkler(name, wanted), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match near {
        Some((_, name)) => Some(format!("did you mean `{name}`?")),
        None if names.is_empty() => None,
        None => Some(format!("there are `{}`", names.join("`, `"))),
    }
}
