//! The tool `read_records`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    MAX_OUTPUT_BYTES, Tool, ToolError,
    arguments::{check_count, dedup_ids, schema_of},
    footer,
    search_records::{merge_responses, without_unreadable},
    tool::{ReadTool, run_read},
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError},
    render::{self, Detail},
    validation::fields_to_show,
};
use gatepost_base::text::CUT_MARK;
use gatepost_odoo::{Call, Domain, FieldName, ModelName, Operation, Order, RecordId};

/// The maximum number of ids.
const MAX_IDS: usize = 200;

pub(super) const TOOL: Tool = Tool {
    name: "read_records",
    title: "Read records",
    description: "Read records of an Odoo model by id, including archived ones. \
                  By default the most useful fields are shown. \
                  Ids that do not exist or are not visible are listed.",
    operation: Operation::Read,
    destructive: false,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_read::<Arguments>,
};

/// Arguments of `read_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `res.partner`.
    model: ModelName,
    /// The ids of the records, 1 to 200 of them, such as `[7, 12]`.
    #[schemars(extend("minItems" = 1, "maxItems" = 200))]
    ids: Vec<RecordId>,
    /// Technical names of fields, such as `["name","email"]`; without dots.
    #[serde(default)]
    fields: Vec<FieldName>,
    /// Such as `{"company_ids":[1],"lang":"fr_FR","tz":"Europe/Brussels"}`.
    context: Option<ContextRequest>,
}

impl ReadTool for Arguments {
    async fn read(self, access: &OdooSession<'_>) -> Result<String, ToolError> {
        let Self {
            model,
            mut ids,
            fields,
            context,
        } = self;
        check_count("ids", ids.len(), MAX_IDS)?;
        dedup_ids(&mut ids);
        let model_access = access.model_access(&model).await?;
        let columns = fields_to_show(&model_access, &model, &fields)?;
        let schema = model_access.visible();
        let (context, companies) = access.context(context.as_ref(), true).await?;
        // A search for the ids: `read` fails as a whole if a rule hides one of them.
        let domain = Domain::of_ids(&ids).map_err(OperationError::from)?;
        let limit = u32::try_from(ids.len()).unwrap_or(1);
        let reading = access
            .read_tolerantly(&columns, |fields| {
                Call::search_read(model.clone(), &domain, fields, &Order::default(), 0, limit)
                    .in_context(context.clone())
            })
            .await?;
        let shown = without_unreadable(&columns, &reading.unreadable_fields);
        let (found, rendered) = render::off_worker(reading.size(), || {
            let mut rows = merge_responses(&reading.responses)?;
            rows.retain_and_sort_by_ids(&ids);
            let rendered = render::table(&rows, schema, &shown, Detail::Record, MAX_OUTPUT_BYTES);
            Ok::<_, OperationError>((rows.ids().collect::<Vec<i64>>(), rendered))
        })?;
        let missing: Vec<String> = ids
            .iter()
            .filter(|id| !found.contains(&i64::from(id.get())))
            .map(ToString::to_string)
            .collect();
        if found.is_empty() {
            return Err(OperationError::InvalidArgument(format!(
                "these records of `{model}` do not exist or are not visible to this Odoo user: {}; search_records finds the right ids",
                missing.join(", ")
            ))
            .into());
        }
        let mut text = rendered.text;
        let is_alone = found.len() == 1 && shown.len() == 1;
        if text.contains(CUT_MARK) {
            let rest = if is_alone {
                "The text is too long for a response; the rest is in Odoo."
            } else {
                "Long texts are cut; reading one id with only that field shows more."
            };
            footer::append_line(&mut text, rest);
        }
        if rendered.shown < found.len() {
            let rest: Vec<String> = found
                .iter()
                .skip(rendered.shown)
                .map(ToString::to_string)
                .collect();
            footer::append_line(
                &mut text,
                &format!(
                    "result too long; not shown: {}; read them separately or name fewer fields",
                    rest.join(", ")
                ),
            );
        }
        if !missing.is_empty() {
            footer::append_line(
                &mut text,
                &format!(
                    "not found or not visible to this Odoo user: {}",
                    missing.join(", ")
                ),
            );
        }
        footer::append_unreadable_fields(&mut text, &reading.unreadable_fields);
        footer::append_footer(&mut text, access, &model, &companies, true);
        Ok(text)
    }
}
