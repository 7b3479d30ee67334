//! What Odoo has now around the values that are put back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::restore::{DeletedLinks, is_empty, links_in_value};
use crate::access::{OdooSession, OperationError};
use crate::access::{RecordSnapshot, readable};
use gatepost_odoo::{Call, Context, FieldName, ModelName, RecordId, Schema};

/// Ids that are looked up at once.
const MAX_IDS: usize = 1_000;

/// The records that the values of these link to and that are not there any
/// more, or not to be seen. Where the caller may not look at all, policy
/// decides over the link itself.
///
/// # Errors
/// [`Denied`].
pub(super) async fn find_deleted_links(
    access: &OdooSession<'_>,
    sources: &[(&Schema, &Map<String, Value>)],
    context: &Context,
) -> Result<DeletedLinks, OperationError> {
    let mut wanted: BTreeMap<ModelName, BTreeSet<RecordId>> = BTreeMap::new();
    for (schema, row) in sources {
        for (name, value) in *row {
            let Some(field) = schema.field(name) else {
                continue;
            };
            for (model, id) in links_in_value(field, value) {
                wanted.entry(model).or_default().insert(id);
            }
        }
    }
    let mut gone = DeletedLinks::new();
    for (model, ids) in wanted {
        let ids: Vec<RecordId> = ids.into_iter().collect();
        for ids in ids.chunks(MAX_IDS) {
            let looked = RecordSnapshot::read(access, (&model, ids), &[], context).await;
            let Some(shot) = readable(looked)? else {
                continue;
            };
            let missing = ids.iter().filter(|id| shot.row(**id).is_none());
            gone.extend(missing.map(|id| (model.clone(), *id)));
        }
    }
    Ok(gone)
}

/// Those of the fields in which a new record gets something where nothing is
/// said: they have a default, or Odoo works them out.
///
/// # Errors
/// [`Denied`].
pub(super) async fn defaulted_fields(
    access: &OdooSession<'_>,
    (model, schema): (&ModelName, &Schema),
    fields: &[FieldName],
    context: &Context,
) -> Result<BTreeSet<FieldName>, OperationError> {
    let fields: Vec<FieldName> = fields
        .iter()
        .filter(|name| schema.field(name.as_str()).is_some())
        .cloned()
        .collect();
    if fields.is_empty() {
        return Ok(BTreeSet::new());
    }
    let ask = Call::defaults(model.clone(), &fields).in_context(context.clone());
    let answer = readable(access.call(ask).await)?;
    let defaults: Map<String, Value> = answer
        .map(|answer| serde_json::from_slice(&answer))
        .transpose()?
        .unwrap_or_default();
    let filled = fields.into_iter().filter(|name| {
        let has_default = defaults
            .get(name.as_str())
            .is_some_and(|value| !is_empty(value));
        let field = schema.field(name.as_str());
        has_default || field.is_some_and(|field| !field.depends.is_empty())
    });
    Ok(filled.collect())
}
