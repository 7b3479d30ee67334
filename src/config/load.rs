//! From sources to a checked configuration.

use std::{collections::BTreeMap, sync::Arc};

use figment::value::Value;
use http::HeaderMap;

use super::{
    Admin, Config, check,
    diagnostic::{ConfigError, ConfigErrors, ConfigLocation, dotted_path, sorted_by_location},
    excerpt::is_secret_key_name,
    file::EntryPart,
    layers::Layers,
    schema::{SchemaNode, SchemaViolation, config_schema},
    sources::Sources,
};
use crate::audit::ChainKey;
use gatepost_base::{CredentialName, InstanceName, ProviderName};
use gatepost_identity::{ApiKeyStore, ClientAuth};
use gatepost_odoo_client::ApiKey;
use gatepost_policy::RuleRef;
use gatepost_state::redis::RedisPassword;

/// A configuration in which everything fits, with what its files held.
///
/// A gateway is built from it whole; nothing is read again.
#[derive(Clone, Debug)]
pub struct ValidConfig {
    /// All keys, defaults filled in.
    pub config: Config,
    /// The Odoo API key of every instance.
    pub service_keys: BTreeMap<InstanceName, ApiKey>,
    /// The Odoo API keys of the credentials of every instance.
    pub credentials: BTreeMap<InstanceName, BTreeMap<CredentialName, ApiKey>>,
    /// Our own keys; none where no file is named or it does not exist yet.
    pub keyring: Option<ApiKeyStore>,
    /// How we prove to each identity provider who we are.
    pub client_auths: BTreeMap<ProviderName, Arc<ClientAuth>>,
    /// The header fields for the collector of traces.
    pub otlp_headers: HeaderMap,
    /// The password of the Redis, if it asks for one.
    pub redis_password: Option<RedisPassword>,
    /// The key to the hashes of the audit journal.
    pub audit_key: Option<ChainKey>,
    /// What is allowed and doubtful, for the log.
    pub warnings: Vec<ConfigError>,
}

/// Reads and checks a configuration. It changes nothing, so a reload calls it
/// again and keeps what it has when this fails.
///
/// # Errors
/// Everything that is wrong, as far as one mistake does not hide another.
pub fn load(sources: &Sources) -> Result<ValidConfig, ConfigErrors> {
    let (config, mut layers) = read_layers(sources)?;
    let found = config
        .as_ref()
        .map(|config| check::check_config(config, &layers));
    let mut found = found.unwrap_or_default();
    found.errors.splice(..0, std::mem::take(&mut layers.errors));
    found
        .warnings
        .splice(..0, std::mem::take(&mut layers.warnings));
    match config {
        Some(config) if found.errors.is_empty() => Ok(ValidConfig {
            config,
            service_keys: found.service_keys,
            credentials: found.credentials,
            keyring: found.keyring,
            client_auths: found.client_auths,
            otlp_headers: found.otlp_headers,
            redis_password: found.redis_password,
            audit_key: found.audit_key,
            warnings: sorted_by_location(found.warnings),
        }),
        _ => Err(ConfigErrors::new(found.errors)),
    }
}

/// The configuration as it is written, for `gatepost key`: no other file is
/// read, and what must fit between keys is not looked at.
///
/// # Errors
/// Everything that is wrong with single keys.
pub fn load_schema_valid(sources: &Sources) -> Result<Config, ConfigErrors> {
    match read_layers(sources)? {
        (Some(config), layers) if layers.errors.is_empty() => Ok(config),
        (_, layers) => Err(ConfigErrors::new(layers.errors)),
    }
}

/// The roles as they are written, and where each of their rules stands.
#[derive(Debug)]
pub struct LocatedRules {
    /// All keys; only the roles are checked.
    pub config: Config,
    locations: BTreeMap<RuleRef, ConfigLocation>,
    layers: Layers,
}

impl LocatedRules {
    /// Where the rule stands, such as `gatepost.toml at line 7`.
    pub fn location(&self, at: &RuleRef) -> String {
        match self.locations.get(at) {
            Some(ConfigLocation::File { path, line, .. }) => {
                format!("{} at line {line}", path.display())
            }
            Some(place) => place.to_string(),
            None => ConfigLocation::NoFile.to_string(),
        }
    }

    /// Something that is wrong at this place in a rule, such as `domain`.
    pub fn error_at(
        &self,
        at: &RuleRef,
        path: &[String],
        message: String,
        hint: Option<String>,
    ) -> ConfigError {
        let rule = ["roles", at.role.as_str(), "rules", &at.index.to_string()];
        let mut whole = rule.map(str::to_owned).to_vec();
        whole.extend_from_slice(path);
        ConfigError {
            location: self.layers.location(&whole, EntryPart::Value),
            key: dotted_path(&whole),
            message,
            hint,
        }
    }
}

/// The roles and where their rules stand, for `gatepost explain`: no other file
/// is read.
///
/// # Errors
/// Everything that is wrong with single keys, and with the roles.
pub fn load_rules(sources: &Sources) -> Result<LocatedRules, ConfigErrors> {
    let (config, mut layers) = read_layers(sources)?;
    let mut mistakes = std::mem::take(&mut layers.errors);
    let Some(config) = config else {
        return Err(ConfigErrors::new(mistakes));
    };
    mistakes.extend(check::role_errors(&config, &layers));
    if !mistakes.is_empty() {
        return Err(ConfigErrors::new(mistakes));
    }
    let mut places = BTreeMap::new();
    for (name, role) in &config.roles {
        for index in 0..role.rules.len() {
            let steps = ["roles", name.as_str(), "rules", &index.to_string()].map(str::to_owned);
            let at = RuleRef {
                role: name.clone(),
                index,
            };
            places.insert(at, layers.location(&steps, EntryPart::Value));
        }
    }
    Ok(LocatedRules {
        config,
        locations: places,
        layers,
    })
}

/// Only the admin listener, for `gatepost healthcheck`: neither secrets nor
/// other files are read, and mistakes elsewhere do not matter.
///
/// # Errors
/// When the file is no TOML or `[admin]` is wrong.
pub fn load_admin(sources: &Sources) -> Result<Admin, ConfigErrors> {
    let schema = config_schema();
    let layers = Layers::read(sources, SchemaNode::new(&schema))?;
    let Some(form) = SchemaNode::new(&schema).child("admin") else {
        return Ok(Admin::default());
    };
    let mut admin = match layers.merged().find_ref("admin") {
        Some(value) => value.clone(),
        None => return Ok(Admin::default()),
    };
    let mut misfits = Vec::new();
    form.validate(&mut admin, &mut vec!["admin".to_owned()], &mut misfits);
    if misfits.is_empty() {
        return admin
            .deserialize()
            .map_err(|error| ConfigErrors::from(unexpected_error(&error, &layers)));
    }
    Err(ConfigErrors::new(
        misfits
            .into_iter()
            .map(|one| locate_violation(one, &layers))
            .collect(),
    ))
}

/// The configuration as far as its form is right, and its layers with every
/// mistake in the form. No configuration only with at least one mistake.
fn read_layers(sources: &Sources) -> Result<(Option<Config>, Layers), ConfigErrors> {
    let schema = config_schema();
    let form = SchemaNode::new(&schema);
    let mut layers = Layers::read(sources, form)?;
    let mut whole: Value = layers.merged().clone();
    let mut misfits = Vec::new();
    form.validate(&mut whole, &mut Vec::new(), &mut misfits);
    // Unknown keys: what stands there may be a secret under a wrong name.
    for misfit in misfits.iter().filter(|misfit| misfit.is_unknown_key()) {
        layers.redact(&misfit.path);
    }
    let fits = misfits.iter().all(SchemaViolation::is_unknown_key);
    let mut found: Vec<ConfigError> = misfits
        .into_iter()
        .map(|misfit| locate_violation(misfit, &layers))
        .collect();
    layers.errors.append(&mut found);
    if !fits {
        return Ok((None, layers));
    }
    match whole.deserialize::<Config>() {
        Ok(config) => Ok((Some(config), layers)),
        // The form is meant to find everything before serde does.
        Err(error) => {
            let mistake = unexpected_error(&error, &layers);
            layers.errors.push(mistake);
            Ok((None, layers))
        }
    }
}

fn locate_violation(misfit: SchemaViolation, layers: &Layers) -> ConfigError {
    ConfigError {
        location: layers.location(&misfit.path, misfit.part),
        key: dotted_path(&misfit.path),
        message: misfit.message,
        hint: misfit.hint,
    }
}

/// What serde refused. Only its kind is told: its text may hold the value.
fn unexpected_error(error: &figment::Error, layers: &Layers) -> ConfigError {
    let secret = error.path.last().is_some_and(|key| is_secret_key_name(key));
    let message = if let (figment::error::Kind::Message(message), false) = (&error.kind, secret) {
        message.clone()
    } else {
        "this does not fit".to_owned()
    };
    ConfigError {
        location: layers.location(&error.path, EntryPart::Value),
        key: dotted_path(&error.path),
        message,
        hint: None,
    }
}
