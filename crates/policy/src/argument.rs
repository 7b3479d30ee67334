//! The values that a rule accepts for one argument of a method.

use std::fmt;

use serde_json::Value;

use gatepost_odoo::{ModelName, RecordId};

/// Choices of one argument that a description lists.
const MAX_LISTED: usize = 20;

/// The values that one argument of a method may have.
///
/// A closed set of plain values, because a value with fields of its own could not
/// be checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Argument {
    /// Its kind.
    pub kind: ArgumentKind,
    /// The permitted values, or items of a list; `None` is any of the kind.
    pub allowed: Option<Vec<Value>>,
    /// Whether a call must have it.
    pub required: bool,
}

/// The kind of an argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArgumentKind {
    /// `true` or `false`.
    Boolean,
    /// The id of a record that the caller may read.
    Id(ModelName),
    /// The ids of such records.
    Ids {
        /// Their model.
        model: ModelName,
        /// The maximum number of ids.
        max_length: Option<u32>,
    },
    /// A whole number.
    Integer(NumberRange),
    /// A number.
    Number(NumberRange),
    /// A text.
    Text {
        /// The maximum number of characters.
        max_length: Option<u32>,
    },
}

/// The range of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NumberRange {
    /// The minimum.
    pub min: Option<i64>,
    /// The maximum.
    pub max: Option<i64>,
}

impl Argument {
    /// An optional argument of this kind, with any value.
    pub fn of(kind: ArgumentKind) -> Self {
        Self {
            kind,
            allowed: None,
            required: false,
        }
    }

    /// What is wrong with the value, if anything is.
    pub fn mismatch(&self, value: &Value) -> Option<String> {
        let fits = self.kind.accepts(value) && self.is_allowed(value);
        (!fits).then(|| format!("must be {}", self.description()))
    }

    fn is_allowed(&self, value: &Value) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        match value.as_array() {
            Some(items) => items.iter().all(|item| allowed.contains(item)),
            None => allowed.contains(value),
        }
    }

    /// The model of the records that the argument names, if it names any.
    pub fn model(&self) -> Option<&ModelName> {
        match &self.kind {
            ArgumentKind::Id(of) | ArgumentKind::Ids { model: of, .. } => Some(of),
            ArgumentKind::Boolean
            | ArgumentKind::Integer(_)
            | ArgumentKind::Number(_)
            | ArgumentKind::Text { .. } => None,
        }
    }

    /// The records that the value names.
    pub(super) fn records(&self, value: &Value) -> Option<(&ModelName, Vec<RecordId>)> {
        let of = self.model()?;
        let ids = if matches!(self.kind, ArgumentKind::Ids { .. }) {
            value.as_array()?
        } else {
            std::slice::from_ref(value)
        };
        let ids = ids.iter().map(RecordId::from_json).collect::<Option<_>>()?;
        Some((of, ids))
    }

    pub(super) fn description(&self) -> String {
        let Some(allowed) = &self.allowed else {
            return self.kind.to_string();
        };
        let mut listed: Vec<String> = allowed
            .iter()
            .take(MAX_LISTED)
            .map(Value::to_string)
            .collect();
        if allowed.len() > MAX_LISTED {
            listed.push("…".to_owned());
        }
        let listed = listed.join(", ");
        if matches!(self.kind, ArgumentKind::Ids { .. }) {
            format!("{}, of {listed}", self.kind)
        } else {
            format!("one of {listed}")
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description())?;
        if self.required {
            f.write_str(", required")?;
        }
        Ok(())
    }
}

impl ArgumentKind {
    fn accepts(&self, value: &Value) -> bool {
        let no_more = |max: Option<u32>, count: usize| {
            max.is_none_or(|max| u32::try_from(count).is_ok_and(|count| count <= max))
        };
        match self {
            Self::Boolean => value.is_boolean(),
            Self::Id(_) => RecordId::from_json(value).is_some(),
            Self::Ids { max_length, .. } => value.as_array().is_some_and(|items| {
                no_more(*max_length, items.len())
                    && items.iter().all(|item| RecordId::from_json(item).is_some())
            }),
            Self::Integer(bounds) => value.as_i64().is_some_and(|number| bounds.contains(number)),
            Self::Number(bounds) => value
                .as_f64()
                .is_some_and(|number| bounds.contains_float(number)),
            Self::Text { max_length } => value
                .as_str()
                .is_some_and(|text| no_more(*max_length, text.chars().count())),
        }
    }
}

impl fmt::Display for ArgumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("`true` or `false`"),
            Self::Id(of) => write!(f, "the id of a record of `{of}` that you may read"),
            Self::Ids {
                model: of,
                max_length,
            } => {
                f.write_str("a list of ")?;
                if let Some(max) = max_length {
                    write!(f, "at most {max} ")?;
                }
                write!(f, "ids of records of `{of}` that you may read")
            }
            Self::Integer(bounds) => write!(f, "a whole number{bounds}"),
            Self::Number(bounds) => write!(f, "a number{bounds}"),
            Self::Text { max_length: None } => f.write_str("a text"),
            Self::Text {
                max_length: Some(max),
            } => write!(f, "a text of at most {max} characters"),
        }
    }
}

impl NumberRange {
    fn contains(self, number: i64) -> bool {
        self.min.is_none_or(|min| min <= number) && self.max.is_none_or(|max| number <= max)
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "administrators write bounds, far below 2^53"
    )]
    fn contains_float(self, number: f64) -> bool {
        self.min.is_none_or(|min| min as f64 <= number)
            && self.max.is_none_or(|max| number <= max as f64)
    }
}

impl fmt::Display for NumberRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (None, None) => Ok(()),
            (Some(min), None) => write!(f, " of at least {min}"),
            (None, Some(max)) => write!(f, " of at most {max}"),
            (Some(min), Some(max)) => write!(f, " from {min} to {max}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Argument, ArgumentKind, NumberRange};
    use gatepost_odoo::ModelName;

    fn partners(max_length: Option<u32>) -> ArgumentKind {
        ArgumentKind::Ids {
            model: ModelName::known("res.partner"),
            max_length,
        }
    }

    #[test]
    fn argument_kind_accepts_only_plain_values_of_that_kind() {
        let bounds = NumberRange {
            min: Some(-1),
            max: Some(3),
        };
        let odd = [
            json!(null),
            json!(true),
            json!(-2),
            json!(0),
            json!(2),
            json!(2.5),
            json!(4),
            json!("ab"),
            json!("abc"),
            json!([]),
            json!([1, 2]),
            json!([1, 2, 3]),
            json!(["1"]),
            json!([[6, 0, [1]]]),
            json!([0]),
            json!({}),
            json!({"id": 1}),
        ];
        let accepted = |kind: ArgumentKind| -> Vec<String> {
            let argument = Argument::of(kind);
            let fits = odd
                .iter()
                .filter(|value| argument.mismatch(value).is_none());
            fits.map(Value::to_string).collect()
        };
        assert_eq!(accepted(ArgumentKind::Boolean), ["true"]);
        assert_eq!(
            accepted(ArgumentKind::Id(ModelName::known("res.partner"))),
            ["2", "4"]
        );
        assert_eq!(accepted(partners(Some(2))), ["[]", "[1,2]"]);
        assert_eq!(accepted(partners(None)), ["[]", "[1,2]", "[1,2,3]"]);
        assert_eq!(accepted(ArgumentKind::Integer(bounds)), ["0", "2"]);
        assert_eq!(accepted(ArgumentKind::Number(bounds)), ["0", "2", "2.5"]);
        assert_eq!(
            accepted(ArgumentKind::Text {
                max_length: Some(2)
            }),
            ["\"ab\""]
        );
    }
}
