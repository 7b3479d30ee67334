//! The result of an import.

use serde::Deserialize;
use serde_json::Value;

use gatepost_base::text::excerpt;

use super::{Load, OdooError, RecordId, RowProblems, reveals_internals};

/// The maximum length of one message in characters.
const MAX_CHARS: usize = 300;
/// The maximum number of values suggested for one cell.
const MAX_CHOICES: usize = 20;
/// The result of an import or a dry run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadResult {
    /// The records in the order of the table, or `None` if Odoo rolled back.
    pub ids: Option<Vec<RecordId>>,
    /// The errors in rows.
    pub problems: RowProblems,
    /// The warnings about rows: how Odoo read ambiguous cells.
    pub warnings: RowProblems,
    /// Whether Odoo reported a cell that the dry run made invalid.
    pub dry_run_confirmed: bool,
    /// Whether it failed only because of another transaction.
    conflict: bool,
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
    /// Parses a response of `load`.
    ///
    /// # Errors
    /// When it is not one.
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
        // After ten errors Odoo reports, without a row, that it stops.
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

    /// Why nothing was imported, or `None` if it was.
    pub fn failure(&self) -> Option<OdooError> {
        if self.ids.is_some() {
            None
        } else if self.conflict {
            Some(OdooError::Conflict)
        } else {
            Some(OdooError::Rows(self.problems.clone()))
        }
    }

    /// Whether another transaction on the same records prevented the import.
    pub fn is_conflict(&self) -> bool {
        self.conflict
    }
}

/// The part of Odoo's message that clients may see: the first paragraph. Where Odoo
/// denies access, the rest names groups, users and companies.
fn safe_message(said: &str) -> String {
    let first = said.trim().split("\n\n").next().unwrap_or_default();
    if first.is_empty() || reveals_internals(said) || first.contains("<class '") {
        return "Odoo returned an internal error for this row; the details are in Odoo's log"
            .to_owned();
    }
    let line: Vec<&str> = first.split_whitespace().collect();
    excerpt(&line.join(" "), MAX_CHARS)
}

/// What would be correct, if Odoo says so.
fn correction_hint(moreinfo: &Value, column: &str) -> String {
    match moreinfo {
        Value::String(text) => format!(". {}", excerpt(text, MAX_CHARS)),
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
            {"type": "error", "rows": {"from": 10, "to": 10}, "message": "unsupported Unicode escape sequence\nLINE 1: ...color\", \"name\") VALUES (2,"},
            {"type": "warning", "message": "Found more than 10 errors and more than one error per 10 records"},
        ]});
        let loaded = parse(&answer, &table(&["name"]));
        let Some(OdooError::Rows(problems)) = loaded.failure() else {
            panic!("{loaded:?}");
        };
        insta::assert_snapshot!(problems, @r"
        - rows 1-3, `type`: Value 'x' not found in selection field 'Type'. One of: Contact, Invoice
        - rows 2, 5-6, `country_id/id`: No matching record found for external id 'base.xx' in field 'Country'. find_by_name finds the id of the right record, for a column `country_id/.id`
        - row 10: Odoo returned an internal error for this row; the details are in Odoo's log. Resolve other errors first
        - row 10: Sorry, you may not.
        - row 11: Odoo returned an internal error for this row; the details are in Odoo's log
        - Odoo stopped after so many errors; later rows may be invalid, too
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
