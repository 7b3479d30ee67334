//! What there is to say of values.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::Place;
use gatepost_odoo::{FieldName, ModelName};

/// What does not fit, and what would.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong and what would be right; reads on from the place.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.place, self.text)
    }
}

/// How a value was understood, where there was something to understand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Where.
    pub place: Place,
    /// How; reads on from the place.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.place, self.text)
    }
}

/// A field that a new record must have and that got no value.
///
/// No problem by itself: Odoo has defaults (`default_get` tells them), and
/// fills in some fields while it makes the record (`stock.warehouse` its
/// locations), of which it tells nobody. What is missing in the end it refuses
/// by name, and makes nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    /// Where it would stand.
    pub place: Place,
    /// The model of the record.
    pub model: ModelName,
    /// The field.
    pub field: FieldName,
    /// Its label.
    pub label: Box<str>,
}

/// Places and texts that are told one by one; the others are counted.
const TOLD: usize = 20;
const NOTES: usize = 12;
const PLACES: usize = 3;

/// All problems in one text, one a line, those that are the same together.
pub fn tell(problems: &[Problem]) -> String {
    let said = problems.iter().map(|one| (&one.place, &*one.text));
    let (mut lines, rest) = together(said, TOLD);
    if rest > 0 {
        lines.push(format!("and {rest} more problems"));
    }
    lines.join("\n")
}

/// All notes, those that are the same together.
pub fn tell_notes<'n>(notes: impl Iterator<Item = &'n Note>) -> Vec<String> {
    let (mut lines, rest) = together(notes.map(|one| (&one.place, &*one.text)), NOTES);
    if rest > 0 {
        lines.push(format!("and {rest} more notes, NOT SHOWN"));
    }
    lines
}

/// What is said of places, each text once, and how many texts are left out.
fn together<'t>(
    said: impl Iterator<Item = (&'t Place, &'t str)>,
    most: usize,
) -> (Vec<String>, usize) {
    let mut groups: Vec<(&str, Vec<&Place>)> = Vec::new();
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
                .take(PLACES)
                .map(|place| format!("`{place}`"))
                .collect();
            let others = match places.len().saturating_sub(PLACES) {
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
pub(super) fn quoted(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{short}`")
}

#[cfg(test)]
mod tests {
    use super::{Place, Problem, tell};

    #[test]
    fn what_is_wrong_in_many_places_is_told_once() {
        let mut problems: Vec<Problem> = (0..5)
            .map(|index| Problem {
                place: Place::argument("values").at(index).member("x"),
                text: "is no field".to_owned(),
            })
            .collect();
        problems.push(Problem {
            place: Place::argument("values").at(1).member("y"),
            text: "takes `true` or `false`".to_owned(),
        });
        insta::assert_snapshot!(tell(&problems), @r"
        each of `values[0].x`, `values[1].x`, `values[2].x` and 2 more is no field
        `values[1].y` takes `true` or `false`
        ");
    }

    #[test]
    fn an_answer_about_ten_thousand_problems_stays_short() {
        let problems: Vec<Problem> = (0..10_000)
            .map(|index| Problem {
                place: Place::argument("values").at(index),
                text: format!("wrong in way {index}"),
            })
            .collect();
        let told = tell(&problems);
        assert_eq!(told.lines().count(), 21);
        assert!(told.ends_with("and 9980 more problems"));
    }
}
