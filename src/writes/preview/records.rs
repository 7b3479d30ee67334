//! The preview of records: what is there, and what would be written.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::access::{DisplayNames, RecordSnapshot};
use gatepost_base::{
    digest::hex,
    text::{CUT_MARK, append, join_bounded, one_line, visible_json, visible_text},
};
use gatepost_odoo::{Field, FieldKind, ModelName, RecordId, Schema};

/// Characters of one value that is in Odoo now.
const VALUE_CHARS: usize = 160;
/// Characters of one value that is going to be written. A longer one is described by
/// its length and its digest as well.
const NEW_VALUE_CHARS: usize = 4_000;
/// Records that are shown one by one if the same happens to all.
pub(crate) const MAX_RECORDS: usize = 20;
/// Characters of the name of one of the other records.
const NAME_CHARS: usize = 60;
/// Items of one list.
const MAX_ITEMS: usize = 50;
/// The largest preview, in bytes. A person has to be able to read it, and it says
/// what it does not show.
const MAX_BYTES: usize = 24 << 10;

static EMPTY_LIST: Value = Value::Array(Vec::new());

/// A field that is a list, with the model of its records.
pub(crate) type X2manyField<'f> = (&'f Field, &'f ModelName);

/// Renders records of one model, and the values to be written to them, as text.
#[derive(Debug)]
pub struct PreviewRenderer<'a> {
    /// The fields of the model.
    pub schema: &'a Schema,
    /// The names of the records that the values link to.
    pub names: &'a DisplayNames,
}

impl<'a> PreviewRenderer<'a> {
    /// A renderer that shows linked records by their ids, unless Odoo returned their
    /// names.
    pub fn without_names(schema: &'a Schema) -> Self {
        static NO_NAMES: LazyLock<DisplayNames> = LazyLock::new(DisplayNames::new);
        let names = &*NO_NAMES;
        Self { schema, names }
    }
}

impl PreviewRenderer<'_> {
    /// New records, one per line.
    pub fn new_records(&self, list: &[Map<String, Value>]) -> String {
        let records = list.iter().enumerate().map(|(index, values)| {
            let mut plain = values.clone();
            plain.retain(|name, value| self.x2many_field(name, value).is_none());
            let mut text = self.list_changes(values, |_| Some(&EMPTY_LIST));
            if !plain.is_empty() || text.is_empty() {
                text.insert_str(0, &self.values(&plain));
            }
            format!("{}. {text}", index + 1)
        });
        join_bounded(records, "\n", MAX_BYTES, |at| {
            format!(
                "and {} more, with values of their own, which are NOT SHOWN: there is too much. Create fewer at once to see all",
                list.len() - at
            )
        })
    }

    /// Records with their old and new values, one per line. A field that has its
    /// new value already is marked.
    pub fn updates(
        &self,
        ids: &[RecordId],
        before: &RecordSnapshot,
        values: &Map<String, Value>,
    ) -> String {
        let update = |id: &RecordId| {
            let row = before.row(*id);
            let old = |name: &str| row.and_then(|row| row.get(name));
            let plain = values.iter();
            let plain = plain.filter(|(name, value)| self.x2many_field(name, value).is_none());
            let plain: Vec<String> = plain
                .map(|(name, value)| self.field_change(name, old(name), value))
                .collect();
            let gap = if plain.is_empty() { "" } else { " " };
            let title = title(*id, before, VALUE_CHARS);
            let lists = self.list_changes(values, old);
            format!("{title}:{gap}{}{lists}", joined(plain.into_iter()))
        };
        with_others(ids, before, update)
    }

    /// Whether each record has each of the values already, as [`Self::updates`] shows it.
    pub fn changes_nothing(
        &self,
        ids: &[RecordId],
        before: &RecordSnapshot,
        values: &Map<String, Value>,
    ) -> bool {
        ids.iter().all(|id| {
            let row = before.row(*id);
            values.iter().all(|(name, new)| {
                let field = self.schema.field(name);
                self.x2many_field(name, new).is_none()
                    && row
                        .and_then(|row| row.get(name))
                        .is_some_and(|old| self.is_same(field, old, new))
            })
        })
    }

    /// Whether a value is known to be the one that would be written. Two files may have
    /// the same size, two texts the same beginning.
    fn is_same(&self, field: Option<&Field>, old: &Value, new: &Value) -> bool {
        let is_file = field.is_some_and(|field| field.kind.is_binary());
        let shown = self.value(field, old);
        let is_partial = is_file || shown.contains(CUT_MARK);
        old == new || (!is_partial && shown == self.new_value(field, new))
    }

    /// One field with its old and new value.
    pub(crate) fn field_change(&self, name: &str, old: Option<&Value>, new: &Value) -> String {
        let field = self.schema.field(name);
        if let Some((list, commands)) = self.x2many_field(name, new) {
            return format!("{name}: {}", braced(&self.x2many_diff(list, old, commands)));
        }
        let new_text = self.new_value(field, new);
        let is_file = field.is_some_and(|field| field.kind.is_binary());
        let Some(old) = old else {
            // Files in lines are not read.
            let old_text = if is_file {
                "(a file, or none)"
            } else {
                "(cannot be seen)"
            };
            return format!("{name}: {old_text} -> {new_text}");
        };
        let old_text = self.value(field, old);
        if self.is_same(field, old, new) {
            format!("{name}: {old_text} (as it is)")
        } else if old_text == new_text {
            format!("{name}: {old_text} -> another value that begins alike")
        } else {
            format!("{name}: {old_text} -> {new_text}")
        }
    }

    /// The lists among the values with what happens to them, one line per step.
    fn list_changes<'v>(
        &self,
        values: &Map<String, Value>,
        old: impl Fn(&str) -> Option<&'v Value>,
    ) -> String {
        let mut text = String::new();
        for (name, value) in values {
            let Some((list, commands)) = self.x2many_field(name, value) else {
                continue;
            };
            let steps = self.x2many_diff(list, old(name), commands);
            for (index, step) in steps.iter().enumerate() {
                if text.len() + step.len() > MAX_BYTES && !text.is_empty() {
                    let rest = steps.len() - index;
                    append(
                        &mut text,
                        format_args!(
                            "\n   {name}: and {rest} more steps that are NOT SHOWN: there is too much. Write fewer at once to see all"
                        ),
                    );
                    break;
                }
                append(&mut text, format_args!("\n   {name}: {step}"));
            }
        }
        text
    }

    /// The list that a value has commands for.
    fn x2many_field<'v>(
        &self,
        name: &str,
        value: &'v Value,
    ) -> Option<(X2manyField<'_>, &'v [Value])> {
        let field = self.schema.field(name)?;
        let commands = x2many_commands(field, value)?;
        Some(((field, field.relation.as_ref()?), commands))
    }

    /// Records by their names, one per line.
    pub fn titles(ids: &[RecordId], records: &RecordSnapshot) -> String {
        with_others(ids, records, |id| title(*id, records, VALUE_CHARS))
    }

    /// Records by their names, in one line.
    pub fn names(ids: &[RecordId], records: &RecordSnapshot) -> String {
        let names = ids.iter().map(|id| title(*id, records, NAME_CHARS));
        names.collect::<Vec<_>>().join("; ")
    }

    /// The values of one record.
    pub fn values(&self, values: &Map<String, Value>) -> String {
        if values.is_empty() {
            return "(nothing but defaults)".to_owned();
        }
        joined(values.iter().map(|(name, value)| {
            format!("{name}: {}", self.new_value(self.schema.field(name), value))
        }))
    }

    /// One value as Odoo returned it. A long one is cut.
    pub fn value(&self, field: Option<&Field>, value: &Value) -> String {
        self.value_within(VALUE_CHARS, field, value)
    }

    /// One value that is going to be written, so that nothing in it is unseen.
    pub fn new_value(&self, field: Option<&Field>, value: &Value) -> String {
        self.value_within(NEW_VALUE_CHARS, field, value)
    }

    fn value_within(&self, max_chars: usize, field: Option<&Field>, value: &Value) -> String {
        let kind = field.map_or(FieldKind::Unknown, |field| field.kind);
        let relation = field.and_then(|field| field.relation.as_ref());
        match value {
            Value::Null => "(empty)".to_owned(),
            Value::Bool(false) if kind != FieldKind::Boolean => "(empty)".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => match (kind, relation) {
                (FieldKind::Many2one, Some(relation)) => self.link(relation, value),
                // Odoo returns `4200.0` for what was written as `4200`.
                _ => match (number.is_f64(), number.as_f64()) {
                    (true, Some(plain)) => plain.to_string(),
                    (_, _) => number.to_string(),
                },
            },
            Value::String(text) if kind.is_binary() => format!("({} bytes of base64)", text.len()),
            Value::String(text) if text.is_empty() => "(empty)".to_owned(),
            Value::String(text) => selection_label(max_chars, field, text),
            Value::Array(items) => match (field, relation) {
                (Some(_), Some(_)) if kind == FieldKind::Many2one => many2one_label(items),
                (Some(field), Some(relation)) if kind.is_x2many() => {
                    match x2many_commands(field, value) {
                        Some(commands) => {
                            let list = (field, relation);
                            braced(&self.x2many_diff(list, Some(&EMPTY_LIST), commands))
                        }
                        None => self.ids(relation, items),
                    }
                }
                _ => json_within(max_chars, value),
            },
            Value::Object(_) => json_within(max_chars, value),
        }
    }

    fn link(&self, relation: &ModelName, id: &Value) -> String {
        RecordId::from_json(id)
            .map_or_else(|| "(empty)".to_owned(), |id| self.names.label(relation, id))
    }

    /// The records in a list.
    fn ids(&self, relation: &ModelName, items: &[Value]) -> String {
        if items.is_empty() {
            return "(none)".to_owned();
        }
        let some = items.iter().take(MAX_ITEMS);
        let mut parts: Vec<String> = some.map(|item| self.link(relation, item)).collect();
        if items.len() > MAX_ITEMS {
            let rest = items.len() - MAX_ITEMS;
            parts.push(format!("and {rest} more that are NOT SHOWN"));
        }
        parts.join(", ")
    }
}

/// The commands in the value of a list; `None` if it has ids.
fn x2many_commands<'v>(field: &Field, value: &'v Value) -> Option<&'v [Value]> {
    let items = value.as_array().filter(|_| field.kind.is_x2many())?;
    items.first().filter(|first| first.is_array())?;
    Some(items)
}

/// Steps inside a line.
fn braced(steps: &[String]) -> String {
    format!("{{{}}}", steps.join("; "))
}

/// The option of a selection with its label; any other text in quotes.
fn selection_label(max_chars: usize, field: Option<&Field>, text: &str) -> String {
    let option = field
        .filter(|field| field.kind == FieldKind::Selection)
        .and_then(|field| field.selection.iter().find(|option| &*option.key == text));
    match option {
        Some(option) if *option.label != *option.key => {
            format!("{} ({})", option.key, one_line(&option.label, VALUE_CHARS))
        }
        Some(option) => option.key.to_string(),
        None => quoted_text(text, max_chars),
    }
}

/// A text that is going to be written, whole up to some kB, in quotes.
pub(crate) fn quoted_new_text(text: &str) -> String {
    quoted_text(text, NEW_VALUE_CHARS)
}

fn quoted_text(text: &str, max_chars: usize) -> String {
    let (shown, left_out) = visible_text(text, max_chars);
    format!("{}{}", quoted(&shown), cut_note(text, left_out, max_chars))
}

/// A text in quotes. A quote inside it does not look like its end.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

/// JSON that is going to be written, whole up to some kB.
pub fn new_json(value: &Value) -> String {
    json_within(NEW_VALUE_CHARS, value)
}

fn json_within(max_chars: usize, value: &Value) -> String {
    let (shown, left_out) = visible_json(value, max_chars);
    format!(
        "{shown}{}",
        cut_note(&value.to_string(), left_out, max_chars)
    )
}

/// What is not shown of a value. A new one is identified by its digest, so that the rest
/// can be read in the arguments of the call.
fn cut_note(text: &str, left_out: usize, max_chars: usize) -> String {
    if left_out == 0 {
        String::new()
    } else if max_chars < NEW_VALUE_CHARS {
        format!("{CUT_MARK}{left_out} chars)")
    } else {
        let digest = hex(&Sha256::digest(text));
        format!(
            "{CUT_MARK}{left_out} chars that are NOT SHOWN; read them in the arguments of the call, whose text has {} chars and the SHA-256 {digest}, or write less at once)",
            max_chars + left_out
        )
    }
}

/// Parts in one line, within the limit.
pub(crate) fn joined(parts: impl ExactSizeIterator<Item = String>) -> String {
    let count = parts.len();
    join_bounded(parts, "; ", MAX_BYTES, |at| {
        format!("and {} more fields that are NOT SHOWN", count - at)
    })
}

/// A link as Odoo returns it, `[id, name]`.
fn many2one_label(items: &[Value]) -> String {
    match items {
        [Value::Number(id), Value::String(name)] => {
            format!("{} [{id}]", one_line(name, VALUE_CHARS))
        }
        _ => json_within(VALUE_CHARS, &Value::Array(items.to_vec())),
    }
}

/// A record: its id and its name.
pub(super) fn title(id: RecordId, records: &RecordSnapshot, chars: usize) -> String {
    match records.name(id) {
        "" => format!("[{id}]"),
        name => format!("[{id}] {}", one_line(name, chars)),
    }
}

/// The first records, one per line within the limit, and the names of all others,
/// because an approval covers all of them.
pub(super) fn with_others(
    ids: &[RecordId],
    records: &RecordSnapshot,
    line: impl Fn(&RecordId) -> String,
) -> String {
    let others = |at: usize| {
        let rest = ids.get(at..).unwrap_or_default();
        let names = PreviewRenderer::names(rest, records);
        format!("and {} more, likewise: {names}", rest.len())
    };
    let some = ids.get(..MAX_RECORDS).unwrap_or(ids);
    let mut end = some.len();
    let mut text = join_bounded(some.iter().map(line), "\n", MAX_BYTES, |at| {
        end = at;
        others(at)
    });
    if end == some.len() && ids.len() > end {
        append(&mut text, format_args!("\n{}", others(end)));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{DisplayNames, PreviewRenderer};
    use crate::access::RecordSnapshot;
    use gatepost_odoo::Schema;

    fn schema() -> Schema {
        let fields: Map<String, Value> = (0..60)
            .map(|index| (format!("f{index}"), json!({"type": "char"})))
            .chain([
                ("file".to_owned(), json!({"type": "binary"})),
                (
                    "line_ids".to_owned(),
                    json!({"type": "one2many", "relation": "sale.order.line"}),
                ),
            ])
            .collect();
        Schema::parse(Value::Object(fields).to_string().as_bytes()).unwrap()
    }

    fn updates(rows: &Value, values: &Value) -> String {
        let (schema, names) = (schema(), DisplayNames::new());
        let show = PreviewRenderer {
            schema: &schema,
            names: &names,
        };
        let before = RecordSnapshot::from(rows.clone());
        let ids: Vec<_> = before.rows().map(|(id, _)| id).collect();
        show.updates(&ids, &before, values.as_object().unwrap())
    }

    fn creates(list: &[Value]) -> String {
        let (schema, names) = (schema(), DisplayNames::new());
        let show = PreviewRenderer {
            schema: &schema,
            names: &names,
        };
        let list: Vec<_> = list
            .iter()
            .map(|one| one.as_object().unwrap().clone())
            .collect();
        show.new_records(&list)
    }

    #[test]
    fn update_preview_shows_every_written_field() {
        let values: Map<String, Value> = (0..60)
            .map(|index| (format!("f{index}"), json!("new")))
            .collect();
        let text = updates(&json!({"1": {"id": 1, "f59": "old"}}), &values.into());
        assert!(text.contains("f59: \"old\" -> \"new\""), "{text}");
    }

    #[test]
    fn differing_values_with_equal_text_are_not_shown_as_unchanged() {
        let (one, other) = ("x".repeat(200) + "a", "x".repeat(200) + "b");
        let text = updates(
            &json!({"1": {"f1": one, "f2": one, "f3": "x", "file": "AAAA"}}),
            &json!({"f1": other, "f2": one, "f3": "x", "file": "BBBB"}),
        );
        let steps: Vec<&str> = text.split("; ").collect();
        // The new value is whole.
        assert!(
            steps[0].ends_with(&format!("\"…(+41 chars) -> \"{other}\"")),
            "{text}"
        );
        insta::assert_snapshot!(steps[1..].join("\n").replace(&"x".repeat(100), "…"), @r#"
        f2: "…xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"…(+41 chars) (as it is)
        f3: "x" (as it is)
        file: (4 bytes of base64) -> another value that begins alike
        "#);
    }

    #[test]
    fn create_preview_shows_every_record_or_says_that_some_are_left_out() {
        let mut list = vec![json!({"f1": "harmless"}); 30];
        list[29] = json!({"f1": "not harmless"});
        assert!(creates(&list).contains("30. f1: \"not harmless\""));
        let long = "x".repeat(150);
        let text = creates(&vec![json!({"f1": long, "f2": long}); 500]);
        assert!(text.len() < 30_000, "{}", text.len());
        insta::assert_snapshot!(text.lines().last().unwrap(), @"and 423 more, with values of their own, which are NOT SHOWN: there is too much. Create fewer at once to see all");
    }

    #[test]
    fn update_preview_names_every_record() {
        let rows: Map<String, Value> = (1..=500)
            .map(|id| {
                (
                    id.to_string(),
                    json!({"display_name": format!("Order {id}")}),
                )
            })
            .collect();
        let text = updates(&rows.into(), &json!({"f1": "x"}));
        assert!(text.contains("[500] Order 500"), "{text}");
    }

    #[test]
    fn create_preview_shows_line_values_after_a_long_value() {
        let name = "x".repeat(300);
        let text = creates(&[json!({"line_ids": [[0, 0, {"name": name, "price_unit": 0.01}]]})]);
        assert!(text.contains("price_unit: 0.01"), "{text}");
    }

    #[test]
    fn new_text_is_whole_and_hidden_characters_are_visible() {
        let long = "x".repeat(3_990) + "the end";
        assert!(creates(&[json!({"f1": long})]).contains("the end"));
        for (value, shown) in [
            ("pay\u{200b}pal\u{202e}", r#""pay\u{200b}pal\u{202e}""#),
            ("می\u{200c}خواهم", "\"می\u{200c}خواهم\""),
            ("👨\u{200d}👩\u{200d}👧", "\"👨\u{200d}👩\u{200d}👧\""),
            (" a\nb\\nc ", r#"" a\nb\\nc ""#),
        ] {
            assert_eq!(creates(&[json!({"f1": value})]), format!("1. f1: {shown}"));
            let text = updates(&json!({"1": {"f1": "old"}}), &json!({"f1": value}));
            assert_eq!(text, format!("[1]: f1: \"old\" -> {shown}"));
        }
        let json = json!({"f1": {"a": ["\u{feff}"]}});
        assert_eq!(creates(&[json]), r#"1. f1: {"a":["\u{feff}"]}"#);
    }

    #[test]
    fn rest_of_a_huge_text_is_identified_by_length_and_digest() {
        let text = creates(&[json!({"f1": "x".repeat(5_000)})]);
        // echo -n "xxx…" | sha256sum
        let digest =
            gatepost_base::digest::hex(&<sha2::Sha256 as sha2::Digest>::digest("x".repeat(5_000)));
        assert!(text.contains(&digest), "{text}");
        insta::assert_snapshot!(
            text.replace(&"x".repeat(1_000), "…")
                .replace(&digest, "DIGEST"), @r#"1. f1: "…………"…(+1000 chars that are NOT SHOWN; read them in the arguments of the call, whose text has 5000 chars and the SHA-256 DIGEST, or write less at once)"#);
    }

    #[test]
    fn quotes_in_preview_text_are_escaped() {
        let text = creates(&[json!({"f1": "a\"; f2: \"b"})]);
        assert_eq!(text, r#"1. f1: "a\"; f2: \"b""#);
    }
}
