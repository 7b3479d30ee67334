//! What the tools that change records share.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Answer, ToolError, notes};
pub(super) use crate::changes::{numbers, odoo_time, ranges};
use crate::{
    access::{Access, Denied},
    changes::{Change, Shot, Told, Wish, carry_out, watched_of_new, watched_with},
};
use gatepost_odoo::{Context, FieldKind, FieldName, ModelName, RecordId, Schema};

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

/// Looks at all of the records that tells later whether they are as the change
/// left them, beside these fields.
pub(super) async fn look_whole(
    access: &Access<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<Shot> {
    let wanted: Result<Vec<FieldName>, Denied> = access
        .schema_of_all(records.0)
        .await
        .map(|schema| watched_with(&schema, fields));
    match wanted {
        Ok(wanted) => look(access, records, &wanted, context).await,
        Err(_) => look(access, records, fields, context).await,
    }
}

/// Looks at all of new records that tells later whether somebody has worked on
/// them, beside these fields.
pub(super) async fn look_new(
    access: &Access<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<Shot> {
    let Ok(schema) = access.schema_of_all(records.0).await else {
        return look(access, records, fields, context).await;
    };
    let mut wanted = watched_of_new(&schema);
    wanted.extend(fields.iter().cloned());
    wanted.sort();
    wanted.dedup();
    look(access, records, &wanted, context).await
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
