//! `describe_model`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ANSWER_BYTES, Answer, Tool, ToolError,
    arguments::{parse, schema_of},
};
use crate::{
    access::{Access, fit_fields},
    limits::ToolClass,
    odoo::{Effect, FieldName, ModelName},
    shape::{self, Wanted},
};

pub(super) const TOOL: Tool = Tool {
    name: "describe_model",
    title: "Describe a model",
    description: "Show the fields of an Odoo model: type, label, what it links to, the values of a selection. \
                  Without more, the most useful fields; name fields for all about them, \
                  or give a query for those whose name or label has it.",
    effect: Effect::Read,
    class: ToolClass::Read,
    input: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async { describe(access, parse(arguments)?).await.map(Answer::Text) })
    },
};

/// Arguments of `describe_model`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `sale.order`.
    model: ModelName,
    /// Technical names of fields to tell all about, such as `["state"]`.
    #[serde(default)]
    fields: Vec<FieldName>,
    /// A word in the name or label of fields, such as `date`.
    #[serde(default)]
    #[schemars(with = "String")]
    query: Option<String>,
}

async fn describe(access: &Access<'_>, arguments: Arguments) -> Result<String, ToolError> {
    let Arguments {
        model,
        fields,
        query,
    } = arguments;
    let schema = access.schema(&model).await?;
    if !fields.is_empty() {
        fit_fields(&schema, &model, &fields)?;
    }
    let wanted = match query.as_deref() {
        _ if !fields.is_empty() => Wanted::Fields(&fields),
        Some(query) if !query.trim().is_empty() => Wanted::Query(query),
        Some(_) | None => Wanted::Relevant,
    };
    Ok(shape::describe(&model, &schema, &wanted, ANSWER_BYTES).text)
}
