//! `[roles.NAME.rules.arguments.METHOD.ARGUMENT]`: which arguments a method accepts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::schema;
use gatepost_odoo::{ArgumentName, ModelName};
use gatepost_policy::{self, ArgumentKind, NumberRange};

/// The arguments that a method accepts: these and no others.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ArgumentsConfig(
    #[schemars(extend("propertyNames" = { "format": "argument-name" }))]
    pub  BTreeMap<ArgumentName, ArgumentConfig>,
);

/// Which values an argument of a method accepts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArgumentConfig {
    /// `boolean`, `id`, `ids`, `integer`, `number` or `text`. Default: `ids`
    /// with `ids_of`, otherwise the type of the values in `allowed`.
    #[serde(rename = "type")]
    pub kind: Option<ArgumentType>,
    /// The values accepted; for `ids`, each of them. Default: any.
    #[schemars(schema_with = "schema::list")]
    pub allowed: Option<Vec<Value>>,
    /// The smallest number accepted.
    #[schemars(range(min = -1_000_000_000_000_i64, max = 1_000_000_000_000_i64))]
    pub min: Option<i64>,
    /// The largest number accepted.
    #[schemars(range(min = -1_000_000_000_000_i64, max = 1_000_000_000_000_i64))]
    pub max: Option<i64>,
    /// The largest number of characters of a text, or of `ids`.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub max_length: Option<u32>,
    /// The model of an `id` or `ids`, such as `res.partner`. Only records that the
    /// caller may read are accepted.
    #[schemars(schema_with = "schema::model_name")]
    pub ids_of: Option<ModelName>,
    /// Whether every call must have it. Default `false`.
    pub required: bool,
}

/// The type of an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentType {
    /// `true` or `false`.
    Boolean,
    /// The id of a record.
    Id,
    /// A list of ids.
    Ids,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// A text.
    Text,
}

/// Why the rule of an argument is invalid.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct InvalidArgumentRule {
    /// The key with the problem; `None` is the whole rule.
    pub(super) key: Option<&'static str>,
    pub(super) message: String,
    pub(super) hint: &'static str,
}

impl ArgumentsConfig {
    /// The arguments in the form that policy uses. An invalid one, which the checks
    /// report, is not accepted.
    pub(super) fn to_policy(&self) -> gatepost_policy::Arguments {
        let right = |(name, argument): (&ArgumentName, &ArgumentConfig)| {
            Some((name.clone(), argument.to_policy().ok()?))
        };
        gatepost_policy::Arguments::new(self.0.iter().filter_map(right).collect())
    }
}

impl ArgumentConfig {
    /// The argument in the form that policy uses.
    ///
    /// # Errors
    /// [`InvalidArgumentRule`] for the first problem.
    pub(super) fn to_policy(&self) -> Result<gatepost_policy::Argument, InvalidArgumentRule> {
        let kind = self.to_kind()?;
        if let Some(values) = &self.allowed {
            // `allowed` applies to each item of a list.
            let one = if let ArgumentKind::Ids { model: of, .. } = &kind {
                ArgumentKind::Id(of.clone())
            } else {
                kind.clone()
            };
            let one = gatepost_policy::Argument::of(one);
            if let Some(mismatch) = values.iter().find_map(|value| one.mismatch(value)) {
                return Err(InvalidArgumentRule {
                    key: Some("allowed"),
                    message: format!("a value does not have the type: it {mismatch}"),
                    hint: "write values of the type, such as `[\"a\", \"b\"]` for `text`",
                });
            }
        }
        Ok(gatepost_policy::Argument {
            kind,
            allowed: self.allowed.clone(),
            required: self.required,
        })
    }

    fn to_kind(&self) -> Result<ArgumentKind, InvalidArgumentRule> {
        let named = self.declared_type().ok_or_else(|| InvalidArgumentRule {
            key: None,
            message: "nothing says which values this argument accepts".to_owned(),
            hint: "write `type`, `allowed` or `ids_of`",
        })?;
        let of_ids = matches!(named, ArgumentType::Id | ArgumentType::Ids);
        let of_numbers = matches!(named, ArgumentType::Integer | ArgumentType::Number);
        let with_length = matches!(named, ArgumentType::Ids | ArgumentType::Text);
        let wrong = |key, message: &str, hint| InvalidArgumentRule {
            key: Some(key),
            message: message.to_owned(),
            hint,
        };
        for (key, is_there, fits) in [
            ("ids_of", self.ids_of.is_some(), of_ids),
            ("min", self.min.is_some(), of_numbers),
            ("max", self.max.is_some(), of_numbers),
            ("max_length", self.max_length.is_some(), with_length),
        ] {
            if is_there && !fits {
                let message = format!("an argument of this type has no `{key}`");
                return Err(wrong(key, &message, "remove it, or change `type`"));
            }
        }
        if self.min.zip(self.max).is_some_and(|(min, max)| min > max) {
            let message = "`min` is greater than `max`, so no number is accepted";
            return Err(wrong("min", message, "write the smaller number in `min`"));
        }
        let bounds = NumberRange {
            min: self.min,
            max: self.max,
        };
        let of = || {
            self.ids_of.clone().ok_or_else(|| {
                let message = "the model of the ids is missing";
                wrong(
                    "type",
                    message,
                    "write `ids_of`, such as `ids_of = \"res.partner\"`",
                )
            })
        };
        let max_length = self.max_length;
        Ok(match named {
            ArgumentType::Boolean => ArgumentKind::Boolean,
            ArgumentType::Id => ArgumentKind::Id(of()?),
            ArgumentType::Ids => ArgumentKind::Ids {
                model: of()?,
                max_length,
            },
            ArgumentType::Integer => ArgumentKind::Integer(bounds),
            ArgumentType::Number => ArgumentKind::Number(bounds),
            ArgumentType::Text => ArgumentKind::Text { max_length },
        })
    }

    /// The type that is written, or implied.
    fn declared_type(&self) -> Option<ArgumentType> {
        let of_value = |value: &Value| match value {
            Value::Bool(_) => Some(ArgumentType::Boolean),
            Value::Number(number) if number.is_i64() => Some(ArgumentType::Integer),
            Value::Number(_) => Some(ArgumentType::Number),
            Value::String(_) => Some(ArgumentType::Text),
            Value::Array(_) | Value::Null | Value::Object(_) => None,
        };
        let by_values = || of_value(self.allowed.as_ref()?.first()?);
        let by_model = self.ids_of.as_ref().map(|_| ArgumentType::Ids);
        self.kind.or(by_model).or_else(by_values)
    }
}

#[cfg(test)]
mod tests {
    use super::ArgumentConfig;

    fn describe(rule: &str) -> String {
        let argument: ArgumentConfig = toml::from_str(rule).unwrap();
        match argument.to_policy() {
            Ok(argument) => argument.to_string(),
            Err(wrong) => format!("{}: {}", wrong.key.unwrap_or("-"), wrong.message),
        }
    }

    #[test]
    fn argument_rule_implies_its_type_or_is_rejected() {
        insta::assert_snapshot!(
            [
                "ids_of = 'res.partner'",
                "type = 'id'\nids_of = 'res.partner'\nrequired = true",
                "ids_of = 'res.partner'\nmax_length = 3\nallowed = [1, 2]",
                "allowed = ['a', 'b']",
                "allowed = [1, 2]",
                "allowed = [true]",
                "type = 'number'\nmin = 0\nmax = 100",
                "type = 'text'\nmax_length = 200",
                "",
                "required = true",
                "allowed = []",
                "type = 'id'",
                "type = 'text'\nids_of = 'res.partner'",
                "type = 'text'\nmin = 1",
                "type = 'integer'\nmin = 2\nmax = 1",
                "type = 'integer'\nmax_length = 2",
                "allowed = ['a', 1]",
                "allowed = [[1]]",
                "type = 'integer'\nmax = 3\nallowed = [4]",
            ]
            .map(describe)
            .join("\n")
        );
    }
}
