//! Whether a field is there to be written.

use gatepost_odoo::{Field, FieldKind, FieldName, ModelName, Operation, Schema};

/// The field, if it may be given a value, with what is to be known of that.
///
/// Odoo's `readonly` is a hint for forms: `write` passes over fields that are
/// worked out, and stores the others, past all that a button would do (`state`
/// of `sale.order`). So a change of any read-only field is refused. A new record is
/// another matter: a column that is read-only afterwards has to come from
/// somewhere (`move_type` of `account.move`, `partner_id` of
/// `calendar.attendee`). Only the step of a workflow has its place in the
/// beginning by itself.
///
/// # Errors
/// What is wrong, and what would be right.
pub(crate) fn writable_field<'s>(
    schema: &'s Schema,
    model: &ModelName,
    name: &str,
    effect: Operation,
) -> Result<(&'s Field, Option<String>), String> {
    match name {
        "id" => {
            return Err("is what a record is known by, not one of its values; \
                 leave it out, records to change are named beside the values"
                .to_owned());
        }
        "create_date" | "create_uid" | "parent_path" | "write_date" | "write_uid" => {
            return Err(
                "is kept by Odoo itself, which passes over what is written; leave it out"
                    .to_owned(),
            );
        }
        "display_name" => {
            let from = match schema.field("name") {
                Some(_) => "write `name`",
                None => "write the fields it is made of",
            };
            return Err(format!("is made by Odoo from other fields; {from}"));
        }
        _ => {}
    }
    let field = schema
        .field(name)
        .ok_or_else(|| unknown_field_error(schema, model, name))?;
    if field.kind == FieldKind::Unknown {
        return Err(
            "is of a type that this version does not know, and so is left alone".to_owned(),
        );
    }
    if !field.readonly {
        return Ok((field, None));
    }
    let column = field.stored && field.depends.is_empty() && field.related.is_none();
    if effect == Operation::Create && column && name != "state" {
        let note = "cannot be changed once the record is there".to_owned();
        return Ok((field, Some(note)));
    }
    Err(read_only_error(schema, field))
}

fn unknown_field_error(schema: &Schema, model: &ModelName, name: &str) -> String {
    if name == "__last_update" {
        return "is gone from Odoo; `write_date` tells when a record was changed".to_owned();
    }
    if name.contains(['.', '/']) {
        return format!(
            "is a path, and values are fields of `{model}` itself; change the related record by itself"
        );
    }
    let near: Vec<String> = schema
        .similar_names(name, 4)
        .into_iter()
        .map(|near| format!("`{near}`"))
        .collect();
    if near.is_empty() {
        format!("is no field of `{model}` that you can see; `describe_model` lists them")
    } else {
        format!(
            "is no field of `{model}` that you can see; did you mean {}?",
            near.join(", ")
        )
    }
}

fn read_only_error(schema: &Schema, field: &Field) -> String {
    if let Some(path) = &field.related {
        return format!("is read-only, for it shows `{path}`; change it there");
    }
    // Only those that are known here: others may be hidden.
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
            "is read-only: Odoo works it out from {}; change what it comes from",
            from.join(", ")
        );
    }
    if !field.depends.is_empty() || !field.stored {
        return "is read-only: Odoo works it out by itself; leave it out".to_owned();
    }
    "is read-only: methods of the model set it, as behind the buttons of its form; \
     leave it out, or call such a method if one is open to you"
        .to_owned()
}
