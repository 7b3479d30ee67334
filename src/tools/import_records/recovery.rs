//! Finds out whether an import was done whose response was lost.

use serde_json::{Map, Value};

use super::{operation::ImportOperation, plan::ImportPlan};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    writes::{self, Baseline, RecoveredOutcome},
};
use gatepost_odoo::{CellMeaning, Context, Field, Schema, cell_at, cell_value};

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
    ) -> Result<RecoveredOutcome, OperationError> {
        let mut compared: Vec<(usize, &Field)> = Vec::new();
        for (at, column) in self.load.columns().iter().enumerate() {
            if let ([name], CellMeaning::Value) = (column.steps(), column.meaning())
                && let Some(field) = schema.field(name.as_str())
                && writes::can_be_searched(field, &Value::from("x"))
                && field.relation.is_none()
                && compared.len() < MAX_COMPARED_COLUMNS
            {
                compared.push((at, field));
            }
        }
        let values_of = |row: &[String]| {
            let values = compared.iter().map(|(at, field)| {
                let value = cell_value(field, CellMeaning::Value, cell_at(row, *at))?;
                Some((field.name.as_str().to_owned(), value))
            });
            // A record with a value that only Odoo knows is not recognized.
            values
                .collect::<Option<Map<String, Value>>>()
                .unwrap_or_default()
        };
        let starts = self.load.record_start_rows(schema);
        let rows = starts.iter().filter_map(|at| self.load.rows().get(*at));
        let list: Vec<Map<String, Value>> = rows.map(|row| values_of(row)).collect();
        writes::find_created(access, &self.model, &list, context, since).await
    }
}
