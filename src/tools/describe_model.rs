//! The tool `describe_model`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    MAX_OUTPUT_BYTES, Tool, ToolError,
    arguments::schema_of,
    tool::{ReadTool, run_read},
};
use crate::{
    access::OdooSession,
    render::{self, FieldSelector},
    validation::validate_fields,
};
use gatepost_odoo::{FieldName, MethodName, ModelName, Operation};

pub(super) const TOOL: Tool = Tool {
    name: "describe_model",
    title: "Describe a model",
    description: "Show the fields of an Odoo model: type, label, linked model, selection values; and the methods open to you. \
                  By default the most useful fields; name fields for all details, \
                  or give a query for those whose name or label contains it.",
    operation: Operation::Read,
    destructive: false,
    returns_records: false,
    input_schema: schema_of::<Arguments>,
    handler: run_read::<Arguments>,
};

/// The maximum size of the list of methods in bytes.
const MAX_METHOD_BYTES: usize = 6_000;

/// Arguments of `describe_model`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `sale.order`.
    model: ModelName,
    /// Technical names of fields to show in detail, such as `["state"]`.
    #[serde(default)]
    fields: Vec<FieldName>,
    /// A word in the name or label of fields, such as `date`.
    query: Option<String>,
}

/// Lists the methods that this caller may call, with Odoo's documentation if it
/// is available. If there are none, Odoo is not asked.
async fn render_methods(
    access: &OdooSession<'_>,
    model: &ModelName,
    selector: &FieldSelector<'_>,
) -> String {
    let query = match selector {
        FieldSelector::Fields(_) => return String::new(),
        FieldSelector::Query(query) => query.trim().to_lowercase(),
        FieldSelector::Relevant => String::new(),
    };
    let open = access.methods(model);
    let is_wanted = |name: &MethodName| name.as_str().contains(&query);
    if !open.keys().any(is_wanted) {
        return String::new();
    }
    let documentation = access.documentation(model).await;
    render::methods(&open, documentation.as_deref(), is_wanted, MAX_METHOD_BYTES)
}

impl ReadTool for Arguments {
    async fn read(self, access: &OdooSession<'_>) -> Result<String, ToolError> {
        let Self {
            model,
            fields,
            query,
        } = self;
        let schema = access.schema(&model).await?;
        if !fields.is_empty() {
            validate_fields(&schema, &model, &fields)?;
        }
        let selector = match query.as_deref() {
            _ if !fields.is_empty() => FieldSelector::Fields(&fields),
            Some(query) if !query.trim().is_empty() => FieldSelector::Query(query),
            Some(_) | None => FieldSelector::Relevant,
        };
        let mut text = render::describe(&model, &schema, &selector, MAX_OUTPUT_BYTES).text;
        text.push_str(&render_methods(access, &model, &selector).await);
        Ok(text)
    }
}
