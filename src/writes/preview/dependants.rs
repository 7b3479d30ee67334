//! What links to records that are to be deleted.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::access::{OdooSession, OperationError};
use crate::access::{RecordSnapshot, readable};
use gatepost_base::text::one_line;
use gatepost_odoo::{Context, Field, FieldKind, RecordId, Schema};

/// Lists that are told.
const MAX_LISTS: usize = 12;
/// Lists of which records are named, and how many of each.
const MAX_NAMED_LISTS: usize = 6;
const MAX_NAMED: usize = 5;
const NAME_CHARS: usize = 60;

/// What may become of the records in the lists of those that are deleted, each
/// list with the number of its records and some names.
///
/// Odoo does not tell what it does (`ondelete`), only whether the link back must
/// be there.
///
/// # Errors
/// [`Denied`].
pub async fn dependants(
    access: &OdooSession<'_>,
    schema: &Schema,
    before: &RecordSnapshot,
    context: &Context,
) -> Result<Vec<String>, OperationError> {
    let mut lists: Vec<(&Field, Vec<RecordId>)> = schema
        .fields()
        .filter(|field| field.kind == FieldKind::One2many)
        .map(|field| (field, ids_in_list(field, before)))
        .filter(|(_, ids)| !ids.is_empty())
        .collect();
    // What comes with messages says least.
    lists.sort_by_key(|(field, _)| field.name.as_str().contains("message_"));
    let rest = lists.len().saturating_sub(MAX_LISTS);
    let (mut needing, mut others) = (Vec::new(), Vec::new());
    for (index, (list, ids)) in lists.iter().take(MAX_LISTS).enumerate() {
        let is_named = index < MAX_NAMED_LISTS;
        let (needs, names) = inspect_list(access, (list, ids), is_named, context).await?;
        let told = format!("{} in {} ({}){names}", ids.len(), list.name, list.label);
        if needs { &mut needing } else { &mut others }.push(told);
    }
    if rest > 0 {
        others.push(format!("and what is in {rest} more lists, NOT SHOWN"));
    }
    let mut told = Vec::new();
    if !needing.is_empty() {
        told.push(format!(
            "These cannot be without them, so Odoo deletes them too, or refuses: {}.",
            needing.join("; ")
        ));
    }
    if !others.is_empty() {
        told.push(format!(
            "These Odoo may delete too, leave without their link, or refuse because of: {}.",
            others.join("; ")
        ));
    }
    told.push(
        "Which other records link to them is NOT SHOWN: Odoo takes those links away, deletes those records too, or refuses."
            .to_owned(),
    );
    Ok(told)
}

/// The records in a list of these, each once.
fn ids_in_list(list: &Field, before: &RecordSnapshot) -> Vec<RecordId> {
    let rows = before.rows();
    let ids = rows
        .filter_map(|(_, row)| row.get(list.name.as_str())?.as_array())
        .flatten()
        .filter_map(Value::as_i64)
        .filter_map(|id| RecordId::try_from(id).ok());
    let ids: BTreeSet<RecordId> = ids.collect();
    ids.into_iter().collect()
}

/// Whether the records of a list must link back, and some of their names; both
/// as far as the caller may look.
async fn inspect_list(
    access: &OdooSession<'_>,
    (list, ids): (&Field, &[RecordId]),
    is_named: bool,
    context: &Context,
) -> Result<(bool, String), OperationError> {
    let nothing = (false, String::new());
    let (Some(model), Some(inverse)) = (&list.relation, &list.inverse) else {
        return Ok(nothing);
    };
    let Some(schema) = readable(access.schema(model).await)? else {
        return Ok(nothing);
    };
    let back = schema.field(inverse.as_str());
    let is_link = back.is_some_and(|back| back.kind == FieldKind::Many2one);
    let needs = is_link && back.is_some_and(|back| back.required);
    if !is_named || !is_link {
        return Ok((needs, String::new()));
    }
    let some = ids.get(..MAX_NAMED).unwrap_or(ids);
    let looked = RecordSnapshot::read(access, (model, some), &[], context).await;
    let Some(shot) = readable(looked)? else {
        return Ok((needs, String::new()));
    };
    let mut names: Vec<String> = some
        .iter()
        .filter(|id| shot.row(**id).is_some())
        .map(|id| format!("{} [{id}]", one_line(shot.name(*id), NAME_CHARS)))
        .collect();
    if names.is_empty() {
        return Ok((needs, String::new()));
    }
    if names.len() < ids.len() {
        names.push("…".to_owned());
    }
    Ok((needs, format!(": {}", names.join(", "))))
}
