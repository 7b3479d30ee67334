//! Records that were made, found by what they were made with.

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::Found;
use crate::{
    access::{Access, Denied},
    odoo::{
        Call, Condition, Context, Domain, Field, FieldKind, FieldName, FieldPath, ModelName,
        Operand, Operator, Order, RecordId,
    },
    shape::Rows,
};

/// How far Odoo's clock may be from ours.
const CLOCKS_APART_MIN: i64 = 5;

/// Records that our Odoo user made since then, with these very values.
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
    let since = begun
        .checked_sub(CLOCKS_APART_MIN.minutes())
        .unwrap_or(begun);
    let made_by_us = Domain::parse(&json!([
        ["create_uid", "=", user.id.get()],
        ["create_date", ">=", odoo_time(since)],
    ]))
    .map_err(|error| Denied::Unfit(error.to_string()))?;
    let unclear = || {
        Found::Unclear(format!(
            "search_records of `{model}` with `create_date` >= \"{}\" shows what was made.",
            odoo_time(since)
        ))
    };
    let context = Context {
        archived: true,
        ..context.clone()
    };
    let mut ids: Vec<RecordId> = Vec::new();
    for values in list {
        let mut domain = made_by_us.clone();
        let mut told = 0;
        for (name, value) in values {
            let Some(field) = schema.field(name) else {
                continue;
            };
            if can_be_searched(field, value)
                && let Ok(path) = FieldPath::try_from(name.as_str())
            {
                told += 1;
                domain = domain.and(Domain::of(Condition {
                    path,
                    operator: Operator::Equal,
                    operand: Operand::Value(value.clone()),
                }));
            }
        }
        if told == 0 {
            return Ok(unclear());
        }
        let id = FieldName::known("id");
        let search = Call::search_read(model.clone(), &domain, &[id], &Order::by_id(), 0, 200);
        let answer = access.call(search.in_context(context.clone())).await?;
        let found: Vec<i64> = Rows::parse(&answer)?.ids().collect();
        // Two of the same values are two records.
        let next = found
            .iter()
            .filter_map(|id| RecordId::try_from(*id).ok())
            .find(|id| !ids.contains(id));
        match next {
            Some(id) => ids.push(id),
            // All of them or none: then none was made.
            None if ids.is_empty() => return Ok(Found::Not),
            None => return Ok(unclear()),
        }
    }
    Ok(Found::Done(ids))
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
