//! The preview of a list: what happens to the records in it.

use serde_json::{Map, Value};

use super::records::{PreviewRenderer, X2manyField, joined};
use gatepost_base::text::join_bounded;
use gatepost_odoo::{FieldKind, ModelName, RecordId, Schema};

/// Records that stay in a list and are named.
pub(crate) const MAX_REMAINING: usize = 10;
/// The largest list of names in one step, in bytes.
const MAX_BYTES: usize = 6 << 10;

/// What happens to the records that are in a list, and to those that are added.
#[derive(Default)]
struct X2manyDiff {
    /// What is created and updated, as text.
    lines: Vec<String>,
    changed: Vec<RecordId>,
    deleted: Vec<RecordId>,
    removed: Vec<RecordId>,
    added: Vec<RecordId>,
    remaining: Vec<RecordId>,
}

impl PreviewRenderer<'_> {
    /// What the commands do to a list (Odoo 19, `odoo/orm/commands.py`), step by
    /// step. `old` is what is in it; `None` if the caller cannot see that.
    pub(crate) fn x2many_diff(
        &self,
        (field, relation): X2manyField<'_>,
        old: Option<&Value>,
        commands: &[Value],
    ) -> Vec<String> {
        let old = old.and_then(Value::as_array);
        let is_known = old.is_some();
        let mut diff = X2manyDiff {
            remaining: ids(old.into_iter().flatten()),
            ..X2manyDiff::default()
        };
        for command in commands {
            let part = |at: usize| command.get(at).unwrap_or(&Value::Null);
            let id = RecordId::from_json(part(1));
            let values = part(2).as_object();
            match (part(0).as_u64(), id, values) {
                (Some(0), _, Some(values)) => {
                    let values = self.for_lines(relation).values(values);
                    diff.lines.push(format!("new: {values}"));
                }
                (Some(1), Some(id), Some(values)) => {
                    diff.changed.push(id);
                    let line = self.changed_line((field, relation), id, values);
                    diff.lines.push(line);
                }
                (Some(2), Some(id), _) => {
                    diff.remaining.retain(|other| *other != id);
                    diff.deleted.push(id);
                }
                (Some(3), Some(id), _) => {
                    diff.remaining.retain(|other| *other != id);
                    diff.removed.push(id);
                }
                (Some(4), Some(id), _) => diff.add(id),
                (Some(5), _, _) if is_known => diff.clear(),
                (Some(5), _, _) => diff
                    .lines
                    .push("unlink all that is in it, which cannot be seen".to_owned()),
                (Some(6), _, _) => {
                    if !is_known {
                        let line = "unlink all others, which cannot be seen";
                        diff.lines.push(line.to_owned());
                    }
                    diff.clear();
                    let set = part(2).as_array();
                    for id in ids(set.into_iter().flatten()) {
                        diff.add(id);
                    }
                }
                (_, _, _) => diff.lines.push(self.value(None, command)),
            }
        }
        self.diff_lines(diff, (field, relation))
    }

    fn diff_lines(&self, diff: X2manyDiff, (field, relation): X2manyField<'_>) -> Vec<String> {
        let is_owned = field.kind == FieldKind::One2many;
        let mut lines = diff.lines;
        let mut remaining = diff.remaining;
        remaining.retain(|id| !diff.changed.contains(id));
        if !diff.deleted.is_empty() {
            let also = if is_owned {
                ""
            } else {
                " for good, wherever else it is linked to"
            };
            let names = self.labels(relation, &diff.deleted);
            lines.push(format!("delete{also}: {names}"));
        }
        if !diff.removed.is_empty() {
            let also = if is_owned {
                " (deleted, if it cannot exist without this record)"
            } else {
                ""
            };
            let names = self.labels(relation, &diff.removed);
            lines.push(format!("unlink{also}: {names}"));
        }
        let mut added = Vec::new();
        for id in diff.added {
            match self.previous_owner((field, relation), id) {
                Some(owner) => {
                    let record = self.names.label(relation, id);
                    lines.push(format!("move here, from {owner}: {record}"));
                }
                None => added.push(id),
            }
        }
        if !added.is_empty() {
            lines.push(format!("add: {}", self.labels(relation, &added)));
        }
        if !remaining.is_empty() {
            let count = remaining.len();
            let head = match (lines.is_empty(), count) {
                (true, _) => "as it is".to_owned(),
                (false, 1) => "1 other stays".to_owned(),
                (false, _) => format!("{count} others stay"),
            };
            let some = remaining.get(..MAX_REMAINING).unwrap_or(&remaining);
            let rest = match count.saturating_sub(MAX_REMAINING) {
                0 => String::new(),
                rest => format!(" and {rest} more"),
            };
            lines.push(format!("{head}: {}{rest}", self.labels(relation, some)));
        }
        if lines.is_empty() {
            lines.push("(none)".to_owned());
        }
        lines
    }

    /// The record that a line belongs to now, which is added to another one.
    fn previous_owner(&self, (field, relation): X2manyField<'_>, id: RecordId) -> Option<String> {
        let inverse = field.inverse.as_ref()?.as_str();
        if field.kind != FieldKind::One2many {
            return None;
        }
        let owner = self.names.line_values(relation, id)?.get(inverse)?;
        let is_link = owner.get(0).is_some_and(Value::is_number);
        let field = self.names.schema(relation)?.field(inverse);
        is_link.then(|| self.value(field, owner))
    }

    /// The renderer for the lines of a list.
    fn for_lines(&self, relation: &ModelName) -> PreviewRenderer<'_> {
        static UNKNOWN: std::sync::LazyLock<Schema> = std::sync::LazyLock::new(Schema::default);
        PreviewRenderer {
            schema: self.names.schema(relation).unwrap_or(&UNKNOWN),
            names: self.names,
        }
    }

    /// A line with its old and new values.
    fn changed_line(
        &self,
        (field, relation): X2manyField<'_>,
        id: RecordId,
        values: &Map<String, Value>,
    ) -> String {
        let renderer = self.for_lines(relation);
        let row = self.names.line_values(relation, id);
        let parts = values.iter().map(|(name, value)| {
            let old = row.and_then(|row| row.get(name));
            renderer.field_change(name, old, value)
        });
        let also = if field.kind == FieldKind::One2many {
            ""
        } else {
            ", for all that link to it"
        };
        let label = self.names.label(relation, id);
        format!("change {label}{also}: {}", joined(parts))
    }

    /// The names of records, within the limit.
    fn labels(&self, relation: &ModelName, ids: &[RecordId]) -> String {
        let labels = ids.iter().map(|id| self.names.label(relation, *id));
        join_bounded(labels, ", ", MAX_BYTES, |at| {
            format!("and {} more that are NOT SHOWN", ids.len() - at)
        })
    }
}

impl X2manyDiff {
    fn add(&mut self, id: RecordId) {
        // It was in the list, and an earlier command unlinked it.
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
        names.add_lines(&model(), RecordSnapshot::from(rows));
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
        let rendered = diff(
            "one2many",
            Some(&json!([1, 2, 3])),
            &json!([[1, 1, {"qty": 5, "product_id": 5}], [0, 0, {"product_id": 5, "qty": 7}], [2, 2, 0], [4, 9, 0]]),
        );
        insta::assert_snapshot!(rendered, @r"
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
        let rendered = |commands: Value| diff("one2many", Some(&old), &commands);
        let changed = json!([1, 1, {"qty": 5}]);
        let out = rendered(json!([changed, [6, 0, [2]]]));
        let stays = rendered(json!([changed, [6, 0, [1, 2]]]));
        insta::assert_snapshot!([out, stays].join("\n\n"));
    }

    #[test]
    fn x2many_diff_distinguishes_adding_from_replacing() {
        let old = json!([1, 2]);
        let rendered = |commands: Value| diff("many2many", Some(&old), &commands);
        let rendered = [
            rendered(json!([[4, 3, 0]])),
            rendered(json!([[3, 1, 0]])),
            rendered(json!([[6, 0, [2, 3]]])),
            rendered(json!([[5, 0, 0], [4, 1, 0]])),
            rendered(json!([[6, 0, [1, 2]]])),
            rendered(json!([[2, 9, 0]])),
        ];
        insta::assert_snapshot!(rendered.join("\n--\n"), @r"
        add: Line 3 [3]
        2 others stay: Line 1 [1], Line 2 [2]
        --
        unlink: Line 1 [1]
        1 other stays: Line 2 [2]
        --
        unlink: Line 1 [1]
        add: Line 3 [3]
        1 other stays: Line 2 [2]
        --
        unlink: Line 2 [2]
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
        let rendered = [json!([[4, 3, 0]]), json!([[5, 0, 0]]), json!([[6, 0, [2]]])];
        let rendered: Vec<String> = rendered
            .iter()
            .map(|commands| diff("one2many", None, commands))
            .collect();
        insta::assert_snapshot!(rendered.join("\n--\n"), @r"
        add: Line 3 [3]
        --
        unlink all that is in it, which cannot be seen
        --
        unlink all others, which cannot be seen
        add: Line 2 [2]
        ");
    }

    #[test]
    fn x2many_diff_of_thousand_lines_is_bounded() {
        let ids: Vec<u32> = (1..=1000).collect();
        let rendered = diff("one2many", Some(&json!(ids)), &json!([[5, 0, 0]]));
        assert!(rendered.len() < 8_000, "{}", rendered.len());
        let rendered = diff("many2many", Some(&json!([])), &json!([[6, 0, ids]]));
        assert!(rendered.len() < 8_000, "{}", rendered.len());
    }
}
