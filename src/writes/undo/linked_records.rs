//! What Odoo has now for the links and defaults of restored values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::restore::{DeletedLinks, is_empty, links_in_value};
use crate::access::{OdooSession, OperationError, RecordSnapshot, readable};
use gatepost_odoo::{Call, Context, FieldName, ModelName, RecordId, Schema};

/// The linked records that do not exist any more, or that the caller cannot see.
/// Where the caller may not read the model at all, policy decides on the link
/// itself.
pub(super) async fn find_deleted_links(
    access: &OdooSession<'_>,
    sources: impl Iterator<Item = (&Schema, &Map<String, Value>)>,
    context: &Context,
) -> Result<DeletedLinks, OperationError> {
    let mut wanted: BTreeMap<ModelName, BTreeSet<RecordId>> = BTreeMap::new();
    for (schema, row) in sources {
        let values = row
            .iter()
            .filter_map(|(name, value)| Some((schema.field(name)?, value)));
        for (model, id) in values.flat_map(|(field, value)| links_in_value(field, value)) {
            wanted.entry(model).or_default().insert(id);
        }
    }
    let mut deleted = DeletedLinks::new();
    for (model, ids) in wanted {
        let ids: Vec<RecordId> = ids.into_iter().collect();
        let records = RecordSnapshot::read(access, (&model, &ids), &[], context).await;
        if let Some(records) = readable(records)? {
            let missing = records.missing(&ids).into_iter();
            deleted.extend(missing.map(|id| (model.clone(), id)));
        }
    }
    Ok(deleted)
}

/// Those of the fields that Odoo fills in when a new record gets no value for
/// them: they have a default or are computed.
pub(super) async fn defaulted_fields(
    access: &OdooSession<'_>,
    (model, schema): (&ModelName, &Schema),
    fields: &[FieldName],
    context: &Context,
) -> Result<BTreeSet<FieldName>, OperationError> {
    let mut fields = fields.to_vec();
    fields.retain(|name| schema.field(name.as_str()).is_some());
    if fields.is_empty() {
        return Ok(BTreeSet::new());
    }
    let call = Call::defaults(model.clone(), &fields).in_context(context.clone());
    let response = readable(access.call(call).await)?;
    let defaults: Map<String, Value> = response
        .map(|response| serde_json::from_slice(&response))
        .transpose()?
        .unwrap_or_default();
    fields.retain(|name| {
        let default = defaults.get(name.as_str());
        let field = schema.field(name.as_str());
        default.is_some_and(|value| !is_empty(value))
            || field.is_some_and(|field| !field.depends.is_empty())
    });
    Ok(fields.into_iter().collect())
}
