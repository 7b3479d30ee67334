//! What a listed method may be called with.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value};

use gatepost_odoo::{ArgumentName, ModelName, RecordId};

/// Choices that are told of one argument.
const MAX_LISTED: usize = 20;

/// What one argument of a method may be.
///
/// A closed set of plain values: what looks like a record, with fields of its
/// own, could not be judged.
#[derive(Clone, PartialEq, Debug)]
pub struct Argument {
    /// Of which kind.
    pub kind: ArgumentKind,
    /// One of these; none is any of its kind. Of a list each item.
    pub allowed: Option<Vec<Value>>,
    /// Whether there is no call without it.
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
        /// How many there may be.
        max_length: Option<u32>,
    },
    /// A whole number.
    Integer(Bounds),
    /// A number.
    Number(Bounds),
    /// A text.
    Text {
        /// How many characters it may have.
        max_length: Option<u32>,
    },
}

/// Between what a number must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bounds {
    /// No less than this.
    pub min: Option<i64>,
    /// No more than this.
    pub max: Option<i64>,
}

/// What a method may be called with: these arguments and no others.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Arguments(Arc<BTreeMap<ArgumentName, Argument>>);

impl Argument {
    /// An argument of this kind, with any value, that may be left out.
    pub fn of(kind: ArgumentKind) -> Self {
        Self {
            kind,
            allowed: None,
            required: false,
        }
    }

    /// Why the value is none that it may have.
    pub fn mismatch(&self, value: &Value) -> Option<String> {
        let fits = self.kind.accepts(value) && self.is_allowed(value);
        (!fits).then(|| format!("must be {}", self.description()))
    }

    fn is_allowed(&self, value: &Value) -> bool {
        let Some(allowed) = &self.allowed else {
            return true;
        };
        match value {
            Value::Array(items) => items.iter().all(|item| allowed.contains(item)),
            Value::Bool(_)
            | Value::Null
            | Value::Number(_)
            | Value::Object(_)
            | Value::String(_) => allowed.contains(value),
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
        match &self.kind {
            ArgumentKind::Id(of) => Some((of, vec![RecordId::from_json(value)?])),
            ArgumentKind::Ids { model: of, .. } => {
                let ids = value
                    .as_array()?
                    .iter()
                    .map(RecordId::from_json)
                    .collect::<Option<_>>()?;
                Some((of, ids))
            }
            ArgumentKind::Boolean
            | ArgumentKind::Integer(_)
            | ArgumentKind::Number(_)
            | ArgumentKind::Text { .. } => None,
        }
    }

    fn description(&self) -> String {
        let Some(allowed) = &self.allowed else {
            return self.kind.to_string();
        };
        let mut told: Vec<String> = allowed
            .iter()
            .take(MAX_LISTED)
            .map(Value::to_string)
            .collect();
        if allowed.len() > MAX_LISTED {
            told.push("…".to_owned());
        }
        let told = told.join(", ");
        match &self.kind {
            ArgumentKind::Ids { .. } => format!("{}, of {told}", self.kind),
            ArgumentKind::Boolean
            | ArgumentKind::Id(_)
            | ArgumentKind::Integer(_)
            | ArgumentKind::Number(_)
            | ArgumentKind::Text { .. } => format!("one of {told}"),
        }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.description())?;
        if self.required {
            f.write_str(", needed")?;
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

impl Bounds {
    fn contains(self, number: i64) -> bool {
        self.min.is_none_or(|min| min <= number) && self.max.is_none_or(|max| number <= max)
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "bounds are written by people, far below 2^53"
    )]
    fn contains_float(self, number: f64) -> bool {
        self.min.is_none_or(|min| min as f64 <= number)
            && self.max.is_none_or(|max| number <= max as f64)
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (None, None) => Ok(()),
            (Some(min), None) => write!(f, " of at least {min}"),
            (None, Some(max)) => write!(f, " of at most {max}"),
            (Some(min), Some(max)) => write!(f, " from {min} to {max}"),
        }
    }
}

impl Arguments {
    /// These arguments and no others.
    pub fn new(arguments: BTreeMap<ArgumentName, Argument>) -> Self {
        Self(Arc::new(arguments))
    }

    /// What `mail.thread.message_post` takes where no rule says otherwise: a
    /// message, whether it is a note, and whom to tell. Not its author, files,
    /// mail addresses, and values of the message, which it would take as well.
    pub fn of_message_post() -> Self {
        let text = || Argument::of(ArgumentKind::Text { max_length: None });
        let one_of = |words: &[&str]| Argument {
            allowed: Some(words.iter().map(|word| Value::from(*word)).collect()),
            ..text()
        };
        let partners = ArgumentKind::Ids {
            model: ModelName::known("res.partner"),
            max_length: None,
        };
        let arguments = [
            ("body", text()),
            ("body_is_html", Argument::of(ArgumentKind::Boolean)),
            ("message_type", one_of(&["comment"])),
            ("partner_ids", Argument::of(partners)),
            (
                "subtype_xmlid",
                one_of(&["mail.mt_comment", "mail.mt_note"]),
            ),
        ];
        let named = arguments.map(|(name, argument)| (ArgumentName::known(name), argument));
        Self::new(BTreeMap::from(named))
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ArgumentName, &Argument)> {
        self.0.iter()
    }

    /// All that does not fit of what is given.
    pub(super) fn mismatches(&self, given: &Map<String, Value>) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in given {
            let told: String = name.chars().take(60).collect();
            match self.0.get(name.as_str()) {
                Some(argument) => found.extend(
                    argument
                        .mismatch(value)
                        .map(|misfit| format!("`{told}` {misfit}")),
                ),
                None => found.push(format!("`{told}` is not open to you, leave it out")),
            }
        }
        let missing = self
            .iter()
            .filter(|(name, argument)| argument.required && !given.contains_key(name.as_str()));
        found.extend(
            missing
                .map(|(name, argument)| format!("`{name}` is needed: {}", argument.description())),
        );
        found
    }

    /// The records that the arguments name, where they may name some.
    pub fn records<'a>(
        &'a self,
        given: &'a Map<String, Value>,
    ) -> impl Iterator<Item = (&'a ArgumentName, &'a ModelName, Vec<RecordId>)> {
        self.iter().filter_map(|(name, argument)| {
            let (model, ids) = argument.records(given.get(name.as_str())?)?;
            Some((name, model, ids))
        })
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no arguments");
        }
        for (at, (name, argument)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{name}: {argument}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Argument, ArgumentKind, Arguments, Bounds};
    use gatepost_odoo::{ArgumentName, ModelName};

    fn partners(max_length: Option<u32>) -> ArgumentKind {
        ArgumentKind::Ids {
            model: ModelName::known("res.partner"),
            max_length,
        }
    }

    #[test]
    fn argument_kind_accepts_only_plain_values_of_that_kind() {
        let bounds = Bounds {
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
        let taken = |kind: ArgumentKind| -> Vec<String> {
            let argument = Argument::of(kind);
            let fits = odd
                .iter()
                .filter(|value| argument.mismatch(value).is_none());
            fits.map(Value::to_string).collect()
        };
        assert_eq!(taken(ArgumentKind::Boolean), ["true"]);
        assert_eq!(
            taken(ArgumentKind::Id(ModelName::known("res.partner"))),
            ["2", "4"]
        );
        assert_eq!(taken(partners(Some(2))), ["[]", "[1,2]"]);
        assert_eq!(taken(partners(None)), ["[]", "[1,2]", "[1,2,3]"]);
        assert_eq!(taken(ArgumentKind::Integer(bounds)), ["0", "2"]);
        assert_eq!(taken(ArgumentKind::Number(bounds)), ["0", "2", "2.5"]);
        assert_eq!(
            taken(ArgumentKind::Text {
                max_length: Some(2)
            }),
            ["\"ab\""]
        );
    }

    #[test]
    fn argument_errors_are_reported_together_with_expected_values() {
        let name = |text| ArgumentName::try_from(text).unwrap();
        let arguments = Arguments::new(BTreeMap::from([
            (
                name("partner_ids"),
                Argument {
                    required: true,
                    ..Argument::of(partners(None))
                },
            ),
            (
                name("kind"),
                Argument {
                    allowed: Some(vec![json!("a"), json!("b")]),
                    ..Argument::of(ArgumentKind::Text { max_length: None })
                },
            ),
        ]));
        let told = |given: Value| arguments.mismatches(given.as_object().unwrap()).join("; ");
        insta::assert_snapshot!(told(json!({"kind": "c", "subject": "x"})), @r#"`kind` must be one of "a", "b"; `subject` is not open to you, leave it out; `partner_ids` is needed: a list of ids of records of `res.partner` that you may read"#);
        assert_eq!(told(json!({"partner_ids": [7], "kind": "b"})), "");
        insta::assert_snapshot!(arguments, @r#"kind: one of "a", "b"; partner_ids: a list of ids of records of `res.partner` that you may read, needed"#);
        assert_eq!(Arguments::default().to_string(), "no arguments");
    }
}
