//! The schema of the configuration: its keys, and the values they accept.
//!
//! It comes from the section structs. Values are validated against it before
//! serde reads them because serde stops at the first error; this finds every
//! error, with its location.

use std::{collections::BTreeSet, net::SocketAddr};

use figment::value::{Dict, Value};
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::Value as Json;

use super::{
    Config,
    diagnostic::{EntryPart, closest_name, dotted_path, printable_prefix},
    excerpt::{is_secret_key_name, looks_like_secret},
};
use gatepost_base::{CredentialName, InstanceName, ProviderName, RoleName};
use gatepost_odoo::{ArgumentName, MethodName, ModelName};
use gatepost_policy::Pattern;

/// The schema of one key.
#[derive(Clone, Copy, Debug)]
pub(super) struct SchemaNode<'a>(&'a Json);

/// A value or key that the schema does not allow.
#[derive(Debug)]
pub(super) struct SchemaViolation {
    pub(super) path: Vec<String>,
    pub(super) part: EntryPart,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether the key is unknown. Unknown keys are dropped so that the rest can be
    /// checked.
    unknown_key: bool,
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SchemaType {
    /// `true` or `false`.
    Boolean,
    /// A number from 0 to 1.
    Fraction,
    /// `[..]`.
    List,
    /// A table whose keys are names chosen by the administrator.
    Map,
    /// A table with fixed keys.
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
        // An optional key has the schema `anyOf [.., null]`.
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

    /// The fixed keys, in the order of the struct.
    pub(super) fn properties(self) -> impl Iterator<Item = (&'a str, SchemaNode<'a>)> {
        self.0
            .get("properties")
            .and_then(Json::as_object)
            .into_iter()
            .flatten()
            .map(|(key, schema)| (key.as_str(), SchemaNode::new(schema)))
    }

    /// The schema of this key.
    pub(super) fn child(self, key: &str) -> Option<Self> {
        if self.schema_type() == SchemaType::Map {
            return self.element();
        }
        let found = self.properties().find(|(name, _)| *name == key);
        found.map(|(_, schema)| schema)
    }

    /// The schema of the entries of a list or map.
    pub(super) fn element(self) -> Option<Self> {
        self.0
            .get("items")
            .or_else(|| self.0.get("additionalProperties"))
            .map(SchemaNode::new)
    }

    /// The format of the text, such as `path`.
    pub(super) fn format(self) -> Option<&'a str> {
        self.0.get("format").and_then(Json::as_str)
    }

    /// The format of the names in a map.
    pub(super) fn name_format(self) -> Option<&'a str> {
        self.0.get("propertyNames")?.get("format")?.as_str()
    }

    /// The names of all keys below that do not hold a secret.
    pub(super) fn non_secret_keys(self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self
            .element()
            .map(SchemaNode::non_secret_keys)
            .unwrap_or_default();
        for (name, schema) in self.properties() {
            if !is_secret_key_name(name) {
                names.insert(name.to_owned());
            }
            names.extend(schema.non_secret_keys());
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

    /// The words allowed, if only some are.
    fn allowed_values(self) -> Vec<&'a str> {
        let listed = self
            .0
            .get("enum")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        let documented = self
            .0
            .get("oneOf")
            .and_then(Json::as_array)
            .into_iter()
            .flatten();
        listed
            .chain(documented.filter_map(|way| way.get("const")))
            .filter_map(Json::as_str)
            .collect()
    }

    /// Validates the value, removes unknown keys from it, and adds the violations
    /// to `violations`.
    pub(super) fn validate(
        self,
        value: &mut Value,
        path: &mut Vec<String>,
        violations: &mut Vec<SchemaViolation>,
    ) {
        match (self.schema_type(), value) {
            (SchemaType::Table, Value::Dict(_, dict)) => {
                self.validate_table(dict, path, violations);
            }
            (SchemaType::Map, Value::Dict(_, dict)) => {
                for (name, entry) in dict {
                    path.push(name.clone());
                    if let Err(message) = check_format(self.name_format(), name) {
                        violations.push(SchemaViolation::new(path, EntryPart::Key, message));
                    }
                    if let Some(schema) = self.element() {
                        schema.validate(entry, path, violations);
                    }
                    path.pop();
                }
            }
            (SchemaType::List, Value::Array(_, items)) => {
                for (index, item) in items.iter_mut().enumerate() {
                    path.push(index.to_string());
                    if let Some(schema) = self.element() {
                        schema.validate(item, path, violations);
                    }
                    path.pop();
                }
            }
            (SchemaType::Text, Value::String(_, text)) => {
                self.validate_text(text, path, violations);
            }
            (SchemaType::Integer, Value::Num(_, number)) => {
                let (least, most) = self.range();
                // Neither conversion accepts a fraction.
                let whole = number
                    .to_i128()
                    .or_else(|| i128::try_from(number.to_u128()?).ok());
                if whole.is_none_or(|whole| whole < least || whole > most) {
                    let message = self.expected_number();
                    violations.push(SchemaViolation::new(path, EntryPart::Value, message));
                }
            }
            (SchemaType::Fraction, Value::Num(_, number)) => {
                let fits = |number: f64| (0.0..=1.0).contains(&number);
                let whole = || number.to_u128().is_some_and(|whole| whole <= 1);
                if !number.to_f64().map_or_else(whole, fits) {
                    let message = EXPECTED_FRACTION.to_owned();
                    violations.push(SchemaViolation::new(path, EntryPart::Value, message));
                }
            }
            (SchemaType::Boolean, Value::Bool(..)) => {}
            (SchemaType::List, Value::Dict(..)) if self.is_list_of_tables() => {
                let table = header(path);
                violations.push(SchemaViolation {
                    hint: Some(format!(
                        "write `[[{table}]]` with double brackets, once for each entry; in one line `[{{ … }}]`"
                    )),
                    ..SchemaViolation::new(
                        path,
                        EntryPart::Value,
                        "this must be a list of tables, and is a single table".to_owned(),
                    )
                });
            }
            (SchemaType::Map | SchemaType::Table, Value::Array(..)) => {
                let table = header(path);
                violations.push(SchemaViolation {
                    hint: Some(if matches!(self.schema_type(), SchemaType::Map) {
                        format!(
                            "write `[{table}.NAME]` with single brackets and a name of your own"
                        )
                    } else {
                        format!("write `[{table}]` with single brackets, and only once")
                    }),
                    ..SchemaViolation::new(
                        path,
                        EntryPart::Value,
                        "this must be a single table, and is a list".to_owned(),
                    )
                });
            }
            (kind, _) => {
                let message = match kind {
                    SchemaType::Boolean => "this must be `true` or `false`".to_owned(),
                    SchemaType::Fraction => EXPECTED_FRACTION.to_owned(),
                    SchemaType::List => "this must be a list, such as `[\"…\", \"…\"]`".to_owned(),
                    SchemaType::Map | SchemaType::Table => "this must be a table".to_owned(),
                    SchemaType::Text => "this must be a text in quotes".to_owned(),
                    SchemaType::Integer => self.expected_number(),
                };
                violations.push(SchemaViolation::new(path, EntryPart::Value, message));
            }
        }
    }

    fn is_list_of_tables(self) -> bool {
        self.element()
            .is_some_and(|element| element.schema_type() == SchemaType::Table)
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
        violations: &mut Vec<SchemaViolation>,
    ) {
        for (key, schema) in self.properties() {
            path.push(key.to_owned());
            if let Some(value) = dict.get_mut(key) {
                schema.validate(value, path, violations);
            } else if self.is_required(key) {
                let message = format!("`{key}` is missing");
                violations.push(SchemaViolation::new(path, EntryPart::Key, message));
            }
            path.pop();
        }
        dict.retain(|key, _| {
            let known = self.child(key).is_some();
            if !known {
                path.push(key.clone());
                violations.push(self.unknown_key(key, path));
                path.pop();
            }
            known
        });
    }

    fn validate_text(self, text: &str, path: &[String], violations: &mut Vec<SchemaViolation>) {
        let words = self.allowed_values();
        let verdict = if words.is_empty() {
            check_format(self.format(), text)
        } else if words.contains(&text) {
            Ok(())
        } else {
            let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            Err(format!(
                "`{}` is not one of {}",
                printable_prefix(text),
                words.join(", ")
            ))
        };
        if let Err(message) = verdict {
            // A secret is never repeated, whatever its format.
            let secret = path.last().is_some_and(|key| is_secret_key_name(key));
            let message = if secret {
                "this value is not valid".to_owned()
            } else {
                message
            };
            // Odoo's own name for it.
            let meant = if text == "unlink" { "delete" } else { text };
            let near = closest_name(meant, self.allowed_values()).filter(|_| !secret);
            let mut violation = SchemaViolation::new(path, EntryPart::Value, message);
            violation.hint = near.map(|near| format!("did you mean `{near}`?"));
            violations.push(violation);
        }
    }

    /// The violation for a key that the table does not have.
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
        let names = self.properties().map(|(name, _)| name);
        if let Some(name) = closest_name(&key.to_ascii_lowercase(), names) {
            return format!("did you mean `{name}`?");
        }
        let elsewhere = self.properties().find(|(_, schema)| {
            schema.schema_type() == SchemaType::Table && schema.child(key).is_some()
        });
        if let Some((section, _)) = elsewhere {
            return format!("`{key}` belongs in `[{section}]`");
        }
        let keys: Vec<String> = self
            .properties()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        format!("the keys of this table are {}", keys.join(", "))
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

/// The path as the header of a table has it: without the numbers of list entries,
/// because a header means the last entry so far.
fn header(path: &[String]) -> String {
    let steps = path.iter().filter(|step| step.parse::<usize>().is_err());
    let steps: Vec<String> = steps.map(|step| printable_prefix(step)).collect();
    steps.join(".")
}

/// Checks a text against a format.
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
                "this must be the name of a credential, but it appears to be an API key".to_owned()
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
        Some("path") if text.is_empty() => Err("this must be the path of a file".to_owned()),
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

/// Declares the schema functions that `#[schemars(schema_with = …)]` names.
macro_rules! schemas {
    ($($name:ident: $schema:tt)+) => {$(
        pub(super) fn $name(_: &mut SchemaGenerator) -> Schema {
            json_schema!($schema)
        }
    )+};
}

schemas! {
    address_or_off: { "type": "string", "format": "address-or-off" }
    addresses: { "type": "array", "items": { "type": "string", "format": "address" } }
    credential_name: { "type": "string", "format": "credential-name" }
    // Its items are checked later.
    list: { "type": "array" }
    method_names: { "type": "array", "items": { "type": "string", "format": "method-name" } }
    model_name: { "type": "string", "format": "model-name" }
    networks: { "type": "array", "items": { "type": "string", "format": "network" } }
    operations: {
        "type": "array",
        "items": { "type": "string", "enum": ["create", "delete", "read", "write"] }
    }
    patterns: { "type": "array", "items": { "type": "string", "format": "pattern" } }
    provider_name: { "type": "string", "format": "provider-name" }
    provider_names: { "type": "array", "items": { "type": "string", "format": "provider-name" } }
    role_name: { "type": "string", "format": "role-name" }
    role_names: { "type": "array", "items": { "type": "string", "format": "role-name" } }
    token_caller_kind: { "type": "string", "enum": ["client", "user"] }
}
