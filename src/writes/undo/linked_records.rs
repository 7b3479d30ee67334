//! What Odoo has now for the links and defaults of restored values.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::restore::{LostLinks, is_empty, links_in_value};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot, readable},
    validation::resolve_links::find_users,
};
use gatepost_odoo::{Call, Context, FieldName, ModelName, RecordId, Schema, UserSearch};

/// The links of these rows that cannot be restored.
pub(super) async fn find_lost_links<'s>(
    access: &OdooSession<'_>,
    sources: impl Iterator<Item = (&'s Schema, &'s Map<String, Value>)>,
    context: &Context,
) -> Result<LostLinks, OperationError> {
    let mut relations: BTreeSet<&ModelName> = BTreeSet::new();
    let mut wanted: BTreeMap<ModelName, BTreeSet<RecordId>> = BTreeMap::new();
    for (schema, row) in sources {
        let values = row
            .iter()
            .filter_map(|(name, value)| Some((schema.field(name)?, value)));
        for (field, value) in values {
            relations.extend(&field.relation);
            for (model, id) in links_in_value(field, value) {
                wanted.entry(model).or_default().insert(id);
            }
        }
    }
    let is_closed =
        |model: &&ModelName| access.may_read(model).is_err() && !access.finds_users(model);
    let mut lost = LostLinks {
        models: relations.into_iter().filter(is_closed).cloned().collect(),
        ..LostLinks::default()
    };
    for (model, ids) in wanted {
        let ids: Vec<RecordId> = ids.into_iter().collect();
        if access.finds_users(&model) {
            let found = find_users(access, UserSearch::Ids(ids.clone())).await?;
            let missing = ids.into_iter();
            let missing = missing.filter(|id| found.iter().all(|(known, _)| known != id));
            lost.records.extend(missing.map(|id| (model.clone(), id)));
            continue;
        }
        let records = RecordSnapshot::read(access, (&model, &ids), &[], context).await;
        let Some(records) = readable(records)? else {
            lost.models.insert(model);
            continue;
        };
        let missing = records.missing(&ids).into_iter();
        lost.records.extend(missing.map(|id| (model.clone(), id)));
    }
    Ok(lost)
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
