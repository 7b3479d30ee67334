//! Finds records whose creation got no response, by the values they were created
//! with.

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use serde_json::{Map, Value};

use super::{Baseline, odoo_time};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    validation::unapplied_values::is_as_written,
    writes::{RecoveredOutcome, id_list},
};
use gatepost_odoo::{
    Context, CreatedAfter, Field, FieldClass, FieldKind, FieldName, ModelName, RecordId, Schema,
};

/// Records that are compared: twice as many as one call may create, because others
/// may act as the same Odoo user.
const MAX_CANDIDATES: u32 = 2_000;

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
        // By times alone that is not certain, because clocks may differ by any amount.
        return Ok(match baseline.newest_id {
            Some(_) => RecoveredOutcome::NotDone,
            None => RecoveredOutcome::Unclear(format!(
                "this Odoo user seems to have created no record of `{model}` since, but only times could be compared."
            )),
        });
    }
    let schema = access.schema(model).await?;
    let compared = list.iter().map(|values| comparable_values(&schema, values));
    let compared: Vec<Vec<(&Field, &Value)>> = compared.collect();
    let names = compared.iter().flatten().map(|(field, _)| &field.name);
    let date = schema.field("create_date").map(|date| &date.name);
    let fields: BTreeSet<&FieldName> = names.chain(date).collect();
    let fields: Vec<FieldName> = fields.into_iter().cloned().collect();
    let records = match RecordSnapshot::read(access, (model, &created), &fields, context).await {
        // The caller may create such records, but not read them.
        Err(OperationError::Forbidden(_)) => RecordSnapshot::default(),
        records => records?,
    };
    let visible: Vec<RecordId> = records.rows().map(|(id, _)| id).collect();
    let unclear = unclear_outcome(model, &visible, created.len());
    let (mut ids, mut taken, mut found) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for values in &compared {
        let has_values = |row: &Map<String, Value>| {
            values.iter().all(|(field, value)| {
                let now = row.get(field.name.as_str());
                now.is_some_and(|now| is_as_written(field, value, now) == Some(true))
            })
        };
        let matching = records.rows().filter(|(_, row)| has_values(row));
        let matching: Vec<RecordId> = matching.map(|(id, _)| id).collect();
        // Two maps with the same values are two records.
        let next = matching.iter().find(|id| !taken.contains(*id));
        let Some(next) = next.filter(|_| !values.is_empty()) else {
            return Ok(unclear);
        };
        taken.insert(*next);
        ids.push(*next);
        found.extend(matching);
    }
    if found.len() != ids.len() {
        return Ok(unclear);
    }
    // If only times can be compared, an equal record from just before is another one.
    let began = baseline.taken_at.checked_sub(2.seconds());
    let began = odoo_time(began.unwrap_or(baseline.taken_at));
    let is_earlier = |id: &RecordId| {
        let created = records
            .row(*id)
            .and_then(|row| row.get("create_date")?.as_str());
        created.unwrap_or_default() < &*began
    };
    if baseline.newest_id.is_none() && found.iter().any(is_earlier) {
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
    let look = if visible.is_empty() {
        "Ask the user to check in Odoo."
    } else {
        "Read them."
    };
    RecoveredOutcome::Unclear(format!(
        "the same Odoo user has created these records of `{model}` since: {}. {look}",
        parts.join(", and ")
    ))
}

/// Those of the values by which a record can be recognized.
fn comparable_values<'s>(
    schema: &'s Schema,
    values: &'s Map<String, Value>,
) -> Vec<(&'s Field, &'s Value)> {
    let pairs = values.iter();
    let pairs = pairs.filter_map(|(name, value)| Some((schema.field(name)?, value)));
    pairs
        .filter(|(field, value)| can_be_searched(field, value))
        .collect()
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
