//! Changes as text: what is there, and what would be.

use serde_json::{Map, Value};

use crate::access::{DisplayNames, RecordSnapshot};
use gatepost_base::text::{self, one_line};
use gatepost_odoo::{Field, FieldKind, ModelName, RecordId, Schema};

/// Characters of one value.
const VALUE_CHARS: usize = 160;
/// Records that are shown one by one, where the same becomes of all.
pub(crate) const MAX_RECORDS: usize = 20;
/// Ids that are named in one text.
const MAX_IDS: usize = 50;
/// Characters of the name of one of the others.
const NAME_CHARS: usize = 60;
/// Items that are shown of one list.
const MAX_ITEMS: usize = 50;
/// Bytes of all that is shown. Whoever agrees has to be able to read it, and is
/// told of what does not stand here.
const MAX_BYTES: usize = 24 << 10;
/// What stands where `one_line` left something out.
const TRUNCATION_MARK: &str = "…(+";

/// A list that is empty.
static EMPTY_LIST: Value = Value::Array(Vec::new());

/// A field that is a list, with the model of its records.
pub(crate) type X2manyField<'f> = (&'f Field, &'f ModelName);

/// The records and the names that stand for them, as text.
#[derive(Debug)]
pub struct PreviewRenderer<'a> {
    /// The fields of the model.
    pub schema: &'a Schema,
    /// The names of records that values link to.
    pub names: &'a DisplayNames,
}

impl PreviewRenderer<'_> {
    /// New records, one a line.
    pub fn new_records(&self, list: &[Map<String, Value>]) -> String {
        let mut text = String::new();
        for (index, values) in list.iter().enumerate() {
            let mut plain = values.clone();
            plain.retain(|name, value| self.x2many_field(name, value).is_none());
            let mut values = self.list_changes(values, |_| Some(&EMPTY_LIST));
            if !plain.is_empty() || values.is_empty() {
                values.insert_str(0, &self.values(&plain));
            }
            if index > 0 && text.len() + values.len() > MAX_BYTES {
                let rest = list.len() - index;
                push_line(
                    &mut text,
                    format_args!(
                        "and {rest} more, with values of their own, which are NOT SHOWN: there is too much. Fewer at once are shown whole"
                    ),
                );
                break;
            }
            push_line(&mut text, format_args!("{}. {values}", index + 1));
        }
        trimmed(text)
    }

    /// Records with what is there and what would be, one a line. A field that
    /// has its value already says so.
    pub fn updates(
        &self,
        ids: &[RecordId],
        before: &RecordSnapshot,
        values: &Map<String, Value>,
    ) -> String {
        let mut text = String::new();
        let mut shown = 0;
        for id in ids.iter().take(MAX_RECORDS) {
            let row = before.row(*id);
            let old = |name: &str| row.and_then(|row| row.get(name));
            let plain: Vec<_> = values
                .iter()
                .filter(|(name, value)| self.x2many_field(name, value).is_none())
                .collect();
            let parts = plain
                .iter()
                .map(|(name, value)| self.field_change(name, old(name), value));
            let gap = if plain.is_empty() { "" } else { " " };
            let one = format!(
                "{}:{gap}{}{}",
                title(*id, before, VALUE_CHARS),
                joined(parts),
                self.list_changes(values, old)
            );
            if shown > 0 && text.len() + one.len() > MAX_BYTES {
                break;
            }
            push_line(&mut text, format_args!("{one}"));
            shown += 1;
        }
        push_others(&mut text, ids.get(shown..).unwrap_or_default(), before);
        trimmed(text)
    }

    /// One field, with what is there and what would be.
    pub(crate) fn field_change(&self, name: &str, old: Option<&Value>, new: &Value) -> String {
        let field = self.schema.field(name);
        if let Some((list, commands)) = self.x2many_field(name, new) {
            return format!("{name}: {}", braced(&self.x2many_diff(list, old, commands)));
        }
        let told = self.value(field, new);
        let Some(old) = old else {
            // A file that is in a list is not looked at.
            let is_file = field.is_some_and(|field| field.kind.is_binary());
            let had = if is_file {
                "(a file, or none)"
            } else {
                "(not to be seen)"
            };
            return format!("{name}: {had} -> {told}");
        };
        let had = self.value(field, old);
        // Two files may have the same size, two texts the same beginning.
        let cut =
            had.contains(TRUNCATION_MARK) || field.is_some_and(|field| field.kind.is_binary());
        if old == new || (had == told && !cut) {
            format!("{name}: {had} (as it is)")
        } else if had == told {
            format!("{name}: {had} -> another, which looks the same as far as it is shown")
        } else {
            format!("{name}: {had} -> {told}")
        }
    }

    /// The lists among the values, with what becomes of them, a line for each
    /// step.
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
                    text::append(
                        &mut text,
                        format_args!(
                            "\n   {name}: and {rest} more steps that are NOT SHOWN: there is too much. Fewer at once are shown whole"
                        ),
                    );
                    break;
                }
                text::append(&mut text, format_args!("\n   {name}: {step}"));
            }
        }
        text
    }

    /// The list that commands are for.
    fn x2many_field<'v>(
        &self,
        name: &str,
        value: &'v Value,
    ) -> Option<(X2manyField<'_>, &'v [Value])> {
        let field = self.schema.field(name)?;
        let commands = x2many_commands(field, value)?;
        Some(((field, field.relation.as_ref()?), commands))
    }

    /// Records by their names, one a line.
    pub fn titles(ids: &[RecordId], shot: &RecordSnapshot) -> String {
        let mut text = String::new();
        for id in ids.iter().take(MAX_RECORDS) {
            push_line(&mut text, format_args!("{}", title(*id, shot, VALUE_CHARS)));
        }
        push_others(&mut text, ids.get(MAX_RECORDS..).unwrap_or_default(), shot);
        trimmed(text)
    }

    /// The first records by their names, one a line, and the ids of all where
    /// there are more: for who knows what was done, but for the ids.
    pub fn some_titles(ids: &[RecordId], shot: &RecordSnapshot) -> String {
        let some = ids.get(..MAX_RECORDS).unwrap_or(ids);
        let mut text = Self::titles(some, shot);
        if ids.len() > some.len() {
            text.push('\n');
            push_line(&mut text, format_args!("All ids: {}", id_ranges(ids)));
        }
        trimmed(text)
    }

    /// Records by their names, one beside the other.
    pub fn names(ids: &[RecordId], shot: &RecordSnapshot) -> String {
        let names = ids.iter().map(|id| title(*id, shot, NAME_CHARS));
        names.collect::<Vec<_>>().join("; ")
    }

    /// The values of one record.
    pub fn values(&self, values: &Map<String, Value>) -> String {
        if values.is_empty() {
            return "(nothing but defaults)".to_owned();
        }
        joined(
            values.iter().map(|(name, value)| {
                format!("{name}: {}", self.value(self.schema.field(name), value))
            }),
        )
    }

    /// One value, as it is written or as Odoo gives it.
    pub fn value(&self, field: Option<&Field>, value: &Value) -> String {
        let kind = field.map_or(FieldKind::Unknown, |field| field.kind);
        let relation = field.and_then(|field| field.relation.as_ref());
        match value {
            Value::Null => "(empty)".to_owned(),
            Value::Bool(false) if kind != FieldKind::Boolean => "(empty)".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Number(number) => match (kind, relation) {
                (FieldKind::Many2one, Some(relation)) => self.link(relation, number.as_i64()),
                // Odoo says `4200.0` for what was written as `4200`.
                _ => match (number.is_f64(), number.as_f64()) {
                    (true, Some(plain)) => plain.to_string(),
                    (_, _) => number.to_string(),
                },
            },
            Value::String(text) if kind.is_binary() => format!("({} bytes of base64)", text.len()),
            Value::String(text) if text.is_empty() => "(empty)".to_owned(),
            Value::String(text) => selection_label(field, text),
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
                _ => one_line(&value.to_string(), VALUE_CHARS),
            },
            Value::Object(_) => one_line(&value.to_string(), VALUE_CHARS),
        }
    }

    fn link(&self, relation: &ModelName, id: Option<i64>) -> String {
        let Some(id) = id.and_then(|id| RecordId::try_from(id).ok()) else {
            return "(empty)".to_owned();
        };
        self.names.label(relation, id)
    }

    /// The records in a list.
    fn ids(&self, relation: &ModelName, items: &[Value]) -> String {
        if items.is_empty() {
            return "(none)".to_owned();
        }
        let some = items.iter().take(MAX_ITEMS);
        let mut parts: Vec<String> = some
            .map(|item| self.link(relation, item.as_i64()))
            .collect();
        if items.len() > MAX_ITEMS {
            parts.push(format!(
                "and {} more that are NOT SHOWN",
                items.len() - MAX_ITEMS
            ));
        }
        parts.join(", ")
    }
}

/// The commands that a value of a list consists of; nothing where it is ids.
fn x2many_commands<'v>(field: &Field, value: &'v Value) -> Option<&'v [Value]> {
    let items = value.as_array().filter(|_| field.kind.is_x2many())?;
    items.first().filter(|first| first.is_array())?;
    Some(items)
}

/// Steps inside a line.
fn braced(steps: &[String]) -> String {
    format!("{{{}}}", steps.join("; "))
}

/// Ids as a list.
pub fn id_list(ids: &[RecordId]) -> String {
    let mut parts: Vec<String> = ids.iter().take(MAX_IDS).map(ToString::to_string).collect();
    if ids.len() > MAX_IDS {
        parts.push(format!("… ({} in all)", ids.len()));
    }
    format!("[{}]", parts.join(", "))
}

/// Ids in their order, runs of them in short: `[7-9, 12]`.
pub fn id_ranges(ids: &[RecordId]) -> String {
    const MAX_RUNS: usize = 60;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == id.get() => *end = id.get(),
            Some(_) | None => runs.push((id.get(), id.get())),
        }
    }
    let mut text: Vec<String> = runs
        .iter()
        .take(MAX_RUNS)
        .map(|(from, to)| match to - from {
            0 => from.to_string(),
            _ => format!("{from}-{to}"),
        })
        .collect();
    if runs.len() > MAX_RUNS {
        text.push(format!("… ({} in all)", ids.len()));
    }
    format!("[{}]", text.join(", "))
}

/// A choice with its label; any other text in quotes.
fn selection_label(field: Option<&Field>, text: &str) -> String {
    let choice = field
        .filter(|field| field.kind == FieldKind::Selection)
        .and_then(|field| field.selection.iter().find(|choice| &*choice.key == text));
    match choice {
        Some(choice) if *choice.label != *choice.key => {
            format!("{} ({})", choice.key, one_line(&choice.label, VALUE_CHARS))
        }
        Some(choice) => choice.key.to_string(),
        // What stands in the text must not look like what stands behind it.
        None => format!("\"{}\"", one_line(text, VALUE_CHARS).replace('"', "\\\"")),
    }
}

/// Parts beside each other, as far as there is room.
pub(crate) fn joined(parts: impl ExactSizeIterator<Item = String>) -> String {
    let count = parts.len();
    let mut text = String::new();
    for (index, part) in parts.enumerate() {
        if index > 0 && text.len() + part.len() > MAX_BYTES {
            let rest = count - index;
            text::append(
                &mut text,
                format_args!("; and {rest} more fields that are NOT SHOWN"),
            );
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(&part);
    }
    text
}

/// A record as Odoo gives a link: its id and its name.
fn many2one_label(items: &[Value]) -> String {
    match items {
        [Value::Number(id), Value::String(name)] => {
            format!("{} [{id}]", one_line(name, VALUE_CHARS))
        }
        _ => one_line(&Value::Array(items.to_vec()).to_string(), VALUE_CHARS),
    }
}

/// A record: its id and its name.
fn title(id: RecordId, shot: &RecordSnapshot, chars: usize) -> String {
    let name = shot.name(id);
    if name.is_empty() {
        format!("[{id}]")
    } else {
        format!("[{id}] {}", one_line(name, chars))
    }
}

fn push_line(text: &mut String, part: std::fmt::Arguments<'_>) {
    text::append(text, format_args!("{part}\n"));
}

/// The records of which the same becomes, each by its name: who agrees agrees
/// to all of them.
fn push_others(text: &mut String, ids: &[RecordId], shot: &RecordSnapshot) {
    if ids.is_empty() {
        return;
    }
    push_line(
        text,
        format_args!(
            "and {} more, likewise: {}",
            ids.len(),
            PreviewRenderer::names(ids, shot)
        ),
    );
}

fn trimmed(mut text: String) -> String {
    text.truncate(text.trim_end().len());
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
        let before = RecordSnapshot::from_json(rows);
        let ids: Vec<_> = before.rows().map(|(id, _)| id).collect();
        let ids: Vec<_> = ids.iter().map(|id| (*id).try_into().unwrap()).collect();
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
        assert!(steps[0].ends_with("looks the same as far as it is shown"));
        assert!(steps[1].ends_with("(as it is)"), "{text}");
        assert!(steps[2].ends_with("(as it is)"), "{text}");
        assert!(steps[3].ends_with("looks the same as far as it is shown"));
    }

    #[test]
    fn create_preview_shows_every_record_or_says_that_some_are_left_out() {
        let mut list = vec![json!({"f1": "harmless"}); 30];
        list[29] = json!({"f1": "not harmless"});
        assert!(creates(&list).contains("30. f1: \"not harmless\""));
        let long = "x".repeat(150);
        let text = creates(&vec![json!({"f1": long, "f2": long}); 500]);
        assert!(text.len() < 30_000, "{}", text.len());
        assert!(text.contains("with values of their own, which are NOT SHOWN"));
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
    fn quotes_in_preview_text_are_escaped() {
        let text = creates(&[json!({"f1": "a\"; f2: \"b"})]);
        assert_eq!(text, r#"1. f1: "a\"; f2: \"b""#);
    }
}
