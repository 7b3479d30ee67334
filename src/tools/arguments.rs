//! Parses the arguments of a tool, and describes them in JSON Schema.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{ToolError, client_arguments};
use crate::access::ContextRequest;
use gatepost_base::text::{one_line, truncated};
use gatepost_odoo::{FieldName, RecordId};

/// Characters of an invalid value that an error repeats.
const MAX_VALUE_CHARS: usize = 60;
/// Bytes of the reason of an error, which may quote what was sent.
const MAX_REASON_BYTES: usize = 2_000;

/// Parses the arguments.
///
/// # Errors
/// [`ToolError::InvalidArguments`] names the argument, the expected type and an
/// example.
pub(super) fn parse<T: DeserializeOwned + JsonSchema>(json: &str) -> Result<T, ToolError> {
    // Serde would accept a list, by position.
    if !json.trim_start().starts_with('{') {
        return Err(ToolError::InvalidArguments(
            "`arguments` must be an object".to_owned(),
        ));
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path: String = error.path().to_string().chars().take(80).collect();
        let reason = error.into_inner().to_string();
        // The position in the line is useless to a model, which sent an object.
        let reason = reason.split(" at line ").next().unwrap_or(&reason);
        let reason = truncated(reason, MAX_REASON_BYTES);
        ToolError::InvalidArguments(argument_error(&schema_of::<T>(), &path, reason))
    })
}

/// Describes an error in an argument for a model, because the errors of serde name
/// Rust types.
fn argument_error(schema: &Schema, path: &str, reason: &str) -> String {
    let missing = reason
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    if let (".", Some(name)) = (path, missing) {
        return format!(
            "argument `{name}` is missing{}",
            argument_hint(schema, name)
        );
    }
    if let Some(text) = unknown_argument(path, reason) {
        return text;
    }
    let kinds = reason
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.rsplit_once(", expected "));
    // If only the type is wrong, an example helps most.
    let reason = match kinds {
        Some((given, wanted)) => format!(
            "it must be {}, not {}{}",
            expected_type(wanted),
            actual_type(given),
            argument_hint(schema, path.split(['.', '[']).next().unwrap_or(path))
        ),
        None => reason.to_owned(),
    };
    if path == "." {
        format!("invalid arguments: {reason}")
    } else {
        format!("invalid argument `{path}`: {reason}")
    }
}

/// Says which argument may be meant by an unknown one, and lists all.
fn unknown_argument(path: &str, reason: &str) -> Option<String> {
    let rest = reason.strip_prefix("unknown field `")?;
    let (unknown, expected) = rest.split_once("`, ")?;
    let (_, expected) = expected.split_once('`')?;
    let known_arguments: Vec<&str> = expected
        .split('`')
        .step_by(2)
        .filter(|name| !name.is_empty())
        .collect();
    let suggestions = client_arguments::meant_arguments(unknown, &known_arguments);
    let hint = if client_arguments::is_grouping(unknown) && known_arguments.contains(&"domain") {
        "aggregate_records groups records; ".to_owned()
    } else if suggestions.is_empty() {
        String::new()
    } else {
        format!("did you mean `{}`? ", suggestions.join("` or `"))
    };
    let unknown = one_line(unknown, MAX_VALUE_CHARS);
    let (place, taker) = match path.rsplit_once('.') {
        Some((parent, _)) if !parent.is_empty() => {
            (format!("unknown member `{unknown}` of `{parent}`"), "it")
        }
        Some(_) | None => (format!("unknown argument `{unknown}`"), "this tool"),
    };
    Some(format!(
        "{place}; {hint}{taker} takes `{}`",
        known_arguments.join("`, `")
    ))
}

/// The description of an argument in the schema, in parentheses.
fn argument_hint(schema: &Schema, name: &str) -> String {
    let about = schema
        .get("properties")
        .and_then(|properties| properties.get(name)?.get("description")?.as_str());
    about
        .map(|about| {
            let about = about.trim_end_matches('.');
            let about = about
                .strip_prefix("Such as")
                .map_or_else(|| about.to_owned(), |rest| format!("such as{rest}"));
            format!(" ({about})")
        })
        .unwrap_or_default()
}

/// Translates the type that serde expects into a JSON type.
fn expected_type(wanted: &str) -> &str {
    match wanted {
        "a boolean" => "`true` or `false`",
        "a map" => "an object",
        "a sequence" => "a list",
        "a string" => "a text",
        "i64" | "u32" | "u64" | "usize" => "a whole number",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// Translates the value that serde found into JSON terms, shortened.
fn actual_type(given: &str) -> String {
    let words = [
        ("boolean ", ""),
        ("floating point ", "the number "),
        ("integer ", "the number "),
        ("string ", "the text "),
    ];
    let said = words
        .iter()
        .find_map(|(rust, json)| Some(format!("{json}{}", given.strip_prefix(rust)?)));
    let said = said.unwrap_or_else(|| {
        match given {
            "map" => "an object",
            "null" | "unit value" => "`null`",
            "sequence" => "a list",
            other => other,
        }
        .to_owned()
    });
    one_line(&said, MAX_VALUE_CHARS)
}

/// Removes repeated ids, keeping the order.
pub(super) fn dedup_ids(ids: &mut Vec<RecordId>) {
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
}

/// The valid field names among these, each once.
pub(super) fn field_names<'n>(names: impl Iterator<Item = &'n String>) -> Vec<FieldName> {
    let unique: BTreeSet<&String> = names.collect();
    unique
        .into_iter()
        .filter_map(|name| FieldName::try_from(name.as_str()).ok())
        .collect()
}

/// Returns the schema of arguments in the subset that all clients support: no
/// `$ref`, no `$schema`, no unions, and `items` for every array.
pub(super) fn schema_of<T: JsonSchema>() -> Schema {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    schema.remove("description");
    if let Some(members) = schema.as_object_mut() {
        members.values_mut().for_each(shorten);
    }
    schema
}

/// Removes what a model does not need, because it pays for each word:
/// formats of numbers, which their bounds repeat; empty defaults; and that an
/// argument that may be absent may also be `null`.
fn shorten(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type")
                && let [only, Value::String(null)] = types.as_mut_slice()
                && null == "null"
            {
                let only = only.take();
                members.insert("type".to_owned(), only);
            }
            members.retain(|name, value| match name.as_str() {
                "format" => !value.is_string(),
                "default" => match value {
                    Value::Null | Value::Bool(false) => false,
                    Value::Array(items) => !items.is_empty(),
                    Value::Object(members) => !members.is_empty(),
                    Value::Bool(true) | Value::Number(_) | Value::String(_) => true,
                },
                _ => true,
            });
            members.values_mut().for_each(shorten);
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Declares the arguments of a write tool: its own, then those that all write
/// tools take. [`RequestFingerprint`](crate::writes::RequestFingerprint) reads
/// the latter. Not `#[serde(flatten)]`, which would accept unknown members.
macro_rules! write_arguments {
    ($(#[$attribute:meta])* $visibility:vis struct $name:ident { $($own:tt)* }) => {
        $(#[$attribute])*
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        $visibility struct $name {
            $($own)*
            /// Your name for this call, to repeat it.
            #[serde(rename = "idempotency_key")]
            _idempotency_key: Option<String>,
            /// From the preview.
            #[serde(rename = "confirm")]
            _confirm: Option<String>,
        }
    };
}
pub(super) use write_arguments;

/// An object whose members the schema does not list: the values of a record, or
/// a context, because each tool would repeat them.
#[derive(Debug)]
pub(super) struct ObjectArgument;

impl JsonSchema for ObjectArgument {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Object".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "object" })
    }
}

impl JsonSchema for ContextRequest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        ObjectArgument::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> Schema {
        ObjectArgument::json_schema(generator)
    }
}

/// The text of a cell. Numbers, booleans and `null` are converted to text.
#[derive(Debug)]
pub(super) struct TextCell(pub(super) String);

impl<'de> Deserialize<'de> for TextCell {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Null => Ok(Self(String::new())),
            Value::Bool(truth) => Ok(Self(if truth { "1" } else { "0" }.to_owned())),
            // Some models write 7.0 for 7.
            Value::Number(number) => {
                let text = number.to_string();
                Ok(Self(text.strip_suffix(".0").unwrap_or(&text).to_owned()))
            }
            Value::String(text) => Ok(Self(text)),
            Value::Array(_) | Value::Object(_) => Err(serde::de::Error::custom(
                "a cell is a text; write several links as `1,2`, and give each line of a record a row of its own",
            )),
        }
    }
}

/// Checks that there is at least one item and at most `max`.
///
/// # Errors
/// [`ToolError::InvalidArguments`] names the bounds.
pub(super) fn check_count(name: &str, given: usize, max: usize) -> Result<(), ToolError> {
    if (1..=max).contains(&given) {
        return Ok(());
    }
    Err(ToolError::InvalidArguments(format!(
        "invalid argument `{name}`: give 1 to {max}, not {given}"
    )))
}

/// Checks the requested number of records.
///
/// # Errors
/// [`ToolError::InvalidArguments`] names the bounds.
pub(super) fn parse_limit(limit: Option<i64>, default: u32, max: u32) -> Result<u32, ToolError> {
    match limit {
        None => Ok(default),
        Some(number) => u32::try_from(number)
            .ok()
            .filter(|number| (1..=max).contains(number))
            .ok_or_else(|| ToolError::InvalidArguments(format!(
                "invalid argument `limit`: {number} is not a whole number from 1 to {max}; use the cursor for more"
            ))),
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::{Map, Value, json};

    use super::{ObjectArgument, ToolError, parse};
    use gatepost_odoo::RecordId;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Arguments {
        /// Such as `[7, 12]`; 1 to 500.
        ids: Vec<RecordId>,
        /// The new values, such as `{"user_id":6}`.
        #[schemars(with = "ObjectArgument")]
        values: Map<String, Value>,
        /// Archived ones, too.
        #[serde(default)]
        archived: bool,
    }

    fn rejection(arguments: &Value) -> String {
        match parse::<Arguments>(&arguments.to_string()) {
            Err(ToolError::InvalidArguments(text)) => text,
            other => panic!("{arguments}: {}", other.is_ok()),
        }
    }

    #[test]
    fn argument_error_names_argument_expected_type_and_example() {
        let invalid = [
            json!({"ids": 44, "values": {}}),
            json!({"ids": {"a": 1}, "values": {}}),
            json!({"ids": [1.5], "values": {}}),
            json!({"ids": [7], "values": "x".repeat(500)}),
            json!({"ids": [7], "values": [1]}),
            json!({"ids": [7], "values": null}),
            json!({"ids": [7]}),
            json!({"ids": [7], "values": {}, "archived": "yes"}),
            json!({"ids": [7], "values": {}, "colour": 1}),
        ];
        let rejections: Vec<String> = invalid.iter().map(rejection).collect();
        insta::assert_snapshot!(rejections.join("\n"), @r#"
        invalid argument `ids`: it must be a list, not the number `44` (such as `[7, 12]`; 1 to 500)
        invalid argument `ids`: it must be a list, not an object (such as `[7, 12]`; 1 to 500)
        invalid argument `ids[0]`: `1.5` is not a record id; an id is a whole number from 1 to 2147483647, without quotes
        invalid argument `values`: it must be an object, not the text "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…(+451 chars) (The new values, such as `{"user_id":6}`)
        invalid argument `values`: it must be an object, not a list (The new values, such as `{"user_id":6}`)
        invalid argument `values`: it must be an object, not `null` (The new values, such as `{"user_id":6}`)
        argument `values` is missing (The new values, such as `{"user_id":6}`)
        invalid argument `archived`: it must be `true` or `false`, not the text "yes" (Archived ones, too)
        unknown argument `colour`; this tool takes `ids`, `values`, `archived`
        "#);
    }

    #[test]
    fn write_tool_takes_shared_arguments_and_rejects_unknown_and_repeated_ones() {
        write_arguments! {
            #[expect(dead_code, reason = "only parsed")]
            struct Write {
                id: RecordId,
            }
        }
        let rejection = |json: &str| match parse::<Write>(json) {
            Err(ToolError::InvalidArguments(text)) => text,
            other => panic!("{json}: {}", other.is_ok()),
        };
        assert!(parse::<Write>(r#"{"id":7,"confirm":"c","idempotency_key":null}"#).is_ok());
        let rejections = [
            r#"{"id":7,"colour":1}"#,
            r#"{"id":7,"confirm":7}"#,
            r#"{"id":7,"confirm":"a","confirm":"b"}"#,
        ]
        .map(rejection);
        insta::assert_snapshot!(rejections.join("\n"), @"
        unknown argument `colour`; this tool takes `id`, `idempotency_key`, `confirm`
        invalid argument `confirm`: it must be a text, not the number `7` (From the preview)
        invalid arguments: duplicate field `confirm`
        ");
    }
}
