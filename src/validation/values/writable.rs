//! Whether a field can be written.

use gatepost_odoo::{Field, FieldKind, FieldName, ModelName, Operation, Schema};

/// The field, if it can be written, with a note if there is something to know.
///
/// Odoo's `readonly` is a hint for forms: `write` ignores computed fields and stores
/// the others, without what the button does that usually sets them (`state` of
/// `sale.order`). So updates of read-only fields are refused. A new record may set
/// read-only columns, because they have to get their value somehow (`move_type` of
/// `account.move`, `partner_id` of `calendar.attendee`), except for the step of a
/// workflow, which starts at its default.
///
/// `suggest` says whether the error for an unknown name may search for similar ones,
/// which takes long: only for the first few.
///
/// # Errors
/// What is wrong, and what would be valid.
pub(crate) fn writable_field<'s>(
    schema: &'s Schema,
    model: &ModelName,
    name: &str,
    operation: Operation,
    suggest: bool,
) -> Result<(&'s Field, Option<String>), String> {
    match name {
        "id" => {
            return Err("identifies a record and is not one of its values; \
                 leave it out, and name records to change beside the values"
                .to_owned());
        }
        "create_date" | "create_uid" | "parent_path" | "write_date" | "write_uid" => {
            return Err(
                "is set by Odoo itself, which ignores what is written; leave it out".to_owned(),
            );
        }
        "display_name" => {
            let from = match schema.field("name") {
                Some(_) => "write `name`",
                None => "write those fields",
            };
            return Err(format!("is computed by Odoo from other fields; {from}"));
        }
        _ => {}
    }
    let field = schema
        .field(name)
        .ok_or_else(|| unknown_field_error(schema, model, name, suggest))?;
    if field.kind == FieldKind::Unknown {
        return Err("has a type that this version does not support".to_owned());
    }
    if !field.readonly {
        return Ok((field, None));
    }
    let column = field.stored && field.depends.is_empty() && field.related.is_none();
    if operation == Operation::Create && column && name != "state" {
        let note = "cannot be changed once the record exists".to_owned();
        return Ok((field, Some(note)));
    }
    Err(read_only_error(schema, field))
}

fn unknown_field_error(schema: &Schema, model: &ModelName, name: &str, suggest: bool) -> String {
    if name == "__last_update" {
        return "was removed from Odoo; `write_date` says when a record was changed".to_owned();
    }
    if name.contains(['.', '/']) {
        return format!(
            "is a path, and values are fields of `{model}` itself; change the related record by itself"
        );
    }
    let near: Vec<String> = schema
        .similar_names(name, if suggest { 4 } else { 0 })
        .into_iter()
        .map(|near| format!("`{near}`"))
        .collect();
    if near.is_empty() {
        format!("is not a field of `{model}` that you can see; `describe_model` lists them")
    } else {
        format!(
            "is not a field of `{model}` that you can see; did you mean {}?",
            near.join(", ")
        )
    }
}

fn read_only_error(schema: &Schema, field: &Field) -> String {
    if let Some(path) = &field.related {
        return format!("is read-only, because it shows `{path}`; change it there");
    }
    // Only those that the caller can see.
    let from: Vec<String> = field
        .depends
        .iter()
        .map(FieldName::as_str)
        .filter(|name| schema.field(name).is_some())
        .take(5)
        .map(|name| format!("`{name}`"))
        .collect();
    if !from.is_empty() {
        return format!(
            "is read-only: Odoo computes it from {}; change those",
            from.join(", ")
        );
    }
    if !field.depends.is_empty() || !field.stored {
        return "is read-only: Odoo computes it; leave it out".to_owned();
    }
    "is read-only: methods of the model set it, such as those behind buttons; \
     leave it out, or call such a method if you may"
        .to_owned()
}
