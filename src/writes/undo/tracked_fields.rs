//! The fields that an undo reads, compares and restores.

use std::collections::BTreeSet;

use serde_json::Value;

use gatepost_odoo::{Field, FieldClass, FieldKind, FieldName, Operation, Schema};

/// Fields that Odoo sets by itself.
const SET_BY_ODOO: [&str; 9] = [
    // Created when a user opens the customer's link.
    "access_token",
    "create_date",
    "create_uid",
    "display_name",
    "id",
    "parent_path",
    "signup_type",
    "write_date",
    "write_uid",
];
/// Fields that messages and ratings change.
const MESSAGE_PREFIXES: [&str; 3] = ["message_", "rating_", "website_message_"];

/// The fields that show whether a record is as it was left: its own columns.
/// Computed values follow from these or from other records.
pub fn tracked_fields(schema: &Schema) -> Vec<FieldName> {
    select(schema, |field| {
        is_own_value(field)
            && can_be_stored(field)
            && !field.kind.is_x2many()
            && field.kind.class() != FieldClass::Document
    })
}

/// The tracked fields and those that were written.
pub(super) fn tracked_fields_with(schema: &Schema, written: &[FieldName]) -> Vec<FieldName> {
    let mut names: BTreeSet<FieldName> = tracked_fields(schema).into_iter().collect();
    names.extend(written.iter().cloned());
    names.into_iter().collect()
}

/// The fields that show whether a user has worked on a new record: all that
/// would be deleted with it, except files. That includes its lists.
pub fn tracked_fields_of_new(schema: &Schema) -> Vec<FieldName> {
    select(schema, |field| match field.kind.class() {
        FieldClass::Binary | FieldClass::Unknown => false,
        FieldClass::One2many => is_owned_list(field),
        FieldClass::Document
        | FieldClass::Many2many
        | FieldClass::Many2one
        | FieldClass::Number
        | FieldClass::Properties
        | FieldClass::Reference
        | FieldClass::Scalar
        | FieldClass::UntypedId => is_own_value(field),
    })
}

/// The fields that a deleted record can be created again with, and its lists.
pub(super) fn restorable_fields(schema: &Schema) -> Vec<FieldName> {
    select(schema, |field| is_own_value(field) && can_be_stored(field))
}

/// The fields to read before records are deleted: what they could be created
/// again with, and what links to them.
pub fn fields_before_delete(schema: &Schema) -> Vec<FieldName> {
    select(schema, |field| {
        !matches!(field.kind.class(), FieldClass::Binary | FieldClass::Unknown)
            && field.related.is_none()
            && (field.stored || field.kind.is_x2many())
    })
}

fn select(schema: &Schema, wanted: impl Fn(&Field) -> bool) -> Vec<FieldName> {
    let fields = schema.fields().filter(|field| wanted(field));
    fields.map(|field| field.name.clone()).collect()
}

/// Whether the values of a field can be stored: no files, because they are large,
/// and no properties, because Odoo returns them in another form than it accepts.
pub(super) fn can_be_stored(field: &Field) -> bool {
    !matches!(
        field.kind.class(),
        FieldClass::Binary | FieldClass::Properties | FieldClass::Unknown
    )
}

/// Whether the old value of a field can be restored after it was written: not if
/// the commands only update or delete linked records.
pub fn can_be_restored(field: &Field, written: &Value) -> bool {
    let is_linking =
        |command: &Value| !matches!(command.get(0).and_then(Value::as_u64), Some(1 | 2));
    let links = match written.as_array() {
        Some(commands) if field.kind == FieldKind::Many2many => commands.iter().any(is_linking),
        Some(_) | None => true,
    };
    can_be_stored(field) && links
}

/// Whether Odoo accepts a value for the field. `write` would also store read-only
/// fields, without what the button does that usually sets them, so `validation`
/// refuses those, too.
pub(super) fn can_be_written(field: &Field, operation: Operation) -> bool {
    let first = operation == Operation::Create && field.name.as_str() != "state";
    !field.readonly || (first && field.stored && !is_computed(field) && field.related.is_none())
}

/// Whether it is a list whose lines may be created again with its record.
pub(super) fn is_owned_list(field: &Field) -> bool {
    field.kind == FieldKind::One2many
        && field.inverse.is_some()
        && is_own(field)
        && can_be_written(field, Operation::Create)
        // Plans rather than parts; Odoo deletes them by itself.
        && field.name.as_str() != "activity_ids"
}

/// Whether it is stored in the record itself, and not in its messages or another
/// record.
fn is_own(field: &Field) -> bool {
    let name = field.name.as_str();
    field.stored
        && field.related.is_none()
        && !SET_BY_ODOO.contains(&name)
        && !MESSAGE_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

fn is_own_value(field: &Field) -> bool {
    is_own(field) && !is_computed(field)
}

fn is_computed(field: &Field) -> bool {
    field.readonly && !field.depends.is_empty()
}
