//! Keys that environment variables set.
//!
//! `GATEPOST_SERVER__LISTEN` is `server.listen`: two underscores between
//! levels, one inside a word. The name of a variable cannot contain `-`, so `_`
//! replaces it in the name of an instance, a credential or a role:
//! `GATEPOST_INSTANCES__EU_WEST__URL` is `instances.eu-west.url`. If the file has
//! a role with `_`, that role is meant. Variables cannot set a name with two `-`
//! or `_` in a row.

use figment::value::Value;

use super::{
    diagnostic::{ConfigError, ConfigLocation},
    schema::{SchemaNode, SchemaType},
};

/// The prefix of variables that set keys.
pub(super) const PREFIX: &str = "GATEPOST_";

/// The well-known variables, and the key of an instance that each sets.
pub(super) const ODOO_VARIABLES: [(&str, &str); 4] = [
    ("ODOO_API_KEY", "api_key"),
    ("ODOO_API_KEY_FILE", "api_key_file"),
    ("ODOO_DB", "database"),
    ("ODOO_URL", "url"),
];

/// A key that a variable sets.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) variable: String,
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

/// The meaning of one variable.
#[derive(Debug)]
pub(super) enum ParsedVariable {
    /// It sets nothing, and may not be meant for the gateway.
    Unrecognized(ConfigError),
    /// It belongs to another program.
    Foreign,
    /// It sets a key.
    Sets(Setting),
    /// It is not valid.
    Invalid(ConfigError),
}

/// Parses the variable `GATEPOST_<name>`. `written` is the file, for its names.
pub(super) fn parse(
    name: &str,
    text: &str,
    schema: SchemaNode<'_>,
    written: &toml::Table,
) -> ParsedVariable {
    let variable = format!("{PREFIX}{name}");
    let error = |path: &[String], message: &str, hint: Option<String>| {
        let location = ConfigLocation::Environment(variable.clone());
        ConfigError::new(location, path, message, hint)
    };
    let levels: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    if let [only] = levels.as_slice()
        && schema.child(only).is_none()
    {
        if is_kubernetes_service_variable(name) {
            return ParsedVariable::Foreign;
        }
        return match suggest_variable(only, schema) {
            Some(variable) => ParsedVariable::Invalid(error(
                &[],
                "there is no such key: two underscores separate the levels of a key",
                Some(format!("did you mean {variable}?")),
            )),
            None => ParsedVariable::Unrecognized(error(
                &[],
                "this variable sets no key and is ignored",
                Some(format!(
                    "to set a key, name the variable {PREFIX}SECTION__KEY, such as {PREFIX}SERVER__LISTEN"
                )),
            )),
        };
    }

    let mut path = Vec::new();
    let mut place = schema;
    let mut table = Some(written);
    for level in &levels {
        let key = match place.schema_type() {
            SchemaType::Map => match resolve_name(level, place, table) {
                Ok(name) => name,
                Err(names) => {
                    let message = format!("this may mean any of {}", names.join(", "));
                    let hint = "set this key in the file".to_owned();
                    return ParsedVariable::Invalid(error(&path, &message, Some(hint)));
                }
            },
            SchemaType::Table => level.clone(),
            SchemaType::Boolean
            | SchemaType::Fraction
            | SchemaType::List
            | SchemaType::Text
            | SchemaType::Integer => {
                return ParsedVariable::Invalid(error(
                    &path,
                    "a variable can set this key only as a whole",
                    Some("set the whole value, a list as `[…]`".into()),
                ));
            }
        };
        path.push(key.clone());
        let Some(next) = place.child(&key) else {
            let unknown = place.unknown_key(&key, &path);
            return ParsedVariable::Invalid(error(&path, &unknown.message, unknown.hint));
        };
        table = table.and_then(|table| table.get(&key)?.as_table());
        place = next;
    }
    match parse_value(text, place) {
        Ok(value) => ParsedVariable::Sets(Setting {
            variable,
            path,
            value,
        }),
        Err(message) => ParsedVariable::Invalid(error(&path, &message, None)),
    }
}

/// The name that a level of a variable means: the matching one in the file, or a
/// new one. The error is the names that match.
fn resolve_name(
    level: &str,
    schema: SchemaNode<'_>,
    written: Option<&toml::Table>,
) -> Result<String, Vec<String>> {
    let mut alike: Vec<String> = written
        .into_iter()
        .flat_map(toml::Table::keys)
        .filter(|name| name.replace('-', "_") == level)
        .cloned()
        .collect();
    match (alike.len(), alike.pop()) {
        (0, _) | (_, None) if schema.name_format() == Some("instance-name") => {
            Ok(level.replace('_', "-"))
        }
        (0, _) | (_, None) => Ok(level.to_owned()),
        (1, Some(name)) => Ok(name),
        (_, Some(name)) => {
            alike.push(name);
            Err(alike)
        }
    }
}

/// Converts the text to the type of the schema. A text that cannot be converted
/// stays a text, which the schema rejects later.
fn parse_value(text: &str, schema: SchemaNode<'_>) -> Result<Value, String> {
    let as_text = || Value::from(text);
    let trimmed = text.trim();
    Ok(match schema.schema_type() {
        SchemaType::Text => as_text(),
        SchemaType::Integer => trimmed
            .replace('_', "")
            .parse::<i64>()
            .map_or_else(|_| as_text(), Value::from),
        SchemaType::Fraction => trimmed
            .parse::<f64>()
            .map_or_else(|_| as_text(), Value::from),
        SchemaType::Boolean => trimmed
            .parse::<bool>()
            .map_or_else(|_| as_text(), Value::from),
        SchemaType::List if trimmed.starts_with('[') => parse_structured(trimmed)?,
        SchemaType::List
            if schema
                .element()
                .is_some_and(|each| each.schema_type() == SchemaType::Text) =>
        {
            trimmed
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(Value::from)
                .collect::<Vec<_>>()
                .into()
        }
        SchemaType::List => {
            return Err("this must be a list as TOML or JSON, such as `[{…}]`".into());
        }
        SchemaType::Map | SchemaType::Table if trimmed.starts_with('{') => {
            parse_structured(trimmed)?
        }
        SchemaType::Map | SchemaType::Table => {
            return Err("this must be a table as TOML or JSON, such as `{ key = \"…\" }`".into());
        }
    })
}

/// Parses a list or table in TOML or JSON. The error does not repeat the text
/// because it may contain a secret.
fn parse_structured(text: &str) -> Result<Value, String> {
    let syntax_error = match toml::from_str::<toml::Table>(&format!("value = {text}")) {
        Ok(mut table) => {
            return table
                .remove("value")
                .and_then(|value| Value::serialize(value).ok())
                .ok_or_else(|| "this is not a value".to_owned());
        }
        Err(error) => error.message().to_owned(),
    };
    serde_json::from_str::<serde_json::Value>(text)
        .ok()
        .and_then(|value| Value::serialize(value).ok())
        .ok_or_else(|| format!("this is neither TOML ({syntax_error}) nor JSON"))
}

/// Whether Kubernetes sets this variable in every container because there is a
/// service named `gatepost`.
fn is_kubernetes_service_variable(name: &str) -> bool {
    name == "PORT"
        || name.starts_with("PORT_")
        || name == "SERVICE_HOST"
        || name.starts_with("SERVICE_PORT")
}

/// The variable likely meant by one with too few underscores.
fn suggest_variable(level: &str, schema: SchemaNode<'_>) -> Option<String> {
    schema.properties().find_map(|(section, below)| {
        let rest = level.strip_prefix(section)?.strip_prefix('_')?;
        if below.schema_type() == SchemaType::Map {
            let section = section.to_ascii_uppercase();
            return Some(format!("{PREFIX}{section}__NAME__KEY"));
        }
        below
            .child(rest)
            .is_some()
            .then(|| format!("{PREFIX}{section}__{rest}").to_ascii_uppercase())
    })
}
