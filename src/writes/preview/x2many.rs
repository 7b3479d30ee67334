//! What becomes of the records in a list, as text.

use gatepost_base::text;
use serde_json::{Map, Value};

use super::records::{X2manyField, joined};
use crate::writes::PreviewRenderer;
use gatepost_odoo::{FieldKind, ModelName, RecordId, Schema};

/// Records that stay in a list and are named.
pub(crate) const MAX_REMAINING: usize = 10;
/// Bytes of names in one step.
const MAX_BYTES: usize = 6 << 10;

/// What becomes of the records that are in a list, and of those that come.
#[derive(Default)]
struct X2manyDiff {
    /// What is made and changed, as text.
    lines: Vec<String>,
    /// What only gets other values.
    changed: Vec<RecordId>,
    deleted: Vec<RecordId>,
    removed: Vec<RecordId>,
    added: Vec<RecordId>,
    remaining: Vec<RecordId>,
}

impl PreviewRenderer<'_> {
    /// What the commands do to a list (Odoo 19, `odoo/orm/commands.py`), step by
    /// step. `old` is what is in it; nothing where that cannot be seen.
    pub(crate) fn x2many_diff(
        &self,
        (field, relation): X2manyField<'_>,
        old: Option<&Value>,
        commands: &[Value],
    ) -> Vec<String> {
        let old = old.and_then(Value::as_array);
        let is_known = old.is_some();
        let mut steps = X2manyDiff {
            remaining: ids(old.into_iter().flatten()),
            ..X2manyDiff::default()
        };
        for command in commands {
            let part = |at: usize| command.get(at).unwrap_or(&Value::Null);
            let id = RecordId::from_json(part(1));
            let values = part(2).as_object();
            match (part(0).as_u64(), id, values) {
                (Some(0), _, Some(values)) => {
                    steps
                        .lines
                        .push(format!("new: {}", self.new_line(relation, values)));
                }
                (Some(1), Some(id), Some(values)) => {
                    steps.changed.push(id);
                    let told = self.changed_line((field, relation), id, values);
                    steps.lines.push(told);
                }
                (Some(2), Some(id), _) => {
                    steps.drop_from_remaining(id);
                    steps.deleted.push(id);
                }
                (Some(3), Some(id), _) => {
                    steps.drop_from_remaining(id);
                    steps.removed.push(id);
                }
                (Some(4), Some(id), _) => steps.add(id),
                (Some(5), _, _) if is_known => steps.clear(),
                (Some(5), _, _) => steps
                    .lines
                    .push("take out all that is in it, which cannot be seen".to_owned()),
                (Some(6), _, _) => {
                    if !is_known {
                        steps
                            .lines
                            .push("take out all others, which cannot be seen".to_owned());
                    }
                    steps.clear();
                    let set = part(2).as_array();
                    for id in ids(set.into_iter().flatten()) {
                        steps.add(id);
                    }
                }
                (_, _, _) => steps.lines.push(self.value(None, command)),
            }
        }
        self.diff_lines(steps, (field, relation))
    }

    fn diff_lines(&self, mut steps: X2manyDiff, (field, relation): X2manyField<'_>) -> Vec<String> {
        let is_owned = field.kind == FieldKind::One2many;
        let named = |ids: &[RecordId]| self.labels(relation, ids);
        let mut told = std::mem::take(&mut steps.lines);
        let changed = std::mem::take(&mut steps.changed);
        steps.remaining.retain(|id| !changed.contains(id));
        if !steps.deleted.is_empty() {
            let also = if is_owned {
                ""
            } else {
                " for good, wherever else it is linked to"
            };
            told.push(format!("delete{also}: {}", named(&steps.deleted)));
        }
        if !steps.removed.is_empty() {
            let also = if is_owned {
                " (deleted, where it cannot be without this record)"
            } else {
                ""
            };
            told.push(format!("take out{also}: {}", named(&steps.removed)));
        }
        let (moved, added): (Vec<_>, Vec<_>) = steps.added.iter().partition(|id| {
            let owner = self.previous_owner((field, relation), **id);
            owner.is_some()
        });
        for id in moved {
            if let Some(owner) = self.previous_owner((field, relation), id) {
                let record = self.names.label(relation, id);
                told.push(format!("move here, from {owner}: {record}"));
            }
        }
        if !added.is_empty() {
            told.push(format!("add: {}", named(&added)));
        }
        if !steps.remaining.is_empty() {
            let count = steps.remaining.len();
            let who = match (told.is_empty(), count) {
                (true, _) => "as it is".to_owned(),
                (false, 1) => "1 other stays".to_owned(),
                (false, _) => format!("{count} others stay"),
            };
            let some = steps.remaining.iter().copied().take(MAX_REMAINING);
            let some: Vec<RecordId> = some.collect();
            let rest = match count.saturating_sub(MAX_REMAINING) {
                0 => String::new(),
                rest => format!(" and {rest} more"),
            };
            told.push(format!("{who}: {}{rest}", named(&some)));
        }
        if told.is_empty() {
            told.push("(none)".to_owned());
        }
        told
    }

    /// To which record one belongs that is put into a list of another.
    fn previous_owner(&self, (field, relation): X2manyField<'_>, id: RecordId) -> Option<String> {
        let inverse = field.inverse.as_ref()?;
        if field.kind != FieldKind::One2many {
            return None;
        }
        let owner = self
            .names
            .line_values(relation, id)?
            .get(inverse.as_str())?;
        let is_link = owner.get(0).is_some_and(Value::is_number);
        let field = self.names.schema(relation)?.field(inverse.as_str());
        is_link.then(|| self.value(field, owner))
    }

    /// The values of a new record in a list.
    fn new_line(&self, relation: &ModelName, values: &Map<String, Value>) -> String {
        let none = Schema::default();
        let show = PreviewRenderer {
            schema: self.names.schema(relation).unwrap_or(&none),
            names: self.names,
        };
        show.values(values)
    }

    /// A record in a list, with what is there and what would be.
    fn changed_line(
        &self,
        (field, relation): X2manyField<'_>,
        id: RecordId,
        values: &Map<String, Value>,
    ) -> String {
        let none = Schema::default();
        let show = PreviewRenderer {
            schema: self.names.schema(relation).unwrap_or(&none),
            names: self.names,
        };
        let row = self.names.line_values(relation, id);
        let parts = values.iter().map(|(name, value)| {
            let old = row.and_then(|row| row.get(name));
            show.field_change(name, old, value)
        });
        let also = if field.kind == FieldKind::One2many {
            ""
        } else {
            ", for all that link to it"
        };
        format!(
            "change {}{also}: {}",
            self.names.label(relation, id),
            joined(parts)
        )
    }

    /// Records by their names, as far as there is room.
    fn labels(&self, relation: &ModelName, ids: &[RecordId]) -> String {
        let mut text = String::new();
        for (index, id) in ids.iter().enumerate() {
            if text.len() > MAX_BYTES {
                let rest = ids.len() - index;
                text::append(
                    &mut text,
                    format_args!(" and {rest} more that are NOT SHOWN"),
                );
                break;
            }
            if index > 0 {
                text.push_str(", ");
            }
            text.push_str(&self.names.label(relation, *id));
        }
        text
    }
}

impl X2manyDiff {
    fn drop_from_remaining(&mut self, id: RecordId) {
        self.remaining.retain(|other| *other != id);
    }

    fn add(&mut self, id: RecordId) {
        // It was there, and only taken out by a command before this one.
        if self.removed.contains(&id) {
            self.removed.retain(|other| *other != id);
            self.remaining.push(id);
        } else if !self.remaining.contains(&id) && !self.added.contains(&id) {
            self.added.push(id);
        }
    }

    fn clear(&mut self) {
        self.added.clear();
        self.removed.append(&mut self.remaining);
    }
}

fn ids<'v>(values: impl Iterator<Item = &'v Value>) -> Vec<RecordId> {
    values.filter_map(RecordId::from_json).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{
        access::{DisplayNames, RecordSnapshot},
        writes::PreviewRenderer,
    };
    use gatepost_odoo::{ModelName, RecordId, Schema};

    fn model() -> ModelName {
        ModelName::try_from("x.line").unwrap()
    }

    /// Lines 1 to 3 are of the record 7, 9 is of another.
    fn names() -> DisplayNames {
        let mut names = DisplayNames::new();
        for id in [1, 2, 3, 9] {
            let id = RecordId::try_from(id).unwrap();
            names.insert((model(), id), format!("Line {id}"));
        }
        let rows = json!({
            "1": {"id": 1, "qty": 2.0, "product_id": [4, "Desk"], "order_id": [7, "S7"]},
            "9": {"id": 9, "order_id": [8, "S8"]},
        });
        names.add_lines(&model(), RecordSnapshot::from_json(&rows));
        let lines = r#"{"qty": {"type": "float"}, "order_id": {"type": "many2one", "relation": "x.order"},
            "product_id": {"type": "many2one", "relation": "x.product"}}"#;
        names.add_schemas([(model(), Schema::parse(lines.as_bytes()).unwrap())].into());
        let lamp = ModelName::try_from("x.product").unwrap();
        names.insert((lamp, 5_i64.try_into().unwrap()), "Lamp".to_owned());
        names
    }

    fn diff(kind: &str, old: Option<&Value>, commands: &Value) -> String {
        let fields =
            json!({"list": {"type": kind, "relation": "x.line", "relation_field": "order_id"}});
        let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
        let names = names();
        let show = PreviewRenderer {
            schema: &schema,
            names: &names,
        };
        let field = schema.field("list").unwrap();
        let list = (field, field.relation.as_ref().unwrap());
        let steps = show.x2many_diff(list, old, commands.as_array().unwrap());
        steps.join("\n")
    }

    #[test]
    fn x2many_diff_shows_changed_new_deleted_moved_and_remaining_lines() {
        let told = diff(
            "one2many",
            Some(&json!([1, 2, 3])),
            &json!([[1, 1, {"qty": 5, "product_id": 5}], [0, 0, {"product_id": 5, "qty": 7}], [2, 2, 0], [4, 9, 0]]),
        );
        insta::assert_snapshot!(told, @r"
        change Line 1 [1]: qty: 2 -> 5; product_id: Desk [4] -> Lamp [5]
        new: product_id: Lamp [5]; qty: 7
        delete: Line 2 [2]
        move here, from S8 [8]: Line 9 [9]
        1 other stays: Line 3 [3]
        ");
    }

    #[test]
    fn x2many_diff_shows_line_that_is_changed_and_then_removed() {
        let old = json!([1, 2]);
        let told = |commands: Value| diff("one2many", Some(&old), &commands);
        let changed = json!([1, 1, {"qty": 5}]);
        let out = told(json!([changed, [6, 0, [2]]]));
        assert!(
            out.contains("take out (deleted, where it cannot be without this record): Line 1 [1]"),
            "{out}"
        );
        let stays = told(json!([changed, [6, 0, [1, 2]]]));
        assert!(
            !stays.contains("take out") && !stays.contains("add"),
            "{stays}"
        );
        assert!(stays.contains("1 other stays: Line 2 [2]"), "{stays}");
    }

    #[test]
    fn x2many_diff_distinguishes_adding_from_replacing() {
        let old = json!([1, 2]);
        let told = |commands: Value| diff("many2many", Some(&old), &commands);
        let told = [
            told(json!([[4, 3, 0]])),
            told(json!([[3, 1, 0]])),
            told(json!([[6, 0, [2, 3]]])),
            told(json!([[5, 0, 0], [4, 1, 0]])),
            told(json!([[6, 0, [1, 2]]])),
            told(json!([[2, 9, 0]])),
        ];
        insta::assert_snapshot!(told.join("\n--\n"), @r"
        add: Line 3 [3]
        2 others stay: Line 1 [1], Line 2 [2]
        --
        take out: Line 1 [1]
        1 other stays: Line 2 [2]
        --
        take out: Line 1 [1]
        add: Line 3 [3]
        1 other stays: Line 2 [2]
        --
        take out: Line 2 [2]
        1 other stays: Line 1 [1]
        --
        as it is: Line 1 [1], Line 2 [2]
        --
        delete for good, wherever else it is linked to: Line 9 [9]
        2 others stay: Line 1 [1], Line 2 [2]
        ");
    }

    #[test]
    fn x2many_diff_does_not_call_unreadable_list_empty() {
        let told = [json!([[4, 3, 0]]), json!([[5, 0, 0]]), json!([[6, 0, [2]]])];
        let told: Vec<String> = told
            .iter()
            .map(|commands| diff("one2many", None, commands))
            .collect();
        insta::assert_snapshot!(told.join("\n--\n"), @r"
        add: Line 3 [3]
        --
        take out all that is in it, which cannot be seen
        --
        take out all others, which cannot be seen
        add: Line 2 [2]
        ");
    }

    #[test]
    fn x2many_diff_of_thousand_lines_is_bounded() {
        let ids: Vec<u32> = (1..=1000).collect();
        let told = diff("one2many", Some(&json!(ids)), &json!([[5, 0, 0]]));
        assert!(told.len() < 8_000, "{}", told.len());
        let told = diff("many2many", Some(&json!([])), &json!([[6, 0, ids]]));
        assert!(told.len() < 8_000, "{}", told.len());
    }
}
