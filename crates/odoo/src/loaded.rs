//! What Odoo says of a table that it was to load.

use std::{collections::BTreeMap, fmt, ops::RangeInclusive};

use serde::Deserialize;
use serde_json::Value;

use super::{Load, OdooError, RecordId, fault::reveals_internals};

/// Characters of one message.
const MAX_CHARS: usize = 300;
/// Values that are offered for one cell.
const MAX_CHOICES: usize = 20;
/// Different problems that are told.
const MAX_PROBLEMS: usize = 30;
/// Runs of rows that are told of one problem.
const MAX_RUNS: usize = 15;

/// What Odoo says of a table that it was to load, or to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadResult {
    /// The records in the order of the table; none where all was taken back.
    pub ids: Option<Vec<RecordId>>,
    /// What is wrong with rows.
    pub problems: RowProblems,
    /// What Odoo only warns of: how it understood cells that were not clear.
    pub warnings: RowProblems,
    /// Whether Odoo saw that a trial is one.
    pub dry_run_confirmed: bool,
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
    truncated: bool,
}

#[derive(Deserialize)]
struct LoadResponse {
    ids: Value,
    #[serde(default)]
    messages: Vec<LoadMessage>,
}

#[derive(Deserialize)]
struct LoadMessage {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, rename = "message")]
    text: Value,
    #[serde(default)]
    rows: Option<RowRange>,
    #[serde(default)]
    field: Value,
    #[serde(default)]
    field_path: Value,
    #[serde(default)]
    moreinfo: Value,
}

#[derive(Deserialize)]
struct RowRange {
    from: usize,
    to: usize,
}

impl LoadResult {
    /// What an answer of `load` says.
    ///
    /// # Errors
    /// When it is not such an answer.
    pub fn parse(answer: &[u8], load: &Load) -> Result<Self, serde_json::Error> {
        let answer: LoadResponse = serde_json::from_slice(answer)?;
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
            dry_run_confirmed: false,
            conflict: false,
        };
        for message in answer.messages {
            loaded.add_message(&message, load);
        }
        Ok(loaded)
    }

    fn add_message(&mut self, message: &LoadMessage, load: &Load) {
        let field = message.field.as_str().unwrap_or_default();
        if load.is_dry_run_marker(field) {
            self.dry_run_confirmed = true;
            return;
        }
        let said = message.text.as_str().unwrap_or_default();
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
            self.problems.truncated = true;
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
        let mut text = safe_message(said);
        text.push_str(&correction_hint(&message.moreinfo, &column));
        let rows = rows.from..=rows.to;
        if message.kind == "error" {
            self.problems.add(column, text, rows);
        } else {
            self.warnings.add(column, text, rows);
        }
    }

    /// Why nothing was loaded; none where it was.
    pub fn failure(&self) -> Option<OdooError> {
        if self.ids.is_some() {
            None
        } else if self.conflict {
            Some(OdooError::Conflict)
        } else {
            Some(OdooError::Rows(self.problems.clone()))
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
        for (index, ((column, text), rows)) in all.iter().take(MAX_PROBLEMS).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "- {}", format_row_ranges(rows))?;
            if !column.is_empty() {
                write!(f, ", `{column}`")?;
            }
            write!(f, ": {text}")?;
        }
        if all.len() > MAX_PROBLEMS {
            write!(
                f,
                "\n- and {} more of other kinds",
                all.len() - MAX_PROBLEMS
            )?;
        }
        if self.truncated {
            f.write_str("\n- Odoo looked no further after so many; later rows may not fit either")?;
        }
        Ok(())
    }
}

/// Rows from 1, such as `rows 2, 5-7`. A record with lines is its first row to
/// its last.
fn format_row_ranges(rows: &[RangeInclusive<usize>]) -> String {
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
fn safe_message(said: &str) -> String {
    let first = said.trim().split("\n\n").next().unwrap_or_default();
    if first.is_empty() || reveals_internals(said) || first.contains("<class '") {
        return "Odoo failed with an internal error at this row; the details are in its log"
            .to_owned();
    }
    let line: Vec<&str> = first.split_whitespace().collect();
    clip(&line.join(" "))
}

/// What would be right, where Odoo says so.
fn correction_hint(moreinfo: &Value, column: &str) -> String {
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

    use super::LoadResult;
    use crate::{Load, OdooError, Schema};

    fn table(columns: &[&str]) -> Load {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        Load::new(&columns, Vec::new()).unwrap()
    }

    fn dry_run_table(columns: &[&str]) -> Load {
        let schema = Schema::parse(br#"{"create_date":{"type":"datetime"}}"#).unwrap();
        table(columns).into_dry_run(&schema).unwrap()
    }

    fn parse(answer: &Value, load: &Load) -> LoadResult {
        LoadResult::parse(answer.to_string().as_bytes(), load).unwrap()
    }

    #[test]
    fn repeated_row_problem_is_reported_once_with_all_rows() {
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
        let Some(OdooError::Rows(problems)) = loaded.failure() else {
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
    fn dry_run_result_omits_its_own_marker_errors() {
        let wrong = json!({"ids": false, "messages": [
            {"type": "error", "rows": {"from": 0, "to": 0}, "record": 0, "field": ".id", "message": "Unknown database identifier '-1'"},
            {"type": "error", "rows": {"from": 0, "to": 0}, "record": 0, "field": "create_date", "message": "'never' does not seem to be"},
        ]});
        let heard = parse(&wrong, &dry_run_table(&["name"]));
        assert!(heard.dry_run_confirmed && heard.ids.is_none() && heard.problems.is_empty());
        // Where the table has such a column itself, the message is about that.
        let heard = parse(&wrong, &dry_run_table(&[".id"]));
        assert!(heard.dry_run_confirmed && !heard.problems.is_empty());
        let done = parse(
            &json!({"ids": [7], "messages": []}),
            &dry_run_table(&["name"]),
        );
        assert!(!done.dry_run_confirmed && done.ids.is_some());
    }

    #[test]
    fn serialization_failure_is_reported_as_conflict() {
        let answer = json!({"ids": false, "messages": [
            {"type": "error", "rows": {"from": 0, "to": 0}, "message": "could not serialize access due to concurrent update\n"},
        ]});
        assert_eq!(
            parse(&answer, &table(&["name"])).failure(),
            Some(OdooError::Conflict)
        );
    }

    #[test]
    fn malformed_load_response_is_an_error() {
        for odd in [
            json!({"ids": true}),
            json!({"ids": ["x"]}),
            json!([1]),
            json!({"ids": {}}),
        ] {
            let text = odd.to_string();
            assert!(
                LoadResult::parse(text.as_bytes(), &table(&["name"])).is_err(),
                "{odd}"
            );
        }
    }
}
