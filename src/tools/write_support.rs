//! What the tools that change records share.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::footer;
pub(super) use crate::writes::{id_list, id_ranges, odoo_time};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    writes::{tracked_fields_of_new, tracked_fields_with},
};
use gatepost_odoo::{Context, FieldKind, FieldName, ModelName, RecordId, Schema};

/// Looks at records after a change. What was done stays done when that fails.
pub(super) async fn read_back(
    access: &OdooSession<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<RecordSnapshot> {
    let looked = RecordSnapshot::read(access, records, fields, context).await;
    if let Err(error) = &looked {
        tracing::warn!(error = %error, "Failed to look at records after a change");
    }
    looked.ok()
}

/// Looks at all of the records that tells later whether they are as the change
/// left them, beside these fields.
pub(super) async fn read_back_updated(
    access: &OdooSession<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<RecordSnapshot> {
    let wanted: Result<Vec<FieldName>, OperationError> = access
        .schema_visible_in_all_records(records.0)
        .await
        .map(|schema| tracked_fields_with(&schema, fields));
    match wanted {
        Ok(wanted) => read_back(access, records, &wanted, context).await,
        Err(_) => read_back(access, records, fields, context).await,
    }
}

/// Looks at all of new records that tells later whether somebody has worked on
/// them, beside these fields.
pub(super) async fn read_back_created(
    access: &OdooSession<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<RecordSnapshot> {
    let Ok(schema) = access.schema_visible_in_all_records(records.0).await else {
        return read_back(access, records, fields, context).await;
    };
    let mut wanted = tracked_fields_of_new(&schema);
    wanted.extend(fields.iter().cloned());
    wanted.sort();
    wanted.dedup();
    read_back(access, records, &wanted, context).await
}

/// Names the records that are not to be seen after the change.
pub(super) fn append_missing_records(text: &mut String, ids: &[RecordId], after: &RecordSnapshot) {
    let missing: Vec<RecordId> = ids
        .iter()
        .copied()
        .filter(|id| after.row(*id).is_none())
        .collect();
    if !missing.is_empty() {
        footer::append_line(
            text,
            &format!(
                "You cannot see these any more, or others took them away: {}",
                id_list(&missing)
            ),
        );
    }
}

/// Adds what was noticed about the values.
pub(super) fn append_notes(text: &mut String, found: &[String]) {
    for note in found {
        footer::append_line(text, &format!("Note: {note}"));
    }
}

/// In which language texts are written, where one is asked for: of fields that
/// are translated the others stay as they are.
pub(super) fn language_suffix(context: &Context) -> String {
    let lang = context.lang.as_deref();
    lang.map(|lang| format!(" (texts in {lang})"))
        .unwrap_or_default()
}

/// Each id once, in the order in which they came.
pub(super) fn dedup_ids(ids: &mut Vec<RecordId>) {
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
}

/// Names of fields as a list.
pub(super) fn quoted_field_list(fields: &[FieldName]) -> String {
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
pub(super) fn are_comparable(schema: &Schema, values: &Map<String, Value>) -> bool {
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
