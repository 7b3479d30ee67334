//! What the tools that change records share.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Answer, ToolError, notes};
use crate::{
    access::Access,
    changes::{Change, Shot, Told, Wish, carry_out},
    odoo::{Context, Field, FieldKind, FieldName, ModelName, RecordId, Schema},
};

/// Ids that are named in one text.
const MAX_IDS: usize = 50;

/// Carries a change out, or shows it first.
pub(super) async fn answer(
    access: &Access<'_>,
    wish: &Wish,
    change: &impl Change,
) -> Result<Answer, ToolError> {
    Ok(match carry_out(access, wish, change).await? {
        Told::Asks(question) => Answer::Asks(question),
        Told::Text(text) => Answer::Text(text),
    })
}

/// Looks at records after a change. What was done stays done when that fails.
pub(super) async fn look(
    access: &Access<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<Shot> {
    let looked = Shot::take(access, records, fields, context).await;
    if let Err(error) = &looked {
        tracing::warn!(error = %error, "Failed to look at records after a change");
    }
    looked.ok()
}

/// Names the records that are not to be seen after the change.
pub(super) fn missing(text: &mut String, ids: &[RecordId], after: &Shot) {
    let missing: Vec<RecordId> = ids
        .iter()
        .copied()
        .filter(|id| after.row(*id).is_none())
        .collect();
    if !missing.is_empty() {
        notes::line(
            text,
            &format!(
                "You cannot see these any more, or others took them away: {}",
                numbers(&missing)
            ),
        );
    }
}

/// Adds what was noticed about the values.
pub(super) fn add_notes(text: &mut String, found: &[String]) {
    for note in found {
        notes::line(text, &format!("Note: {note}"));
    }
}

/// In which language texts are written, where one is asked for: of fields that
/// are translated the others stay as they are.
pub(super) fn language(context: &Context) -> String {
    let lang = context.lang.as_deref();
    lang.map(|lang| format!(" (texts in {lang})"))
        .unwrap_or_default()
}

/// Each id once, in the order in which they came.
pub(super) fn once_each(ids: &mut Vec<RecordId>) {
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
}

/// Ids as a list.
pub(super) fn numbers(ids: &[RecordId]) -> String {
    let mut parts: Vec<String> = ids.iter().take(MAX_IDS).map(ToString::to_string).collect();
    if ids.len() > MAX_IDS {
        parts.push(format!("… ({} in all)", ids.len()));
    }
    format!("[{}]", parts.join(", "))
}

/// Names of fields as a list.
pub(super) fn quoted(fields: &[FieldName]) -> String {
    let parts: Vec<String> = fields.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", parts.join(", "))
}

/// The names that are names of fields, each once.
pub(super) fn field_names<'n>(names: impl Iterator<Item = &'n String>) -> Vec<FieldName> {
    let unique: BTreeSet<&String> = names.collect();
    unique
        .into_iter()
        .filter_map(|name| FieldName::try_from(name.as_str()).ok())
        .collect()
}

/// A moment as Odoo writes it.
pub(super) fn odoo_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether a record that was made with this value is found by it.
pub(super) fn can_be_searched(field: &Field, value: &Value) -> bool {
    if !field.stored || !field.searchable {
        return false;
    }
    match field.kind {
        FieldKind::Boolean | FieldKind::Integer => true,
        FieldKind::Char
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Many2one
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text => !matches!(value, Value::Null | Value::Bool(false)),
        FieldKind::Binary
        | FieldKind::Float
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::Many2many
        | FieldKind::Many2oneReference
        | FieldKind::Monetary
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Unknown => false,
    }
}

/// Whether it can be seen of all these values that they were written.
pub(super) fn can_be_compared(schema: &Schema, values: &Map<String, Value>) -> bool {
    values.iter().all(|(name, _)| {
        schema.field(name).is_some_and(|field| match field.kind {
            FieldKind::Boolean
            | FieldKind::Char
            | FieldKind::Date
            | FieldKind::Datetime
            | FieldKind::Float
            | FieldKind::Integer
            | FieldKind::Many2one
            | FieldKind::Monetary
            | FieldKind::Reference
            | FieldKind::Selection
            | FieldKind::Text => true,
            FieldKind::Binary
            | FieldKind::Html
            | FieldKind::Image
            | FieldKind::Json
            | FieldKind::Many2many
            | FieldKind::Many2oneReference
            | FieldKind::One2many
            | FieldKind::Properties
            | FieldKind::PropertiesDefinition
            | FieldKind::Unknown => false,
        })
    })
}
