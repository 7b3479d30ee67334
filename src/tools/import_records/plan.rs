//! Which records an import creates and which it updates.

use std::collections::BTreeSet;

use crate::writes::UndoSupport;
use gatepost_odoo::{CellMeaning, FieldName, Load, RecordId, Schema, cell_at, parse_ids};

/// Which records a table creates or updates.
pub(super) struct ImportPlan {
    /// The number of records.
    pub(super) record_count: usize,
    /// The records named by database id.
    pub(super) known_ids: Vec<RecordId>,
    /// The number of records with an external id.
    pub(super) external_id_count: usize,
    /// Whether the table has columns of lines.
    pub(super) has_lines: bool,
}

impl ImportPlan {
    /// Counts the records of a table.
    pub(super) fn new(load: &Load, schema: &Schema) -> Self {
        let begins = load.record_start_rows(schema);
        let key = load.key_column();
        let mut plan = Self {
            record_count: begins.len(),
            known_ids: Vec::new(),
            external_id_count: 0,
            has_lines: load.line_columns(schema).next().is_some(),
        };
        for row in begins.iter().filter_map(|at| load.rows().get(*at)) {
            let Some((at, column)) = key else { continue };
            let cell = cell_at(row, at);
            match column.meaning() {
                _ if cell.is_empty() => {}
                CellMeaning::DatabaseId => {
                    plan.known_ids.extend(parse_ids(cell).unwrap_or_default());
                }
                CellMeaning::ExternalId | CellMeaning::Value => plan.external_id_count += 1,
            }
        }
        plan
    }

    /// How it can be undone: if all records are new, or if all exist and their
    /// lines are not imported.
    pub(super) fn undo(&self, fields: Vec<FieldName>) -> Option<UndoSupport> {
        if self.external_id_count > 0 {
            None
        } else if self.known_ids.is_empty() {
            Some(UndoSupport::Create)
        } else {
            (self.known_ids.len() == self.record_count && !self.has_lines)
                .then_some(UndoSupport::Update(fields))
        }
    }

    /// Whether importing the same rows again changes nothing.
    pub(super) fn is_repeatable(&self) -> bool {
        !self.has_lines && self.known_ids.len() + self.external_id_count == self.record_count
    }
}

/// Says how many records are created and updated, as far as that is known.
pub(super) fn expected_counts(
    plan: &ImportPlan,
    load: &Load,
    there: Option<&BTreeSet<(String, String)>>,
) -> String {
    let updated = plan.known_ids.len();
    let new = plan
        .record_count
        .saturating_sub(updated + plan.external_id_count);
    if plan.external_id_count == 0 {
        return format!(": {new} new, {updated} updated.");
    }
    match there {
        Some(there) => {
            let ids = load.external_ids();
            let there = ids.iter().filter(|id| there.contains(*id)).count();
            let new = new + plan.external_id_count.saturating_sub(there);
            format!(": {new} new, {} updated.", updated + there)
        }
        None => format!(
            ": {} with an external id are updated if they exist, otherwise created (this Odoo user cannot see which).",
            plan.external_id_count
        ),
    }
}
