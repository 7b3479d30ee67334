//! `list_models`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    MAX_OUTPUT_BYTES, Tool, ToolError, ToolOutput,
    arguments::{parse, schema_of},
};
use crate::{access::OdooSession, render};
use gatepost_odoo::Operation;
use gatepost_state::limits::ToolClass;

pub(super) const TOOL: Tool = Tool {
    name: "list_models",
    title: "List models",
    description: "List the Odoo models you can read, with what people call them. \
                  With a query, only those whose name or label has it, such as `invoice` or `sale`.",
    operation: Operation::Read,
    rate_class: ToolClass::Read,
    input_schema: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async { list(access, parse(arguments)?).await.map(ToolOutput::Text) })
    },
};

/// Arguments of `list_models`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// A word in the name or label, such as `invoice`.
    #[serde(default)]
    #[schemars(with = "String")]
    query: Option<String>,
}

async fn list(access: &OdooSession<'_>, arguments: Arguments) -> Result<String, ToolError> {
    let models = access.models().await?;
    let mut readable = Vec::new();
    for entry in &*models {
        if access.may_read(&entry.model).is_ok() && !access.is_denied_entirely(&entry.model).await {
            readable.push(entry);
        }
    }
    let query = arguments
        .query
        .as_deref()
        .filter(|query| !query.trim().is_empty());
    let shaped = render::models(&readable, query, MAX_OUTPUT_BYTES);
    if shaped.shown > 0 {
        return Ok(shaped.text);
    }
    Ok(query.map_or_else(
        || "There is no model you can read; ask the administrator for a role.".to_owned(),
        |_| format!("None of the {} models you can read has that in its name or label; try another word, or list all without a query.", readable.len()),
    ))
}
