//! The layers of a configuration: defaults, `ODOO_…`, file, `GATEPOST_…`,
//! command line. A later layer overrides an earlier one.
//!
//! The defaults are in the section structs. The `ODOO_…` variables are below the
//! file: they define an instance if none is configured, and fill in missing keys
//! of the only one.

use std::{collections::BTreeSet, fmt};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{
    diagnostic::{ConfigError, ConfigErrors, ConfigLocation, EntryPart},
    environment::{self, ODOO_VARIABLES, ParsedVariable, Setting},
    file::ConfigFile,
    schema::{SchemaNode, SchemaType},
    sources::Sources,
};

/// Keys that exclude each other, in both directions.
const EXCLUSIVE_KEYS: [(&str, &str); 6] = [
    ("api_key", "api_key_file"),
    ("api_key_file", "api_key"),
    ("client_secret", "client_secret_file"),
    ("client_secret_file", "client_secret"),
    ("password", "password_file"),
    ("password_file", "password"),
];

/// The name of the instance that the `ODOO_…` variables define.
const DEFAULT_INSTANCE: &str = "odoo";

/// The name of the file's layer, which no variable can have.
const FILE_LAYER: &str = "file";

/// The command-line option for addresses.
const LISTEN_OPTION: &str = "--listen";

/// All layers merged, and the errors and warnings about single variables.
pub(super) struct Layers {
    figment: Figment,
    merged: Value,
    file: Option<ConfigFile>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<ConfigError>,
}

/// One layer: its values, named by their source.
struct Layer {
    name: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

// Not derived: the values may be secrets.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").finish_non_exhaustive()
    }
}

impl Layers {
    /// Reads the sources.
    ///
    /// # Errors
    /// If the file is not TOML. Errors in single variables are in `errors`.
    pub(super) fn read(sources: &Sources, schema: SchemaNode<'_>) -> Result<Self, ConfigErrors> {
        let file = sources
            .file
            .as_deref()
            .map(|path| ConfigFile::read(path, schema))
            .transpose()?;
        let nothing = toml::Table::new();
        let written = file.as_ref().map_or(&nothing, ConfigFile::table);

        let (mut errors, mut warnings, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        for name in sources.non_utf8_variables() {
            errors.push(variable_error(name, "the value is not UTF-8", None));
        }
        for (name, text) in sources.overrides() {
            match environment::parse(name, text, schema, written) {
                ParsedVariable::Unrecognized(warning) => warnings.push(warning),
                ParsedVariable::Foreign => {}
                ParsedVariable::Sets(setting) => settings.push(setting),
                ParsedVariable::Invalid(error) => errors.push(error),
            }
        }
        // A whole table before the keys in it.
        settings.sort_by_key(|setting| setting.path.len());

        let mut of_file = as_dict(written);
        if let Some(folder) = file.as_ref().and_then(ConfigFile::directory) {
            let mut whole = Value::from(of_file);
            resolve_paths(&mut whole, schema, folder);
            of_file = whole.into_dict().unwrap_or_default();
        }
        drop_overridden_keys(&mut of_file, &settings);

        let mut figment = Figment::new();
        for layer in odoo_layers(sources, &of_file, &settings, &mut errors, &mut warnings) {
            figment = figment.merge(layer);
        }
        figment = figment.merge(Layer {
            name: FILE_LAYER.to_owned(),
            dict: of_file,
        });
        for setting in settings {
            figment = figment.merge(Layer {
                name: setting.variable,
                dict: nest(&setting.path, setting.value),
            });
        }
        if !sources.listen.is_empty() {
            let addresses: Vec<Value> = sources
                .listen
                .iter()
                .map(|address| Value::from(address.to_string()))
                .collect();
            figment = figment.merge(Layer {
                name: LISTEN_OPTION.to_owned(),
                dict: nest(
                    &["server".to_owned(), "listen".to_owned()],
                    addresses.into(),
                ),
            });
        }
        let merged = figment
            .find_value("")
            .unwrap_or_else(|_| Dict::new().into());
        Ok(Self {
            figment,
            merged,
            file,
            errors,
            warnings,
        })
    }

    /// The values of all layers.
    pub(super) fn merged(&self) -> &Value {
        &self.merged
    }

    /// Redacts the value of this key in every excerpt.
    pub(super) fn redact(&mut self, path: &[String]) {
        if let Some(file) = &mut self.file {
            file.redact(path);
        }
    }

    /// The location where the key was set; if it is missing, of its closest ancestor.
    pub(super) fn location(&self, path: &[String], part: EntryPart) -> ConfigLocation {
        let mut value = &self.merged;
        let mut depth = 0;
        for step in path {
            let below = if let Value::Array(_, items) = value {
                step.parse().ok().and_then(|at: usize| items.get(at))
            } else {
                value.as_dict().and_then(|dict| dict.get(step))
            };
            let Some(below) = below else {
                break;
            };
            value = below;
            depth += 1;
        }
        if depth == 0 {
            return self.root_location();
        }
        let layer = self
            .figment
            .get_metadata(value.tag())
            .map_or(FILE_LAYER, |metadata| &*metadata.name);
        // Several layers may have contributed to a table.
        let anywhere = matches!(value, Value::Dict(..));
        if layer == FILE_LAYER || anywhere {
            for length in (1..=path.len()).rev() {
                let part = if length == path.len() && depth == length {
                    part
                } else {
                    EntryPart::Value
                };
                let place = path
                    .get(..length)
                    .and_then(|path| self.file.as_ref()?.location(path, part));
                if let Some(place) = place {
                    return place;
                }
            }
        }
        if layer == LISTEN_OPTION {
            return ConfigLocation::CommandLine(LISTEN_OPTION);
        }
        if layer != FILE_LAYER {
            return ConfigLocation::Environment(layer.to_owned());
        }
        self.root_location()
    }

    /// The location of the whole configuration.
    pub(super) fn root_location(&self) -> ConfigLocation {
        self.file
            .as_ref()
            .map_or(ConfigLocation::NoFile, ConfigFile::whole_file)
    }
}

/// The layers of the `ODOO_…` variables, one for each.
fn odoo_layers(
    sources: &Sources,
    of_file: &Dict,
    settings: &[Setting],
    errors: &mut Vec<ConfigError>,
    warnings: &mut Vec<ConfigError>,
) -> Vec<Layer> {
    let given_variables: Vec<(&str, &str, &str)> = ODOO_VARIABLES
        .iter()
        .filter_map(|(name, key)| Some((*name, *key, sources.variable(name)?)))
        .collect();
    let Some((first, ..)) = given_variables.first() else {
        return Vec::new();
    };
    let mut names: BTreeSet<&str> = of_file
        .get("instances")
        .and_then(Value::as_dict)
        .into_iter()
        .flat_map(Dict::keys)
        .map(String::as_str)
        .collect();
    names.extend(
        settings
            .iter()
            .filter_map(|setting| match setting.path.as_slice() {
                [section, name, ..] if section == "instances" => Some(name.as_str()),
                _ => None,
            }),
    );
    // `GATEPOST_INSTANCES` sets all instances, so nothing is filled in.
    let all_at_once = settings.iter().any(|setting| setting.path == ["instances"]);
    if names.len() > 1 || all_at_once {
        warnings.push(variable_error(
            first,
            if all_at_once {
                "GATEPOST_INSTANCES sets the instances, so the `ODOO_…` variables are ignored"
            } else {
                "several instances are configured, so the `ODOO_…` variables are ignored"
            },
            Some("set variables such as GATEPOST_INSTANCES__NAME__API_KEY_FILE instead"),
        ));
        return Vec::new();
    }
    if sources.variable("ODOO_API_KEY").is_some() && sources.variable("ODOO_API_KEY_FILE").is_some()
    {
        errors.push(variable_error(
            "ODOO_API_KEY",
            "ODOO_API_KEY and ODOO_API_KEY_FILE are both set",
            Some("set one of them"),
        ));
    }
    if names.is_empty() && sources.variable("ODOO_URL").is_none() {
        errors.push(variable_error(
            first,
            "no instance is configured that this variable could apply to",
            Some("set ODOO_URL too, such as https://odoo.example.com"),
        ));
        return Vec::new();
    }
    let instance = names.first().copied().unwrap_or(DEFAULT_INSTANCE);
    let above = |key: &str| {
        let in_file = of_file
            .get("instances")
            .and_then(|instances| instances.find_ref(&format!("{instance}.{key}")))
            .is_some();
        in_file
            || settings.iter().any(|setting| {
                matches!(setting.path.as_slice(),
                    [section, name, own] if section == "instances" && name == instance && own == key)
            })
    };
    // A key from a higher layer is used, whether inline or in a file.
    let has_key = above("api_key") || above("api_key_file");
    given_variables
        .into_iter()
        .filter(|(_, key, _)| !(has_key && key.starts_with("api_key")))
        .map(|(variable, key, value)| Layer {
            name: variable.to_owned(),
            dict: nest(
                &["instances".to_owned(), instance.to_owned(), key.to_owned()],
                Value::from(value),
            ),
        })
        .collect()
}

/// Removes a key from the file's values if a variable sets the key that excludes
/// it.
fn drop_overridden_keys(of_file: &mut Dict, settings: &[Setting]) {
    for setting in settings {
        let Some((key, tables)) = setting.path.split_last() else {
            continue;
        };
        let of_odoo = match tables {
            [section, _] => section == "instances" || section == "providers",
            [section, _, table, _] => section == "instances" && table == "credentials",
            _ => false,
        };
        let other = EXCLUSIVE_KEYS.iter().find(|(one, _)| one == key);
        if let (true, Some((_, other))) = (of_odoo, other)
            && let Some(table) = table_at(of_file, tables)
        {
            table.remove(*other);
        }
    }
}

/// The table at this path.
fn table_at<'a>(dict: &'a mut Dict, path: &[String]) -> Option<&'a mut Dict> {
    path.iter()
        .try_fold(dict, |dict, step| match dict.get_mut(step) {
            Some(Value::Dict(_, below)) => Some(below),
            _ => None,
        })
}

/// Makes the relative paths in the file start from the file's folder.
fn resolve_paths(value: &mut Value, schema: SchemaNode<'_>, folder: &std::path::Path) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                if let Some(schema) = schema.child(key) {
                    resolve_paths(value, schema, folder);
                }
            }
        }
        Value::Array(_, items) => {
            if let Some(schema) = schema.element() {
                for item in items {
                    resolve_paths(item, schema, folder);
                }
            }
        }
        Value::String(_, text)
            if schema.schema_type() == SchemaType::Text
                && schema.format() == Some("path")
                && !text.is_empty() =>
        {
            *text = folder.join(&*text).to_string_lossy().into_owned();
        }
        Value::String(..)
        | Value::Char(..)
        | Value::Bool(..)
        | Value::Num(..)
        | Value::Empty(..) => {}
    }
}

fn as_dict(table: &toml::Table) -> Dict {
    Value::serialize(table)
        .ok()
        .and_then(Value::into_dict)
        .unwrap_or_default()
}

fn nest(path: &[String], value: Value) -> Dict {
    let mut inner = value;
    let mut dict = Dict::new();
    for key in path.iter().rev() {
        dict = Dict::from([(key.clone(), inner)]);
        inner = Value::from(dict.clone());
    }
    dict
}

fn variable_error(name: &str, message: &str, hint: Option<&str>) -> ConfigError {
    let location = ConfigLocation::Environment(name.to_owned());
    ConfigError::new(location, &[], message, hint.map(str::to_owned))
}
