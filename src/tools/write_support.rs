//! Helpers of the write tools.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::footer;
pub(super) use crate::writes::{id_list, id_ranges, odoo_time};
use crate::{
    access::{OdooSession, RecordSnapshot},
    writes::{tracked_fields_of_new, tracked_fields_with},
};
use gatepost_odoo::{Context, FieldClass, FieldName, ModelName, RecordId, Schema};

/// Reads records after a write. Returns `None` if that fails, because the write
/// is done anyway.
pub(super) async fn read_back(
    access: &OdooSession<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<RecordSnapshot> {
    let after = RecordSnapshot::read(access, records, fields, context).await;
    if let Err(error) = &after {
        tracing::warn!(error = %error, "Failed to read records after a write");
    }
    after.ok()
}

/// Reads these fields of updated records, and those that show later whether the
/// records were changed again.
pub(super) async fn read_back_updated(
    access: &OdooSession<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<RecordSnapshot> {
    let schema = access.schema_visible_in_all_records(records.0).await;
    let tracked = schema.map(|schema| tracked_fields_with(&schema, fields));
    read_back(
        access,
        records,
        tracked.as_deref().unwrap_or(fields),
        context,
    )
    .await
}

/// Reads these fields of new records, and those that show later whether the
/// records were changed.
pub(super) async fn read_back_created(
    access: &OdooSession<'_>,
    records: (&ModelName, &[RecordId]),
    fields: &[FieldName],
    context: &Context,
) -> Option<RecordSnapshot> {
    let schema = access.schema_visible_in_all_records(records.0).await;
    let mut tracked = schema.map_or_else(|_| Vec::new(), |schema| tracked_fields_of_new(&schema));
    tracked.extend_from_slice(fields);
    tracked.sort();
    tracked.dedup();
    read_back(access, records, &tracked, context).await
}

/// The ids that the snapshot has no record of.
pub(super) fn missing_ids(ids: &[RecordId], snapshot: &RecordSnapshot) -> Vec<RecordId> {
    let is_missing = |id: &RecordId| snapshot.row(*id).is_none();
    ids.iter().copied().filter(is_missing).collect()
}

/// Names the records that the caller cannot read after the write.
pub(super) fn append_missing_records(text: &mut String, ids: &[RecordId], after: &RecordSnapshot) {
    let missing = missing_ids(ids, after);
    if !missing.is_empty() {
        footer::append_line(
            text,
            &format!(
                "You can no longer see these, or others deleted them: {}",
                id_list(&missing)
            ),
        );
    }
}

/// Appends notes on how values were understood.
pub(super) fn append_notes(text: &mut String, notes: &[String]) {
    for note in notes {
        footer::append_line(text, &format!("Note: {note}"));
    }
}

/// Names the requested language, because only this translation of a field is
/// written.
pub(super) fn language_suffix(context: &Context) -> String {
    let lang = context.lang.as_deref();
    lang.map(|lang| format!(" (texts in {lang})"))
        .unwrap_or_default()
}

/// Removes repeated ids, keeping the order.
pub(super) fn dedup_ids(ids: &mut Vec<RecordId>) {
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
}

/// Renders field names as a JSON list.
pub(super) fn quoted_field_list(fields: &[FieldName]) -> String {
    let parts: Vec<String> = fields.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", parts.join(", "))
}

/// The valid field names among these, each once.
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
        schema
            .field(name)
            .is_some_and(|field| match field.kind.class() {
                FieldClass::Many2one
                | FieldClass::Number
                | FieldClass::Reference
                | FieldClass::Scalar => true,
                FieldClass::Binary
                | FieldClass::Document
                | FieldClass::Many2many
                | FieldClass::One2many
                | FieldClass::Properties
                | FieldClass::UntypedId
                | FieldClass::Unknown => false,
            })
    })
}
