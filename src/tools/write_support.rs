//! Helpers of the write tools.

use std::collections::BTreeSet;

use super::footer;
pub(super) use crate::writes::{id_list, id_ranges, odoo_time};
use crate::{
    access::{OdooSession, RecordSnapshot},
    writes::PreviewRenderer,
};
use gatepost_odoo::{Context, FieldName, ModelName, RecordId, Schema};

/// Reads these fields of records after a write, and those of `tracked`, which show
/// later whether the records were changed again. Returns `None` if that fails,
/// because the write is done anyway.
pub(super) async fn read_back(
    access: &OdooSession<'_>,
    records: (&ModelName, &[RecordId]),
    (fields, tracked): (&[FieldName], impl Fn(&Schema) -> Vec<FieldName>),
    context: &Context,
) -> Option<RecordSnapshot> {
    let schema = access.schema_visible_in_all_records(records.0).await;
    let tracked = schema.map(|schema| tracked(&schema)).unwrap_or_default();
    let fields: BTreeSet<&FieldName> = fields.iter().chain(&tracked).collect();
    let fields: Vec<FieldName> = fields.into_iter().cloned().collect();
    let after = RecordSnapshot::read(access, records, &fields, context).await;
    if let Err(error) = &after {
        tracing::warn!(error = %error, "Failed to read records after a write");
    }
    after.ok()
}

/// Names the written records, as far as they could be read.
pub(super) fn append_records(text: &mut String, ids: &[RecordId], after: Option<&RecordSnapshot>) {
    match after {
        Some(after) => {
            text.push_str(&PreviewRenderer::some_titles(ids, after));
            append_missing_records(text, ids, after);
        }
        None => text.push_str(&id_ranges(ids)),
    }
}

/// Names the records that the caller cannot read after the write.
pub(super) fn append_missing_records(text: &mut String, ids: &[RecordId], after: &RecordSnapshot) {
    let missing = after.missing(ids);
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
