//! Records as a table, or field by field.

use std::borrow::Cow;

use super::{Rendered, Rows, rows::Cell};
use gatepost_base::text::{
    CUT_MARK, MAX_CELL_CHARS, append, append_html_line, append_one_line, truncated,
};
use gatepost_odoo::{FieldKind, FieldName, Schema};

/// Ids shown of an x2many value.
const MAX_SHOWN_IDS: usize = 10;
/// With at least this many rows, a column with one constant value is printed once.
const CONSTANT_COLUMN_MIN_ROWS: usize = 3;
/// Up to this many records are printed field by field.
const MAX_SEPARATE_RECORDS: usize = 2;
/// Bytes below the values of a record, for what is said about its other fields.
const RESERVED_BYTES: usize = 200;

/// How much of a long text is shown. Order: least first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// The beginning, to recognize it in a list.
    List,
    /// As much as is usually needed.
    Record,
}

impl Detail {
    /// Characters of a value in a table.
    fn cell_chars(self) -> usize {
        match self {
            Self::List => MAX_CELL_CHARS,
            Self::Record => 1_000,
        }
    }

    /// Characters of a value in a record that is printed field by field.
    fn value_chars(self) -> usize {
        match self {
            Self::List => 400,
            Self::Record => 4_000,
        }
    }
}

/// Renders records as a compact table: empty columns are only named, and columns
/// with one constant value are printed once. One or two records are printed
/// field by field instead.
///
/// A list is not called empty: Odoo leaves out of it what the user may not see.
///
/// The text never exceeds `budget_bytes`. It ends after a whole record, and
/// [`Rendered::shown`] is the number of records in it. If a single record is too
/// long, the text names the fields that are missing.
pub fn table(
    rows: &Rows<'_>,
    schema: &Schema,
    columns: &[FieldName],
    detail: Detail,
    budget_bytes: usize,
) -> Rendered {
    if rows.len() <= MAX_SEPARATE_RECORDS {
        return record_by_record(rows, schema, columns, detail, budget_bytes);
    }
    let cells = RenderedCells::of(rows, schema, columns, detail);
    let column = |at: usize| {
        let cells = &cells;
        (0..rows.len()).map(move |row| cells.get(row, at))
    };
    let mut empty = EmptyFields::default();
    let mut same = Vec::new();
    let mut varying = Vec::new();
    for (at, name) in columns.iter().enumerate() {
        let first = column(at).next().unwrap_or_default();
        let constant = column(at).all(|cell| cell == first);
        if constant && first.is_empty() {
            empty.add(schema, name);
        } else if constant && rows.len() >= CONSTANT_COLUMN_MIN_ROWS && columns.len() > 1 {
            same.push(format!("{name}={first}"));
        } else {
            varying.push((at, name.as_str()));
        }
    }
    let mut notes = String::new();
    if !same.is_empty() {
        append(
            &mut notes,
            format_args!("same in all rows: {}\n", same.join(" | ")),
        );
    }
    empty.append_to(&mut notes, " in all rows");
    let mut text = String::from("id");
    for (_, name) in &varying {
        text.push_str(" | ");
        text.push_str(name);
    }
    text.push('\n');
    let room = budget_bytes.saturating_sub(notes.len());
    let mut shown = 0;
    for (at_row, row) in rows.iter().enumerate() {
        let start = text.len();
        append(&mut text, format_args!("{}", row.id));
        for (at, _) in &varying {
            text.push_str(" | ");
            text.push_str(cells.get(at_row, *at));
        }
        text.truncate(text.trim_end().len());
        if text.len() + 1 > room {
            text.truncate(start);
            break;
        }
        text.push('\n');
        shown += 1;
    }
    text.push_str(&notes);
    // For cases that no other rule bounds.
    text.truncate(truncated(&text, budget_bytes).len());
    Rendered { text, shown }
}

/// The values of a table, rendered one after the other into one text.
struct RenderedCells {
    text: String,
    /// Where each value ends in the text, row by row.
    ends: Vec<usize>,
    columns: usize,
}

impl RenderedCells {
    fn of(rows: &Rows<'_>, schema: &Schema, columns: &[FieldName], detail: Detail) -> Self {
        let kinds: Vec<FieldKind> = columns.iter().map(|name| kind_of(schema, name)).collect();
        let mut cells = Self {
            text: String::with_capacity(rows.len() * columns.len() * 16),
            ends: Vec::with_capacity(rows.len() * columns.len()),
            columns: columns.len(),
        };
        for row in rows.iter() {
            for (at, (name, kind)) in columns.iter().zip(&kinds).enumerate() {
                let cell = row.cell(name.as_str(), at);
                append_value(&mut cells.text, cell, *kind, detail.cell_chars());
                cells.ends.push(cells.text.len());
            }
        }
        cells
    }

    fn get(&self, row: usize, column: usize) -> &str {
        let at = row * self.columns + column;
        let before = at.checked_sub(1).and_then(|before| self.ends.get(before));
        let range = before.copied().unwrap_or(0)..self.ends.get(at).copied().unwrap_or(0);
        self.text.get(range).unwrap_or_default()
    }
}

fn kind_of(schema: &Schema, name: &FieldName) -> FieldKind {
    let field = schema.field(name.as_str());
    field.map_or(FieldKind::Unknown, |field| field.kind)
}

/// Fields without a value.
#[derive(Default)]
struct EmptyFields<'n> {
    empty: Vec<&'n str>,
    /// Lists, which may have records that are not visible.
    lists: Vec<&'n str>,
}

impl<'n> EmptyFields<'n> {
    fn add(&mut self, schema: &Schema, name: &'n FieldName) {
        if kind_of(schema, name).is_x2many() {
            self.lists.push(name.as_str());
        } else {
            self.empty.push(name.as_str());
        }
    }

    fn append_to(&self, text: &mut String, place: &str) {
        for (what, names) in [
            ("empty", &self.empty),
            ("empty or not visible", &self.lists),
        ] {
            if !names.is_empty() {
                append(text, format_args!("{what}{place}: {}\n", names.join(", ")));
            }
        }
    }
}

fn record_by_record(
    rows: &Rows<'_>,
    schema: &Schema,
    columns: &[FieldName],
    detail: Detail,
    budget_bytes: usize,
) -> Rendered {
    let is_alone = detail == Detail::Record && rows.len() == 1 && columns.len() == 1;
    let mut text = String::new();
    let mut shown = 0;
    for row in rows.iter() {
        let mut record = format!("id: {}\n", row.id);
        let mut empty = EmptyFields::default();
        let mut cut = Vec::new();
        for (at, name) in columns.iter().enumerate() {
            let mut value = String::new();
            let cell = row.cell(name.as_str(), at);
            let kind = kind_of(schema, name);
            append_value(&mut value, cell, kind, detail.value_chars());
            let used = text.len() + record.len() + name.as_str().len() + RESERVED_BYTES;
            let mut chars = budget_bytes.saturating_sub(used);
            while is_alone && value.contains(CUT_MARK) && chars > detail.value_chars() {
                value.clear();
                append_value(&mut value, row.cell(name.as_str(), at), kind, chars);
                if used + value.len() <= budget_bytes {
                    break;
                }
                chars /= 2;
            }
            if value.is_empty() {
                empty.add(schema, name);
            } else if used + value.len() > budget_bytes {
                cut.push(name.as_str());
            } else {
                append(&mut record, format_args!("{name}: {value}\n"));
            }
        }
        empty.append_to(&mut record, "");
        if !cut.is_empty() {
            append(
                &mut record,
                format_args!(
                    "too long to show, read them separately: {}\n",
                    cut.join(", ")
                ),
            );
        }
        if shown > 0 && text.len() + record.len() > budget_bytes {
            break;
        }
        text.push_str(&record);
        shown += 1;
    }
    text.truncate(truncated(&text, budget_bytes).len());
    Rendered { text, shown }
}

/// Appends one value.
fn append_value(text: &mut String, cell: Option<Cell<'_>>, kind: FieldKind, max_chars: usize) {
    let Some(cell) = cell else {
        // Not read, which is not the same as empty.
        text.push('?');
        return;
    };
    match cell {
        Cell::Bool(true) => text.push_str("yes"),
        Cell::Bool(false) if kind == FieldKind::Boolean => text.push_str("no"),
        Cell::Bool(false) | Cell::Other("null") => {}
        Cell::Number(number) => text.push_str(&render_number(number, kind)),
        Cell::Reference(id, label) => {
            let label = if label.is_empty() {
                "(no visible name)".into()
            } else {
                label
            };
            append_one_line(text, &label, max_chars);
            append(text, format_args!(" [{id}]"));
        }
        Cell::Ids(ids) => text.push_str(&render_ids(&ids)),
        Cell::Text(value) if kind.is_binary() => {
            append(text, format_args!("({} bytes of base64)", value.len()));
        }
        Cell::Text(value) if kind == FieldKind::Html => {
            append_html_line(text, &value, max_chars);
        }
        // A selection shows its key, because domains compare with that.
        Cell::Text(value) => append_one_line(text, &value, max_chars),
        Cell::Other(json) => append_one_line(text, json, max_chars),
    }
}

/// Renders a number as Odoo sent it, without the noise of binary fractions: Odoo
/// sends `1200.0000000000002` where it shows 1,200.00. Currencies and units of
/// measure have at most six decimals.
pub(super) fn render_number(number: &str, kind: FieldKind) -> Cow<'_, str> {
    let fraction = matches!(
        kind,
        FieldKind::Float | FieldKind::Monetary | FieldKind::Unknown
    );
    if !fraction || !number.contains('.') || number.contains(['e', 'E']) {
        return number.into();
    }
    let plain = |text: &str| text.trim_end_matches('0').trim_end_matches('.').len();
    let decimals = number
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    if decimals <= 6 {
        return number.get(..plain(number)).unwrap_or(number).into();
    }
    match number.parse::<f64>() {
        Ok(value) => {
            let mut rounded = format!("{value:.6}");
            rounded.truncate(plain(&rounded));
            if rounded == "-0" {
                "0".into()
            } else {
                rounded.into()
            }
        }
        Err(_) => number.into(),
    }
}

fn render_ids(ids: &[i64]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = ids
        .iter()
        .take(MAX_SHOWN_IDS)
        .map(ToString::to_string)
        .collect();
    let more = ids.len().saturating_sub(MAX_SHOWN_IDS);
    if more == 0 {
        format!("[{}]", shown.join(","))
    } else {
        format!("[{},…+{more} ids]", shown.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Detail, render_number, table};
    use crate::render::Rows;
    use gatepost_odoo::{FieldKind, FieldName, Schema};

    fn schema() -> Schema {
        Schema::parse(
            br#"{"name":{"type":"char"},"active":{"type":"boolean"},"amount":{"type":"monetary"},
                 "ref":{"type":"char"},"company_id":{"type":"many2one","relation":"res.company"},
                 "tag_ids":{"type":"many2many"},"note":{"type":"html"},"access_token":{"type":"char"},
                 "image":{"type":"binary"}}"#,
        )
        .unwrap()
    }

    fn names(names: &[&str]) -> Vec<FieldName> {
        names
            .iter()
            .map(|name| FieldName::try_from(*name).unwrap())
            .collect()
    }

    fn rendered(answer: &str, columns: &[&str]) -> String {
        table(
            &Rows::parse(answer.as_bytes()).unwrap(),
            &schema(),
            &names(columns),
            Detail::Record,
            9_999,
        )
        .text
    }

    #[test]
    fn constant_and_empty_columns_are_printed_once() {
        let answer = r#"[
            {"id":1,"name":"Azure | Interior","active":true,"amount":12.50,"ref":false,"company_id":[1,"My Co"],"tag_ids":[]},
            {"id":2,"name":"Déco\nid | 9 | fake","active":false,"amount":1200.0000000000002,"ref":false,"company_id":[1,"My Co"],"tag_ids":[1,2]},
            {"id":3,"name":"C","active":true,"amount":0.0,"ref":false,"company_id":[1,"My Co"],"tag_ids":[]}]"#;
        insta::assert_snapshot!(rendered(answer, &["name", "active", "amount", "ref", "company_id", "tag_ids"]), @r"
        id | name | active | amount | tag_ids
        1 | Azure \| Interior | yes | 12.5 |
        2 | Déco\nid \| 9 \| fake | no | 1200 | [1,2]
        3 | C | yes | 0 |
        same in all rows: company_id=My Co [1]
        empty in all rows: ref
        ");
    }

    #[test]
    fn single_record_is_printed_field_by_field() {
        let answer =
            r#"[{"id":7,"name":"A","note":"<p>Hi<br>you</p>","ref":false,"image":"aGk="}]"#;
        insta::assert_snapshot!(rendered(answer, &["name", "note", "ref", "image"]), @r"
        id: 7
        name: A
        note: Hi\nyou
        image: (4 bytes of base64)
        empty: ref
        ");
    }

    #[test]
    fn list_without_visible_records_is_not_called_empty() {
        let answer = r#"[{"id":7,"ref":false,"tag_ids":[],"company_id":[3,null]}]"#;
        let columns = ["ref", "tag_ids", "company_id"];
        insta::assert_snapshot!(rendered(answer, &columns), @r"
        id: 7
        company_id: (no visible name) [3]
        empty: ref
        empty or not visible: tag_ids
        ");
        let answer = r#"[{"id":7,"tag_ids":[]},{"id":8,"tag_ids":[]},{"id":9,"tag_ids":[]}]"#;
        let text = rendered(answer, &["tag_ids"]);
        assert!(
            text.ends_with("empty or not visible in all rows: tag_ids\n"),
            "{text}"
        );
    }

    #[test]
    fn text_is_cut_shorter_in_lists_than_in_records_and_is_longest_alone() {
        let shown = |records: usize, detail, columns: &[&str]| {
            let row = |id| serde_json::json!({"id": id, "note": "é".repeat(9_000), "ref": "é".repeat(9_000)});
            let answer = serde_json::to_vec(&(1..=records).map(row).collect::<Vec<_>>()).unwrap();
            let rows = Rows::parse(&answer).unwrap();
            let text = table(&rows, &schema(), &names(columns), detail, 24_000).text;
            text.matches('é').count() / columns.len() / records
        };
        let one = ["ref"];
        assert_eq!(shown(3, Detail::List, &one), 160);
        assert_eq!(shown(1, Detail::List, &one), 400);
        assert_eq!(shown(3, Detail::Record, &one), 1_000);
        assert_eq!(shown(1, Detail::Record, &["note", "ref"]), 4_000);
        assert_eq!(shown(1, Detail::Record, &one), 9_000);
    }

    #[test]
    fn numbers_are_printed_as_sent_without_float_noise() {
        let float = |text| render_number(text, FieldKind::Float);
        assert_eq!(float("12.50"), "12.5");
        assert_eq!(float("1200.0000000000002"), "1200");
        assert_eq!(float("-0.00000000001"), "0");
        assert_eq!(float("3"), "3");
        assert_eq!(float("1e-7"), "1e-7");
        assert_eq!(float("0.123456"), "0.123456");
        assert_eq!(
            render_number("9007199254740993", FieldKind::Integer),
            "9007199254740993"
        );
    }

    proptest! {
        #[test]
        fn table_stays_within_its_byte_budget_and_row_count(
            texts in prop::collection::vec(any::<String>(), 0..30),
            budget in 60_usize..3_000,
        ) {
            let rows: Vec<_> = texts
                .iter()
                .enumerate()
                .map(|(at, text)| serde_json::json!({"id": at + 1, "name": text, "ref": text}))
                .collect();
            let answer = serde_json::to_vec(&rows).unwrap();
            let rows = Rows::parse(&answer).unwrap();
            let shaped = table(&rows, &schema(), &names(&["name", "ref"]), Detail::List, budget);
            prop_assert!(shaped.text.len() <= budget);
            prop_assert!(shaped.shown <= rows.len());
            if rows.len() > 2 {
                let lines = shaped.text.lines().count();
                prop_assert!(lines <= shaped.shown + 3, "{}", shaped.text);
            }
        }
    }
}
