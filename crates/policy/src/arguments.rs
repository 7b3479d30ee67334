//! The arguments that a rule accepts for a method.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde_json::{Map, Value};

use super::argument::{Argument, ArgumentKind};
use gatepost_odoo::{ArgumentName, ModelName, RecordId};

/// The arguments that a method accepts, and no others.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Arguments(Arc<BTreeMap<ArgumentName, Argument>>);

impl Arguments {
    /// These arguments and no others.
    pub fn new(arguments: BTreeMap<ArgumentName, Argument>) -> Self {
        Self(Arc::new(arguments))
    }

    /// The arguments of `mail.thread.message_post` where no rule sets others: the
    /// message, whether it is a note, and its recipients. Not author, attachments,
    /// mail addresses or field values, which the method would accept, too.
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

    /// All arguments, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ArgumentName, &Argument)> {
        self.0.iter()
    }

    /// Every error in the given arguments.
    pub(super) fn mismatches(&self, given: &Map<String, Value>) -> Vec<String> {
        let mut found = Vec::new();
        for (name, value) in given {
            let listed: String = name.chars().take(60).collect();
            match self.0.get(name.as_str()) {
                Some(argument) => found.extend(
                    argument
                        .mismatch(value)
                        .map(|error| format!("`{listed}` {error}")),
                ),
                None => found.push(format!("`{listed}` is not permitted, so leave it out")),
            }
        }
        let missing = self
            .iter()
            .filter(|(name, argument)| argument.required && !given.contains_key(name.as_str()));
        found.extend(
            missing.map(|(name, argument)| {
                format!("`{name}` is required: {}", argument.description())
            }),
        );
        found
    }

    /// The records that the given arguments name.
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

    use super::{Argument, ArgumentKind, Arguments};
    use gatepost_odoo::{ArgumentName, ModelName};

    #[test]
    fn argument_errors_are_reported_together_with_expected_values() {
        let name = |text| ArgumentName::try_from(text).unwrap();
        let arguments = Arguments::new(BTreeMap::from([
            (
                name("partner_ids"),
                Argument {
                    required: true,
                    ..Argument::of(ArgumentKind::Ids {
                        model: ModelName::known("res.partner"),
                        max_length: None,
                    })
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
        let listed = |given: Value| arguments.mismatches(given.as_object().unwrap()).join("; ");
        insta::assert_snapshot!(listed(json!({"kind": "c", "subject": "x"})), @r#"`kind` must be one of "a", "b"; `subject` is not permitted, so leave it out; `partner_ids` is required: a list of ids of records of `res.partner` that you may read"#);
        assert_eq!(listed(json!({"partner_ids": [7], "kind": "b"})), "");
        insta::assert_snapshot!(arguments, @r#"kind: one of "a", "b"; partner_ids: a list of ids of records of `res.partner` that you may read, required"#);
        assert_eq!(Arguments::default().to_string(), "no arguments");
    }
}
