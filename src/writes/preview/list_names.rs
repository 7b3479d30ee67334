//! The names of the records in lists that are written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{records::MAX_RECORDS as MAX_SHOWN, x2many::MAX_REMAINING};
use crate::access::{DisplayNames, OdooSession, OperationError, RecordSnapshot, readable};
use gatepost_odoo::{Context, Field, ModelName, RecordId, Schema};

/// Records whose names are read in one call.
const MAX_IDS: usize = 1_000;

/// Looks up the names of the records that stand in the lists that are written,
/// and in those of the lines that are: what is taken out, and what stays.
///
/// # Errors
/// [`Denied`].
pub async fn load_display_names(
    access: &OdooSession<'_>,
    schema: &Schema,
    (values, before): (&Map<String, Value>, &RecordSnapshot),
    names: &mut DisplayNames,
    context: &Context,
) -> Result<(), OperationError> {
    let mut wanted: BTreeMap<ModelName, BTreeSet<RecordId>> = BTreeMap::new();
    let mut add = |model: &ModelName, list: &Value, most: usize, names: &DisplayNames| {
        let ids = list.as_array().into_iter().flatten();
        let ids = ids.filter_map(RecordId::from_json);
        let unknown = ids.filter(|id| names.get(&(model.clone(), *id)).is_none());
        let room = wanted.entry(model.clone()).or_default();
        let most = most.min(MAX_IDS.saturating_sub(room.len()));
        room.extend(unknown.take(most));
    };
    let rows = || before.rows().take(MAX_SHOWN);
    for (name, commands) in values {
        let Some((field, model)) = x2many_field(schema, name) else {
            continue;
        };
        // Of those that stay, few are told.
        let most = if replaces_list(commands) {
            MAX_IDS
        } else {
            MAX_REMAINING
        };
        for (_, row) in rows() {
            if let Some(list) = row.get(field.name.as_str()) {
                add(model, list, most, names);
            }
        }
    }
    for (model, shot) in names.lines() {
        let Some(schema) = names.schema(model) else {
            continue;
        };
        for (_, row) in shot.rows().take(MAX_IDS) {
            for (name, list) in row {
                if let Some((_, model)) = x2many_field(schema, name) {
                    add(model, list, MAX_REMAINING, names);
                }
            }
        }
    }
    for (model, ids) in wanted {
        let ids: Vec<RecordId> = ids.into_iter().collect();
        if ids.is_empty() {
            continue;
        }
        let looked = RecordSnapshot::read(access, (&model, &ids), &[], context).await;
        let Some(shot) = readable(looked)? else {
            continue;
        };
        for id in ids.into_iter().filter(|id| shot.row(*id).is_some()) {
            names.insert((model.clone(), id), shot.name(id).to_owned());
        }
    }
    Ok(())
}

fn x2many_field<'s>(schema: &'s Schema, name: &str) -> Option<(&'s Field, &'s ModelName)> {
    let field = schema.field(name).filter(|field| field.kind.is_x2many())?;
    Some((field, field.relation.as_ref()?))
}

/// Whether commands empty a list first, or say all that is in it.
fn replaces_list(commands: &Value) -> bool {
    let commands = commands.as_array().into_iter().flatten();
    let mut codes = commands.filter_map(|command| command.get(0)?.as_u64());
    codes.any(|code| code >= 5)
}
