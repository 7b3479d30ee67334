//! Finds out whether an import was done whose response was lost.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{ImportOperation, ImportPlan, MAX_ROWS};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    writes::{self, Baseline, RecoveredOutcome},
};
use gatepost_odoo::{
    Call, CellMeaning, Context, Domain, FieldName, Order, RecordId, Schema, cell_at, cell_value,
};

/// The maximum number of columns by which created records are recognized.
const MAX_COMPARED_COLUMNS: usize = 12;

impl ImportOperation {
    /// Whether the known records are unchanged since the baseline and those with
    /// external ids do not exist.
    pub(super) async fn is_unchanged(
        &self,
        access: &OdooSession<'_>,
        plan: &ImportPlan,
        since: &Baseline,
        context: &Context,
    ) -> Result<bool, OperationError> {
        // Other new records cannot be recognized here.
        if plan.known_ids.len() + plan.external_id_count < plan.record_count {
            return Ok(false);
        }
        if plan.external_id_count > 0
            && !self
                .existing_external_ids(access)
                .await?
                .is_some_and(|there| there.is_empty())
        {
            return Ok(false);
        }
        let now =
            RecordSnapshot::read(access, (&self.model, &plan.known_ids), &[], context).await?;
        Ok(since.is_unchanged(&now, &plan.known_ids))
    }

    /// Searches for records that this Odoo user created since, with the same values.
    pub(super) async fn find_created(
        &self,
        access: &OdooSession<'_>,
        schema: &Schema,
        since: &Baseline,
        context: &Context,
        unclear: RecoveredOutcome,
    ) -> Result<RecoveredOutcome, OperationError> {
        // Twice as many, because others may act as the same Odoo user.
        let limit = u32::try_from(MAX_ROWS * 2).unwrap_or(u32::MAX);
        let which = (writes::after_baseline(since), limit);
        let Some(made) = access.created_by_us(&self.model, which, None).await? else {
            return Ok(unclear);
        };
        if made.is_empty() {
            return Ok(RecoveredOutcome::NotDone);
        }
        let made = Domain::of_ids(&made)?;
        let mut compared: Vec<(usize, FieldName)> = Vec::new();
        for (at, column) in self.load.columns().iter().enumerate() {
            if let ([name], CellMeaning::Value) = (column.steps(), column.meaning())
                && let Some(field) = schema.field(name.as_str())
                && writes::can_be_searched(field, &Value::from("x"))
                && field.relation.is_none()
                && compared.len() < MAX_COMPARED_COLUMNS
            {
                compared.push((at, name.clone()));
            }
        }
        if compared.is_empty() {
            return Ok(unclear);
        }
        let names: Vec<FieldName> = compared.iter().map(|(_, name)| name.clone()).collect();
        let order = Order::by_id_descending();
        let search = Call::search_read(self.model.clone(), &made, &names, &order, 0, limit);
        let answer = match access.call(search.in_context(context.clone())).await {
            Ok(answer) => answer,
            // The caller may create but not read them.
            Err(OperationError::Forbidden(_)) => return Ok(unclear),
            Err(error) => return Err(error),
        };
        let rows: Vec<Map<String, Value>> = serde_json::from_slice(&answer)?;
        let mut there: BTreeMap<String, Vec<RecordId>> = BTreeMap::new();
        for row in rows.iter().rev() {
            let values = names.iter().map(|name| row.get(name.as_str()).cloned());
            let key: Value = values.map(Option::unwrap_or_default).collect();
            let id = row.get("id").and_then(Value::as_i64);
            if let Some(id) = id.and_then(|id| RecordId::try_from(id).ok()) {
                there.entry(key.to_string()).or_default().push(id);
            }
        }
        let begins = self.load.record_start_rows(schema);
        let (mut ids, mut used) = (Vec::new(), BTreeSet::new());
        for row in begins.iter().filter_map(|at| self.load.rows().get(*at)) {
            let wanted: Option<Value> = compared
                .iter()
                .map(|(at, name)| {
                    let field = schema.field(name.as_str())?;
                    cell_value(field, CellMeaning::Value, cell_at(row, *at))
                })
                .collect();
            let Some(wanted) = wanted else {
                return Ok(unclear);
            };
            // Two rows with the same values are two records.
            let wanted = wanted.to_string();
            ids.extend(there.get_mut(&wanted).and_then(Vec::pop));
            used.insert(wanted);
        }
        // Exactly as many: among more, these cannot be distinguished.
        let left = used
            .iter()
            .any(|wanted| there.get(wanted).is_none_or(|left| !left.is_empty()));
        Ok(if ids.len() == begins.len() && !left {
            RecoveredOutcome::Done(ids)
        } else {
            unclear
        })
    }
}
