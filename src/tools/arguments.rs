//! From the JSON of a call to a tool's arguments, and their schema.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::ToolError;
use crate::odoo::{Domain, Order};

/// Parses the arguments.
///
/// # Errors
/// [`ToolError::Arguments`] names the argument and what was expected.
pub(super) fn parse<T: DeserializeOwned>(json: &str) -> Result<T, ToolError> {
    // A list is none, though serde would take one by position.
    if !json.trim_start().starts_with('{') {
        return Err(ToolError::Arguments(
            "`arguments` must be an object".to_owned(),
        ));
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path: String = error.path().to_string().chars().take(80).collect();
        let told = error.into_inner().to_string();
        // Where in the line it stands says nothing to a model that sent an object.
        let told = told.split(" at line ").next().unwrap_or(&told);
        ToolError::Arguments(if path == "." {
            format!("the arguments do not fit: {told}")
        } else {
            format!("argument `{path}` does not fit: {told}")
        })
    })
}

/// The schema of arguments, in what every client's model can take: no `$ref`,
/// no `$schema`, no union, every array with its items.
pub(super) fn schema_of<T: JsonSchema>() -> Schema {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.remove("description");
    // A default of nothing says nothing, and each word of the list is paid for.
    if let Some(members) = schema.as_object_mut() {
        members.values_mut().for_each(without_empty_defaults);
    }
    schema
}

fn without_empty_defaults(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            // What a format says of numbers, their bounds say.
            members.retain(|name, value| name != "format" || !value.is_string());
            members.retain(|name, value| {
                let empty = matches!(value, Value::Null | Value::Bool(false))
                    || value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(serde_json::Map::is_empty);
                name != "default" || !empty
            });
            members.values_mut().for_each(without_empty_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_empty_defaults),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A domain, as it stands in a tool's schema.
#[derive(Default, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct DomainArgument(pub(super) Domain);

// Conditions are lists of text here, for unions are more than some clients can
// take; numbers and booleans are taken as they are, and as text too.
impl JsonSchema for DomainArgument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Domain".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({
            "type": "array",
            "items": { "type": "array", "items": { "type": "string" } }
        })
    }
}

/// An order, as it stands in a tool's schema.
#[derive(Default, Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct OrderArgument(pub(super) Order);

impl JsonSchema for OrderArgument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Order".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// An object of which the schema says no more: the values of a record, or a
/// context, whose members would stand there for each tool.
#[derive(Debug)]
pub(super) struct ObjectArgument;

impl JsonSchema for ObjectArgument {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Object".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

/// The text of a cell; numbers, booleans and nothing are taken as text.
#[derive(Debug)]
pub(super) struct TextCell(pub(super) String);

impl<'de> Deserialize<'de> for TextCell {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self(String::new())),
            Value::Bool(truth) => Ok(Self(if truth { "1" } else { "0" }.to_owned())),
            // Some models write 7.0 where they mean 7.
            Value::Number(number) => {
                let text = number.to_string();
                Ok(Self(text.strip_suffix(".0").unwrap_or(&text).to_owned()))
            }
            Value::String(text) => Ok(Self(text)),
            Value::Array(_) | Value::Object(_) => Err(serde::de::Error::custom(
                "a cell is a text; several links are written as `1,2`, and each line of a record has a row of its own",
            )),
        }
    }
}

/// Allows as many items as a tool takes at once, and at least one.
///
/// # Errors
/// [`ToolError::Arguments`] names the bounds.
pub(super) fn count(name: &str, given: usize, max: usize) -> Result<(), ToolError> {
    if (1..=max).contains(&given) {
        return Ok(());
    }
    Err(ToolError::Arguments(format!(
        "argument `{name}` does not fit: name 1 to {max}, not {given}"
    )))
}

/// A number of records, within what a tool gives at once.
///
/// # Errors
/// [`ToolError::Arguments`] names the bounds.
pub(super) fn limit(asked: Option<i64>, default: u32, max: u32) -> Result<u32, ToolError> {
    match asked {
        None => Ok(default),
        Some(number) => u32::try_from(number)
            .ok()
            .filter(|number| (1..=max).contains(number))
            .ok_or_else(|| ToolError::Arguments(format!(
                "argument `limit` does not fit: {number} is not a whole number from 1 to {max}; use the cursor for more"
            ))),
    }
}
