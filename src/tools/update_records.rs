//! The tool `update_records`.

use serde_json::{Map, Value};

use super::{
    Tool, ToolError, answer_text,
    arguments::{ObjectArgument, check_count, dedup_ids, field_names, schema_of, write_arguments},
    footer, read_back,
    tool::{WriteTool, run_write},
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    validation,
    validation::{ValidatedRecords, unapplied_values, unproven_values},
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport,
        WriteOperation, WritePlan, can_be_restored, id_ranges,
    },
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, Context, FieldName, ModelName, Operation, RecordId};

/// The maximum number of records.
const MAX_RECORDS: usize = 500;
/// The maximum number of records whose unapplied values are reported.
const MAX_REPORTED: usize = 20;

pub(super) const TOOL: Tool = Tool {
    name: "update_records",
    title: "Update records",
    description: "Change fields of Odoo records, the same values for all ids, all or none. \
                  May return a preview first.",
    operation: Operation::Write,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `update_records`.
    struct Arguments {
        /// The model, such as `crm.lead`.
        model: ModelName,
        /// Such as `[7, 12]`; 1 to 500.
        #[schemars(extend("minItems" = 1, "maxItems" = 500))]
        ids: Vec<RecordId>,
        /// The new values, such as `{"user_id":6,"date_deadline":"2026-12-24"}`; `null` empties a field.
        #[schemars(with = "ObjectArgument")]
        values: Map<String, Value>,
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
        access.may_write(&self.model, Operation::Write)?;
        if self.values.is_empty() {
            return Err(OperationError::InvalidArgument(
                "invalid argument `values`: it is empty; nothing was changed".to_owned(),
            ));
        }
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let mut prepared = self.validate(access, &context).await?;
        let records = (&self.model, &*self.ids);
        let fields = self.field_names();
        let before = RecordSnapshot::read_all(access, records, &fields, &context).await?;
        let schema = access.schema(&self.model).await?;
        let values = prepared.values.pop().unwrap_or_default();
        let mut names = std::mem::take(&mut prepared.names);
        let listed = (&values, &before);
        writes::load_display_names(access, &schema, listed, &mut names, &context).await?;
        let show = PreviewRenderer {
            schema: &schema,
            names: &names,
        };
        let count = self.ids.len();
        let records = pluralize(count, "record");
        let language = answer_text::language_suffix(&context);
        let mut preview = format!("Update {records} of {}{language}:\n", self.model);
        let updates = show.updates(&self.ids, &before, &values);
        preview.push_str(&updates);
        let unchanged = show
            .changes_nothing(&self.ids, &before, &values)
            .then_some(updates);
        let undo = fields.iter().any(|name| {
            let field = schema.field(name.as_str());
            let value = values.get(name.as_str());
            field
                .zip(value)
                .is_some_and(|(field, value)| can_be_restored(field, value))
        });
        let mut notes = prepared.coercion_notes();
        if !undo {
            notes.push("this change cannot be undone here".to_owned());
        }
        answer_text::append_notes(&mut preview, &notes);
        let listed = answer_text::quoted_field_list(&fields);
        let end = format!("and fields {listed} shows whether it was done");
        let look = writes::read_hint(&self.model, &self.ids, &end);
        Ok(WritePlan {
            calls: vec![Call::write(self.model.clone(), &self.ids, values).in_context(context)],
            preview,
            unchanged,
            notes,
            before,
            names,
            undo: undo.then_some(UndoSupport::Update(fields)),
            verification_hint: look,
            ..WritePlan::default()
        })
    }

    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        baseline: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let unclear = |what: &str, end: &str| {
            let look = writes::read_hint(&self.model, &self.ids, end);
            RecoveredOutcome::Unclear(format!("{what}{look}."))
        };
        let validated;
        let values = match plan {
            Some(plan) => plan.values(),
            None => match self.validate(access, &context).await {
                Ok(records) => {
                    validated = records;
                    &validated.values
                }
                // The write may have deleted records that its commands name.
                Err(OperationError::InvalidArgument(_)) => {
                    let what = "the values are no longer valid for the records, which may be the result of this very write. ";
                    return Ok(unclear(what, "shows them"));
                }
                Err(error) => return Err(error),
            },
        };
        let Some(values) = values.first() else {
            return Ok(unclear("", "shows them"));
        };
        let records = (&self.model, &*self.ids);
        let now = RecordSnapshot::read(access, records, &self.field_names(), &context).await?;
        let schema = access.schema(&self.model).await?;
        let is_as_requested = self.ids.iter().all(|id| {
            now.row(*id)
                .is_some_and(|row| unproven_values(&schema, values, row).is_empty())
        });
        if is_as_requested {
            return Ok(RecoveredOutcome::Done(self.ids.clone()));
        }
        // Other values prove nothing: Odoo normalizes some, and others may have
        // written since. But records that were not written at all prove it.
        if baseline.is_unchanged(&now, &self.ids) {
            return Ok(RecoveredOutcome::NotDone);
        }
        let fields = answer_text::quoted_field_list(&self.field_names());
        Ok(unclear("", &format!("and fields {fields} shows them")))
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let (context, companies) = access.context(self.context.as_ref(), false).await?;
        let count = done.ids.len();
        let records = pluralize(count, "record");
        let mut text = format!("Updated {records} of {}:\n", self.model);
        let records = (&self.model, &*done.ids);
        let fields = (&*self.field_names(), writes::tracked_fields);
        let after = read_back::read_back(access, records, fields, &context).await;
        match &after {
            Some(after) => {
                let stored = (&*done.ids, after, &context);
                // Boxed: it is large, and seldom calls Odoo.
                Box::pin(self.append_stored_values(access, plan, &mut text, stored)).await?;
                read_back::append_missing_records(&mut text, &done.ids, after);
                self.report_unapplied_values(access, plan, &mut text, (after, &context))
                    .await?;
            }
            None => text.push_str(&id_ranges(&done.ids)),
        }
        footer::append_footer(&mut text, access, &self.model, &companies, true);
        Ok(Report { text, after })
    }
}

impl Arguments {
    fn field_names(&self) -> Vec<FieldName> {
        field_names(self.values.keys())
    }

    /// The values in Odoo's form.
    async fn validate(
        &self,
        access: &OdooSession<'_>,
        context: &Context,
    ) -> Result<ValidatedRecords, OperationError> {
        let what = (&self.model, Operation::Write, Some(&*self.ids));
        validation::validate_records(access, what, vec![self.values.clone()], context).await
    }

    /// Names the records, with the values that Odoo stored in the written fields.
    async fn append_stored_values(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        text: &mut String,
        (ids, after, context): (&[RecordId], &RecordSnapshot, &Context),
    ) -> Result<(), OperationError> {
        let schema = access.schema(&self.model).await?;
        let mut names = plan.map(|plan| plan.names.clone()).unwrap_or_default();
        // The plan read the names of all records in a list but those of new lines.
        let written = (&self.values, after);
        let read = writes::load_display_names(access, &schema, written, &mut names, context).await;
        if let Err(error) = read {
            tracing::warn!(error = %error, "Failed to read names after a write");
        }
        let show = PreviewRenderer {
            schema: &schema,
            names: &names,
        };
        let fields =
            |_: usize, _: &Map<String, Value>| self.values.keys().map(String::as_str).collect();
        text.push_str(&show.stored_records(ids, after, "Now", fields));
        Ok(())
    }

    /// Reports values that Odoo did not store, although it returned `true`.
    async fn report_unapplied_values(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        text: &mut String,
        (after, context): (&RecordSnapshot, &Context),
    ) -> Result<(), OperationError> {
        let schema = access.schema(&self.model).await?;
        let is_single = |name: &String, _: &mut Value| {
            let field = schema.field(name);
            field.is_none_or(|field| !field.kind.is_x2many())
        };
        let validated;
        let (values, names) = match plan {
            Some(plan) => (plan.values(), &plan.names),
            None => {
                let mut values = self.values.clone();
                // Commands may name records that they deleted.
                values.retain(is_single);
                let what = (&self.model, Operation::Write, None);
                validated =
                    validation::validate_records(access, what, vec![values], context).await?;
                (&*validated.values, &validated.names)
            }
        };
        let Some(mut values) = values.first().cloned() else {
            return Ok(());
        };
        values.retain(is_single);
        let show = PreviewRenderer {
            schema: &schema,
            names,
        };
        let rows = after
            .rows()
            .map(|(id, row)| (id, row, unapplied_values(&schema, &values, row)));
        let unlike: Vec<_> = rows.filter(|(_, _, other)| !other.is_empty()).collect();
        for (id, row, other) in unlike.iter().take(MAX_REPORTED) {
            let now = other.iter().filter_map(|name| {
                let value = show.value(schema.field(name), row.get(*name)?);
                Some(format!("{name} is {value}"))
            });
            let now: Vec<String> = now.collect();
            let line = format!(
                "Odoo did not apply all values: in [{id}] {}. Another rule in Odoo sets this, or someone changed it at the same time; tell the user.",
                now.join(", ")
            );
            footer::append_line(text, &line);
        }
        if unlike.len() > MAX_REPORTED {
            let rest = unlike.len() - MAX_REPORTED;
            footer::append_line(text, &format!("The same happened to {rest} more records."));
        }
        Ok(())
    }
}
