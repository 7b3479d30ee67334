//! `list_models`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ANSWER_BYTES, Answer, Tool, ToolError,
    arguments::{parse, schema_of},
};
use crate::{access::Access, shape};
use gatepost_odoo::Effect;
use gatepost_state::limits::ToolClass;

pub(super) const TOOL: Tool = Tool {
    name: "list_models",
    title: "List models",
    description: "List the Odoo models you can read, with what people call them. \
                  With a query, only those whose name or label has it, such as `invoice` or `sale`.",
    effect: Effect::Read,
    class: ToolClass::Read,
    input: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async { list(access, parse(arguments)?).await.map(Answer::Text) })
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

async fn list(access: &Access<'_>, arguments: Arguments) -> Result<String, ToolError> {
    let models = access.models().await?;
    let mut readable = Vec::new();
    for entry in &*models {
        if access.may_read(&entry.model).is_ok() && !access.is_closed(&entry.model).await {
            readable.push(entry);
        }
    }
    let query = arguments
        .query
        .as_deref()
        .filter(|query| !query.trim().is_empty());
    let shaped = shape::models(&readable, query, ANSWER_BYTES);
    if shaped.shown > 0 {
        return Ok(shaped.text);
    }
    Ok(query.map_or_else(
        || "There is no model you can read; ask the administrator for a role.".to_owned(),
        |_| format!("None of the {} models you can read has that in its name or label; try another word, or list all without a query.", readable.len()),
    ))
}
