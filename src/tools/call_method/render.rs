//! The state of records and the arguments of a call, in previews and results.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    access::RecordSnapshot,
    writes::{PreviewRenderer, new_json},
};
use gatepost_base::text::{join_bounded, one_line};
use gatepost_odoo::{FieldName, RecordId, Schema};

/// The maximum size of the records, and of the arguments, in a preview in bytes.
const MAX_SHOWN_BYTES: usize = 20 << 10;
/// The fields that hold the state of a record, if its model has them.
const STATE_FIELDS: [&str; 6] = [
    "active",
    "kanban_state",
    "payment_state",
    "stage_id",
    "state",
    "status",
];

/// The state fields that the model has.
pub(super) fn state_fields(schema: &Schema) -> Vec<FieldName> {
    let names = STATE_FIELDS.into_iter();
    let existing = names.filter(|name| schema.field(name).is_some());
    existing.map(FieldName::known).collect()
}

pub(super) fn target_phrase(ids: &[RecordId]) -> String {
    match ids.len() {
        0 => "the model itself".to_owned(),
        1 => "1 record".to_owned(),
        count => format!("{count} records"),
    }
}

/// Renders the state of the records, one per line, with their state before.
pub(super) fn render_states(
    schema: &Schema,
    ids: &[RecordId],
    before: Option<&RecordSnapshot>,
    now: &RecordSnapshot,
) -> String {
    let show = PreviewRenderer::without_names(schema);
    let lines = ids.iter().map(|id| {
        let value = |snapshot: &RecordSnapshot, name: &FieldName| {
            let value = snapshot.row(*id)?.get(name.as_str())?;
            Some(show.value(schema.field(name.as_str()), value))
        };
        let parts = state_fields(schema).into_iter().filter_map(|name| {
            let new = value(now, &name)?;
            Some(match before.and_then(|before| value(before, &name)) {
                Some(old) if old != new => format!("{name}: {old} -> {new}"),
                Some(_) => format!("{name}: {new} (unchanged)"),
                None => format!("{name}: {new}"),
            })
        });
        let parts: Vec<String> = parts.collect();
        let title = PreviewRenderer::titles(&[*id], now);
        if parts.is_empty() {
            title
        } else {
            format!("{title}: {}", parts.join("; "))
        }
    });
    join_bounded(lines, "\n", MAX_SHOWN_BYTES, |at| {
        let rest = ids.get(at..).unwrap_or_default();
        let list = id_list(rest);
        format!("and {} more, shown by id only: {list}", rest.len())
    })
}

/// Renders the arguments, one per line: a person who approves must know them all.
pub(super) fn render_arguments(
    given: &Map<String, Value>,
    linked: &BTreeMap<String, Vec<String>>,
) -> String {
    let lines = given.iter().map(|(name, value)| {
        let value = match linked.get(name) {
            Some(names) => names.join(", "),
            None => new_json(value),
        };
        format!("- {}: {value}", one_line(name, 60))
    });
    let mut lines: Vec<String> = lines.collect();
    let size: usize = lines.iter().map(String::len).sum();
    if size > MAX_SHOWN_BYTES {
        // A long one must not hide the others.
        lines.sort_by_key(String::len);
    }
    let count = lines.len();
    join_bounded(lines, "\n", MAX_SHOWN_BYTES, |at| {
        let rest = count - at;
        format!("and {rest} more arguments that are NOT SHOWN because there is too much")
    })
}

/// Renders all ids, because a person approves each of them.
pub(super) fn id_list(ids: &[RecordId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("[{}]", ids.join(", "))
}
