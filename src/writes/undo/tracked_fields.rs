//! Which fields count for taking a change back.

use std::collections::BTreeSet;

use gatepost_odoo::{Field, FieldKind, FieldName, Operation, Schema};

/// What Odoo keeps for itself, or writes by the way.
const SET_BY_ODOO: [&str; 9] = [
    // Made when somebody looks at the link for a customer.
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
/// What mails and ratings leave on a record.
const MESSAGE_PREFIXES: [&str; 3] = ["message_", "rating_", "website_message_"];

/// The fields of which a look tells whether a record is as it was left: its
/// own columns. What Odoo works out follows from them, or from other records.
pub(super) fn tracked_fields(schema: &Schema) -> Vec<FieldName> {
    let fields = schema.fields().filter(|field| {
        is_own(field) && !is_computed(field) && !field.kind.is_x2many() && !is_long(field)
    });
    fields.map(|field| field.name.clone()).collect()
}

/// The watched fields and those that were written, as far as there are values
/// to be compared.
pub fn tracked_fields_with(schema: &Schema, written: &[FieldName]) -> Vec<FieldName> {
    let mut names: BTreeSet<FieldName> = tracked_fields(schema).into_iter().collect();
    names.extend(written.iter().cloned());
    names.into_iter().collect()
}

/// The fields that tell of a new record whether somebody has worked on it since:
/// all that would go with it, but for files. Its lists too, for what was put
/// into them would be deleted with it.
pub fn tracked_fields_of_new(schema: &Schema) -> Vec<FieldName> {
    let fields = schema.fields().filter(|field| match field.kind {
        FieldKind::Binary | FieldKind::Image | FieldKind::Unknown => false,
        FieldKind::One2many => is_owned_list(field),
        FieldKind::Boolean
        | FieldKind::Char
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Float
        | FieldKind::Html
        | FieldKind::Integer
        | FieldKind::Json
        | FieldKind::Many2many
        | FieldKind::Many2one
        | FieldKind::Many2oneReference
        | FieldKind::Monetary
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text => is_own(field) && !is_computed(field),
    });
    fields.map(|field| field.name.clone()).collect()
}

/// The fields of which a record can be made again, and its lists.
pub(super) fn restorable_fields(schema: &Schema) -> Vec<FieldName> {
    let fields = schema
        .fields()
        .filter(|field| is_own(field) && !is_computed(field) && can_be_stored(field));
    fields.map(|field| field.name.clone()).collect()
}

/// Whether the values of a field can be kept: no files, for they are large, and
/// no fields that a parent defines, for they are given in another form than
/// they are written in.
pub(super) fn can_be_stored(field: &Field) -> bool {
    match field.kind {
        FieldKind::Binary | FieldKind::Image | FieldKind::Properties | FieldKind::Unknown => false,
        FieldKind::Boolean
        | FieldKind::Char
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Float
        | FieldKind::Html
        | FieldKind::Integer
        | FieldKind::Json
        | FieldKind::Many2many
        | FieldKind::Many2one
        | FieldKind::Many2oneReference
        | FieldKind::Monetary
        | FieldKind::One2many
        | FieldKind::PropertiesDefinition
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text => true,
    }
}

/// Whether what a field had can be given back after it was written: not where
/// records are only changed or deleted through links to them.
pub fn can_be_restored(field: &Field, written: &serde_json::Value) -> bool {
    let is_linking = |command: &serde_json::Value| {
        let code = command.get(0).and_then(serde_json::Value::as_u64);
        !matches!(code, Some(1 | 2))
    };
    let links = match written.as_array() {
        Some(commands) if field.kind == FieldKind::Many2many => commands.iter().any(is_linking),
        Some(_) | None => true,
    };
    can_be_stored(field) && links
}

/// Whether Odoo lets the field be given a value, as far as it tells: what is
/// read-only on its forms `write` would store past all that a button does
/// (`fit` refuses it as well).
pub(super) fn can_be_written(field: &Field, effect: Operation) -> bool {
    let first = effect == Operation::Create && field.name.as_str() != "state";
    !field.readonly || (first && field.stored && !is_computed(field) && field.related.is_none())
}

/// The value of the record itself, not of its messages or of another record.
pub(super) fn is_own(field: &Field) -> bool {
    let name = field.name.as_str();
    field.stored
        && field.related.is_none()
        && !SET_BY_ODOO.contains(&name)
        && !MESSAGE_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Whether a list is one whose records may be made again with its record.
pub(super) fn is_owned_list(field: &Field) -> bool {
    field.kind == FieldKind::One2many
        && field.inverse.is_some()
        && is_own(field)
        && can_be_written(field, Operation::Create)
        // Plans, not parts; Odoo clears them away by itself.
        && field.name.as_str() != "activity_ids"
}

fn is_computed(field: &Field) -> bool {
    field.readonly && !field.depends.is_empty()
}

fn is_long(field: &Field) -> bool {
    !can_be_stored(field)
        || matches!(
            field.kind,
            FieldKind::Html | FieldKind::Json | FieldKind::PropertiesDefinition
        )
}
