//! Records that were made, found by what they were made with.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Found, Since, numbers};
use crate::access::{Access, Denied};
use gatepost_odoo::{
    After, Call, Condition, Context, Domain, Field, FieldKind, FieldName, FieldPath, ModelName,
    Operand, Operator, Order, RecordId, Schema,
};

/// Records that are looked at.
const MOST: u32 = 501;

/// After what the records were made that our Odoo user made since.
pub fn since_then(since: &Since) -> After {
    match since.newest {
        Some(newest) => After::Record(newest),
        None => After::Moment(odoo_time(since.earliest())),
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
pub async fn made_since(
    access: &Access<'_>,
    model: &ModelName,
    list: &[Map<String, Value>],
    context: &Context,
    since: &Since,
) -> Result<Found, Denied> {
    let Some(made) = access.made(model, (since_then(since), MOST), None).await? else {
        return Ok(Found::Unclear(format!(
            "this Odoo user may not see records of `{model}`."
        )));
    };
    if made.is_empty() {
        return Ok(Found::Not);
    }
    let schema = access.schema(model).await?;
    let among = Domain::of_ids(&made)?;
    let context = Context {
        archived: true,
        ..context.clone()
    };
    let mut fields = vec![FieldName::known("id")];
    fields.extend(schema.field("create_date").map(|date| date.name.clone()));
    let search = async |domain: &Domain| {
        let search = Call::search_read(model.clone(), domain, &fields, &Order::by_id(), 0, MOST);
        match access.call(search.in_context(context.clone())).await {
            Ok(answer) => candidates(&answer),
            // Made is not seen.
            Err(Denied::Forbidden(_)) => Ok(BTreeMap::new()),
            Err(denied) => Err(denied),
        }
    };
    let seen: Vec<RecordId> = search(&among).await?.into_keys().collect();
    let unclear = unclear(model, &seen, made.len());
    let (mut ids, mut found) = (Vec::new(), BTreeMap::new());
    for values in list {
        let Some(domain) = with_values(&schema, values, among.clone()) else {
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
    let began = since.at.checked_sub(2.seconds()).unwrap_or(since.at);
    let began = odoo_time(began);
    if since.newest.is_none() && found.values().any(|created| *created < began) {
        return Ok(unclear);
    }
    Ok(Found::Done(ids))
}

fn unclear(model: &ModelName, seen: &[RecordId], made: usize) -> Found {
    let unseen = made.saturating_sub(seen.len());
    let more = match (seen.is_empty(), unseen) {
        (_, 0) => String::new(),
        (true, _) => format!("{unseen} that you may not see"),
        (false, _) => format!(", and {unseen} that you may not see"),
    };
    let seen = if seen.is_empty() {
        String::new()
    } else {
        numbers(seen)
    };
    Found::Unclear(format!(
        "these records of `{model}` were made since by the same Odoo user: {seen}{more}. Look at them."
    ))
}

/// The records in an answer, each with when it was made, where that is known.
fn candidates(answer: &[u8]) -> Result<BTreeMap<RecordId, String>, Denied> {
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
fn with_values(schema: &Schema, values: &Map<String, Value>, mut domain: Domain) -> Option<Domain> {
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
