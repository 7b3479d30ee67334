//! The names of the records in lists that are written.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{records::MAX_RECORDS as MAX_SHOWN, x2many::MAX_REMAINING};
use crate::access::{DisplayNames, OdooSession, OperationError, RecordSnapshot, readable};
use gatepost_odoo::{Context, ModelName, RecordId, Schema};

/// Records whose names are read in one call.
const MAX_IDS: usize = 1_000;

/// Reads the names of the records in the lists that are written, and in the lists
/// of lines that are written: those that are unlinked, and those that stay.
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
    for (name, commands) in values {
        let Some(model) = list_model(schema, name) else {
            continue;
        };
        // Of the records that stay, few are shown.
        let most = if replaces_list(commands) {
            MAX_IDS
        } else {
            MAX_REMAINING
        };
        for (_, row) in before.rows().take(MAX_SHOWN) {
            if let Some(list) = row.get(name) {
                add(model, list, most, names);
            }
        }
    }
    for (model, lines) in names.lines() {
        let Some(schema) = names.schema(model) else {
            continue;
        };
        for (name, list) in lines.rows().take(MAX_IDS).flat_map(|(_, row)| row) {
            if let Some(model) = list_model(schema, name) {
                add(model, list, MAX_REMAINING, names);
            }
        }
    }
    for (model, ids) in wanted.into_iter().filter(|(_, ids)| !ids.is_empty()) {
        let ids: Vec<RecordId> = ids.into_iter().collect();
        let records = RecordSnapshot::read(access, (&model, &ids), &[], context).await;
        if let Some(records) = readable(records)? {
            names.add_names(&model, &records);
        }
    }
    Ok(())
}

/// The model of the records in a list; `None` if the field is not a list.
fn list_model<'s>(schema: &'s Schema, name: &str) -> Option<&'s ModelName> {
    let field = schema.field(name).filter(|field| field.kind.is_x2many())?;
    field.relation.as_ref()
}

/// Whether commands empty a list first, or set all of it.
fn replaces_list(commands: &Value) -> bool {
    let commands = commands.as_array().into_iter().flatten();
    let mut codes = commands.filter_map(|command| command.get(0)?.as_u64());
    codes.any(|code| code >= 5)
}
