//! What the database and the models do not let be.

use serde_json::Value;

use super::{
    database::Database,
    refusal::Refusal,
    table::{Field, Row, Table, link, text, value},
};

/// Refuses a record that lacks what it needs.
pub(super) fn required(table: &Table, row: &Row) -> Result<(), Refusal> {
    let unset = |name: &str| matches!(value(row, name), Value::Bool(false) | Value::Null);
    if table.model == "res.partner" && unset("name") && text(row, "type") == "contact" {
        return Err(completed("Contacts require a name"));
    }
    let missing = table
        .fields
        .iter()
        .find(|(name, field)| field.required && field.kind != "boolean" && unset(name));
    match missing {
        None => Ok(()),
        Some((name, field)) => Err(completed(&format!(
            "Missing required value for the field '{}' ({name}).\nModel: '{}' ({})\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n",
            field.label, table.label, table.model
        ))),
    }
}

/// How an error of the database begins when it is told to a client.
const COMPLETED: &str = "The operation cannot be completed: ";

fn completed(why: &str) -> Refusal {
    Refusal::validation(format!("{COMPLETED}{why}"))
}

/// The same error as `load` tells it, which leaves the beginning out.
pub(super) fn bare(message: &str) -> &str {
    message.strip_prefix(COMPLETED).unwrap_or(message)
}

/// A record that others point to, of the table and by the field named.
pub(super) fn in_use(table: &Table, name: &str, field: &Field) -> Refusal {
    completed(&format!(
        "Another model is using the record you are trying to delete.\n\nThe troublemaker is: '{}' ({})\nThanks to the following constraint: '{}' ({name})\nHow about archiving the record instead?",
        table.label, table.model, field.label
    ))
}

/// A link of a many2many to a record that is not there.
pub(super) fn dangling(constraint: &str) -> Refusal {
    completed(&format!(
        "Another model is using the record you are trying to delete.\n\nThe troublemaker is: Unknown\nThanks to the following constraint: {constraint}\nHow about archiving the record instead?"
    ))
}

/// Refuses values before anything is changed.
pub(super) fn before_write(
    database: &Database,
    model: &str,
    ids: &[u32],
    values: &Row,
) -> Result<(), Refusal> {
    let archives = values
        .get("active")
        .is_some_and(|active| !super::cast::truthy(active));
    if model == "res.partner" && archives {
        let linked = users_of(database, ids);
        if !linked.is_empty() {
            return Err(Refusal::redirect(
                &format!(
                    "You cannot archive contacts linked to an active user.\nYou first need to archive their associated user.\n\nLinked active users : {}",
                    linked.join(", ")
                ),
                "{'type': 'ir.actions.act_window', 'res_model': 'res.users', 'view_mode': 'list,form'}",
                "Go to users",
            ));
        }
    }
    Ok(())
}

/// The names of the active users whose contacts these are.
pub(super) fn users_of(database: &Database, partners: &[u32]) -> Vec<String> {
    let Some(users) = database.table("res.users") else {
        return Vec::new();
    };
    users
        .rows
        .values()
        .filter(|row| {
            row.get("active") == Some(&Value::Bool(true))
                && link(row, "partner_id").is_some_and(|id| partners.contains(&id))
        })
        .map(|row| text(row, "name").to_owned())
        .collect()
}

/// Refuses a record that contradicts others.
pub(super) fn check(
    database: &Database,
    model: &str,
    id: u32,
    changed: &[&str],
) -> Result<(), Refusal> {
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
            return Err(completed(message));
        }
    }
    if changed.contains(&"parent_id") {
        not_its_own_parent(table, id)?;
    }
    of_one_company(database, table, row, changed)
}

fn not_its_own_parent(table: &Table, id: u32) -> Result<(), Refusal> {
    let mut above = table.row(id).and_then(|row| link(row, "parent_id"));
    // A circle that the record is not part of was refused when it was closed.
    for _ in 0..table.rows.len() {
        match above {
            None => return Ok(()),
            Some(parent) if parent == id => {
                return Err(Refusal::validation(match table.model {
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

/// Odoo's `_check_company`: what it points to is of its company or of none.
fn of_one_company(
    database: &Database,
    table: &Table,
    row: &Row,
    changed: &[&str],
) -> Result<(), Refusal> {
    let Some(company) = link(row, "company_id") else {
        return Ok(());
    };
    let all = changed.contains(&"company_id");
    let mut lines = Vec::new();
    for (name, field) in table.fields.iter() {
        if !field.of_one_company || !(all || changed.contains(name)) {
            continue;
        }
        let Some((related, other)) = field
            .relation
            .and_then(|model| database.table(model))
            .and_then(|related| Some((related, related.row(link(row, name)?)?)))
        else {
            continue;
        };
        let fits = if related.model == "res.users" {
            super::domain::ids(value(other, "company_ids")).contains(&company)
        } else {
            link(other, "company_id").is_none_or(|of| of == company)
        };
        if !fits {
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
    Err(Refusal::user(format!(
        "Uh-oh! You’ve got some company inconsistencies here:\n{}\nTo avoid a mess, no company crossover is allowed!",
        lines.join("\n")
    )))
}
