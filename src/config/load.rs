//! Loads a configuration from its sources.

use std::sync::Arc;

use figment::value::Value;

use super::{
    AdminConfig, Config, check,
    diagnostic::{ConfigError, ConfigErrors, ConfigLocation, EntryPart, sorted_by_location},
    excerpt::is_secret_key_name,
    layers::Layers,
    schema::{SchemaNode, SchemaViolation, config_schema},
    secrets::Secrets,
    sources::Sources,
};
use gatepost_policy::RuleRef;

/// A configuration without errors, and the contents of the files that it names.
///
/// A gateway is built from it alone; nothing is read again.
#[derive(Clone, Debug)]
pub struct ValidConfig {
    /// All keys, with defaults filled in.
    pub config: Config,
    /// The secrets of the configuration and its files.
    pub secrets: Secrets,
    /// Settings that are allowed but questionable, for the log.
    pub warnings: Vec<ConfigError>,
    /// Where each key was set.
    layers: Arc<Layers>,
}

impl ValidConfig {
    /// An error about the key at this path, such as `instances`, `production` and
    /// `url`, that was found when the configuration was used.
    pub fn error_at(
        &self,
        path: &[&str],
        message: impl Into<String>,
        hint: Option<String>,
    ) -> ConfigError {
        let path: Vec<String> = path.iter().map(|&step| step.to_owned()).collect();
        let location = self.layers.location(&path, EntryPart::Value);
        ConfigError::new(location, &path, message, hint)
    }

    /// An error about a path in a rule, such as `domain`.
    pub fn error_in_rule(
        &self,
        at: &RuleRef,
        path: &[String],
        message: String,
        hint: Option<String>,
    ) -> ConfigError {
        let whole = [&rule_path(at)[..], path].concat();
        let location = self.layers.location(&whole, EntryPart::Value);
        ConfigError::new(location, &whole, message, hint)
    }
}

/// Reads and checks a configuration. It changes nothing, so a reload calls it
/// again and continues with the old configuration if this fails.
///
/// # Errors
/// Every error found, unless one hides another.
pub fn load(sources: &Sources) -> Result<ValidConfig, ConfigErrors> {
    let (config, layers) = read_layers(sources)?;
    let Some(config) = config else {
        return Err(ConfigErrors::new(layers.errors));
    };
    let found = check::check_config(&config, &layers);
    let errors = [layers.errors.as_slice(), &found.errors].concat();
    if !errors.is_empty() {
        return Err(ConfigErrors::new(errors));
    }
    Ok(ValidConfig {
        config,
        secrets: found.secrets,
        warnings: sorted_by_location([layers.warnings.as_slice(), &found.warnings].concat()),
        layers: Arc::new(layers),
    })
}

/// Reads a configuration without checking it across keys or reading other files,
/// for `gatepost key`.
///
/// # Errors
/// Every key that violates the schema.
pub fn load_schema_valid(sources: &Sources) -> Result<Config, ConfigErrors> {
    match read_layers(sources)? {
        (Some(config), layers) if layers.errors.is_empty() => Ok(config),
        (_, layers) => Err(ConfigErrors::new(layers.errors)),
    }
}

/// The configured roles, and where their rules are.
#[derive(Debug)]
pub struct LocatedRules {
    /// All keys; only the roles are checked.
    pub config: Config,
    layers: Layers,
}

impl LocatedRules {
    /// The location of a rule, such as `gatepost.toml at line 7`.
    pub fn location(&self, at: &RuleRef) -> String {
        let place = self.layers.location(&rule_path(at), EntryPart::Value);
        if let ConfigLocation::File { path, line, .. } = &place {
            return format!("{} at line {line}", path.display());
        }
        place.to_string()
    }
}

/// Reads the roles and the locations of their rules without reading other files,
/// for `gatepost explain`.
///
/// # Errors
/// Every key that violates the schema, and every error in the roles.
pub fn load_rules(sources: &Sources) -> Result<LocatedRules, ConfigErrors> {
    let (config, mut layers) = read_layers(sources)?;
    let mut errors = std::mem::take(&mut layers.errors);
    let Some(config) = config else {
        return Err(ConfigErrors::new(errors));
    };
    errors.extend(check::role_errors(&config, &layers));
    if !errors.is_empty() {
        return Err(ConfigErrors::new(errors));
    }
    Ok(LocatedRules { config, layers })
}

/// The path of a rule in the configuration.
fn rule_path(at: &RuleRef) -> [String; 4] {
    ["roles", at.role.as_str(), "rules", &at.index.to_string()].map(str::to_owned)
}

/// Reads only `[admin]`, for `gatepost healthcheck`. Errors in other sections are
/// ignored.
///
/// # Errors
/// If the file is not TOML or `[admin]` is not valid.
pub fn load_admin(sources: &Sources) -> Result<AdminConfig, ConfigErrors> {
    let schema = config_schema();
    let layers = Layers::read(sources, SchemaNode::new(&schema))?;
    let Some(schema) = SchemaNode::new(&schema).child("admin") else {
        return Ok(AdminConfig::default());
    };
    let Some(mut admin) = layers.merged().find_ref("admin").cloned() else {
        return Ok(AdminConfig::default());
    };
    let mut violations = Vec::new();
    schema.validate(&mut admin, &mut vec!["admin".to_owned()], &mut violations);
    if violations.is_empty() {
        return admin
            .deserialize()
            .map_err(|error| ConfigErrors::from(unexpected_error(&error, &layers)));
    }
    let violations = violations.into_iter();
    let errors = violations.map(|one| locate_violation(one, &layers));
    Err(ConfigErrors::new(errors.collect()))
}

/// Reads the configuration, and validates it against the schema. Without a
/// configuration the layers have at least one error.
fn read_layers(sources: &Sources) -> Result<(Option<Config>, Layers), ConfigErrors> {
    let schema = config_schema();
    let schema = SchemaNode::new(&schema);
    let mut layers = Layers::read(sources, schema)?;
    let mut whole: Value = layers.merged().clone();
    let mut violations = Vec::new();
    schema.validate(&mut whole, &mut Vec::new(), &mut violations);
    // The value of an unknown key may be a secret under a misspelled name.
    for violation in violations
        .iter()
        .filter(|violation| violation.is_unknown_key())
    {
        layers.redact(&violation.path);
    }
    let valid = violations.iter().all(SchemaViolation::is_unknown_key);
    let violations = violations.into_iter();
    let found: Vec<ConfigError> = violations
        .map(|violation| locate_violation(violation, &layers))
        .collect();
    layers.errors.extend(found);
    if !valid {
        return Ok((None, layers));
    }
    match whole.deserialize::<Config>() {
        Ok(config) => Ok((Some(config), layers)),
        // Unexpected: the schema should find every error before serde does.
        Err(error) => {
            let error = unexpected_error(&error, &layers);
            layers.errors.push(error);
            Ok((None, layers))
        }
    }
}

fn locate_violation(violation: SchemaViolation, layers: &Layers) -> ConfigError {
    let location = layers.location(&violation.path, violation.part);
    ConfigError::new(location, &violation.path, violation.message, violation.hint)
}

/// An error from serde. Its text is used only if it cannot contain a secret.
fn unexpected_error(error: &figment::Error, layers: &Layers) -> ConfigError {
    let secret = error.path.last().is_some_and(|key| is_secret_key_name(key));
    let message = if let (figment::error::Kind::Message(message), false) = (&error.kind, secret) {
        message.clone()
    } else {
        "this value is not valid".to_owned()
    };
    let location = layers.location(&error.path, EntryPart::Value);
    ConfigError::new(location, &error.path, message, None)
}
