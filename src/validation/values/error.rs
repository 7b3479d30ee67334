//! Messages about values.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::ArgumentPath;
use gatepost_base::text::excerpt;
use gatepost_odoo::{FieldName, ModelName};

/// An error or a note about a value: why it is invalid, or how it was understood.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValueMessage {
    /// The path of the value.
    pub path: ArgumentPath,
    /// The message; continues the path.
    pub text: String,
}

impl fmt::Display for ValueMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.text)
    }
}

/// A required field of a new record that got no value.
///
/// That alone is not an error: Odoo has defaults (`default_get` returns them) and
/// fills in some fields while it creates the record (`stock.warehouse` its
/// locations). If a value is missing in the end, Odoo names the field and creates
/// nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingRequired {
    /// The path that the value would have.
    pub path: ArgumentPath,
    /// The model of the record.
    pub model: ModelName,
    /// The field.
    pub field: FieldName,
    /// Its label.
    pub label: Box<str>,
}

/// Messages and paths that are shown one by one; the others are counted.
const MAX_ERRORS: usize = 20;
const MAX_NOTES: usize = 12;
const MAX_PATHS: usize = 3;

/// All errors as one text, one per line; equal ones are joined.
pub fn format_errors(errors: &[ValueMessage]) -> String {
    let (mut lines, rest) = grouped_by_text(errors.iter(), MAX_ERRORS);
    if rest > 0 {
        lines.push(format!("and {rest} more errors"));
    }
    lines.join("\n")
}

/// All notes; equal ones are joined.
pub fn format_notes<'n>(notes: impl Iterator<Item = &'n ValueMessage>) -> Vec<String> {
    let (mut lines, rest) = grouped_by_text(notes, MAX_NOTES);
    if rest > 0 {
        lines.push(format!("and {rest} more notes, NOT SHOWN"));
    }
    lines
}

/// Each text once, with its paths, and how many texts are left out.
fn grouped_by_text<'t>(
    messages: impl Iterator<Item = &'t ValueMessage>,
    most: usize,
) -> (Vec<String>, usize) {
    let mut groups: Vec<(&str, Vec<&ArgumentPath>)> = Vec::new();
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for message in messages {
        let at = *known.entry(&message.text).or_insert_with(|| {
            groups.push((&message.text, Vec::new()));
            groups.len() - 1
        });
        if let Some((_, paths)) = groups.get_mut(at) {
            paths.push(&message.path);
        }
    }
    let lines = groups
        .iter()
        .take(most)
        .map(|(text, paths)| {
            let named: Vec<String> = paths
                .iter()
                .take(MAX_PATHS)
                .map(|path| format!("`{path}`"))
                .collect();
            let others = match paths.len().saturating_sub(MAX_PATHS) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let each = if paths.len() > 1 { "each of " } else { "" };
            format!("{each}{}{others} {text}", named.join(", "))
        })
        .collect();
    (lines, groups.len().saturating_sub(most))
}

/// A value in backticks, cut if it is long.
pub(crate) fn quoted(value: &Value) -> String {
    format!("`{}`", excerpt(&value.to_string(), 60))
}

#[cfg(test)]
mod tests {
    use super::{ArgumentPath, ValueMessage, format_errors};

    #[test]
    fn same_error_at_many_paths_is_listed_once() {
        let mut errors: Vec<ValueMessage> = (0..5)
            .map(|index| ValueMessage {
                path: ArgumentPath::argument("values").at(index).member("x"),
                text: "is no field".to_owned(),
            })
            .collect();
        errors.push(ValueMessage {
            path: ArgumentPath::argument("values").at(1).member("y"),
            text: "takes `true` or `false`".to_owned(),
        });
        insta::assert_snapshot!(format_errors(&errors), @r"
        each of `values[0].x`, `values[1].x`, `values[2].x` and 2 more is no field
        `values[1].y` takes `true` or `false`
        ");
    }

    #[test]
    fn ten_thousand_errors_are_reported_in_few_lines() {
        let errors: Vec<ValueMessage> = (0..10_000)
            .map(|index| ValueMessage {
                path: ArgumentPath::argument("values").at(index),
                text: format!("wrong in way {index}"),
            })
            .collect();
        let text = format_errors(&errors);
        assert_eq!(text.lines().count(), 21);
        insta::assert_snapshot!(text.lines().last().unwrap(), @"and 9980 more errors");
    }
}
