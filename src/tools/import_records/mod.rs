//! The tool `import_records`.

mod plan;
mod recovery;

use std::collections::BTreeSet;

use tokio::sync::OnceCell;

use self::plan::{ImportPlan, expected_counts};
use super::{
    Tool, ToolError, ToolOutput, answer_text,
    arguments::{TextCell, check_count, parse, schema_of, write_arguments},
    footer, read_back,
    tool::execute_write,
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    elicitation::Elicitation,
    validation,
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report,
        RequestFingerprint, WriteOperation, WritePlan,
    },
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, FieldName, Load, ModelName, Operation, Schema};

/// The maximum number of rows.
const MAX_ROWS: usize = 1_000;
/// The maximum number of imported records that are named; others are shown by id.
const MAX_SHOWN_RECORDS: usize = 10;
pub(super) const TOOL: Tool = Tool {
    name: "import_records",
    title: "Import records",
    description: "Create or update many records from a table, all or none, as Odoo's own import does. \
                  Rows with a known `id` (external id of your choice) or `.id` update that record. \
                  An empty cell clears the field. Further lines of a record are rows with only \
                  the cells of these lines. May return a preview first.",
    operation: Operation::Create,
    destructive: true,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: |tool, access, arguments| Box::pin(run(tool, access, arguments)),
};

write_arguments! {
    /// Arguments of `import_records`.
    struct Arguments {
        /// The model, such as `res.partner`.
        model: ModelName,
        /// Such as `["id","name","country_id/id","parent_id/.id","child_ids/name"]`.
        fields: Vec<String>,
        /// 1 to 1000 rows with a text for each column.
        #[schemars(with = "Vec<Vec<String>>", extend("minItems" = 1, "maxItems" = 1000))]
        rows: Vec<Vec<TextCell>>,
        /// Only test: Odoo checks all rows and rolls everything back.
        #[serde(default)]
        dry_run: bool,
        /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
        context: Option<ContextRequest>,
    }
}

/// An import of a table into a model.
struct ImportOperation {
    model: ModelName,
    load: Load,
    context: Option<ContextRequest>,
    /// Whether the model confirmed a preview.
    has_confirm_token: bool,
    /// The result of the dry run, which a call does once.
    dry_run_result: OnceCell<bool>,
}

/// A table that fits the model.
struct ValidatedImport {
    call: Call,
    plan: ImportPlan,
    schema: Schema,
    /// Whether Odoo looks up links by name.
    links_by_name: bool,
}

async fn run(
    tool: &'static Tool,
    access: &OdooSession<'_>,
    arguments: &str,
) -> Result<ToolOutput, ToolError> {
    let request = RequestFingerprint::of(tool.name, arguments);
    let arguments: Arguments = parse(arguments)?;
    check_count("rows", arguments.rows.len(), MAX_ROWS)?;
    let cells = |row: Vec<TextCell>| row.into_iter().map(|cell| cell.0).collect();
    let rows = arguments.rows.into_iter().map(cells).collect();
    let load = Load::new(&arguments.fields, rows)
        .map_err(|error| ToolError::InvalidArguments(format!("invalid table: {error}")))?;
    let import = ImportOperation {
        model: arguments.model,
        load,
        context: arguments.context,
        has_confirm_token: request.confirm_token.is_some(),
        dry_run_result: OnceCell::new(),
    };
    if arguments.dry_run {
        return Ok(import.dry_run(access).await?.into());
    }
    execute_write(access, &request, &import).await
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
    async fn validate(&self, access: &OdooSession<'_>) -> Result<ValidatedImport, OperationError> {
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

    /// Tests the import and says what it would do. Odoo rolls it back.
    async fn dry_run(&self, access: &OdooSession<'_>) -> Result<String, OperationError> {
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
    async fn preview(
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
    async fn existing_external_ids(
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

    /// The fields of the records, without those of their lines.
    fn field_names(&self) -> Vec<FieldName> {
        let firsts = self.load.columns().iter();
        let mut fields: Vec<FieldName> = firsts
            .filter_map(|column| column.steps().first().cloned())
            .collect();
        fields.sort();
        fields.dedup();
        fields
    }

    /// How to find out whether the import was done.
    fn verification_hint(&self, plan: &ImportPlan) -> String {
        if plan.is_repeatable() {
            return "the same rows can be imported again: they update the same records and overwrite what others wrote to these fields since"
                .to_owned();
        }
        let end = "shows what was created or changed";
        writes::search_hint(&self.model, "write_date", end)
    }
}

fn dry_run_unsupported() -> OperationError {
    OperationError::InvalidArgument(
        "nothing was imported: rows of this model that are named by `.id` cannot be tested here; name links by id (columns such as `country_id/.id`) and call without `dry_run`, or use update_records".to_owned(),
    )
}
