//! Constraints of the database and of the models.

use serde_json::Value;

use super::{
    database::Database,
    error::FakeOdooError,
    table::{Field, Row, Table, link, text, value},
    value::{ids, is_truthy},
};

/// Rejects a record without a required value.
pub(super) fn check_required(table: &Table, row: &Row) -> Result<(), FakeOdooError> {
    let unset = |name: &str| matches!(value(row, name), Value::Bool(false) | Value::Null);
    if table.model == "res.partner" && unset("name") && text(row, "type") == "contact" {
        return Err(integrity_error("Contacts require a name"));
    }
    let missing = table
        .fields
        .iter()
        .find(|(name, field)| field.required && field.kind != "boolean" && unset(name));
    match missing {
        None => Ok(()),
        Some((name, field)) => Err(integrity_error(&format!(
            "Missing required value for the field '{}' ({name}).\nModel: '{}' ({})\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n",
            field.label, table.label, table.model
        ))),
    }
}

/// The prefix of database errors that Odoo shows to a client.
const INTEGRITY_ERROR_PREFIX: &str = "The operation cannot be completed: ";

fn integrity_error(why: &str) -> FakeOdooError {
    FakeOdooError::validation_error(format!("{INTEGRITY_ERROR_PREFIX}{why}"))
}

/// The message as `load` reports it: without the prefix.
pub(super) fn strip_integrity_prefix(message: &str) -> &str {
    message
        .strip_prefix(INTEGRITY_ERROR_PREFIX)
        .unwrap_or(message)
}

/// The error for deleting a record that a field of this table points to.
pub(super) fn in_use_error(table: &Table, name: &str, field: &Field) -> FakeOdooError {
    integrity_error(&format!(
        "Another model is using the record you are trying to delete.\n\nThe troublemaker is: '{}' ({})\nThanks to the following constraint: '{}' ({name})\nHow about archiving the record instead?",
        table.label, table.model, field.label
    ))
}

/// The error for a many2many link to a record that does not exist.
pub(super) fn dangling_link_error(constraint: &str) -> FakeOdooError {
    integrity_error(&format!(
        "Another model is using the record you are trying to delete.\n\nThe troublemaker is: Unknown\nThanks to the following constraint: {constraint}\nHow about archiving the record instead?"
    ))
}

/// Rejects values before anything is written.
pub(super) fn check_before_write(
    database: &Database,
    model: &str,
    ids: &[u32],
    values: &Row,
) -> Result<(), FakeOdooError> {
    let archives = values
        .get("active")
        .is_some_and(|active| !is_truthy(active));
    if model == "res.partner" && archives {
        let advice = "You cannot archive contacts linked to an active user.\nYou first need to archive their associated user.";
        return check_no_active_user(database, ids, advice);
    }
    Ok(())
}

/// Rejects contacts that belong to active users, with this advice.
pub(super) fn check_no_active_user(
    database: &Database,
    partners: &[u32],
    advice: &str,
) -> Result<(), FakeOdooError> {
    let users = database.table("res.users").into_iter();
    let linked: Vec<&str> = users
        .flat_map(|users| users.rows.values())
        .filter(|row| {
            row.get("active") == Some(&Value::Bool(true))
                && link(row, "partner_id").is_some_and(|id| partners.contains(&id))
        })
        .map(|row| text(row, "name"))
        .collect();
    if linked.is_empty() {
        return Ok(());
    }
    Err(FakeOdooError::redirect_warning(
        &format!("{advice}\n\nLinked active users : {}", linked.join(", ")),
        "{'type': 'ir.actions.act_window', 'res_model': 'res.users', 'view_mode': 'list,form'}",
        "Go to users",
    ))
}

/// Rejects a record that contradicts others.
pub(super) fn check_constraints(
    database: &Database,
    model: &str,
    id: u32,
    changed: &[&str],
) -> Result<(), FakeOdooError> {
    let (Some(table), Some(row)) = (database.table(model), database.row(model, id)) else {
        return Ok(());
    };
    for (of, field, message) in [
        (
            "res.country",
            "code",
            "The code of the country must be unique!",
        ),
        (
            "res.users",
            "login",
            "You can not have two users with the same login!",
        ),
    ] {
        if of == model
            && changed.contains(&field)
            && table
                .rows
                .iter()
                .any(|(other, there)| *other != id && there.get(field) == row.get(field))
        {
            return Err(integrity_error(message));
        }
    }
    if changed.contains(&"parent_id") {
        check_no_recursion(table, id)?;
    }
    check_company(database, table, row, changed)
}

fn check_no_recursion(table: &Table, id: u32) -> Result<(), FakeOdooError> {
    let mut above = table.row(id).and_then(|row| link(row, "parent_id"));
    // A cycle without this record was rejected when it was created.
    for _ in 0..table.rows.len() {
        match above {
            None => return Ok(()),
            Some(parent) if parent == id => {
                return Err(FakeOdooError::validation_error(match table.model {
                    "product.category" => "You cannot create recursive categories.",
                    "res.partner" => "You cannot create recursive Partner hierarchies.",
                    _ => "Recursion Detected.",
                }));
            }
            Some(parent) => above = table.row(parent).and_then(|row| link(row, "parent_id")),
        }
    }
    Ok(())
}

/// Odoo's `_check_company`: linked records belong to the same company or to none.
fn check_company(
    database: &Database,
    table: &Table,
    row: &Row,
    changed: &[&str],
) -> Result<(), FakeOdooError> {
    let Some(company) = link(row, "company_id") else {
        return Ok(());
    };
    let all = changed.contains(&"company_id");
    let mut lines = Vec::new();
    for (name, field) in table.fields.iter() {
        if !field.check_company || !(all || changed.contains(name)) {
            continue;
        }
        let Some((related, other)) = database
            .related(field)
            .and_then(|related| Some((related, related.row(link(row, name)?)?)))
        else {
            continue;
        };
        let same_company = if related.model == "res.users" {
            ids(value(other, "company_ids")).contains(&company)
        } else {
            link(other, "company_id").is_none_or(|of| of == company)
        };
        if !same_company {
            let company = database
                .row("res.company", company)
                .map_or("", |company| text(company, "name"));
            lines.push(format!(
                "- “{}” belongs to company “{company}” while “{}” ({name}: '{}') belongs to another company.",
                table.display_name(row),
                field.label,
                related.display_name(other)
            ));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    Err(FakeOdooError::user_error(format!(
        "Uh-oh! You’ve got some company inconsistencies here:\n{}\nTo avoid a mess, no company crossover is allowed!",
        lines.join("\n")
    )))
}
