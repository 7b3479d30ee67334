//! Records that were made, found by what they were made with.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Found, numbers};
use crate::{
    access::{Access, Denied},
    odoo::{
        Call, Condition, Context, Domain, Field, FieldKind, FieldName, FieldPath, ModelName,
        Operand, Operator, Order, RecordId, Schema,
    },
};

/// How far Odoo's clock may be from ours.
const CLOCKS_APART_MIN: i64 = 5;
/// How long after it was begun a record may have been made: the clocks, the wait
/// for a turn, and Odoo at work.
const UNTIL_MIN: i64 = 10;
/// Records that are looked at.
const MOST: u32 = 501;

/// What came of new records with these values, from what Odoo has now.
///
/// Records that our Odoo user made around then with these very values, and just
/// as many, are those; where there is none at all, none was made. All else is
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
    begun: Timestamp,
) -> Result<Found, Denied> {
    let schema = access.schema(model).await?;
    let user = access.user().await?;
    let around = |minutes: i64| {
        let moment = begun.checked_add(minutes.minutes());
        odoo_time(moment.unwrap_or(begun))
    };
    let made_by_us = Domain::parse(&json!([
        ["create_uid", "=", user.id.get()],
        ["create_date", ">=", around(-CLOCKS_APART_MIN)],
        ["create_date", "<=", around(UNTIL_MIN)],
    ]))
    .map_err(|error| Denied::Unfit(error.to_string()))?;
    let context = Context {
        archived: true,
        ..context.clone()
    };
    let fields = [FieldName::known("id"), FieldName::known("create_date")];
    let search = |domain: &Domain| {
        Call::search_read(model.clone(), domain, &fields, &Order::by_id(), 0, MOST)
            .in_context(context.clone())
    };
    let made = candidates(&access.call(search(&made_by_us)).await?)?;
    if made.is_empty() {
        return Ok(Found::Not);
    }
    let made: Vec<RecordId> = made.into_keys().collect();
    let unclear = Found::Unclear(format!(
        "these records of `{model}` were made around then by the same Odoo user: {}. Read them.",
        numbers(&made)
    ));
    let (mut ids, mut found) = (Vec::new(), BTreeMap::new());
    for values in list {
        let Some(domain) = with_values(&schema, values, made_by_us.clone()) else {
            return Ok(unclear);
        };
        let theirs = candidates(&access.call(search(&domain)).await?)?;
        // Two of the same values are two records.
        let Some(next) = theirs.keys().copied().find(|id| !ids.contains(id)) else {
            return Ok(unclear);
        };
        ids.push(next);
        found.extend(theirs);
    }
    // An equal one from just before is another's, or of another call.
    let began = begun.checked_sub(2.seconds()).unwrap_or(begun);
    let began = odoo_time(began);
    if found.len() != ids.len() || found.values().any(|created| *created < began) {
        return Ok(unclear);
    }
    Ok(Found::Done(ids))
}

/// The records in an answer, each with when it was made.
fn candidates(answer: &[u8]) -> Result<BTreeMap<RecordId, String>, Denied> {
    #[derive(Deserialize)]
    struct Row {
        id: RecordId,
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
