//! What goes when records are deleted.

use super::super::Shot;
use crate::odoo::{FieldKind, FieldName, Schema};

/// Lists of a record that are counted.
const MAX_LISTS: usize = 12;

/// What is looked at before records are deleted: what they could be made again
/// from, and what they drag along.
pub fn looked_at(schema: &Schema) -> Vec<FieldName> {
    let fields = schema.fields().filter(|field| {
        !field.kind.is_binary()
            && field.shows.is_none()
            && (field.stored || field.kind.is_x2many())
            && field.kind != FieldKind::Unknown
    });
    fields.map(|field| field.name.clone()).collect()
}

/// The lists of records that belong to those that are deleted, with how many
/// there are.
pub fn dragged(schema: &Schema, before: &Shot) -> Vec<String> {
    let lists = schema
        .fields()
        .filter(|field| field.kind == FieldKind::One2many);
    let counted = lists.filter_map(|field| {
        let count: usize = before
            .rows()
            .filter_map(|(_, row)| row.get(field.name.as_str())?.as_array())
            .map(Vec::len)
            .sum();
        (count > 0).then(|| format!("{count} in {} ({})", field.name, field.label))
    });
    counted.take(MAX_LISTS).collect()
}
