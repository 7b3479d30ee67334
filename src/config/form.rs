//! What a configuration may say: which keys there are and what fits them.
//!
//! The section structs are the one source of this: their JSON schema is walked
//! along the values, so that every mistake is found in one go, each with its
//! place. (serde stops at the first.)

use std::{collections::BTreeSet, net::SocketAddr};

use figment::value::{Dict, Value};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::Value as Json;

use super::{
    Config,
    file::Part,
    mistake::{dotted, shortened},
    quote::{may_be_a_secret, sounds_secret},
};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName};
use gatepost_odoo::{ArgumentName, MethodName, ModelName};
use gatepost_policy::Pattern;

/// A place in the form: what may stand under one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a>(&'a Json);

/// Something that does not fit the form.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) path: Vec<String>,
    pub(super) part: Part,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether it is a key that the form does not have. Those are dropped, so
    /// that the rest can be looked at.
    unknown: bool,
}

/// What kind of value stands somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Flag,
    /// A number from 0 to 1.
    Fraction,
    /// `[..]`.
    List,
    /// A table whose keys are names that the administrator gives.
    Map,
    /// A table with keys of ours.
    Table,
    /// A text.
    Text,
    /// A whole number.
    Whole,
}

const FRACTION_WANTED: &str = "this must be a number from 0 to 1, such as `0.1`, without quotes";

/// The schema of the whole configuration.
pub(super) fn schema() -> Json {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}

impl<'a> Form<'a> {
    pub(super) fn new(schema: &'a Json) -> Self {
        // What may be left out is written `anyOf [.., null]`.
        let whole = schema
            .get("anyOf")
            .and_then(Json::as_array)
            .and_then(|ways| {
                ways.iter()
                    .find(|way| way.get("type").and_then(Json::as_str) != Some("null"))
            });
        Self(whole.unwrap_or(schema))
    }

    pub(super) fn kind(self) -> Kind {
        let named = match self.0.get("type") {
            Some(Json::Array(types)) => types.first().and_then(Json::as_str),
            Some(one) => one.as_str(),
            None => None,
        };
        match named {
            Some("array") => Kind::List,
            Some("boolean") => Kind::Flag,
            Some("integer") => Kind::Whole,
            Some("number") => Kind::Fraction,
            Some("object") if self.0.get("properties").is_some() => Kind::Table,
            Some("object") => Kind::Map,
            _ => Kind::Text,
        }
    }

    /// The keys of ours, in the order of the struct.
    pub(super) fn keys(self) -> impl Iterator<Item = (&'a str, Form<'a>)> {
        self.0
            .get("properties")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
            .map(|(key, form)| (key.as_str(), Form::new(form)))
    }

    /// What may stand under this key.
    pub(super) fn under(self, key: &str) -> Option<Self> {
        match self.kind() {
            Kind::Map => self.each(),
            Kind::Table => self
                .keys()
                .find(|(name, _)| *name == key)
                .map(|(_, form)| form),
            Kind::Flag | Kind::Fraction | Kind::List | Kind::Text | Kind::Whole => None,
        }
    }

    /// What each entry of a list or of a map with free names must be.
    pub(super) fn each(self) -> Option<Self> {
        self.0
            .get("items")
            .or_else(|| self.0.get("additionalProperties"))
            .map(Form::new)
    }

    /// The rule for the text, such as `path`.
    pub(super) fn format(self) -> Option<&'a str> {
        self.0.get("format").and_then(Json::as_str)
    }

    /// The rule for the names in a map.
    pub(super) fn names(self) -> Option<&'a str> {
        self.0.get("propertyNames")?.get("format")?.as_str()
    }

    /// The names of all keys below that hold no secret.
    pub(super) fn harmless(self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.each().map(Form::harmless).unwrap_or_default();
        for (name, form) in self.keys() {
            if !sounds_secret(name) {
                names.insert(name.to_owned());
            }
            names.extend(form.harmless());
        }
        names
    }

    fn required(self, key: &str) -> bool {
        self.0
            .get("required")
            .and_then(Json::as_array)
            .is_some_and(|keys| keys.iter().any(|name| name.as_str() == Some(key)))
    }

    /// The smallest and the largest number.
    pub(super) fn range(self) -> (i128, i128) {
        let bound = |name, otherwise| {
            self.0
                .get(name)
                .and_then(Json::as_i64)
                .map_or(otherwise, i128::from)
        };
        (bound("minimum", 0), bound("maximum", i128::from(i64::MAX)))
    }

    /// The words that may stand here, if only some may.
    fn words(self) -> Vec<&'a str> {
        let listed = self
            .0
            .get("enum")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        let told_apart = self
            .0
            .get("oneOf")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        listed
            .chain(told_apart.filter_map(|way| way.get("const")))
            .filter_map(Json::as_str)
            .collect()
    }

    /// Compares the value with the form, removes the keys that the form does
    /// not have, and adds whatever does not fit to `misfits`.
    pub(super) fn compare(
        self,
        value: &mut Value,
        path: &mut Vec<String>,
        misfits: &mut Vec<Misfit>,
    ) {
        match (self.kind(), value) {
            (Kind::Table, Value::Dict(_, dict)) => self.compare_table(dict, path, misfits),
            (Kind::Map, Value::Dict(_, dict)) => {
                for (name, entry) in dict {
                    path.push(name.clone());
                    if let Err(message) = fits(self.names(), name) {
                        misfits.push(Misfit::new(path, Part::Key, message));
                    }
                    if let Some(form) = self.each() {
                        form.compare(entry, path, misfits);
                    }
                    path.pop();
                }
            }
            (Kind::List, Value::Array(_, items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(index.to_string());
                    if let Some(form) = self.each() {
                        form.compare(item, path, misfits);
                    }
                    path.pop();
                }
            }
            (Kind::Text, Value::String(_, text)) => self.compare_text(text, path, misfits),
            (Kind::Whole, Value::Num(_, number)) => {
                let (least, most) = self.range();
                // Neither holds for a number with a fraction.
                let whole = number
                    .to_i128()
                    .or_else(|| i128::try_from(number.to_u128()?).ok());
                if whole.is_none_or(|whole| whole < least || whole > most) {
                    misfits.push(Misfit::new(path, Part::Value, self.number_wanted()));
                }
            }
            (Kind::Fraction, Value::Num(_, number)) => {
                let fits = |number: f64| (0.0..=1.0).contains(&number);
                let whole = || number.to_u128().is_some_and(|whole| whole <= 1);
                if !number.to_f64().map_or_else(whole, fits) {
                    misfits.push(Misfit::new(path, Part::Value, FRACTION_WANTED.to_owned()));
                }
            }
            (Kind::Flag, Value::Bool(..)) => {}
            (kind, _) => {
                let message = match kind {
                    Kind::Flag => "this must be `true` or `false`".to_owned(),
                    Kind::Fraction => FRACTION_WANTED.to_owned(),
                    Kind::List => "this must be a list, such as `[\"…\", \"…\"]`".to_owned(),
                    Kind::Map | Kind::Table => {
                        "this must be a table with keys of its own".to_owned()
                    }
                    Kind::Text => "this must be a text in quotes".to_owned(),
                    Kind::Whole => self.number_wanted(),
                };
                misfits.push(Misfit::new(path, Part::Value, message));
            }
        }
    }

    fn number_wanted(self) -> String {
        let (least, most) = self.range();
        format!(
            "this must be a whole number from {} to {}, without quotes",
            thousands(least),
            thousands(most)
        )
    }

    fn compare_table(self, dict: &mut Dict, path: &mut Vec<String>, misfits: &mut Vec<Misfit>) {
        for (key, form) in self.keys() {
            path.push(key.to_owned());
            if let Some(value) = dict.get_mut(key) {
                form.compare(value, path, misfits);
            } else if self.required(key) {
                misfits.push(Misfit::new(path, Part::Key, format!("`{key}` is missing")));
            }
            path.pop();
        }
        dict.retain(|key, _| {
            let known = self.under(key).is_some();
            if !known {
                path.push(key.clone());
                misfits.push(self.unknown(key, path));
                path.pop();
            }
            known
        });
    }

    fn compare_text(self, text: &str, path: &[String], misfits: &mut Vec<Misfit>) {
        let words = self.words();
        let verdict = if words.is_empty() {
            fits(self.format(), text)
        } else if words.contains(&text) {
            Ok(())
        } else {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            Err(format!(
                "`{}` is none of: {}",
                shortened(text),
                words.join(", ")
            ))
        };
        if let Err(message) = verdict {
            // Whatever a secret is compared with one day: it is not repeated.
            let secret = path.last().is_some_and(|key| sounds_secret(key));
            let message = if secret {
                "this does not fit".to_owned()
            } else {
                message
            };
            misfits.push(Misfit::new(path, Part::Value, message));
        }
    }

    /// The misfit of a key that the table does not have.
    pub(super) fn unknown(self, key: &str, path: &[String]) -> Misfit {
        let place = match path.split_last() {
            Some((_, [])) | None => "at the top".to_owned(),
            Some((_, table)) => format!("in `{}`", dotted(table)),
        };
        Misfit {
            path: path.to_vec(),
            part: Part::Key,
            message: format!("there is no key `{}` {place}", shortened(key)),
            hint: Some(self.suggestion(key)),
            unknown: true,
        }
    }

    fn suggestion(self, key: &str) -> String {
        let near = self
            .keys()
            .map(|(name, _)| (strsim::jaro_winkler(name, &key.to_ascii_lowercase()), name))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((_, name)) = near {
            return format!("did you mean `{name}`?");
        }
        let elsewhere = self
            .keys()
            .find(|(_, form)| form.kind() == Kind::Table && form.under(key).is_some());
        if let Some((section, _)) = elsewhere {
            return format!("`{key}` belongs into `[{section}]`");
        }
        let keys: Vec<String> = self.keys().map(|(name, _)| format!("`{name}`")).collect();
        format!("the keys here are {}", keys.join(", "))
    }
}

impl Misfit {
    pub(super) fn new(path: &[String], part: Part, message: String) -> Self {
        Self {
            path: path.to_vec(),
            part,
            message,
            hint: None,
            unknown: false,
        }
    }

    pub(super) fn is_unknown(&self) -> bool {
        self.unknown
    }
}

/// Whether a text is what the rule of this name wants; else what is wrong.
fn fits(format: Option<&str>, text: &str) -> Result<(), String> {
    match format {
        Some("address-or-off") if text.is_empty() => Ok(()),
        Some("address" | "address-or-off") => text.parse::<SocketAddr>().map(|_| ()).map_err(
            |_not_an_address| {
                format!(
                    "`{text}` is not an address to listen on; write IP address and port, such as `127.0.0.1:8080` or `[::]:8080`"
                )
            },
        ),
        Some("argument-name") => said(ArgumentName::try_from(text)),
        Some("credential-name") => said(CredentialName::try_from(text)).map_err(|message| {
            if may_be_a_secret(text) {
                // Not repeated: people put the key itself here.
                "this must be the name of a credential, and looks like its key".to_owned()
            } else {
                message
            }
        }),
        Some("instance-name") => said(InstanceName::try_from(text)),
        Some("method-name") => said(MethodName::try_from(text)),
        Some("model-name") => said(ModelName::try_from(text)),
        Some("network") => text.parse::<ipnet::IpNet>().map(|_| ()).map_err(|_no_network| {
            format!("`{text}` is not a network; write it like `10.0.0.0/8` or `fd00::/8`, one address like `192.0.2.1/32`")
        }),
        Some("path") if text.is_empty() => Err("this must name a file".to_owned()),
        Some("pattern") => said(Pattern::parse(text)),
        Some("provider-name") => said(ProviderName::try_from(text)),
        Some("role-name") => said(RoleName::try_from(text)),
        _ => Ok(()),
    }
}

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
    result.map(|_| ()).map_err(|error| error.to_string())
}

/// `1,048,576`.
pub(super) fn thousands(number: i128) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A list of addresses to listen on.
pub(super) fn addresses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "address" } })
}

/// An address to listen on, or an empty text.
pub(super) fn address_or_off(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "address-or-off" })
}

/// A list of patterns.
pub(super) fn patterns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "pattern" } })
}

/// A list of names of methods.
pub(super) fn method_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "method-name" } })
}

/// A domain: a list, in which whatever else there is is looked at later.
pub(super) fn domain(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array" })
}

/// The name of a model.
pub(super) fn model_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "model-name" })
}

/// A list of plain values, which are looked at later.
pub(super) fn values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array" })
}

/// The name of a credential.
pub(super) fn credential_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "credential-name" })
}

/// The name of a role.
pub(super) fn role_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "role-name" })
}

/// The name of an identity provider.
pub(super) fn provider_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "provider-name" })
}

/// A list of names of identity providers.
pub(super) fn provider_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "provider-name" } })
}

/// A list of names of roles.
pub(super) fn role_names(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "role-name" } })
}

/// A list of networks.
pub(super) fn networks(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "network" } })
}
