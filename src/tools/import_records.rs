//! `import_records`.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{
    Tool, ToolError, ToolOutput,
    arguments::{TextCell, check_count, parse, schema_of, write_arguments},
    footer,
    tool::execute_write,
    write_support,
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError, RecordSnapshot},
    elicitation::ElicitationMode,
    validation,
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report,
        RequestFingerprint, UndoSupport, WriteOperation, WritePlan,
    },
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{
    Call, CellMeaning, Context, Domain, FieldKind, FieldName, Load, ModelName, Operation, Order,
    RecordId, Schema, cell_at, cell_value, parse_ids,
};

/// Rows at the most.
const MAX_ROWS: usize = 1_000;
/// Records that are named once they are there; of the others the ids.
const MAX_SHOWN_RECORDS: usize = 10;
/// Columns by which records that were made are known again.
const MAX_COMPARED_COLUMNS: usize = 12;

pub(super) const TOOL: Tool = Tool {
    name: "import_records",
    title: "Import records",
    description: "Make or update many records from a table, all or none, as Odoo's own import does. \
                  Rows with a known `id` (external id of your choice) or `.id` update that record. \
                  An empty cell empties the field. Further lines of a record are rows with nothing \
                  but cells of lines. May answer with a preview.",
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
        /// A text for each column, 1 to 1000 rows.
        #[schemars(with = "Vec<Vec<String>>", extend("minItems" = 1, "maxItems" = 1000))]
        rows: Vec<Vec<TextCell>>,
        /// Only try: Odoo checks all rows and takes everything back.
        #[serde(default)]
        dry_run: bool,
        /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
        context: Option<ContextRequest>,
    }
}

/// An import: a table for a model.
struct ImportOperation {
    model: ModelName,
    load: Load,
    context: Option<ContextRequest>,
    /// Whether the model brought back what was given out with a preview.
    has_confirm_token: bool,
    /// What the trial showed; one is enough for a call.
    dry_run_result: OnceCell<bool>,
}

impl ImportPlan {
    /// How it can be taken back: where all records are new, or all are known and
    /// keep their lines.
    fn undo(&self, fields: Vec<FieldName>) -> Option<UndoSupport> {
        if self.external_id_count > 0 {
            None
        } else if self.known_ids.is_empty() {
            Some(UndoSupport::Create)
        } else {
            (self.known_ids.len() == self.record_count && !self.has_lines)
                .then_some(UndoSupport::Update(fields))
        }
    }

    /// Whether the same rows again make the same of the same records.
    fn is_repeatable(&self) -> bool {
        !self.has_lines && self.known_ids.len() + self.external_id_count == self.record_count
    }
}

/// A table that fits.
struct ValidatedImport {
    call: Call,
    plan: ImportPlan,
    schema: Schema,
    /// Whether Odoo looks links up by their names.
    links_by_name: bool,
}

/// What becomes of the records of a table.
struct ImportPlan {
    /// Records in all.
    record_count: usize,
    /// Records that are named by their ids.
    known_ids: Vec<RecordId>,
    /// Records with an external id.
    external_id_count: usize,
    /// Whether lines come with them.
    has_lines: bool,
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
        .map_err(|error| ToolError::InvalidArguments(format!("the table does not fit: {error}")))?;
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
        let agreed = self.has_confirm_token
            || (access.elicitation.mode() == ElicitationMode::InputRequired
                && access.elicitation.input_response().is_some());
        // Odoo takes the first of several records of one name, and says so only
        // when it is done.
        let mut tried = by_name || (mode.requires_preview() && !agreed);
        if tried {
            let attempt = async || writes::dry_run_import(access, &call, &schema).await;
            tried = *self.dry_run_result.get_or_try_init(attempt).await?;
            if by_name && !tried {
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
        // Nobody sees it where nobody is asked.
        let preview = if mode.requires_preview() {
            self.preview(access, &call, (&plan, &schema), (&before, tried))
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
        let plan = self.plan(&schema);
        let unclear = RecoveredOutcome::Unclear(format!("{}.", self.verification_hint(&plan)));
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        if !plan.known_ids.is_empty() || plan.external_id_count > 0 {
            // Made again it would write over what others wrote since.
            return Ok(
                if self.is_unchanged(access, &plan, since, &context).await? {
                    RecoveredOutcome::NotDone
                } else {
                    unclear
                },
            );
        }
        self.find_created(access, &schema, since, &context, unclear)
            .await
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        _: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let (context, companies) = access.context(self.context.as_ref(), true).await?;
        let schema = access.schema(&self.model).await?;
        let plan = self.plan(&schema);
        let (rows, count) = (self.load.rows().len(), done.ids.len());
        let mut text = format!(
            "Imported {} into {}: {}:\n",
            pluralize(rows, "row"),
            self.model,
            pluralize(count, "record")
        );
        let undone = plan.undo(self.field_names());
        let some = done.ids.get(..MAX_SHOWN_RECORDS).unwrap_or(&done.ids);
        let (ids, after) = if undone.is_some() {
            let records = (&self.model, &*done.ids);
            let fields = self.field_names();
            let after = if plan.known_ids.is_empty() {
                write_support::read_back_created(access, records, &fields, &context).await
            } else {
                write_support::read_back_updated(access, records, &fields, &context).await
            };
            (records.1, after)
        } else {
            let after = write_support::read_back(access, (&self.model, some), &[], &context).await;
            (some, after)
        };
        match &after {
            Some(after) => {
                text.push_str(&PreviewRenderer::titles(
                    ids.get(..MAX_SHOWN_RECORDS).unwrap_or(ids),
                    after,
                ));
                write_support::append_missing_records(&mut text, ids, after);
            }
            None => text.push_str(&write_support::id_list(ids)),
        }
        if count > MAX_SHOWN_RECORDS {
            footer::append_line(
                &mut text,
                &format!(
                    "All ids, in the order of the rows: {}",
                    write_support::id_ranges(&done.ids)
                ),
            );
        }
        if let Some(warnings) = done.result.as_str() {
            footer::append_line(
                &mut text,
                &format!("Odoo warns, and did it all the same; check these:\n{warnings}"),
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
    /// The call, once the table fits the fields.
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
        let plan = self.plan(&schema);
        let call = Call::load(self.model.clone(), self.load.clone()).in_context(context);
        Ok(ValidatedImport {
            call,
            plan,
            schema,
            links_by_name: by_name,
        })
    }

    /// Tries it and tells what it would do; nothing is left of it.
    async fn dry_run(&self, access: &OdooSession<'_>) -> Result<String, OperationError> {
        let ValidatedImport {
            call, plan, schema, ..
        } = self.validate(access).await?;
        if !writes::dry_run_import(access, &call, &schema).await? {
            return Err(dry_run_unsupported());
        }
        let mut text = format!(
            "Nothing was imported, for this was a dry run; all rows fit. Without `dry_run`: {}",
            self.summary_line(&plan)
        );
        let there = self.existing_external_ids(access).await?;
        text.push_str(&expected_counts(&plan, &self.load, there.as_ref()));
        Ok(text)
    }

    fn plan(&self, schema: &Schema) -> ImportPlan {
        let begins = self.load.record_start_rows(schema);
        let key = self.load.key_column();
        let mut plan = ImportPlan {
            record_count: begins.len(),
            known_ids: Vec::new(),
            external_id_count: 0,
            has_lines: self.load.columns().iter().any(|column| {
                let first = column.steps().first();
                first
                    .and_then(|step| schema.field(step.as_str()))
                    .is_some_and(|field| field.kind == FieldKind::One2many)
            }),
        };
        for row in begins.iter().filter_map(|at| self.load.rows().get(*at)) {
            let Some((at, column)) = key else { continue };
            let cell = cell_at(row, at);
            match column.meaning() {
                _ if cell.is_empty() => {}
                CellMeaning::DatabaseId => {
                    plan.known_ids.extend(parse_ids(cell).unwrap_or_default())
                }
                CellMeaning::ExternalId | CellMeaning::Value => plan.external_id_count += 1,
            }
        }
        plan
    }

    /// What would be done, for whoever agrees to it.
    async fn preview(
        &self,
        access: &OdooSession<'_>,
        call: &Call,
        (plan, schema): (&ImportPlan, &Schema),
        (before, tried): (&RecordSnapshot, bool),
    ) -> Result<String, OperationError> {
        let there = self.existing_external_ids(access).await?;
        let table = (&self.model, &self.load);
        let linked = writes::ImportLinks::load(access, table, call.context()).await?;
        let mut preview = self.summary_line(plan);
        preview.push_str(&write_support::language_suffix(call.context()));
        preview.push_str(&expected_counts(plan, &self.load, there.as_ref()));
        preview.push('\n');
        let table = writes::ImportPreview {
            load: &self.load,
            schema,
            before,
            existing_external_ids: there.as_ref(),
            links: &linked,
        };
        preview.push_str(&table.render());
        if tried {
            footer::append_line(
                &mut preview,
                "Odoo tried it and took it back: all rows fit.",
            );
        }
        Ok(preview)
    }

    /// Those of the external ids that records have; nothing where that is not to
    /// be known.
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

    /// What is to be done, in one line.
    fn summary_line(&self, plan: &ImportPlan) -> String {
        format!(
            "Import {} into {}, {}",
            pluralize(self.load.rows().len(), "row"),
            self.model,
            pluralize(plan.record_count, "record")
        )
    }

    /// The fields of the records themselves.
    fn field_names(&self) -> Vec<FieldName> {
        let firsts = self.load.columns().iter();
        let mut fields: Vec<FieldName> = firsts
            .filter_map(|column| column.steps().first().cloned())
            .collect();
        fields.sort();
        fields.dedup();
        fields
    }

    /// How to find out what came of it.
    fn verification_hint(&self, plan: &ImportPlan) -> String {
        if plan.is_repeatable() {
            return "the very same rows can be imported again: they update the same records, and write over what others wrote into these fields since"
                .to_owned();
        }
        format!(
            "search_records of `{}` with `write_date` >= \"{}\" shows what was made or changed",
            self.model,
            write_support::odoo_time(Baseline::time_only(Timestamp::now()).earliest_odoo_time())
        )
    }

    /// Whether nobody wrote the records that are known since then, and those with
    /// external ids were never made.
    async fn is_unchanged(
        &self,
        access: &OdooSession<'_>,
        plan: &ImportPlan,
        since: &Baseline,
        context: &Context,
    ) -> Result<bool, OperationError> {
        // Other new records leave no trace that could be looked for here.
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

    /// New records that our Odoo user made since then, with these very values.
    async fn find_created(
        &self,
        access: &OdooSession<'_>,
        schema: &Schema,
        since: &Baseline,
        context: &Context,
        unclear: RecoveredOutcome,
    ) -> Result<RecoveredOutcome, OperationError> {
        // Twice as many: others may work as the same user.
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
            // Made is not seen.
            Err(OperationError::Forbidden(_)) => return Ok(unclear),
            Err(denied) => return Err(denied),
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
            // Two of the same values are two records.
            let wanted = wanted.to_string();
            ids.extend(there.get_mut(&wanted).and_then(Vec::pop));
            used.insert(wanted);
        }
        // Just as many: of more nobody can say which they are.
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

/// How many are made and how many are changed, where that can be known.
fn expected_counts(
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
            ": {} with an external id are updated where there is one with it already, else made (Odoo does not tell this user which).",
            plan.external_id_count
        ),
    }
}

fn dry_run_unsupported() -> OperationError {
    OperationError::InvalidArgument(
        "nothing was imported: rows of this model that are named by `.id` cannot be tried here; name links by ids (columns such as `country_id/.id`) and call without `dry_run`, or use update_records".to_owned(),
    )
}
