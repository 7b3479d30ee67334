//! What links to records that are to be deleted.

use std::collections::BTreeSet;

use crate::access::{OdooSession, OperationError, RecordSnapshot, readable};
use gatepost_base::text::one_line;
use gatepost_odoo::{Context, Field, FieldKind, RecordId, Schema};

/// Lists that are shown.
const MAX_LISTS: usize = 12;
/// Lists whose records are named, and how many of each.
const MAX_NAMED_LISTS: usize = 6;
const MAX_NAMED: usize = 5;
const NAME_CHARS: usize = 60;

/// What may happen to the records in the lists of those that are deleted: each
/// list with the number of its records and some names.
///
/// Odoo does not reveal what it will do (`ondelete`), only whether the link back
/// is required.
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
    // Lists of messages say least.
    lists.sort_by_key(|(field, _)| field.name.as_str().contains("message_"));
    let rest = lists.len().saturating_sub(MAX_LISTS);
    let (mut required, mut others) = (Vec::new(), Vec::new());
    for (index, (list, ids)) in lists.iter().take(MAX_LISTS).enumerate() {
        let is_named = index < MAX_NAMED_LISTS;
        let (is_required, names) = inspect_list(access, (list, ids), is_named, context).await?;
        let described = format!("{} in {} ({}){names}", ids.len(), list.name, list.label);
        if is_required {
            &mut required
        } else {
            &mut others
        }
        .push(described);
    }
    if rest > 0 {
        others.push(format!("and the records in {rest} more lists, NOT SHOWN"));
    }
    let mut lines = Vec::new();
    if !required.is_empty() {
        lines.push(format!(
            "These cannot exist without them, so Odoo deletes them too, or refuses: {}.",
            required.join("; ")
        ));
    }
    if !others.is_empty() {
        lines.push(format!(
            "These Odoo may delete too, unlink, or refuse because of: {}.",
            others.join("; ")
        ));
    }
    lines.push(
        "Which other records link to them is NOT SHOWN: Odoo removes those links, deletes those records too, or refuses."
            .to_owned(),
    );
    Ok(lines)
}

/// The records in this list of all the records, each once.
fn ids_in_list(list: &Field, before: &RecordSnapshot) -> Vec<RecordId> {
    let rows = before.rows();
    let ids = rows
        .filter_map(|(_, row)| row.get(list.name.as_str())?.as_array())
        .flatten()
        .filter_map(RecordId::from_json);
    let ids: BTreeSet<RecordId> = ids.collect();
    ids.into_iter().collect()
}

/// Whether the records of a list require their link back, and some of their
/// names; both as far as the caller may read them.
async fn inspect_list(
    access: &OdooSession<'_>,
    (list, ids): (&Field, &[RecordId]),
    is_named: bool,
    context: &Context,
) -> Result<(bool, String), OperationError> {
    let (Some(model), Some(inverse)) = (&list.relation, &list.inverse) else {
        return Ok((false, String::new()));
    };
    let Some(schema) = readable(access.schema(model).await)? else {
        return Ok((false, String::new()));
    };
    let back = schema.field(inverse.as_str());
    let back = back.filter(|back| back.kind == FieldKind::Many2one);
    let is_required = back.is_some_and(|back| back.required);
    if !is_named || back.is_none() {
        return Ok((is_required, String::new()));
    }
    let some = ids.get(..MAX_NAMED).unwrap_or(ids);
    let records = RecordSnapshot::read(access, (model, some), &[], context).await;
    let records = readable(records)?.unwrap_or_default();
    let mut names: Vec<String> = records
        .rows()
        .map(|(id, _)| format!("{} [{id}]", one_line(records.name(id), NAME_CHARS)))
        .collect();
    if names.is_empty() {
        return Ok((is_required, String::new()));
    }
    if names.len() < ids.len() {
        names.push("…".to_owned());
    }
    Ok((is_required, format!(": {}", names.join(", "))))
}
