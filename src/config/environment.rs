//! What environment variables say about keys.
//!
//! `GATEPOST_SERVER__LISTEN` is `server.listen`: two underscores between
//! levels, one inside a word. Variables cannot hold a `-`, so in the name of an
//! instance, a credential or a role `_` stands for it:
//! `GATEPOST_INSTANCES__EU_WEST__URL` is `instances.eu-west.url`. A role that
//! the file writes with `_` is found under that. A name with two `-` or `_` in
//! a row is out of reach.

use figment::value::Value;

use super::{
    diagnostic::{ConfigError, ConfigLocation, dotted_path},
    schema::{SchemaNode, SchemaType},
};

/// What the variables of keys begin with.
pub(super) const PREFIX: &str = "GATEPOST_";

/// The well-known variables, and the key of an instance that each stands for.
pub(super) const ODOO_VARIABLES: [(&str, &str); 4] = [
    ("ODOO_API_KEY", "api_key"),
    ("ODOO_API_KEY_FILE", "api_key_file"),
    ("ODOO_DB", "database"),
    ("ODOO_URL", "url"),
];

/// One key that a variable sets.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) variable: String,
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

/// What became of one variable.
#[derive(Debug)]
pub(super) enum ParsedVariable {
    /// It sets nothing, and may not be meant for us.
    Unrecognized(ConfigError),
    /// It is somebody else's.
    Foreign,
    /// It sets a key.
    Sets(Setting),
    /// It is wrong.
    Invalid(ConfigError),
}

/// Reads the variable `GATEPOST_<name>`. `written` is what the file says, for
/// the names in it.
pub(super) fn parse(
    name: &str,
    text: &str,
    form: SchemaNode<'_>,
    written: &toml::Table,
) -> ParsedVariable {
    let variable = format!("{PREFIX}{name}");
    let wrong = |key: String, message: String, hint: Option<String>| ConfigError {
        location: ConfigLocation::Environment(variable.clone()),
        key,
        message,
        hint,
    };
    let levels: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    if let [only] = levels.as_slice()
        && form.child(only).is_none()
    {
        if is_kubernetes_service_variable(name) {
            return ParsedVariable::Foreign;
        }
        return match suggest_variable(only, form) {
            Some(variable) => ParsedVariable::Invalid(wrong(
                String::new(),
                "this names no key: the levels of a key are separated by two underscores".into(),
                Some(format!("did you mean {variable}?")),
            )),
            None => ParsedVariable::Unrecognized(wrong(
                String::new(),
                "this variable sets no key and is ignored".into(),
                Some(format!(
                    "a key is set by {PREFIX}SECTION__KEY, such as {PREFIX}SERVER__LISTEN"
                )),
            )),
        };
    }

    let mut path = Vec::new();
    let mut place = form;
    let mut table = Some(written);
    for level in &levels {
        let key = match place.schema_type() {
            SchemaType::Map => match resolve_name(level, place, table) {
                Ok(name) => name,
                Err(names) => {
                    return ParsedVariable::Invalid(wrong(
                        dotted_path(&path),
                        format!("this may mean any of {}", names.join(", ")),
                        Some("set this key in the file".into()),
                    ));
                }
            },
            SchemaType::Table => level.clone(),
            SchemaType::Boolean
            | SchemaType::Fraction
            | SchemaType::List
            | SchemaType::Text
            | SchemaType::Integer => {
                return ParsedVariable::Invalid(wrong(
                    dotted_path(&path),
                    "this key has no parts that a variable of their own could set".into(),
                    Some("give the whole value, a list as `[…]`".into()),
                ));
            }
        };
        path.push(key.clone());
        let Some(next) = place.child(&key) else {
            let unknown = place.unknown_key(&key, &path);
            return ParsedVariable::Invalid(wrong(
                dotted_path(&path),
                unknown.message,
                unknown.hint,
            ));
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
        Err(message) => ParsedVariable::Invalid(wrong(dotted_path(&path), message, None)),
    }
}

/// The name that a level of a variable stands for: the one in the file that is
/// spelled like it, or a new one. The error is the names it may mean.
fn resolve_name(
    level: &str,
    form: SchemaNode<'_>,
    written: Option<&toml::Table>,
) -> Result<String, Vec<String>> {
    let mut alike: Vec<String> = written
        .into_iter()
        .flat_map(toml::Table::keys)
        .filter(|name| name.replace('-', "_") == level)
        .cloned()
        .collect();
    match (alike.len(), alike.pop()) {
        (0, _) | (_, None) if form.name_format() == Some("instance-name") => {
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

/// The value that a text stands for where this form is asked for. What does
/// not fit stays a text; the form says so later.
fn parse_value(text: &str, form: SchemaNode<'_>) -> Result<Value, String> {
    let as_text = || Value::from(text);
    let trimmed = text.trim();
    Ok(match form.schema_type() {
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
            if form
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

/// A list or table in TOML's or JSON's form. The text is not repeated in the
/// error: it may hold a secret.
fn parse_structured(text: &str) -> Result<Value, String> {
    let slip = match toml::from_str::<toml::Table>(&format!("value = {text}")) {
        Ok(mut table) => {
            return table
                .remove("value")
                .and_then(|value| Value::serialize(value).ok())
                .ok_or_else(|| "this cannot be a value".to_owned());
        }
        Err(error) => error.message().to_owned(),
    };
    serde_json::from_str::<serde_json::Value>(text)
        .ok()
        .and_then(|value| Value::serialize(value).ok())
        .ok_or_else(|| format!("this is neither TOML ({slip}) nor JSON"))
}

/// The variables that Kubernetes gives every container beside a service that
/// is called `gatepost`.
fn is_kubernetes_service_variable(name: &str) -> bool {
    name == "PORT"
        || name.starts_with("PORT_")
        || name == "SERVICE_HOST"
        || name.starts_with("SERVICE_PORT")
}

/// The variable that was meant by one with too few underscores.
fn suggest_variable(level: &str, form: SchemaNode<'_>) -> Option<String> {
    form.properties().find_map(|(section, below)| {
        let rest = level.strip_prefix(section)?.strip_prefix('_')?;
        let known = match below.schema_type() {
            SchemaType::Map => {
                return Some(format!(
                    "{PREFIX}{}__NAME__KEY",
                    section.to_ascii_uppercase()
                ));
            }
            SchemaType::Boolean
            | SchemaType::Fraction
            | SchemaType::List
            | SchemaType::Table
            | SchemaType::Text
            | SchemaType::Integer => below.child(rest).is_some(),
        };
        known.then(|| format!("{PREFIX}{section}__{rest}").to_ascii_uppercase())
    })
}
