//! From sources to a checked configuration.

use std::{collections::BTreeMap, sync::Arc};

use figment::value::Value;
use http::HeaderMap;

use super::{
    Admin, Config, check,
    file::Part,
    form::{Form, Misfit, schema},
    layers::Layers,
    mistake::{Mistake, Mistakes, Place, dotted, sorted},
    quote::sounds_secret,
    sources::Sources,
};
use crate::audit::ChainKey;
use gatepost_base::{CredentialName, InstanceName, ProviderName};
use gatepost_identity::{ClientAuth, Keyring};
use gatepost_odoo_client::ApiKey;
use gatepost_policy::RuleAt;
use gatepost_state::redis::Password;

/// A configuration in which everything fits, with what its files held.
///
/// A gateway is built from it whole; nothing is read again.
#[derive(Clone, Debug)]
pub struct Checked {
    /// All keys, defaults filled in.
    pub config: Config,
    /// The Odoo API key of every instance.
    pub secrets: BTreeMap<InstanceName, ApiKey>,
    /// The Odoo API keys of the credentials of every instance.
    pub credentials: BTreeMap<InstanceName, BTreeMap<CredentialName, ApiKey>>,
    /// Our own keys; none where no file is named or it does not exist yet.
    pub keyring: Option<Keyring>,
    /// How we prove to each identity provider who we are.
    pub client_auths: BTreeMap<ProviderName, Arc<ClientAuth>>,
    /// The header fields for the collector of traces.
    pub otlp_headers: HeaderMap,
    /// The password of the Redis, if it asks for one.
    pub redis_password: Option<Password>,
    /// The key to the hashes of the audit journal.
    pub audit_key: Option<ChainKey>,
    /// What is allowed and doubtful, for the log.
    pub warnings: Vec<Mistake>,
}

/// Reads and checks a configuration. It changes nothing, so a reload calls it
/// again and keeps what it has when this fails.
///
/// # Errors
/// Everything that is wrong, as far as one mistake does not hide another.
pub fn load(sources: &Sources) -> Result<Checked, Mistakes> {
    let (config, mut layers) = read(sources)?;
    let found = config.as_ref().map(|config| check::check(config, &layers));
    let mut found = found.unwrap_or_default();
    found
        .mistakes
        .splice(..0, std::mem::take(&mut layers.mistakes));
    found
        .warnings
        .splice(..0, std::mem::take(&mut layers.warnings));
    match config {
        Some(config) if found.mistakes.is_empty() => Ok(Checked {
            config,
            secrets: found.secrets,
            credentials: found.credentials,
            keyring: found.keyring,
            client_auths: found.client_auths,
            otlp_headers: found.otlp_headers,
            redis_password: found.redis_password,
            audit_key: found.audit_key,
            warnings: sorted(found.warnings),
        }),
        _ => Err(Mistakes::new(found.mistakes)),
    }
}

/// The configuration as it is written, for `gatepost key`: no other file is
/// read, and what must fit between keys is not looked at.
///
/// # Errors
/// Everything that is wrong with single keys.
pub fn load_form(sources: &Sources) -> Result<Config, Mistakes> {
    match read(sources)? {
        (Some(config), layers) if layers.mistakes.is_empty() => Ok(config),
        (_, layers) => Err(Mistakes::new(layers.mistakes)),
    }
}

/// The roles as they are written, and where each of their rules stands.
#[derive(Debug)]
pub struct Rules {
    /// All keys; only the roles are checked.
    pub config: Config,
    places: BTreeMap<RuleAt, Place>,
    layers: Layers,
}

impl Rules {
    /// Where the rule stands, such as `gatepost.toml at line 7`.
    pub fn place(&self, at: &RuleAt) -> String {
        match self.places.get(at) {
            Some(Place::File { path, line, .. }) => format!("{} at line {line}", path.display()),
            Some(place) => place.to_string(),
            None => Place::Nowhere.to_string(),
        }
    }

    /// Something that is wrong at this place in a rule, such as `domain`.
    pub fn mistake(
        &self,
        at: &RuleAt,
        path: &[String],
        message: String,
        hint: Option<String>,
    ) -> Mistake {
        let rule = ["roles", at.role.as_str(), "rules", &at.index.to_string()];
        let mut whole = rule.map(str::to_owned).to_vec();
        whole.extend_from_slice(path);
        Mistake {
            place: self.layers.place(&whole, Part::Value),
            key: dotted(&whole),
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
pub fn load_rules(sources: &Sources) -> Result<Rules, Mistakes> {
    let (config, mut layers) = read(sources)?;
    let mut mistakes = std::mem::take(&mut layers.mistakes);
    let Some(config) = config else {
        return Err(Mistakes::new(mistakes));
    };
    mistakes.extend(check::roles(&config, &layers));
    if !mistakes.is_empty() {
        return Err(Mistakes::new(mistakes));
    }
    let mut places = BTreeMap::new();
    for (name, role) in &config.roles {
        for index in 0..role.rules.len() {
            let steps = ["roles", name.as_str(), "rules", &index.to_string()].map(str::to_owned);
            let at = RuleAt {
                role: name.clone(),
                index,
            };
            places.insert(at, layers.place(&steps, Part::Value));
        }
    }
    Ok(Rules {
        config,
        places,
        layers,
    })
}

/// Only the admin listener, for `gatepost healthcheck`: neither secrets nor
/// other files are read, and mistakes elsewhere do not matter.
///
/// # Errors
/// When the file is no TOML or `[admin]` is wrong.
pub fn load_admin(sources: &Sources) -> Result<Admin, Mistakes> {
    let schema = schema();
    let layers = Layers::read(sources, Form::new(&schema))?;
    let Some(form) = Form::new(&schema).under("admin") else {
        return Ok(Admin::default());
    };
    let mut admin = match layers.merged().find_ref("admin") {
        Some(value) => value.clone(),
        None => return Ok(Admin::default()),
    };
    let mut misfits = Vec::new();
    form.compare(&mut admin, &mut vec!["admin".to_owned()], &mut misfits);
    if misfits.is_empty() {
        return admin
            .deserialize()
            .map_err(|error| Mistakes::from(unforeseen(&error, &layers)));
    }
    Err(Mistakes::new(
        misfits
            .into_iter()
            .map(|one| placed(one, &layers))
            .collect(),
    ))
}

/// The configuration as far as its form is right, and its layers with every
/// mistake in the form. No configuration only with at least one mistake.
fn read(sources: &Sources) -> Result<(Option<Config>, Layers), Mistakes> {
    let schema = schema();
    let form = Form::new(&schema);
    let mut layers = Layers::read(sources, form)?;
    let mut whole: Value = layers.merged().clone();
    let mut misfits = Vec::new();
    form.compare(&mut whole, &mut Vec::new(), &mut misfits);
    // Unknown keys: what stands there may be a secret under a wrong name.
    for misfit in misfits.iter().filter(|misfit| misfit.is_unknown()) {
        layers.cover(&misfit.path);
    }
    let fits = misfits.iter().all(Misfit::is_unknown);
    let mut found: Vec<Mistake> = misfits
        .into_iter()
        .map(|misfit| placed(misfit, &layers))
        .collect();
    layers.mistakes.append(&mut found);
    if !fits {
        return Ok((None, layers));
    }
    match whole.deserialize::<Config>() {
        Ok(config) => Ok((Some(config), layers)),
        // The form is meant to find everything before serde does.
        Err(error) => {
            let mistake = unforeseen(&error, &layers);
            layers.mistakes.push(mistake);
            Ok((None, layers))
        }
    }
}

fn placed(misfit: Misfit, layers: &Layers) -> Mistake {
    Mistake {
        place: layers.place(&misfit.path, misfit.part),
        key: dotted(&misfit.path),
        message: misfit.message,
        hint: misfit.hint,
    }
}

/// What serde refused. Only its kind is told: its text may hold the value.
fn unforeseen(error: &figment::Error, layers: &Layers) -> Mistake {
    let secret = error.path.last().is_some_and(|key| sounds_secret(key));
    let message = if let (figment::error::Kind::Message(message), false) = (&error.kind, secret) {
        message.clone()
    } else {
        "this does not fit".to_owned()
    };
    Mistake {
        place: layers.place(&error.path, Part::Value),
        key: dotted(&error.path),
        message,
        hint: None,
    }
}
