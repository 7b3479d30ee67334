//! `update_records`.

use serde_json::{Map, Value};

use super::{
    Tool, ToolError,
    arguments::{ObjectArgument, check_count, schema_of, write_arguments},
    footer,
    tool::{WriteTool, run_write},
    write_support,
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    validation,
    validation::{ValidatedRecords, unapplied_values},
    writes::{
        Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport,
        WriteOperation, WritePlan, can_be_restored,
    },
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, FieldName, ModelName, Operation, RecordId};

/// Records at the most.
const MAX_RECORDS: usize = 500;
/// Records of which it is told what Odoo did not take.
const MAX_REPORTED: usize = 20;

pub(super) const TOOL: Tool = Tool {
    name: "update_records",
    title: "Update records",
    description: "Change fields of Odoo records, the same values for all ids, all or none. \
                  May answer with a preview.",
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
        write_support::dedup_ids(&mut self.ids);
        Ok(self)
    }
}

impl WriteOperation for Arguments {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        access.may_write(&self.model, Operation::Write)?;
        if self.values.is_empty() {
            return Err(OperationError::InvalidArgument(
                "argument `values` does not fit: it names no field".to_owned(),
            ));
        }
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let (before, mut prepared) = self.read_and_validate(access, &context).await?;
        let schema = access.schema(&self.model).await?;
        let values = prepared.values.pop().unwrap_or_default();
        let mut names = std::mem::take(&mut prepared.names);
        let listed = (&values, &before);
        validation::load_display_names(access, &schema, listed, &mut names, &context).await?;
        let show = PreviewRenderer {
            schema: &schema,
            names: &names,
        };
        let count = self.ids.len();
        let records = pluralize(count, "record");
        let language = write_support::language_suffix(&context);
        let mut preview = format!("Update {records} of {}{language}:\n", self.model);
        preview.push_str(&show.updates(&self.ids, &before, &values));
        let fields = self.field_names();
        let undo = fields.iter().any(|name| {
            let field = schema.field(name.as_str());
            let value = values.get(name.as_str());
            field
                .zip(value)
                .is_some_and(|(field, value)| can_be_restored(field, value))
        });
        let mut notes = prepared.coercion_notes();
        if !undo {
            notes.push("what this changes cannot be undone here".to_owned());
        }
        write_support::append_notes(&mut preview, &notes);
        let look = format!(
            "read_records of `{}` with ids {} and fields {} shows whether it was done",
            self.model,
            write_support::id_list(&self.ids),
            write_support::quoted_field_list(&fields)
        );
        Ok(WritePlan {
            calls: vec![Call::write(self.model.clone(), &self.ids, values).in_context(context)],
            preview,
            notes,
            before,
            related_state: names.lines_to_json(),
            undo: undo.then_some(UndoSupport::Update(fields)),
            created_model: None,
            verification_hint: look,
        })
    }

    async fn probe_outcome(
        &self,
        access: &OdooSession<'_>,
        since: &Baseline,
    ) -> Result<RecoveredOutcome, OperationError> {
        let (context, _) = access.context(self.context.as_ref(), false).await?;
        let (now, prepared) = match self.read_and_validate(access, &context).await {
            Ok(known) => known,
            // It may have deleted what its commands name.
            Err(OperationError::InvalidArgument(_)) => {
                return Ok(RecoveredOutcome::Unclear(format!(
                    "what it was to write does not fit the records as they are now, which may be its own doing. read_records of `{}` with ids {} shows them.",
                    self.model,
                    write_support::id_list(&self.ids)
                )));
            }
            Err(denied) => return Err(denied),
        };
        let values = prepared.values.into_iter().next().unwrap_or_default();
        let schema = access.schema(&self.model).await?;
        let as_wished = self.ids.iter().all(|id| {
            now.row(*id)
                .is_some_and(|row| unapplied_values(&schema, &values, row).is_empty())
        });
        if as_wished && write_support::are_comparable(&schema, &values) {
            return Ok(RecoveredOutcome::Done(self.ids.clone()));
        }
        // Other values prove nothing: Odoo puts some in a form of its own, and
        // others may have written since. What nobody wrote was not written.
        let untouched = since.is_unchanged(&now, &self.ids);
        if untouched {
            return Ok(RecoveredOutcome::NotDone);
        }
        Ok(RecoveredOutcome::Unclear(format!(
            "read_records of `{}` with ids {} and fields {} shows how they are now.",
            self.model,
            write_support::id_list(&self.ids),
            write_support::quoted_field_list(&self.field_names())
        )))
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let (context, companies) = access.context(self.context.as_ref(), false).await?;
        let count = done.ids.len();
        let records = pluralize(count, "record");
        let mut text = format!("Updated {records} of {}:\n", self.model);
        let records = (&self.model, &*done.ids);
        let after =
            write_support::read_back_updated(access, records, &self.field_names(), &context).await;
        match &after {
            Some(after) => {
                text.push_str(&PreviewRenderer::some_titles(&done.ids, after));
                write_support::append_missing_records(&mut text, &done.ids, after);
                self.report_unapplied_values(access, &mut text, after, &context)
                    .await?;
            }
            None => text.push_str(&write_support::id_ranges(&done.ids)),
        }
        footer::append_footer(&mut text, access, &self.model, &companies, true);
        Ok(Report { text, after })
    }
}

impl Arguments {
    fn field_names(&self) -> Vec<FieldName> {
        write_support::field_names(self.values.keys())
    }

    /// How the records are, and the values as they would be written.
    async fn read_and_validate(
        &self,
        access: &OdooSession<'_>,
        context: &gatepost_odoo::Context,
    ) -> Result<(RecordSnapshot, ValidatedRecords), OperationError> {
        let records = (&self.model, &*self.ids);
        let values = self.values.clone();
        let prepared = validation::validate_update(access, records, values, context).await?;
        let now = RecordSnapshot::read_all(access, records, &self.field_names(), context).await?;
        Ok((now, prepared))
    }

    /// Odoo answers `true` also where it keeps what it had.
    async fn report_unapplied_values(
        &self,
        access: &OdooSession<'_>,
        text: &mut String,
        after: &RecordSnapshot,
        context: &gatepost_odoo::Context,
    ) -> Result<(), OperationError> {
        let what = (&self.model, Operation::Write);
        let schema = access.schema(&self.model).await?;
        let mut values = self.values.clone();
        // Commands may name records that they deleted.
        values.retain(|name, _| {
            let field = schema.field(name);
            field.is_none_or(|field| !field.kind.is_x2many())
        });
        let prepared = validation::validate_records(access, what, vec![values], context).await?;
        let Some(values) = prepared.values.first() else {
            return Ok(());
        };
        let mut told = 0;
        for (id, row) in after.rows() {
            let other = unapplied_values(&schema, values, row);
            if !other.is_empty() {
                told += 1;
                if told > MAX_REPORTED {
                    continue;
                }
                let show = PreviewRenderer {
                    schema: &schema,
                    names: &prepared.names,
                };
                let now: Vec<String> = other
                    .iter()
                    .filter_map(|name| {
                        let value = show.value(schema.field(name), row.get(*name)?);
                        Some(format!("{name} is {value}"))
                    })
                    .collect();
                footer::append_line(
                    text,
                    &format!(
                        "Odoo did not take all of it: of [{id}] {}. Another rule of Odoo sets it, or somebody changed it at the same moment; tell the user.",
                        now.join(", ")
                    ),
                );
            }
        }
        if told > MAX_REPORTED {
            let rest = told - MAX_REPORTED;
            footer::append_line(text, &format!("and of {rest} more records neither."));
        }
        Ok(())
    }
}
