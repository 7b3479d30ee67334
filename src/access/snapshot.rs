//! Records as Odoo has them at one moment.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::access::{OdooSession, OperationError};
use gatepost_base::digest::{hex, json_digest};
use gatepost_odoo::{Call, Context, Domain, FieldName, ModelName, Order, RecordId};

/// Records as Odoo has them at one moment: before a change, or after it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RecordSnapshot {
    rows: BTreeMap<i64, Map<String, Value>>,
    /// The fields that Odoo would not give.
    pub unreadable_fields: Vec<FieldName>,
}

impl RecordSnapshot {
    /// Looks at these fields of those of the records that exist and may be
    /// seen, archived ones too, with their names and when they were last
    /// changed.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn read(
        access: &OdooSession<'_>,
        (model, ids): (&ModelName, &[RecordId]),
        fields: &[FieldName],
        context: &Context,
    ) -> Result<Self, OperationError> {
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
        let reading = access
            .read_tolerantly(&wanted, |fields| {
                Call::search_read(
                    model.clone(),
                    &domain,
                    fields,
                    &Order::by_id_descending(),
                    0,
                    limit,
                )
                .in_context(context.clone())
            })
            .await?;
        let mut shot = Self {
            rows: BTreeMap::new(),
            unreadable_fields: reading.unreadable_fields,
        };
        for (index, answer) in reading.responses.iter().enumerate() {
            let rows: Vec<Map<String, Value>> = serde_json::from_slice(answer)?;
            for row in rows {
                let Some(id) = row.get("id").and_then(Value::as_i64) else {
                    continue;
                };
                // What is only in a later answer came between the two.
                if index == 0 {
                    shot.rows.insert(id, row);
                } else if let Some(known) = shot.rows.get_mut(&id) {
                    known.extend(row);
                }
            }
        }
        Ok(shot)
    }

    /// The same, where every record must be there.
    ///
    /// # Errors
    /// [`Denied::Unfit`] names those that are not.
    pub async fn read_all(
        access: &OdooSession<'_>,
        (model, ids): (&ModelName, &[RecordId]),
        fields: &[FieldName],
        context: &Context,
    ) -> Result<Self, OperationError> {
        let shot = Self::read(access, (model, ids), fields, context).await?;
        let missing: Vec<String> = ids
            .iter()
            .filter(|id| shot.row(**id).is_none())
            .map(ToString::to_string)
            .collect();
        if missing.is_empty() {
            return Ok(shot);
        }
        Err(OperationError::InvalidArgument(format!(
            "these records of `{model}` do not exist or may not be seen by this Odoo user: {}; search_records finds the right ids; nothing was changed",
            missing.join(", ")
        )))
    }

    /// The record of an id.
    pub fn row(&self, id: RecordId) -> Option<&Map<String, Value>> {
        self.rows.get(&i64::from(id.get()))
    }

    /// These records too, looked at by the same fields.
    pub(crate) fn merge(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.unreadable_fields.extend(other.unreadable_fields);
    }

    /// All records, by their ids.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&i64, &Map<String, Value>)> {
        self.rows.iter()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The name of a record; empty where there is none.
    pub fn name(&self, id: RecordId) -> &str {
        self.row(id)
            .and_then(|row| row.get("display_name"))
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The hash of all that was seen.
    pub fn hash(&self) -> [u8; 32] {
        json_digest(&self.to_json())
    }

    /// What every write to one of the records alters: when Odoo says that each
    /// was written last. Nothing where it does not say so of each.
    pub fn write_date_digest(&self) -> Option<String> {
        let rows = self.rows.iter();
        let dates = rows.map(|(id, row)| Some(json!([id, row.get("write_date")?.as_str()?])));
        let dates: Option<Value> = dates.collect();
        Some(hex(&json_digest(&dates?)))
    }

    /// The records by their ids, as JSON.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter();
        Value::Object(
            rows.map(|(id, row)| (id.to_string(), Value::Object(row.clone())))
                .collect(),
        )
    }

    /// The records that [`Shot::to_json`] wrote.
    pub fn from_json(value: &Value) -> Self {
        let rows = value.as_object().into_iter().flatten();
        Self {
            rows: rows
                .filter_map(|(id, row)| Some((id.parse().ok()?, row.as_object()?.clone())))
                .collect(),
            unreadable_fields: Vec::new(),
        }
    }
}
