//! What must fit between keys, and with the files that they name.

/// The path of a key; some of its steps are numbers or names. Before the
/// modules, for they use it.
macro_rules! path {
    ($($step:expr),+) => {
        &[$($step.to_string()),+]
    };
}

mod admissions;
mod audit;
mod callers;
mod changes;
mod credentials;
mod facade;
mod grants;
mod instances;
mod listeners;
mod providers;
mod public_urls;
mod redis;
mod roles;
mod secret;
mod telemetry;
mod together;
mod web_address;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    path::Path,
    sync::Arc,
};

use http::HeaderMap;

use super::{
    Config,
    file::Part,
    layers::Layers,
    mistake::{Mistake, Place, dotted},
};
use crate::audit::ChainKey;
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName};
use gatepost_identity::{ClientAuth, Keyring};
use gatepost_odoo_client::ApiKey;
use gatepost_state::redis::Password;

/// What was found, and what the named files held.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
    pub(super) secrets: BTreeMap<InstanceName, ApiKey>,
    pub(super) credentials: BTreeMap<InstanceName, BTreeMap<CredentialName, ApiKey>>,
    pub(super) keyring: Option<Keyring>,
    pub(super) client_auths: BTreeMap<ProviderName, Arc<ClientAuth>>,
    pub(super) otlp_headers: HeaderMap,
    pub(super) redis_password: Option<Password>,
    pub(super) audit_key: Option<ChainKey>,
}

/// Looks at everything that one key alone cannot show.
pub(super) fn check(config: &Config, layers: &Layers) -> Findings {
    let mut check = Check::new(config, layers);
    check.listeners();
    check.origins();
    check.instances();
    check.public_urls();
    check.providers();
    check.admissions();
    check.grants();
    check.facade();
    check.redis();
    check.roles();
    check.keys();
    check.credentials();
    check.audit();
    check.changes();
    check.telemetry();
    check.somebody_gets_in();
    check.found
}

/// What is wrong with the roles alone.
pub(super) fn roles(config: &Config, layers: &Layers) -> Vec<Mistake> {
    let mut check = Check::new(config, layers);
    check.roles();
    check.found.mistakes
}

/// The looking at one configuration; its parts are in files of their own.
struct Check<'a> {
    config: &'a Config,
    layers: &'a Layers,
    found: Findings,
}

impl<'a> Check<'a> {
    fn new(config: &'a Config, layers: &'a Layers) -> Self {
        Self {
            config,
            layers,
            found: Findings::default(),
        }
    }
}

impl Check<'_> {
    fn role_exists(&mut self, path: &[String], role: &RoleName) {
        if !self.config.roles.contains_key(role) {
            let near = nearest(
                role.as_str(),
                self.config.roles.keys().map(RoleName::as_str),
            );
            self.wrong(path, &format!("there is no role `{role}`"), near.as_deref());
        }
    }

    fn readable(&mut self, path: &[String], file: &Path) {
        if let Err(error) = File::open(file) {
            self.wrong(
                path,
                &format!("{} cannot be read: {error}", file.display()),
                None,
            );
        }
    }

    /// A file that we write, and make if it is not there.
    fn is_writable(&mut self, path: &[String], file: &Path) {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            let message = format!("{} is no folder", folder.display());
            self.wrong(path, &message, Some("make it; it must be writable"));
        } else if file.is_dir() {
            self.wrong(path, &format!("{} is a folder", file.display()), None);
        } else if file.exists()
            && let Err(error) = OpenOptions::new().append(true).open(file)
        {
            let message = format!("{} cannot be written: {error}", file.display());
            self.wrong(path, &message, None);
        }
    }

    fn wrong(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let mistake = self.finding(path, message, hint);
        self.found.mistakes.push(mistake);
    }

    fn doubtful(&mut self, path: &[String], message: &str, hint: Option<&str>) {
        let warning = self.finding(path, message, hint);
        self.found.warnings.push(warning);
    }

    fn finding(&self, path: &[String], message: &str, hint: Option<&str>) -> Mistake {
        let place: Place = self.layers.place(path, Part::Value);
        Mistake {
            place,
            key: dotted(path),
            message: message.to_owned(),
            hint: hint.map(str::to_owned),
        }
    }
}

/// "did you mean ..?", or which names there are.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
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
