//! The tool `create_records`.

use serde_json::{Map, Value};

use super::{
    Tool, ToolError, answer_text,
    arguments::{ObjectArgument, check_count, field_names, schema_of, write_arguments},
    footer, read_back,
    tool::{WriteTool, run_write},
};
use crate::{
    access::{ContextRequest, DisplayNames, OdooSession, OperationError},
    validation,
    validation::unapplied_values,
    writes::{
        self, Baseline, CompletedWrite, PreviewRenderer, RecoveredOutcome, Report, UndoSupport,
        WriteOperation, WritePlan, id_ranges,
    },
};
use gatepost_base::text::pluralize;
use gatepost_odoo::{Call, FieldName, ModelName, Operation, Schema};

/// The maximum number of records.
const MAX_RECORDS: usize = 500;

pub(super) const TOOL: Tool = Tool {
    name: "create_records",
    title: "Create records",
    description: "Create records of an Odoo model, all or none. Links take an id, or the name \
                  of exactly one record; lists of lines take objects. May return a preview first.",
    operation: Operation::Create,
    destructive: false,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_write::<Arguments>,
};

write_arguments! {
    /// Arguments of `create_records`.
    struct Arguments {
        /// The model, such as `crm.lead`.
        model: ModelName,
        /// The values of each new record, such as `[{"name":"Azure: chairs","partner_id":14}]`; 1 to 500.
        #[schemars(with = "Vec<ObjectArgument>", extend("minItems" = 1, "maxItems" = 500))]
        values: Vec<Map<String, Value>>,
        /// Such as `{"company_ids":[1],"lang":"fr_FR"}`.
        context: Option<ContextRequest>,
    }
}

impl WriteTool for Arguments {
    type Operation = Self;

    fn into_operation(self) -> Result<Self, ToolError> {
        check_count("values", self.values.len(), MAX_RECORDS)?;
        Ok(self)
    }
}

impl WriteOperation for Arguments {
    async fn plan(&self, access: &OdooSession<'_>) -> Result<WritePlan, OperationError> {
        access.may_write(&self.model, Operation::Create)?;
        let (context, companies) = access.context(self.context.as_ref(), false).await?;
        let what = (&self.model, Operation::Create, None);
        let prepared =
            validation::validate_records(access, what, self.values.clone(), &context).await?;
        let schema = access.schema(&self.model).await?;
        let show = PreviewRenderer {
            schema: &schema,
            names: &prepared.names,
        };
        let count = prepared.values.len();
        let records = pluralize(count, "record");
        // Odoo creates records in the first company unless their values name another.
        let place = match companies.as_slice() {
            [company, _, ..] => format!(" (company {company} unless the values name one)"),
            [] | [_] => String::new(),
        };
        let language = answer_text::language_suffix(&context);
        let mut preview = format!("Create {records} of {}{place}{language}:\n", self.model);
        preview.push_str(&show.new_records(&prepared.values));
        answer_text::append_notes(&mut preview, &prepared.notes);
        let look = writes::search_hint(&self.model, "create_date", "shows whether they exist");
        let notes = prepared.coercion_notes();
        Ok(WritePlan {
            calls: vec![Call::create(self.model.clone(), prepared.values).in_context(context)],
            preview,
            notes,
            names: prepared.names,
            undo: Some(UndoSupport::Create),
            created_model: Some(self.model.clone()),
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
        let (context, _) = access.context(self.context.as_ref(), true).await?;
        let validated;
        let values = match plan {
            Some(plan) => plan.values(),
            None => {
                let what = (&self.model, Operation::Create, None);
                let values = self.values.clone();
                validated = validation::validate_records(access, what, values, &context).await?;
                &validated.values
            }
        };
        writes::find_created(access, &self.model, values, &context, baseline).await
    }

    async fn summarize(
        &self,
        access: &OdooSession<'_>,
        plan: Option<&WritePlan>,
        done: &CompletedWrite,
    ) -> Result<Report, OperationError> {
        let (context, companies) = access.context(self.context.as_ref(), true).await?;
        let count = done.ids.len();
        let records = pluralize(count, "record");
        let mut text = format!("Created {records} of {}:\n", self.model);
        let model_access = access.model_access(&self.model).await?;
        let shown = model_access.default_fields();
        let records = (&self.model, &*done.ids);
        let fields = [&*self.field_names(), shown].concat();
        let fields = (&*fields, writes::tracked_fields_of_new);
        let after = read_back::read_back(access, records, fields, &context).await;
        match &after {
            Some(after) => {
                let schema = model_access.visible();
                let unknown = DisplayNames::new();
                let names = plan.map_or(&unknown, |plan| &plan.names);
                let show = PreviewRenderer { schema, names };
                let given = plan.map_or(&*self.values, WritePlan::values);
                let fields = |place: usize, row| {
                    let given = given.get(place);
                    set_by_odoo(schema, (shown, given), row)
                };
                let stored = show.stored_records(&done.ids, after, "Set by Odoo", fields);
                text.push_str(&stored);
                read_back::append_missing_records(&mut text, &done.ids, after);
            }
            None => text.push_str(&id_ranges(&done.ids)),
        }
        footer::append_footer(&mut text, access, &self.model, &companies, true);
        Ok(Report { text, after })
    }
}

impl Arguments {
    /// The fields that the values set.
    fn field_names(&self) -> Vec<FieldName> {
        field_names(self.values.iter().flat_map(Map::keys))
    }
}

/// The fields of a new record that have a value which was not given: the most useful
/// ones that Odoo filled in, and those that it stored otherwise.
fn set_by_odoo<'v>(
    schema: &Schema,
    (shown, given): (&'v [FieldName], Option<&'v Map<String, Value>>),
    row: &'v Map<String, Value>,
) -> Vec<&'v str> {
    let is_given = |name: &str| given.is_some_and(|given| given.contains_key(name));
    let is_empty = |name: &str| match row.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::Bool(set)) => !set,
        Some(Value::String(text)) => text.is_empty() || row.get("display_name") == row.get(name),
        Some(Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
    };
    let filled = shown.iter().map(FieldName::as_str);
    let filled =
        filled.filter(|name| !is_given(name) && !is_empty(name) && *name != "display_name");
    let other = given.map(|given| unapplied_values(schema, given, row));
    filled.chain(other.into_iter().flatten()).collect()
}
