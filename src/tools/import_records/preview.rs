//! What an import would do: its preview, and a dry run.

use std::collections::BTreeSet;

use super::{
    operation::{ImportOperation, ValidatedImport, dry_run_unsupported},
    plan::{ImportPlan, expected_counts},
};
use crate::{
    access::{OdooSession, OperationError, RecordSnapshot},
    tools::{answer_text, footer},
    writes,
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, Schema};

impl ImportOperation {
    /// Tests the import and says what it would do. Odoo rolls it back.
    pub(super) async fn dry_run(&self, access: &OdooSession<'_>) -> Result<String, OperationError> {
        let ValidatedImport {
            call, plan, schema, ..
        } = self.validate(access).await?;
        if !writes::dry_run_import(access, &call, &schema).await? {
            return Err(dry_run_unsupported());
        }
        let mut text = format!(
            "Nothing was imported because this was a dry run; all rows are valid. Without `dry_run`: {}",
            self.summary_line(&plan)
        );
        let existing = self.existing_external_ids(access).await?;
        text.push_str(&expected_counts(&plan, &self.load, existing.as_ref()));
        Ok(text)
    }

    /// Renders what would be done, for the person who approves it.
    pub(super) async fn preview(
        &self,
        access: &OdooSession<'_>,
        call: &Call,
        (plan, schema): (&ImportPlan, &Schema),
        (before, is_tested): (&RecordSnapshot, bool),
    ) -> Result<String, OperationError> {
        let existing = self.existing_external_ids(access).await?;
        let table = (&self.model, &self.load);
        let linked = writes::ImportLinks::load(access, table, call.context()).await?;
        let mut preview = self.summary_line(plan);
        preview.push_str(&answer_text::language_suffix(call.context()));
        preview.push_str(&expected_counts(plan, &self.load, existing.as_ref()));
        preview.push('\n');
        let table = writes::ImportPreview {
            load: &self.load,
            schema,
            before,
            existing_external_ids: existing.as_ref(),
            links: &linked,
        };
        preview.push_str(&table.render());
        if is_tested {
            footer::append_line(
                &mut preview,
                "Odoo tested it and rolled it back: all rows are valid.",
            );
        }
        Ok(preview)
    }

    /// The external ids of the table that exist; `None` if there are none or the
    /// Odoo user may not read them.
    pub(super) async fn existing_external_ids(
        &self,
        access: &OdooSession<'_>,
    ) -> Result<Option<BTreeSet<(String, String)>>, OperationError> {
        let ids = self.load.external_ids();
        if ids.is_empty() {
            return Ok(None);
        }
        access.existing_external_ids(&self.model, ids).await
    }

    /// Summarizes the import in one line.
    fn summary_line(&self, plan: &ImportPlan) -> String {
        format!(
            "Import {} into {}, {}",
            pluralize(self.load.rows().len(), "row"),
            self.model,
            pluralize(plan.record_count, "record")
        )
    }
}
