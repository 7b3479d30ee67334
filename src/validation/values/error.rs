//! What there is to say of values.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::ArgumentPath;
use gatepost_odoo::{FieldName, ModelName};

/// What does not fit, and what would.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldValueError {
    /// Where.
    pub path: ArgumentPath,
    /// What is wrong and what would be right; reads on from the place.
    pub text: String,
}

impl fmt::Display for FieldValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.text)
    }
}

/// How a value was understood, where there was something to understand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CoercionNote {
    /// Where.
    pub path: ArgumentPath,
    /// How; reads on from the place.
    pub text: String,
}

impl fmt::Display for CoercionNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.text)
    }
}

/// A field that a new record must have and that got no value.
///
/// No problem by itself: Odoo has defaults (`default_get` tells them), and
/// fills in some fields while it makes the record (`stock.warehouse` its
/// locations), of which it tells nobody. What is missing in the end it refuses
/// by name, and makes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingRequired {
    /// Where it would stand.
    pub path: ArgumentPath,
    /// The model of the record.
    pub model: ModelName,
    /// The field.
    pub field: FieldName,
    /// Its label.
    pub label: Box<str>,
}

/// Places and texts that are told one by one; the others are counted.
const MAX_ERRORS: usize = 20;
const MAX_NOTES: usize = 12;
const MAX_PATHS: usize = 3;

/// All problems in one text, one a line, those that are the same together.
pub fn format_errors(problems: &[FieldValueError]) -> String {
    let said = problems.iter().map(|one| (&one.path, &*one.text));
    let (mut lines, rest) = grouped_by_text(said, MAX_ERRORS);
    if rest > 0 {
        lines.push(format!("and {rest} more problems"));
    }
    lines.join("\n")
}

/// All notes, those that are the same together.
pub fn format_notes<'n>(notes: impl Iterator<Item = &'n CoercionNote>) -> Vec<String> {
    let (mut lines, rest) = grouped_by_text(notes.map(|one| (&one.path, &*one.text)), MAX_NOTES);
    if rest > 0 {
        lines.push(format!("and {rest} more notes, NOT SHOWN"));
    }
    lines
}

/// What is said of places, each text once, and how many texts are left out.
fn grouped_by_text<'t>(
    said: impl Iterator<Item = (&'t ArgumentPath, &'t str)>,
    most: usize,
) -> (Vec<String>, usize) {
    let mut groups: Vec<(&str, Vec<&ArgumentPath>)> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, text) in said {
        let at = *known.entry(text).or_insert_with(|| {
            groups.push((text, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, places)) = groups.get_mut(at) {
            places.push(place);
        }
    }
    let lines = groups
        .iter()
        .take(most)
        .map(|(text, places)| {
            let named: Vec<String> = places
                .iter()
                .take(MAX_PATHS)
                .map(|place| format!("`{place}`"))
                .collect();
            let others = match places.len().saturating_sub(MAX_PATHS) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let each = if places.len() > 1 { "each of " } else { "" };
            format!("{each}{}{others} {text}", named.join(", "))
        })
        .collect();
    (lines, groups.len().saturating_sub(most))
}

/// A value as it is repeated to whoever wrote it, cut where it is long.
pub(crate) fn quoted(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{short}`")
}

#[cfg(test)]
mod tests {
    use super::{ArgumentPath, FieldValueError, format_errors};

    #[test]
    fn same_error_at_many_paths_is_listed_once() {
        let mut problems: Vec<FieldValueError> = (0..5)
            .map(|index| FieldValueError {
                path: ArgumentPath::argument("values").at(index).member("x"),
                text: "is no field".to_owned(),
            })
            .collect();
        problems.push(FieldValueError {
            path: ArgumentPath::argument("values").at(1).member("y"),
            text: "takes `true` or `false`".to_owned(),
        });
        insta::assert_snapshot!(format_errors(&problems), @r"
        each of `values[0].x`, `values[1].x`, `values[2].x` and 2 more is no field
        `values[1].y` takes `true` or `false`
        ");
    }

    #[test]
    fn ten_thousand_errors_are_reported_in_few_lines() {
        let problems: Vec<FieldValueError> = (0..10_000)
            .map(|index| FieldValueError {
                path: ArgumentPath::argument("values").at(index),
                text: format!("wrong in way {index}"),
            })
            .collect();
        let told = format_errors(&problems);
        assert_eq!(told.lines().count(), 21);
        assert!(told.ends_with("and 9980 more problems"));
    }
}
