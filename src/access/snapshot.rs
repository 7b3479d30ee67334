//! Records as Odoo has them at one moment.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{OdooSession, OperationError};
use gatepost_base::digest::{hex, json_digest};
use gatepost_odoo::{Call, Context, Domain, FieldName, ModelName, Order, RecordId};

/// Records that are read in one call.
const MAX_RECORDS: usize = 1_000;

/// Records as Odoo has them at one moment, such as before or after a write.
///
/// As JSON it is an object of the rows by their ids.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub struct RecordSnapshot {
    rows: BTreeMap<RecordId, Map<String, Value>>,
    /// The fields that Odoo refused to return.
    pub unreadable_fields: Vec<FieldName>,
}

impl RecordSnapshot {
    /// Reads these fields of the records that exist and that the caller may see,
    /// archived ones included, with their names and their `write_date`. Many records
    /// take several calls.
    pub async fn read(
        access: &OdooSession<'_>,
        (model, ids): (&ModelName, &[RecordId]),
        fields: &[FieldName],
        context: &Context,
    ) -> Result<Self, OperationError> {
        let mut snapshot = Self::default();
        for ids in ids.chunks(MAX_RECORDS) {
            snapshot.merge(Self::read_part(access, (model, ids), fields, context).await?);
        }
        Ok(snapshot)
    }

    async fn read_part(
        access: &OdooSession<'_>,
        (model, ids): (&ModelName, &[RecordId]),
        fields: &[FieldName],
        context: &Context,
    ) -> Result<Self, OperationError> {
        access.account()?.refusals().check_model(model)?;
        let domain = Domain::of_ids(ids)?;
        let limit = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let context = Context {
            include_archived: true,
            ..context.clone()
        };
        let mut wanted = fields.to_vec();
        let schema = access.schema(model).await?;
        for name in ["display_name", "write_date"] {
            let name = FieldName::known(name);
            if schema.field(name.as_str()).is_some() && !wanted.contains(&name) {
                wanted.push(name);
            }
        }
        let order = Order::by_id_descending();
        let reading = access
            .read_tolerantly(&wanted, |fields| {
                Call::search_read(model.clone(), &domain, fields, &order, 0, limit)
                    .in_context(context.clone())
            })
            .await;
        let reading = access.remember_unreadable_model(model, reading).await?;
        let mut snapshot = Self {
            rows: BTreeMap::new(),
            unreadable_fields: reading.unreadable_fields,
        };
        for (index, response) in reading.responses.iter().enumerate() {
            let rows: Vec<Map<String, Value>> = serde_json::from_slice(response)?;
            for row in rows {
                let Some(id) = row.get("id").and_then(RecordId::from_json) else {
                    continue;
                };
                // A record that only a later response has was created in between.
                if index == 0 {
                    // Only what was asked for, whatever Odoo sends.
                    if ids.contains(&id) {
                        snapshot.rows.insert(id, row);
                    }
                } else if let Some(known) = snapshot.rows.get_mut(&id) {
                    known.extend(row);
                }
            }
        }
        Ok(snapshot)
    }

    /// The same, but every record has to exist.
    ///
    /// # Errors
    /// [`OperationError::InvalidArgument`] names those that do not.
    pub async fn read_all(
        access: &OdooSession<'_>,
        (model, ids): (&ModelName, &[RecordId]),
        fields: &[FieldName],
        context: &Context,
    ) -> Result<Self, OperationError> {
        let snapshot = Self::read(access, (model, ids), fields, context).await?;
        snapshot.require_all(model, ids)?;
        Ok(snapshot)
    }

    /// Allows only records that all exist.
    ///
    /// # Errors
    /// [`OperationError::InvalidArgument`] names those that do not.
    pub fn require_all(&self, model: &ModelName, ids: &[RecordId]) -> Result<(), OperationError> {
        let missing = self.missing(ids);
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        Err(OperationError::InvalidArgument(format!(
            "these records of `{model}` do not exist, or this Odoo user may not see them: {}. Nothing was changed; search_records finds the right ids",
            missing.join(", ")
        )))
    }

    /// The record with this id.
    pub fn row(&self, id: RecordId) -> Option<&Map<String, Value>> {
        self.rows.get(&id)
    }

    /// All records in the order of their ids.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (RecordId, &Map<String, Value>)> {
        self.rows.iter().map(|(id, row)| (*id, row))
    }

    /// The rows, mutable.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = (RecordId, &mut Map<String, Value>)> {
        self.rows.iter_mut().map(|(id, row)| (*id, row))
    }

    /// Adds records of the same model.
    pub(crate) fn merge(&mut self, other: Self) {
        self.rows.extend(other.rows);
        for field in other.unreadable_fields {
            if !self.unreadable_fields.contains(&field) {
                self.unreadable_fields.push(field);
            }
        }
    }

    /// These fields of the records.
    pub(crate) fn select(&self, fields: &[FieldName]) -> Self {
        let names: BTreeSet<&str> = fields.iter().map(FieldName::as_str).collect();
        let mut selected = self.clone();
        for (_, row) in selected.rows_mut() {
            row.retain(|name, _| names.contains(name.as_str()));
        }
        selected
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Those of the ids that have no record here.
    pub fn missing(&self, ids: &[RecordId]) -> Vec<RecordId> {
        let ids = ids.iter().copied();
        ids.filter(|id| !self.rows.contains_key(id)).collect()
    }

    /// The display name of a record; empty if it is not known.
    pub fn name(&self, id: RecordId) -> &str {
        self.row(id)
            .and_then(|row| row.get("display_name"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The hash of all values.
    pub fn hash(&self) -> [u8; 32] {
        json_digest(&self.to_json())
    }

    /// The hash of when each record was written last: any write changes it.
    /// `None` if Odoo does not return that for every record.
    pub fn write_date_digest(&self) -> Option<String> {
        let rows = self.rows.iter();
        let dates = rows.map(|(id, row)| Some(json!([id, row.get("write_date")?.as_str()?])));
        let dates: Option<Value> = dates.collect();
        Some(hex(&json_digest(&dates?)))
    }

    /// The records by their ids, as JSON.
    pub fn to_json(&self) -> Value {
        self.clone().into()
    }
}

impl From<RecordSnapshot> for Value {
    fn from(snapshot: RecordSnapshot) -> Self {
        let rows = snapshot.rows.into_iter();
        Self::Object(rows.map(|(id, row)| (id.to_string(), row.into())).collect())
    }
}

impl From<Value> for RecordSnapshot {
    fn from(value: Value) -> Self {
        let Value::Object(rows) = value else {
            return Self::default();
        };
        let rows = rows.into_iter().filter_map(|(id, row)| match row {
            Value::Object(row) => Some((id.parse::<i64>().ok()?.try_into().ok()?, row)),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
            Value::String(_) | Value::Array(_) => None,
        });
        Self {
            rows: rows.collect(),
            unreadable_fields: Vec::new(),
        }
    }
}

/// The value, or `None` if the caller or the Odoo user may not read it. Whether
/// a link to such a record is allowed is decided separately.
pub fn readable<T>(read: Result<T, OperationError>) -> Result<Option<T>, OperationError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(OperationError::Forbidden(_)) => Ok(None),
        Err(OperationError::Call(error)) if error.is_fault() => Ok(None),
        Err(denied) => Err(denied),
    }
}
