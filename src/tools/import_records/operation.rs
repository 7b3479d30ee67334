//! Plans and reports an import.

use tokio::sync::OnceCell;

use super::plan::ImportPlan;
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    elicitation::Elicitation,
    tools::{footer, read_back},
    validation,
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, WriteOperation,
        WritePlan,
    },
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, FieldName, Load, ModelName, Operation, Schema};

/// The maximum number of imported records that are named; others are shown by id.
const MAX_SHOWN_RECORDS: usize = 10;

/// An import of a table into a model.
pub(super) struct ImportOperation {
    pub(super) model: ModelName,
    pub(super) load: Load,
    pub(super) context: Option<ContextRequest>,
    /// Whether the model confirmed a preview.
    pub(super) has_confirm_token: bool,
    /// The result of the dry run, which a call does once.
    pub(super) dry_run_result: OnceCell<bool>,
}

/// A table that fits the model.
pub(super) struct ValidatedImport {
    pub(super) call: Call,
    pub(super) plan: ImportPlan,
    pub(super) schema: Schema,
    /// Whether Odoo looks up links by name.
    pub(super) links_by_name: bool,
}

impl WriteOperation for ImportOperation {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        let ValidatedImport {
            call,
            plan,
            schema,
            links_by_name: by_name,
        } = self.validate(access).await?;
        let mode = access.permit_write(call.clone()).await?.mode();
        let is_approved = self.has_confirm_token
            || matches!(access.elicitation, Elicitation::InputRequired(Some(_)));
        // Of several records with one name Odoo takes the first, and reports that
        // only in the result.
        let mut is_tested = by_name || (mode.requires_preview() && !is_approved);
        if is_tested {
            let attempt = async || writes::dry_run_import(access, &call, &schema).await;
            is_tested = *self.dry_run_result.get_or_try_init(attempt).await?;
            if by_name && !is_tested {
                return Err(dry_run_unsupported());
            }
        }
        let fields = self.field_names();
        let before = if plan.known_ids.is_empty() {
            RecordSnapshot::default()
        } else {
            let records = (&self.model, &*plan.known_ids);
            RecordSnapshot::read_all(access, records, &fields, call.context()).await?
        };
        // Not shown without approval.
        let preview = if mode.requires_preview() {
            self.preview(access, &call, (&plan, &schema), (&before, is_tested))
                .await?
        } else {
            String::new()
        };
        Ok(WritePlan {
            undo: plan.undo(fields),
            created_model: (!plan.is_repeatable()).then(|| self.model.clone()),
            verification_hint: self.verification_hint(&plan),
            calls: vec![call],
            preview,
            before,
            ..WritePlan::default()
        })
    }

    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let schema = access.schema(&self.model).await?;
        let plan = ImportPlan::new(&self.load, &schema);
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        if !plan.known_ids.is_empty() || plan.external_id_count > 0 {
            // A repetition would overwrite what others wrote since.
            return Ok(
                if self.is_unchanged(access, &plan, since, &context).await? {
                    RecoveredOutcome::NotDone
                } else {
                    RecoveredOutcome::Unclear(format!("{}.", self.verification_hint(&plan)))
                },
            );
        }
        self.find_created(access, &schema, since, &context).await
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let (context, companies) = access.context(self.context.as_ref(), true).await?;
        let schema = access.schema(&self.model).await?;
        let plan = ImportPlan::new(&self.load, &schema);
        let (rows, count) = (self.load.rows().len(), done.ids.len());
        let mut text = format!(
            "Imported {} into {}: {}:\n",
            pluralize(rows, "row"),
            self.model,
            pluralize(count, "record")
        );
        let undone = plan.undo(self.field_names());
        let some = done.ids.get(..MAX_SHOWN_RECORDS).unwrap_or(&done.ids);
        let tracked = if plan.known_ids.is_empty() {
            writes::tracked_fields_of_new
        } else {
            writes::tracked_fields
        };
        // What cannot be undone is read only to show it.
        let (ids, fields, tracked): (_, _, fn(&_) -> _) = if undone.is_some() {
            (&*done.ids, self.field_names(), tracked)
        } else {
            (some, Vec::new(), |_| Vec::new())
        };
        let (records, fields) = ((&self.model, ids), (&*fields, tracked));
        let after = read_back::read_back(access, records, fields, &context).await;
        match &after {
            Some(after) => {
                text.push_str(&PreviewRenderer::titles(
                    ids.get(..MAX_SHOWN_RECORDS).unwrap_or(ids),
                    after,
                ));
                read_back::append_missing_records(&mut text, ids, after);
            }
            None => text.push_str(&writes::id_list(ids)),
        }
        if count > MAX_SHOWN_RECORDS {
            footer::append_line(
                &mut text,
                &format!(
                    "All ids, in the order of the rows: {}",
                    writes::id_ranges(&done.ids)
                ),
            );
        }
        if let Some(warnings) = done.result.as_str() {
            footer::append_line(
                &mut text,
                &format!("Odoo imported the rows with warnings; check these:\n{warnings}"),
            );
        }
        if plan.external_id_count > 0 {
            footer::append_line(
                &mut text,
                "Importing these rows again updates the same records. It cannot be undone here: rows with external ids may have updated records.",
            );
        } else if undone.is_none() {
            footer::append_line(&mut text, "It cannot be undone here.");
        }
        footer::append_footer(&mut text, access, &self.model, &companies, true);
        Ok(Report {
            text,
            after: after.filter(|_| undone.is_some()),
        })
    }
}

impl ImportOperation {
    /// Validates the table against the fields of the model.
    pub(super) async fn validate(
        &self,
        access: &OdooSession<'_>,
    ) -> Result<ValidatedImport, OperationError> {
        let effect = if self.load.only_updates() {
            Operation::Write
        } else {
            Operation::Create
        };
        access.may_write(&self.model, effect)?;
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let by_name = validation::validate_import(access, &self.model, &self.load).await?;
        let schema = access.schema(&self.model).await?;
        let plan = ImportPlan::new(&self.load, &schema);
        let call = Call::load(self.model.clone(), self.load.clone()).in_context(context);
        Ok(ValidatedImport {
            call,
            plan,
            schema,
            links_by_name: by_name,
        })
    }

    /// The fields of the records, without those of their lines.
    pub(super) fn field_names(&self) -> Vec<FieldName> {
        let firsts = self.load.columns().iter();
        let mut fields: Vec<FieldName> = firsts
            .filter_map(|column| column.steps().first().cloned())
            .collect();
        fields.sort();
        fields.dedup();
        fields
    }

    /// How to find out whether the import was done.
    pub(super) fn verification_hint(&self, plan: &ImportPlan) -> String {
        if plan.is_repeatable() {
            return "the same rows can be imported again: they update the same records and overwrite what others wrote to these fields since"
                .to_owned();
        }
        let end = "shows what was created or changed";
        writes::search_hint(&self.model, "write_date", end)
    }
}

pub(super) fn dry_run_unsupported() -> OperationError {
    OperationError::InvalidArgument(
        "nothing was imported: rows of this model that are named by `.id` cannot be tested here; name links by id (columns such as `country_id/.id`) and call without `dry_run`, or use update_records".to_owned(),
    )
}
