//! Reads records back after a write.

use std::collections::BTreeSet;

use super::footer;
use crate::{
    access::{OdooSession, RecordSnapshot},
    writes::id_list,
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
