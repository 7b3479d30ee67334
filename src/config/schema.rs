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
    diagnostic::{dotted_path, printable_prefix},
    excerpt::{is_secret_key_name, looks_like_secret},
    file::EntryPart,
};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName};
use gatepost_odoo::{ArgumentName, MethodName, ModelName};
use gatepost_policy::Pattern;

/// A place in the form: what may stand under one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct SchemaNode<'a>(&'a Json);

/// Something that does not fit the form.
#[derive(Debug)]
pub(super) struct SchemaViolation {
    pub(super) path: Vec<String>,
    pub(super) part: EntryPart,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether it is a key that the form does not have. Those are dropped, so
    /// that the rest can be looked at.
    unknown_key: bool,
}

/// What kind of value stands somewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SchemaType {
    /// `true` or `false`.
    Boolean,
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
    Integer,
}

const EXPECTED_FRACTION: &str = "this must be a number from 0 to 1, such as `0.1`, without quotes";

/// The schema of the whole configuration.
pub(super) fn config_schema() -> Json {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Config>()
        .to_value()
}

impl<'a> SchemaNode<'a> {
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

    pub(super) fn schema_type(self) -> SchemaType {
        let named = match self.0.get("type") {
            Some(Json::Array(types)) => types.first().and_then(Json::as_str),
            Some(one) => one.as_str(),
            None => None,
        };
        match named {
            Some("array") => SchemaType::List,
            Some("boolean") => SchemaType::Boolean,
            Some("integer") => SchemaType::Integer,
            Some("number") => SchemaType::Fraction,
            Some("object") if self.0.get("properties").is_some() => SchemaType::Table,
            Some("object") => SchemaType::Map,
            _ => SchemaType::Text,
        }
    }

    /// The keys of ours, in the order of the struct.
    pub(super) fn properties(self) -> impl Iterator<Item = (&'a str, SchemaNode<'a>)> {
        self.0
            .get("properties")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
            .map(|(key, form)| (key.as_str(), SchemaNode::new(form)))
    }

    /// What may stand under this key.
    pub(super) fn child(self, key: &str) -> Option<Self> {
        match self.schema_type() {
            SchemaType::Map => self.element(),
            SchemaType::Table => self
                .properties()
                .find(|(name, _)| *name == key)
                .map(|(_, form)| form),
            SchemaType::Boolean
            | SchemaType::Fraction
            | SchemaType::List
            | SchemaType::Text
            | SchemaType::Integer => None,
        }
    }

    /// What each entry of a list or of a map with free names must be.
    pub(super) fn element(self) -> Option<Self> {
        self.0
            .get("items")
            .or_else(|| self.0.get("additionalProperties"))
            .map(SchemaNode::new)
    }

    /// The rule for the text, such as `path`.
    pub(super) fn format(self) -> Option<&'a str> {
        self.0.get("format").and_then(Json::as_str)
    }

    /// The rule for the names in a map.
    pub(super) fn name_format(self) -> Option<&'a str> {
        self.0.get("propertyNames")?.get("format")?.as_str()
    }

    /// The names of all keys below that hold no secret.
    pub(super) fn non_secret_keys(self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self
            .element()
            .map(SchemaNode::non_secret_keys)
            .unwrap_or_default();
        for (name, form) in self.properties() {
            if !is_secret_key_name(name) {
                names.insert(name.to_owned());
            }
            names.extend(form.non_secret_keys());
        }
        names
    }

    fn is_required(self, key: &str) -> bool {
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
    fn allowed_values(self) -> Vec<&'a str> {
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
    pub(super) fn validate(
        self,
        value: &mut Value,
        path: &mut Vec<String>,
        misfits: &mut Vec<SchemaViolation>,
    ) {
        match (self.schema_type(), value) {
            (SchemaType::Table, Value::Dict(_, dict)) => self.validate_table(dict, path, misfits),
            (SchemaType::Map, Value::Dict(_, dict)) => {
                for (name, entry) in dict {
                    path.push(name.clone());
                    if let Err(message) = check_format(self.name_format(), name) {
                        misfits.push(SchemaViolation::new(path, EntryPart::Key, message));
                    }
                    if let Some(form) = self.element() {
                        form.validate(entry, path, misfits);
                    }
                    path.pop();
                }
            }
            (SchemaType::List, Value::Array(_, items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(index.to_string());
                    if let Some(form) = self.element() {
                        form.validate(item, path, misfits);
                    }
                    path.pop();
                }
            }
            (SchemaType::Text, Value::String(_, text)) => self.validate_text(text, path, misfits),
            (SchemaType::Integer, Value::Num(_, number)) => {
                let (least, most) = self.range();
                // Neither holds for a number with a fraction.
                let whole = number
                    .to_i128()
                    .or_else(|| i128::try_from(number.to_u128()?).ok());
                if whole.is_none_or(|whole| whole < least || whole > most) {
                    misfits.push(SchemaViolation::new(
                        path,
                        EntryPart::Value,
                        self.expected_number(),
                    ));
                }
            }
            (SchemaType::Fraction, Value::Num(_, number)) => {
                let fits = |number: f64| (0.0..=1.0).contains(&number);
                let whole = || number.to_u128().is_some_and(|whole| whole <= 1);
                if !number.to_f64().map_or_else(whole, fits) {
                    misfits.push(SchemaViolation::new(
                        path,
                        EntryPart::Value,
                        EXPECTED_FRACTION.to_owned(),
                    ));
                }
            }
            (SchemaType::Boolean, Value::Bool(..)) => {}
            (kind, _) => {
                let message = match kind {
                    SchemaType::Boolean => "this must be `true` or `false`".to_owned(),
                    SchemaType::Fraction => EXPECTED_FRACTION.to_owned(),
                    SchemaType::List => "this must be a list, such as `[\"…\", \"…\"]`".to_owned(),
                    SchemaType::Map | SchemaType::Table => {
                        "this must be a table with keys of its own".to_owned()
                    }
                    SchemaType::Text => "this must be a text in quotes".to_owned(),
                    SchemaType::Integer => self.expected_number(),
                };
                misfits.push(SchemaViolation::new(path, EntryPart::Value, message));
            }
        }
    }

    fn expected_number(self) -> String {
        let (least, most) = self.range();
        format!(
            "this must be a whole number from {} to {}, without quotes",
            thousands(least),
            thousands(most)
        )
    }

    fn validate_table(
        self,
        dict: &mut Dict,
        path: &mut Vec<String>,
        misfits: &mut Vec<SchemaViolation>,
    ) {
        for (key, form) in self.properties() {
            path.push(key.to_owned());
            if let Some(value) = dict.get_mut(key) {
                form.validate(value, path, misfits);
            } else if self.is_required(key) {
                misfits.push(SchemaViolation::new(
                    path,
                    EntryPart::Key,
                    format!("`{key}` is missing"),
                ));
            }
            path.pop();
        }
        dict.retain(|key, _| {
            let known = self.child(key).is_some();
            if !known {
                path.push(key.clone());
                misfits.push(self.unknown_key(key, path));
                path.pop();
            }
            known
        });
    }

    fn validate_text(self, text: &str, path: &[String], misfits: &mut Vec<SchemaViolation>) {
        let words = self.allowed_values();
        let verdict = if words.is_empty() {
            check_format(self.format(), text)
        } else if words.contains(&text) {
            Ok(())
        } else {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            Err(format!(
                "`{}` is none of: {}",
                printable_prefix(text),
                words.join(", ")
            ))
        };
        if let Err(message) = verdict {
            // Whatever a secret is compared with one day: it is not repeated.
            let secret = path.last().is_some_and(|key| is_secret_key_name(key));
            let message = if secret {
                "this does not fit".to_owned()
            } else {
                message
            };
            misfits.push(SchemaViolation::new(path, EntryPart::Value, message));
        }
    }

    /// The misfit of a key that the table does not have.
    pub(super) fn unknown_key(self, key: &str, path: &[String]) -> SchemaViolation {
        let place = match path.split_last() {
            Some((_, [])) | None => "at the top".to_owned(),
            Some((_, table)) => format!("in `{}`", dotted_path(table)),
        };
        SchemaViolation {
            path: path.to_vec(),
            part: EntryPart::Key,
            message: format!("there is no key `{}` {place}", printable_prefix(key)),
            hint: Some(self.suggestion(key)),
            unknown_key: true,
        }
    }

    fn suggestion(self, key: &str) -> String {
        let near = self
            .properties()
            .map(|(name, _)| (strsim::jaro_winkler(name, &key.to_ascii_lowercase()), name))
            .filter(|(likeness, _)| *likeness > 0.8)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((_, name)) = near {
            return format!("did you mean `{name}`?");
        }
        let elsewhere = self
            .properties()
            .find(|(_, form)| form.schema_type() == SchemaType::Table && form.child(key).is_some());
        if let Some((section, _)) = elsewhere {
            return format!("`{key}` belongs into `[{section}]`");
        }
        let keys: Vec<String> = self
            .properties()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        format!("the keys here are {}", keys.join(", "))
    }
}

impl SchemaViolation {
    pub(super) fn new(path: &[String], part: EntryPart, message: String) -> Self {
        Self {
            path: path.to_vec(),
            part,
            message,
            hint: None,
            unknown_key: false,
        }
    }

    pub(super) fn is_unknown_key(&self) -> bool {
        self.unknown_key
    }
}

/// Whether a text is what the rule of this name wants; else what is wrong.
fn check_format(format: Option<&str>, text: &str) -> Result<(), String> {
    match format {
        Some("address-or-off") if text.is_empty() => Ok(()),
        Some("address" | "address-or-off") => text.parse::<SocketAddr>().map(|_| ()).map_err(
            |_not_an_address| {
                format!(
                    "`{text}` is not an address to listen on; write IP address and port, such as `127.0.0.1:8080` or `[::]:8080`"
                )
            },
        ),
        Some("argument-name") => stringify_error(ArgumentName::try_from(text)),
        Some("credential-name") => stringify_error(CredentialName::try_from(text)).map_err(|message| {
            if looks_like_secret(text) {
                // Not repeated: people put the key itself here.
                "this must be the name of a credential, and looks like its key".to_owned()
            } else {
                message
            }
        }),
        Some("instance-name") => stringify_error(InstanceName::try_from(text)),
        Some("method-name") => stringify_error(MethodName::try_from(text)),
        Some("model-name") => stringify_error(ModelName::try_from(text)),
        Some("network") => text.parse::<ipnet::IpNet>().map(|_| ()).map_err(|_no_network| {
            format!("`{text}` is not a network; write it like `10.0.0.0/8` or `fd00::/8`, one address like `192.0.2.1/32`")
        }),
        Some("path") if text.is_empty() => Err("this must name a file".to_owned()),
        Some("pattern") => stringify_error(Pattern::parse(text)),
        Some("provider-name") => stringify_error(ProviderName::try_from(text)),
        Some("role-name") => stringify_error(RoleName::try_from(text)),
        _ => Ok(()),
    }
}

fn stringify_error<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), String> {
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
