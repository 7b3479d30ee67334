//! The layers of a configuration: defaults, `ODOO_…`, file, `GATEPOST_…`,
//! command line. A later one wins.
//!
//! The defaults are in the section structs. `ODOO_…` stand below the file:
//! they make an instance where there is none, and fill what the only one
//! leaves open.

use std::collections::BTreeSet;

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{
    environment::{self, ODOO, Reading, Setting},
    file::{File, Part},
    form::{Form, Kind},
    mistake::{Mistake, Mistakes, Place},
    sources::Sources,
};

/// The two keys of which an instance has one, and each of its credentials; and
/// those of a provider and of Redis.
const KEYS: [(&str, &str); 6] = [
    ("api_key", "api_key_file"),
    ("api_key_file", "api_key"),
    ("client_secret", "client_secret_file"),
    ("client_secret_file", "client_secret"),
    ("password", "password_file"),
    ("password_file", "password"),
];

/// The instance that the `ODOO_…` variables make.
const ALONE: &str = "odoo";

/// The name of the file's layer; no variable has it.
const FILE: &str = "file";

/// The option that gives addresses.
const LISTEN: &str = "--listen";

/// All layers, one on the other, and what was wrong with single variables.
#[derive(Debug)]
pub(super) struct Layers {
    figment: Figment,
    merged: Value,
    file: Option<File>,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
}

/// One layer: what it says, under the name of where it says so.
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

impl Layers {
    /// Reads the sources.
    ///
    /// # Errors
    /// When the file is no TOML; single wrong variables are kept in `mistakes`.
    pub(super) fn read(sources: &Sources, form: Form<'_>) -> Result<Self, Mistakes> {
        let file = sources
            .file
            .as_deref()
            .map(|path| File::read(path, form))
            .transpose()?;
        let nothing = toml::Table::new();
        let written = file.as_ref().map_or(&nothing, File::table);

        let (mut mistakes, mut warnings, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        for name in sources.unreadable() {
            mistakes.push(of_variable(name, "the value is not UTF-8", None));
        }
        for (name, text) in sources.overrides() {
            match environment::read(name, text, form, written) {
                Reading::Doubtful(warning) => warnings.push(warning),
                Reading::Foreign => {}
                Reading::Sets(setting) => settings.push(setting),
                Reading::Wrong(mistake) => mistakes.push(mistake),
            }
        }
        // A whole table first, then what is set inside it.
        settings.sort_by_key(|setting| setting.path.len());

        let mut of_file = as_dict(written);
        if let Some(folder) = file.as_ref().and_then(File::folder) {
            let mut whole = Value::from(of_file);
            rebase(&mut whole, form, folder);
            of_file = whole.into_dict().unwrap_or_default();
        }
        give_way(&mut of_file, &settings);

        let mut figment = Figment::new();
        for layer in odoo(sources, &of_file, &settings, &mut mistakes, &mut warnings) {
            figment = figment.merge(layer);
        }
        figment = figment.merge(Layer {
            name: FILE.to_owned(),
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
                name: LISTEN.to_owned(),
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
            mistakes,
            warnings,
        })
    }

    /// What all layers say together.
    pub(super) fn merged(&self) -> &Value {
        &self.merged
    }

    /// Hides the value of this key in every quoted line.
    pub(super) fn cover(&mut self, path: &[String]) {
        if let Some(file) = &mut self.file {
            file.cover(path);
        }
    }

    /// Where the key was set; where it is missing, what is nearest above it.
    pub(super) fn place(&self, path: &[String], part: Part) -> Place {
        let mut value = &self.merged;
        let mut exact = true;
        for step in path {
            let below = match value {
                Value::Dict(_, dict) => dict.get(step),
                Value::Array(_, items) => {
                    step.parse().ok().and_then(|index: usize| items.get(index))
                }
                Value::String(..)
                | Value::Char(..)
                | Value::Bool(..)
                | Value::Num(..)
                | Value::Empty(..) => None,
            };
            let Some(below) = below else {
                exact = false;
                break;
            };
            value = below;
        }
        let layer = self
            .figment
            .get_metadata(value.tag())
            .map_or(FILE, |metadata| &*metadata.name);
        // A table may have been begun by several layers.
        let anywhere = matches!(value, Value::Dict(..));
        if layer == FILE || anywhere {
            for length in (1..=path.len()).rev() {
                let part = if length == path.len() && exact {
                    part
                } else {
                    Part::Value
                };
                let place = path
                    .get(..length)
                    .and_then(|path| self.file.as_ref()?.place(path, part));
                if let Some(place) = place {
                    return place;
                }
            }
        }
        if layer == LISTEN {
            return Place::CommandLine(LISTEN);
        }
        if layer != FILE && !path.is_empty() {
            return Place::Environment(layer.to_owned());
        }
        self.whole()
    }

    /// The configuration as a whole.
    pub(super) fn whole(&self) -> Place {
        self.file.as_ref().map_or(Place::Nowhere, File::whole)
    }
}

/// The instance that the `ODOO_…` variables speak of, one layer for each.
fn odoo(
    sources: &Sources,
    of_file: &Dict,
    settings: &[Setting],
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Mistake>,
) -> Vec<Layer> {
    let given: Vec<(&str, &str, &str)> = ODOO
        .iter()
        .filter_map(|(name, key)| Some((*name, *key, sources.variable(name)?)))
        .collect();
    let Some((first, ..)) = given.first() else {
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
    // `GATEPOST_INSTANCES` sets them all; then nothing is to be filled in.
    let all_at_once = settings.iter().any(|setting| setting.path == ["instances"]);
    if names.len() > 1 || all_at_once {
        warnings.push(of_variable(
            first,
            if all_at_once {
                "GATEPOST_INSTANCES sets the instances, so the `ODOO_…` variables are ignored"
            } else {
                "several instances are configured, so the `ODOO_…` variables are ignored"
            },
            Some("set GATEPOST_INSTANCES__NAME__API_KEY_FILE and its like instead"),
        ));
        return Vec::new();
    }
    if sources.variable("ODOO_API_KEY").is_some() && sources.variable("ODOO_API_KEY_FILE").is_some()
    {
        mistakes.push(of_variable(
            "ODOO_API_KEY",
            "ODOO_API_KEY and ODOO_API_KEY_FILE are both set",
            Some("set one of them"),
        ));
    }
    if names.is_empty() && sources.variable("ODOO_URL").is_none() {
        mistakes.push(of_variable(
            first,
            "there is no instance for this to belong to",
            Some("set ODOO_URL too, such as https://odoo.example.com"),
        ));
        return Vec::new();
    }
    let instance = names.first().copied().unwrap_or(ALONE);
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
    // The key of a higher layer stands, in whichever form it is there.
    let has_key = above("api_key") || above("api_key_file");
    given
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

/// Where a variable sets the one of two keys that exclude each other, the other
/// one in the file gives way.
fn give_way(of_file: &mut Dict, settings: &[Setting]) {
    for setting in settings {
        let Some((key, tables)) = setting.path.split_last() else {
            continue;
        };
        let of_odoo = match tables {
            [section, _] => section == "instances" || section == "providers",
            [section, _, table, _] => section == "instances" && table == "credentials",
            _ => false,
        };
        let other = KEYS.iter().find(|(one, _)| one == key);
        if let (true, Some((_, other))) = (of_odoo, other)
            && let Some(table) = below(of_file, tables)
        {
            table.remove(*other);
        }
    }
}

/// The table at this path.
fn below<'a>(dict: &'a mut Dict, path: &[String]) -> Option<&'a mut Dict> {
    path.iter()
        .try_fold(dict, |dict, step| match dict.get_mut(step) {
            Some(Value::Dict(_, below)) => Some(below),
            _ => None,
        })
}

/// Lets the paths that a file names start from the file's own folder.
fn rebase(value: &mut Value, form: Form<'_>, folder: &std::path::Path) {
    match value {
        Value::Dict(_, dict) => {
            for (key, value) in dict {
                if let Some(form) = form.under(key) {
                    rebase(value, form, folder);
                }
            }
        }
        Value::Array(_, items) => {
            if let Some(form) = form.each() {
                for item in items {
                    rebase(item, form, folder);
                }
            }
        }
        Value::String(_, text)
            if form.kind() == Kind::Text && form.format() == Some("path") && !text.is_empty() =>
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

fn of_variable(name: &str, message: &str, hint: Option<&str>) -> Mistake {
    Mistake {
        place: Place::Environment(name.to_owned()),
        key: String::new(),
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
    }
}
