//! Records that were made, found by what they were made with.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::access::{OdooSession, OperationError};
use crate::writes::{Baseline, RecoveredOutcome, id_list};
use gatepost_odoo::{
    Call, Condition, Context, CreatedAfter, Domain, Field, FieldKind, FieldName, FieldPath,
    ModelName, Operand, Operator, Order, RecordId, Schema,
};

/// Records that are looked at.
const MAX_CANDIDATES: u32 = 501;

/// After what the records were made that our Odoo user made since.
pub fn after_baseline(since: &Baseline) -> CreatedAfter {
    match since.newest_id {
        Some(newest) => CreatedAfter::Record(newest),
        None => CreatedAfter::Time(odoo_time(since.earliest_odoo_time())),
    }
}

/// What came of new records with these values, from what Odoo has now.
///
/// Records that our Odoo user made since with these very values, and just as
/// many, are those; where there is none at all, none was made. All else is
/// unclear: Odoo may have put a value in a form of its own, and others may act
/// as the same Odoo user.
///
/// # Errors
/// [`Denied`].
pub async fn find_created(
    access: &OdooSession<'_>,
    model: &ModelName,
    list: &[Map<String, Value>],
    context: &Context,
    since: &Baseline,
) -> Result<RecoveredOutcome, OperationError> {
    let Some(made) = access
        .created_by_us(model, (after_baseline(since), MAX_CANDIDATES), None)
        .await?
    else {
        return Ok(RecoveredOutcome::Unclear(format!(
            "this Odoo user may not see records of `{model}`."
        )));
    };
    if made.is_empty() {
        return Ok(RecoveredOutcome::NotDone);
    }
    let schema = access.schema(model).await?;
    let among = Domain::of_ids(&made)?;
    let context = Context {
        include_archived: true,
        ..context.clone()
    };
    let mut fields = vec![FieldName::known("id")];
    fields.extend(schema.field("create_date").map(|date| date.name.clone()));
    let search = async |domain: &Domain| {
        let search = Call::search_read(
            model.clone(),
            domain,
            &fields,
            &Order::by_id_descending(),
            0,
            MAX_CANDIDATES,
        );
        match access.call(search.in_context(context.clone())).await {
            Ok(answer) => candidates(&answer),
            // Made is not seen.
            Err(OperationError::Forbidden(_)) => Ok(BTreeMap::new()),
            Err(denied) => Err(denied),
        }
    };
    let seen: Vec<RecordId> = search(&among).await?.into_keys().collect();
    let unclear = unclear_outcome(model, &seen, made.len());
    let (mut ids, mut found) = (Vec::new(), BTreeMap::new());
    for values in list {
        let Some(domain) = domain_with_values(&schema, values, among.clone()) else {
            return Ok(unclear);
        };
        let theirs = search(&domain).await?;
        // Two of the same values are two records.
        let Some(next) = theirs.keys().copied().find(|id| !ids.contains(id)) else {
            return Ok(unclear);
        };
        ids.push(next);
        found.extend(theirs);
    }
    if found.len() != ids.len() {
        return Ok(unclear);
    }
    // Where only clocks tell, an equal one from just before is another's.
    let began = since
        .taken_at
        .checked_sub(2.seconds())
        .unwrap_or(since.taken_at);
    let began = odoo_time(began);
    if since.newest_id.is_none() && found.values().any(|created| *created < began) {
        return Ok(unclear);
    }
    Ok(RecoveredOutcome::Done(ids))
}

fn unclear_outcome(model: &ModelName, seen: &[RecordId], made: usize) -> RecoveredOutcome {
    let unseen = made.saturating_sub(seen.len());
    let more = match (seen.is_empty(), unseen) {
        (_, 0) => String::new(),
        (true, _) => format!("{unseen} that you may not see"),
        (false, _) => format!(", and {unseen} that you may not see"),
    };
    let seen = if seen.is_empty() {
        String::new()
    } else {
        id_list(seen)
    };
    RecoveredOutcome::Unclear(format!(
        "these records of `{model}` were made since by the same Odoo user: {seen}{more}. Look at them."
    ))
}

/// The records in an answer, each with when it was made, where that is known.
fn candidates(answer: &[u8]) -> Result<BTreeMap<RecordId, String>, OperationError> {
    #[derive(Deserialize)]
    struct Row {
        id: RecordId,
        #[serde(default)]
        create_date: String,
    }
    let rows: Vec<Row> = serde_json::from_slice(answer)?;
    let rows = rows.into_iter();
    Ok(rows.map(|row| (row.id, row.create_date)).collect())
}

/// The domain, and that the records have these values; none where no value can
/// be searched for.
fn domain_with_values(
    schema: &Schema,
    values: &Map<String, Value>,
    mut domain: Domain,
) -> Option<Domain> {
    let mut told = false;
    for (name, value) in values {
        if let Some(field) = schema.field(name)
            && can_be_searched(field, value)
            && let Ok(path) = FieldPath::try_from(name.as_str())
        {
            told = true;
            domain = domain.and(Domain::of(Condition {
                path,
                operator: Operator::Equal,
                operand: Operand::Value(value.clone()),
            }));
        }
    }
    told.then_some(domain)
}

/// A moment as Odoo writes it.
pub fn odoo_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Whether a record that was made with this value is found by it.
pub fn can_be_searched(field: &Field, value: &Value) -> bool {
    if !field.stored || !field.searchable {
        return false;
    }
    match field.kind {
        FieldKind::Boolean | FieldKind::Integer => true,
        FieldKind::Char
        | FieldKind::Date
        | FieldKind::Datetime
        | FieldKind::Many2one
        | FieldKind::Reference
        | FieldKind::Selection
        | FieldKind::Text => !matches!(value, Value::Null | Value::Bool(false)),
        FieldKind::Binary
        | FieldKind::Float
        | FieldKind::Html
        | FieldKind::Image
        | FieldKind::Json
        | FieldKind::Many2many
        | FieldKind::Many2oneReference
        | FieldKind::Monetary
        | FieldKind::One2many
        | FieldKind::Properties
        | FieldKind::PropertiesDefinition
        | FieldKind::Unknown => false,
    }
}
