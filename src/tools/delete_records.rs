//! The tool `delete_records`.

use super::{
    Tool, ToolError,
    arguments::{check_count, dedup_ids, schema_of, write_arguments},
    footer,
    tool::{WriteTool, run_write},
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport,
        WriteOperation, WritePlan,
    },
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, ModelName, Operation, RecordId};

/// The maximum number of records.
const MAX_RECORDS: usize = 200;

pub(super) const TOOL: Tool = Tool {
    name: "delete_records",
    title: "Delete records",
    description: "Permanently delete Odoo records with the lines that belong to them, all or none. \
                  Archiving is often better: update_records with `active` false. May return a preview first.",
    operation: Operation::Delete,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `delete_records`.
    struct Arguments {
        /// The model, such as `crm.lead`.
        model: ModelName,
        /// Such as `[7, 12]`; 1 to 200.
        #[schemars(extend("minItems" = 1, "maxItems" = 200))]
        ids: Vec<RecordId>,
        /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
        context: Option<ContextRequest>,
    }
}

impl WriteTool for Arguments {
    type Operation = Self;

    fn into_operation(mut self) -> Result<Self, ToolError> {
        check_count("ids", self.ids.len(), MAX_RECORDS)?;
        dedup_ids(&mut self.ids);
        Ok(self)
    }
}

impl WriteOperation for Arguments {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        access.may_write(&self.model, Operation::Delete)?;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let schema = access.schema_visible_in_all_records(&self.model).await?;
        let records = (&self.model, &*self.ids);
        let before = RecordSnapshot::read_all(
            access,
            records,
            &writes::fields_before_delete(&schema),
            &context,
        )
        .await?;
        let count = self.ids.len();
        let records = pluralize(count, "record");
        let mut preview = format!("Permanently delete {records} of {}:\n", self.model);
        preview.push_str(&PreviewRenderer::titles(&self.ids, &before));
        for line in writes::dependants(access, &schema, &before, &context).await? {
            footer::append_line(&mut preview, &line);
        }
        let look = writes::read_hint(&self.model, &self.ids, "shows whether they still exist");
        Ok(WritePlan {
            calls: vec![Call::delete(self.model.clone(), &self.ids).in_context(context)],
            preview,
            before,
            undo: Some(UndoSupport::Delete),
            verification_hint: look,
            ..WritePlan::default()
        })
    }

    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        _: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        writes::find_deleted(access, &self.model, &self.ids).await
    }

    async fn summarize(
        &self,
        _: &OdooSession<'_>,
        _: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let count = done.ids.len();
        let records = pluralize(count, "record");
        Ok(Report {
            text: format!(
                "Deleted {records} of {}: {}",
                self.model,
                writes::id_ranges(&done.ids)
            ),
            after: None,
        })
    }
}
