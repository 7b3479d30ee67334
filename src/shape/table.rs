//! Records as a table, or one below the other.

use super::{
    Rows, Shaped,
    rows::{Cell, Row},
};
use gatepost_base::text::{CELL_CHARS, add, one_line, plain};
use gatepost_odoo::{Field, FieldKind, FieldName, Schema};

/// Ids that are shown of a list of them.
const SHOWN_IDS: usize = 10;
/// From how many rows on a column that never changes is told once.
const CONSTANT_FROM: usize = 3;
/// Characters of a value when a record stands alone.
const VALUE_CHARS: usize = 4_000;
/// Records up to which each stands alone.
const ALONE: usize = 2;

/// Records as a compact table: columns once, those without content named once,
/// those that never change told once. One or two records are told field by
/// field instead.
///
/// Never longer than `budget_bytes`: what does not fit is cut at a whole
/// record, and [`Shaped::shown`] says how many there are. Of a single record
/// that is too long, fields are cut, and the text says so.
pub fn table(
    rows: &Rows<'_>,
    schema: &Schema,
    columns: &[FieldName],
    budget_bytes: usize,
) -> Shaped {
    if rows.len() <= ALONE {
        return one_by_one(rows, schema, columns, budget_bytes);
    }
    let cells: Vec<(i64, Vec<String>)> = rows
        .iter()
        .map(|row| {
            (
                row.id,
                columns
                    .iter()
                    .map(|name| written(row, name, schema, CELL_CHARS))
                    .collect(),
            )
        })
        .collect();
    let column = |at: usize| {
        cells
            .iter()
            .map(move |(_, row)| row.get(at).map_or("", String::as_str))
    };
    let mut empty = Vec::new();
    let mut same = Vec::new();
    let mut kept = Vec::new();
    for (at, name) in columns.iter().enumerate() {
        let first = column(at).next().unwrap_or_default();
        let constant = column(at).all(|cell| cell == first);
        if constant && first.is_empty() {
            empty.push(name.as_str());
        } else if constant && cells.len() >= CONSTANT_FROM && columns.len() > 1 {
            same.push(format!("{name}={first}"));
        } else {
            kept.push((at, name.as_str()));
        }
    }
    let mut notes = String::new();
    if !same.is_empty() {
        add(
            &mut notes,
            format_args!("same in all rows: {}\n", same.join(" | ")),
        );
    }
    if !empty.is_empty() {
        add(
            &mut notes,
            format_args!("empty in all rows: {}\n", empty.join(", ")),
        );
    }
    let mut text = String::from("id");
    for (_, name) in &kept {
        text.push_str(" | ");
        text.push_str(name);
    }
    text.push('\n');
    let room = budget_bytes.saturating_sub(notes.len());
    let mut shown = 0;
    for (id, row) in &cells {
        let mut line = id.to_string();
        for (at, _) in &kept {
            line.push_str(" | ");
            line.push_str(row.get(*at).map_or("", String::as_str));
        }
        let line = line.trim_end();
        if text.len() + line.len() + 1 > room {
            break;
        }
        text.push_str(line);
        text.push('\n');
        shown += 1;
    }
    text.push_str(&notes);
    let text = bounded(text, budget_bytes);
    Shaped { text, shown }
}

fn one_by_one(
    rows: &Rows<'_>,
    schema: &Schema,
    columns: &[FieldName],
    budget_bytes: usize,
) -> Shaped {
    let mut text = String::new();
    let mut shown = 0;
    for row in rows.iter() {
        let mut record = format!("id: {}\n", row.id);
        let mut empty = Vec::new();
        let mut cut = Vec::new();
        for name in columns {
            let value = written(row, name, schema, VALUE_CHARS);
            if value.is_empty() {
                empty.push(name.as_str());
            } else if text.len() + record.len() + name.as_str().len() + value.len() + 200
                > budget_bytes
            {
                cut.push(name.as_str());
            } else {
                add(&mut record, format_args!("{name}: {value}\n"));
            }
        }
        if !empty.is_empty() {
            add(&mut record, format_args!("empty: {}\n", empty.join(", ")));
        }
        if !cut.is_empty() {
            add(
                &mut record,
                format_args!("cut to fit, read them apart: {}\n", cut.join(", ")),
            );
        }
        if shown > 0 && text.len() + record.len() > budget_bytes {
            break;
        }
        text.push_str(&record);
        shown += 1;
    }
    Shaped {
        text: bounded(text, budget_bytes),
        shown,
    }
}

/// A text of at most so many bytes, for the cases that no other rule bounds.
pub(super) fn bounded(mut text: String, budget_bytes: usize) -> String {
    if text.len() > budget_bytes {
        let end = (0..=budget_bytes)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// A value as it is shown.
fn written(row: &Row<'_>, name: &FieldName, schema: &Schema, max_chars: usize) -> String {
    let field = schema.field(name.as_str());
    let kind = field.map_or(FieldKind::Unknown, |field| field.kind);
    let Some(cell) = row.cell(name.as_str()) else {
        // Not read is not empty.
        return "?".to_owned();
    };
    let set = !matches!(cell, Cell::Bool(false)) || kind == FieldKind::Boolean;
    if !set {
        return String::new();
    }
    match cell {
        Cell::Bool(true) => "yes".to_owned(),
        Cell::Bool(false) => "no".to_owned(),
        Cell::Number(number) => number_of(number, kind),
        Cell::Reference(id, label) => format!("{} [{id}]", one_line(&label, max_chars)),
        Cell::Ids(ids) => ids_of(&ids),
        Cell::Text(text) if kind.is_binary() => format!("({} bytes of base64)", text.len()),
        Cell::Text(text) if kind == FieldKind::Html => one_line(&plain(&text), max_chars),
        Cell::Text(text) => labelled(field, &text, max_chars),
        Cell::Other("null") => String::new(),
        Cell::Other(json) => one_line(json, max_chars),
    }
}

/// A selection's value is what a domain compares with, so it stays; a label
/// that says more is no part of it.
fn labelled(_field: Option<&Field>, text: &str, max_chars: usize) -> String {
    one_line(text, max_chars)
}

/// A number as Odoo wrote it, but for the noise of binary fractions: Odoo
/// sends `1200.0000000000002` where it shows and stores 1,200.00. Six decimals
/// are more than any currency or unit of measure is set to.
fn number_of(number: &str, kind: FieldKind) -> String {
    let fraction = matches!(
        kind,
        FieldKind::Float | FieldKind::Monetary | FieldKind::Unknown
    );
    if !fraction || !number.contains('.') || number.contains(['e', 'E']) {
        return number.to_owned();
    }
    let plain = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    let decimals = number
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    if decimals <= 6 {
        return plain(number);
    }
    match number.parse::<f64>() {
        Ok(value) => match plain(&format!("{value:.6}")).as_str() {
            "-0" => "0".to_owned(),
            rounded => rounded.to_owned(),
        },
        Err(_) => number.to_owned(),
    }
}

fn ids_of(ids: &[i64]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let shown: Vec<String> = ids
        .iter()
        .take(SHOWN_IDS)
        .map(ToString::to_string)
        .collect();
    let more = ids.len().saturating_sub(SHOWN_IDS);
    if more == 0 {
        format!("[{}]", shown.join(","))
    } else {
        format!("[{},…+{more} ids]", shown.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{number_of, table};
    use crate::shape::Rows;
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

    fn shaped(answer: &str, columns: &[&str]) -> String {
        table(
            &Rows::parse(answer.as_bytes()).unwrap(),
            &schema(),
            &names(columns),
            9_999,
        )
        .text
    }

    #[test]
    fn what_never_changes_and_what_is_empty_is_told_once() {
        let answer = r#"[
            {"id":1,"name":"Azure | Interior","active":true,"amount":12.50,"ref":false,"company_id":[1,"My Co"],"tag_ids":[]},
            {"id":2,"name":"Déco\nid | 9 | fake","active":false,"amount":1200.0000000000002,"ref":false,"company_id":[1,"My Co"],"tag_ids":[1,2]},
            {"id":3,"name":"C","active":true,"amount":0.0,"ref":false,"company_id":[1,"My Co"],"tag_ids":[]}]"#;
        insta::assert_snapshot!(shaped(answer, &["name", "active", "amount", "ref", "company_id", "tag_ids"]), @r"
        id | name | active | amount | tag_ids
        1 | Azure \| Interior | yes | 12.5 |
        2 | Déco\nid \| 9 \| fake | no | 1200 | [1,2]
        3 | C | yes | 0 |
        same in all rows: company_id=My Co [1]
        empty in all rows: ref
        ");
    }

    #[test]
    fn one_record_is_told_field_by_field() {
        let answer =
            r#"[{"id":7,"name":"A","note":"<p>Hi<br>you</p>","ref":false,"image":"aGk="}]"#;
        insta::assert_snapshot!(shaped(answer, &["name", "note", "ref", "image"]), @r"
        id: 7
        name: A
        note: Hi\nyou
        image: (4 bytes of base64)
        empty: ref
        ");
    }

    #[test]
    fn numbers_keep_what_odoo_wrote_but_for_binary_noise() {
        let float = |text| number_of(text, FieldKind::Float);
        assert_eq!(float("12.50"), "12.5");
        assert_eq!(float("1200.0000000000002"), "1200");
        assert_eq!(float("-0.00000000001"), "0");
        assert_eq!(float("3"), "3");
        assert_eq!(float("1e-7"), "1e-7");
        assert_eq!(float("0.123456"), "0.123456");
        assert_eq!(
            number_of("9007199254740993", FieldKind::Integer),
            "9007199254740993"
        );
    }

    proptest! {
        #[test]
        fn a_table_keeps_to_its_budget_and_its_shape(
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
            let shaped = table(&rows, &schema(), &names(&["name", "ref"]), budget);
            prop_assert!(shaped.text.len() <= budget);
            prop_assert!(shaped.shown <= rows.len());
            if rows.len() > 2 {
                let lines = shaped.text.lines().count();
                prop_assert!(lines <= shaped.shown + 3, "{}", shaped.text);
            }
        }
    }
}
