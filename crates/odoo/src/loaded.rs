//! What Odoo says of a table that it was to load.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use serde::Deserialize;
use serde_json::Value;

use super::{Fault, Load, RecordId, fault::is_internal};

/// Characters of one message.
const MAX_CHARS: usize = 300;
/// Values that are offered for one cell.
const MAX_CHOICES: usize = 20;
/// Different problems that are told.
const MAX_TOLD: usize = 30;
/// Runs of rows that are told of one problem.
const MAX_RUNS: usize = 15;

/// What Odoo says of a table that it was to load, or to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The records in the order of the table; none where all was taken back.
    pub ids: Option<Vec<RecordId>>,
    /// What is wrong with rows.
    pub problems: RowProblems,
    /// What Odoo only warns of: how it understood cells that were not clear.
    pub warnings: RowProblems,
    /// Whether Odoo saw that a trial is one.
    pub seen_as_trial: bool,
    /// Whether it failed for other work at the same records only.
    conflict: bool,
}

/// What is wrong with rows. `Display` is for the model that wrote them: the same
/// problem once, with all of its rows, from 1.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RowProblems {
    /// The rows of each problem, by its column and text.
    rows: BTreeMap<(String, String), Vec<RangeInclusive<usize>>>,
    /// Whether Odoo looked no further.
    stopped: bool,
}

#[derive(Deserialize)]
struct Answer {
    ids: Value,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, rename = "message")]
    said: Value,
    #[serde(default)]
    rows: Option<Rows>,
    #[serde(default)]
    field: Value,
    #[serde(default)]
    field_path: Value,
    #[serde(default)]
    moreinfo: Value,
}

#[derive(Deserialize)]
struct Rows {
    from: usize,
    to: usize,
}

impl Loaded {
    /// What an answer of `load` says.
    ///
    /// # Errors
    /// When it is not such an answer.
    pub fn parse(answer: &[u8], load: &Load) -> Result<Self, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(answer)?;
        let ids = match answer.ids {
            Value::Bool(false) | Value::Null => None,
            ids @ (Value::Array(_)
            | Value::Bool(true)
            | Value::Number(_)
            | Value::Object(_)
            | Value::String(_)) => Some(serde_json::from_value(ids)?),
        };
        let mut loaded = Self {
            ids,
            problems: RowProblems::default(),
            warnings: RowProblems::default(),
            seen_as_trial: false,
            conflict: false,
        };
        for message in answer.messages {
            loaded.hear(&message, load);
        }
        Ok(loaded)
    }

    fn hear(&mut self, message: &Message, load: &Load) {
        let field = message.field.as_str().unwrap_or_default();
        if load.is_made_wrong(field) {
            self.seen_as_trial = true;
            return;
        }
        let said = message.said.as_str().unwrap_or_default();
        if [
            "could not serialize access",
            "deadlock detected",
            "could not obtain lock",
        ]
        .iter()
        .any(|sign| said.contains(sign))
        {
            self.conflict = true;
            return;
        }
        // After ten errors Odoo says, of no row, that it stops.
        let Some(rows) = &message.rows else {
            self.problems.stopped = true;
            return;
        };
        let column = match &message.field_path {
            Value::Array(steps) => {
                let steps: Vec<&str> = steps.iter().filter_map(Value::as_str).collect();
                steps.join("/")
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Object(_)
            | Value::String(_) => field.to_owned(),
        };
        let mut text = told(said);
        text.push_str(&remedy(&message.moreinfo, &column));
        let rows = rows.from..=rows.to;
        if message.kind == "error" {
            self.problems.add(column, text, rows);
        } else {
            self.warnings.add(column, text, rows);
        }
    }

    /// Why nothing was loaded; none where it was.
    pub fn refusal(&self) -> Option<Fault> {
        if self.ids.is_some() {
            None
        } else if self.conflict {
            Some(Fault::Conflict)
        } else {
            Some(Fault::Rows(self.problems.clone()))
        }
    }

    /// Whether other work at the same records was in the way.
    pub fn is_conflict(&self) -> bool {
        self.conflict
    }
}

impl RowProblems {
    fn add(&mut self, column: String, text: String, rows: RangeInclusive<usize>) {
        self.rows.entry((column, text)).or_default().push(rows);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for RowProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("Odoo did not say what is wrong; try with fewer rows");
        }
        let mut all: Vec<_> = self.rows.iter().collect();
        // In the order of the rows.
        all.sort_by_key(|(_, rows)| rows.first().map_or(0, |rows| *rows.start()));
        for (index, ((column, text), rows)) in all.iter().take(MAX_TOLD).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "- {}", numbers(rows))?;
            if !column.is_empty() {
                write!(f, ", `{column}`")?;
            }
            write!(f, ": {text}")?;
        }
        if all.len() > MAX_TOLD {
            write!(f, "\n- and {} more of other kinds", all.len() - MAX_TOLD)?;
        }
        if self.stopped {
            f.write_str("\n- Odoo looked no further after so many; later rows may not fit either")?;
        }
        Ok(())
    }
}

/// Rows from 1, such as `rows 2, 5-7`. A record with lines is its first row to
/// its last.
fn numbers(rows: &[RangeInclusive<usize>]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut sorted: Vec<(usize, usize)> = rows
        .iter()
        .map(|rows| (rows.start() + 1, rows.end() + 1))
        .collect();
    sorted.sort_unstable();
    for (from, to) in sorted {
        match runs.last_mut() {
            Some((_, end)) if from <= *end + 1 => *end = to.max(*end),
            Some(_) | None => runs.push((from, to)),
        }
    }
    let word = match runs.as_slice() {
        [(from, to)] if from == to => "row",
        _ => "rows",
    };
    let mut text: Vec<String> = runs
        .iter()
        .take(MAX_RUNS)
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        })
        .collect();
    if runs.len() > MAX_RUNS {
        let rest = runs.iter().skip(MAX_RUNS);
        let count: usize = rest.map(|(from, to)| to - from + 1).sum();
        text.push(format!("and {count} more"));
    }
    format!("{word} {}", text.join(", "))
}

/// Odoo's words as far as they may be handed on: the first paragraph. Below it
/// stand groups, users and companies where access is refused.
fn told(said: &str) -> String {
    let first = said.trim().split("\n\n").next().unwrap_or_default();
    if first.is_empty() || is_internal(said) || first.contains("<class '") {
        return "Odoo failed with an internal error at this row; the details are in its log"
            .to_owned();
    }
    let line: Vec<&str> = first.split_whitespace().collect();
    clip(&line.join(" "))
}

/// What would be right, where Odoo says so.
fn remedy(moreinfo: &Value, column: &str) -> String {
    match moreinfo {
        Value::String(text) => format!(". {}", clip(text)),
        Value::Array(choices) => {
            let mut names: Vec<&str> = choices
                .iter()
                .filter_map(Value::as_str)
                .take(MAX_CHOICES)
                .collect();
            if choices.len() > MAX_CHOICES {
                names.push("…");
            }
            format!(". One of: {}", names.join(", "))
        }
        // An action of the web client that lists records.
        Value::Object(_) => {
            let link = column
                .strip_suffix("/.id")
                .or_else(|| column.strip_suffix("/id"))
                .unwrap_or(column);
            format!(". find_by_name finds the id of the right record, for a column `{link}/.id`")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => String::new(),
    }
}

fn clip(text: &str) -> String {
    let mut cut: String = text.chars().take(MAX_CHARS).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Loaded;
    use crate::{Fault, Load, Schema};

    fn table(columns: &[&str]) -> Load {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        Load::new(&columns, Vec::new()).unwrap()
    }

    fn tried(columns: &[&str]) -> Load {
        let schema = Schema::parse(br#"{"create_date":{"type":"datetime"}}"#).unwrap();
        table(columns).tried(&schema).unwrap()
    }

    fn parse(answer: &Value, load: &Load) -> Loaded {
        Loaded::parse(answer.to_string().as_bytes(), load).unwrap()
    }

    #[test]
    fn the_same_problem_is_told_once_with_all_its_rows_and_what_would_be_right() {
        let no_match = |row: usize| {
            json!({"type": "error", "record": row, "rows": {"from": row, "to": row}, "field": "country_id",
                "field_path": ["country_id", "id"], "moreinfo": {"res_model": "ir.model.data"},
                "message": "No matching record found for external id 'base.xx' in field 'Country'"})
        };
        let answer = json!({"ids": false, "nextrow": 0, "messages": [
            no_match(1), no_match(4), no_match(5),
            {"type": "error", "rows": {"from": 0, "to": 2}, "field": "type", "message": "Value 'x' not found in selection field 'Type'",
             "moreinfo": ["Contact", "Invoice"]},
            {"type": "error", "rows": {"from": 9, "to": 9}, "message": "Sorry, you may not.\n\nSally (id=7) is in none of the groups:\n- Sales"},
            {"type": "error", "rows": {"from": 9, "to": 9}, "message": "Unknown error during import: <class 'KeyError'>: 'x'", "moreinfo": "Resolve other errors first"},
            {"type": "warning", "message": "Found more than 10 errors and more than one error per 10 records"},
        ]});
        let loaded = parse(&answer, &table(&["name"]));
        let Some(Fault::Rows(problems)) = loaded.refusal() else {
            panic!("{loaded:?}");
        };
        insta::assert_snapshot!(problems, @r"
        - rows 1-3, `type`: Value 'x' not found in selection field 'Type'. One of: Contact, Invoice
        - rows 2, 5-6, `country_id/id`: No matching record found for external id 'base.xx' in field 'Country'. find_by_name finds the id of the right record, for a column `country_id/.id`
        - row 10: Odoo failed with an internal error at this row; the details are in its log. Resolve other errors first
        - row 10: Sorry, you may not.
        - Odoo looked no further after so many; later rows may not fit either
        ");
    }

    #[test]
    fn of_a_trial_only_what_is_really_wrong_is_told() {
        let wrong = json!({"ids": false, "messages": [
            {"type": "error", "rows": {"from": 0, "to": 0}, "record": 0, "field": ".id", "message": "Unknown database identifier '-1'"},
            {"type": "error", "rows": {"from": 0, "to": 0}, "record": 0, "field": "create_date", "message": "'never' does not seem to be"},
        ]});
        let heard = parse(&wrong, &tried(&["name"]));
        assert!(heard.seen_as_trial && heard.ids.is_none() && heard.problems.is_empty());
        // Where the table has such a column itself, the message is about that.
        let heard = parse(&wrong, &tried(&[".id"]));
        assert!(heard.seen_as_trial && !heard.problems.is_empty());
        let done = parse(&json!({"ids": [7], "messages": []}), &tried(&["name"]));
        assert!(!done.seen_as_trial && done.ids.is_some());
    }

    #[test]
    fn other_work_at_the_same_records_can_be_tried_again() {
        let answer = json!({"ids": false, "messages": [
            {"type": "error", "rows": {"from": 0, "to": 0}, "message": "could not serialize access due to concurrent update\n"},
        ]});
        assert_eq!(
            parse(&answer, &table(&["name"])).refusal(),
            Some(Fault::Conflict)
        );
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        for odd in [
            json!({"ids": true}),
            json!({"ids": ["x"]}),
            json!([1]),
            json!({"ids": {}}),
        ] {
            let text = odd.to_string();
            assert!(
                Loaded::parse(text.as_bytes(), &table(&["name"])).is_err(),
                "{odd}"
            );
        }
    }
}
