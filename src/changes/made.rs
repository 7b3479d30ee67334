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

/// Records at the most that are looked at.
const MAX_RECORDS: u32 = 501;
/// How far Odoo's clock may be from ours.
const CLOCKS_APART_MIN: i64 = 5;
/// How long after it was begun a record may have been made: the clocks, the wait
/// for a turn, and Odoo at work.
const UNTIL_MIN: i64 = 10;
/// The records that our Odoo user made around a moment.
#[derive(Debug)]
pub struct MadeAround<'a> {
    model: &'a ModelName,
    context: &'a Context,
    begun: Timestamp,
    by_us: Domain,
    made: BTreeMap<RecordId, String>,
}

impl<'a> MadeAround<'a> {
    /// Looks for them.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn look(
        access: &Access<'_>,
        model: &'a ModelName,
        context: &'a Context,
        begun: Timestamp,
    ) -> Result<Self, Denied> {
        let user = access.user().await?;
        let around = |minutes: i64| {
            let moment = begun.checked_add(minutes.minutes());
            odoo_time(moment.unwrap_or(begun))
        };
        let by_us = Domain::parse(&json!([
            ["create_uid", "=", user.id.get()],
            ["create_date", ">=", around(-CLOCKS_APART_MIN)],
            ["create_date", "<=", around(UNTIL_MIN)],
        ]))
        .map_err(|error| Denied::Unfit(error.to_string()))?;
        let mut around = Self {
            model,
            context,
            begun,
            by_us,
            made: BTreeMap::new(),
        };
        around.made = candidates(&access.call(around.search(&around.by_us)).await?)?;
        Ok(around)
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// With these very values, and just as many, they are those; where there is
    /// none at all, none was made. All else is unclear: Odoo may have put a value
    /// in a form of its own, and others may act as the same Odoo user.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn with(
        &self,
        access: &Access<'_>,
        list: &[Map<String, Value>],
    ) -> Result<Found, Denied> {
        if self.is_empty() {
            return Ok(Found::Not);
        }
        let ids: Vec<RecordId> = self.made.keys().copied().collect();
        let unclear = Found::Unclear(format!(
            "these records of `{}` were made around then by the same Odoo user: {}. Read them.",
            self.model,
            numbers(&ids)
        ));
        let schema = access.schema(self.model).await?;
        let mut found = BTreeMap::new();
        for values in list {
            let Some(domain) = with_values(&schema, values, self.by_us.clone()) else {
                return Ok(unclear);
            };
            let theirs = candidates(&access.call(self.search(&domain)).await?)?;
            if theirs.is_empty() {
                return Ok(unclear);
            }
            found.extend(theirs);
        }
        // An equal one from just before is another's, or of another call.
        let began = self
            .begun
            .checked_sub(2.seconds())
            .map(odoo_time)
            .unwrap_or_default();
        let earlier = found.values().any(|created| *created < began);
        if earlier || found.len() != list.len() {
            return Ok(unclear);
        }
        Ok(Found::Done(found.into_keys().collect()))
    }

    fn search(&self, domain: &Domain) -> Call {
        let fields = [FieldName::known("id"), FieldName::known("create_date")];
        let model = self.model.clone();
        Call::search_read(model, domain, &fields, &Order::by_id(), 0, MAX_RECORDS).in_context(
            Context {
                archived: true,
                ..self.context.clone()
            },
        )
    }
}

/// The records in an answer, each with when it was made.
fn candidates(answer: &[u8]) -> Result<BTreeMap<RecordId, String>, Denied> {
    #[derive(Deserialize)]
    struct Row {
        id: RecordId,
        create_date: String,
    }
    let rows: Vec<Row> = serde_json::from_slice(answer)?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, row.create_date))
        .collect())
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
