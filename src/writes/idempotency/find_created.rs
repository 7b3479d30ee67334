//! Finds records whose creation got no response, by the values they were created
//! with.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Baseline;
use crate::{
    access::{OdooSession, OperationError},
    writes::{RecoveredOutcome, id_list},
};
use gatepost_odoo::{
    Call, Condition, Context, CreatedAfter, Domain, Field, FieldClass, FieldKind, FieldName,
    FieldPath, ModelName, Operand, Operator, Order, RecordId, Schema,
};

/// Records that are compared.
const MAX_CANDIDATES: u32 = 501;

/// The point after which records count as created since the baseline.
pub fn after_baseline(baseline: &Baseline) -> CreatedAfter {
    match baseline.newest_id {
        Some(newest) => CreatedAfter::Record(newest),
        None => CreatedAfter::Time(odoo_time(baseline.earliest_odoo_time())),
    }
}

/// Finds out whether records with these values were created.
///
/// They were if the Odoo user has since created records with these very values,
/// and just as many; they were not if it has created none at all. Anything else
/// is unclear: Odoo may have normalized a value, and others may act as the same
/// Odoo user.
pub async fn find_created(
    access: &OdooSession<'_>,
    model: &ModelName,
    list: &[Map<String, Value>],
    context: &Context,
    baseline: &Baseline,
) -> Result<RecoveredOutcome, OperationError> {
    let which = (after_baseline(baseline), MAX_CANDIDATES);
    let Some(created) = access.created_by_us(model, which, None).await? else {
        return Ok(RecoveredOutcome::Unclear(format!(
            "this Odoo user may not see records of `{model}`."
        )));
    };
    if created.is_empty() {
        return Ok(RecoveredOutcome::NotDone);
    }
    let schema = access.schema(model).await?;
    let among = Domain::of_ids(&created)?;
    let context = Context {
        include_archived: true,
        ..context.clone()
    };
    let mut fields = vec![FieldName::known("id")];
    fields.extend(schema.field("create_date").map(|date| date.name.clone()));
    let order = Order::by_id_descending();
    let search = async |domain: &Domain| {
        let call = Call::search_read(model.clone(), domain, &fields, &order, 0, MAX_CANDIDATES);
        match access.call(call.in_context(context.clone())).await {
            Ok(response) => candidates(&response),
            // The caller may create such records, but not read them.
            Err(OperationError::Forbidden(_)) => Ok(BTreeMap::new()),
            Err(denied) => Err(denied),
        }
    };
    let visible: Vec<RecordId> = search(&among).await?.into_keys().collect();
    let unclear = unclear_outcome(model, &visible, created.len());
    let (mut ids, mut found) = (Vec::new(), BTreeMap::new());
    for values in list {
        let Some(domain) = domain_with_values(&schema, values, among.clone()) else {
            return Ok(unclear);
        };
        let matching = search(&domain).await?;
        // Two maps with the same values are two records.
        let Some(next) = matching.keys().copied().find(|id| !ids.contains(id)) else {
            return Ok(unclear);
        };
        ids.push(next);
        found.extend(matching);
    }
    if found.len() != ids.len() {
        return Ok(unclear);
    }
    // If only times can be compared, an equal record from just before is another one.
    let began = baseline.taken_at.checked_sub(2.seconds());
    let began = odoo_time(began.unwrap_or(baseline.taken_at));
    if baseline.newest_id.is_none() && found.values().any(|created| *created < began) {
        return Ok(unclear);
    }
    Ok(RecoveredOutcome::Done(ids))
}

fn unclear_outcome(model: &ModelName, visible: &[RecordId], created: usize) -> RecoveredOutcome {
    let mut parts = Vec::new();
    if !visible.is_empty() {
        parts.push(id_list(visible));
    }
    let hidden = created.saturating_sub(visible.len());
    if hidden > 0 {
        parts.push(format!("{hidden} that you may not see"));
    }
    RecoveredOutcome::Unclear(format!(
        "the same Odoo user has created these records of `{model}` since: {}. Read them.",
        parts.join(", and ")
    ))
}

/// The records in a response, each with its `create_date` if that is known.
fn candidates(response: &[u8]) -> Result<BTreeMap<RecordId, String>, OperationError> {
    #[derive(Deserialize)]
    struct Row {
        id: RecordId,
        #[serde(default)]
        create_date: String,
    }
    let rows: Vec<Row> = serde_json::from_slice(response)?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.id, row.create_date)).collect())
}

/// The domain narrowed to records with these values; `None` if none of the values
/// can be searched for.
fn domain_with_values(
    schema: &Schema,
    values: &Map<String, Value>,
    mut domain: Domain,
) -> Option<Domain> {
    let mut is_narrowed = false;
    for (name, value) in values {
        if let Some(field) = schema.field(name)
            && can_be_searched(field, value)
            && let Ok(path) = FieldPath::try_from(name.as_str())
        {
            is_narrowed = true;
            domain = domain.and(Domain::of(Condition {
                path,
                operator: Operator::Equal,
                operand: Operand::Value(value.clone()),
            }));
        }
    }
    is_narrowed.then_some(domain)
}

/// A time in Odoo's form, `2026-01-31 13:45:00`.
pub fn odoo_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether a search for this value finds a record that was created with it.
pub fn can_be_searched(field: &Field, value: &Value) -> bool {
    let is_exact = match field.kind.class() {
        FieldClass::Scalar | FieldClass::Many2one | FieldClass::Reference => {
            field.kind == FieldKind::Boolean || !matches!(value, Value::Null | Value::Bool(false))
        }
        FieldClass::Number => field.kind == FieldKind::Integer,
        FieldClass::Binary
        | FieldClass::Document
        | FieldClass::Many2many
        | FieldClass::One2many
        | FieldClass::Properties
        | FieldClass::Unknown
        | FieldClass::UntypedId => false,
    };
    is_exact && field.stored && field.searchable
}
