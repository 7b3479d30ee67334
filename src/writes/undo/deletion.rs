//! What is looked at before records are deleted.

use gatepost_odoo::{FieldKind, FieldName, Schema};

/// What is looked at before records are deleted: what they could be made again
/// from, and what links to them.
pub fn fields_before_delete(schema: &Schema) -> Vec<FieldName> {
    let fields = schema.fields().filter(|field| {
        !field.kind.is_binary()
            && field.related.is_none()
            && (field.stored || field.kind.is_x2many())
            && field.kind != FieldKind::Unknown
    });
    fields.map(|field| field.name.clone()).collect()
}
