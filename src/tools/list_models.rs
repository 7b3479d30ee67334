//! The tool `list_models`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    MAX_OUTPUT_BYTES, Tool, ToolError,
    arguments::schema_of,
    tool::{ReadTool, run_read},
};
use crate::{access::OdooSession, render};
use gatepost_odoo::Operation;

pub(super) const TOOL: Tool = Tool {
    name: "list_models",
    title: "List models",
    description: "List the Odoo models you can read, with their labels. \
                  With a query, only those named or called so, such as `invoice` or `sale`.",
    operation: Operation::Read,
    destructive: false,
    returns_records: false,
    input_schema: schema_of::<Arguments>,
    handler: run_read::<Arguments>,
};

/// Arguments of `list_models`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// A word for its records, such as `invoice`.
    query: Option<String>,
}

impl ReadTool for Arguments {
    async fn read(self, access: &OdooSession<'_>) -> Result<String, ToolError> {
        let models = access.models().await?;
        let mut readable = Vec::new();
        for (at, entry) in models.iter().enumerate() {
            // Odoo may have thousands of models.
            if at % 64 == 63 {
                tokio::task::yield_now().await;
            }
            if access.may_read(&entry.model).is_ok()
                && !access.is_denied_entirely(&entry.model).await
            {
                readable.push(entry);
            }
        }
        let query = self
            .query
            .as_deref()
            .filter(|query| !query.trim().is_empty());
        let shaped = render::models(&readable, query, MAX_OUTPUT_BYTES);
        if shaped.shown > 0 {
            return Ok(shaped.text);
        }
        Ok(query.map_or_else(
            || "There is no model that you can read; ask the administrator for a role.".to_owned(),
            |_| format!("None of the {} models that you can read matches this; try another word, or omit the query to list all.", readable.len()),
        ))
    }
}
