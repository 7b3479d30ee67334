//! `describe_model`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    ANSWER_BYTES, Answer, Tool, ToolError,
    arguments::{parse, schema_of},
};
use crate::{
    access::{Access, fit_fields},
    shape::{self, Wanted},
};
use gatepost_odoo::{Effect, FieldName, MethodName, ModelName};
use gatepost_state::limits::ToolClass;

pub(super) const TOOL: Tool = Tool {
    name: "describe_model",
    title: "Describe a model",
    description: "Show the fields of an Odoo model: type, label, what it links to, the values of a selection; and the methods open to you. \
                  Without more, the most useful fields; name fields for all about them, \
                  or give a query for those whose name or label has it.",
    effect: Effect::Read,
    class: ToolClass::Read,
    input: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async { describe(access, parse(arguments)?).await.map(Answer::Text) })
    },
};

/// Bytes that are told of methods.
const METHOD_BYTES: usize = 6_000;

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

/// The methods that this caller may call, with what Odoo says of them where it
/// does. Without any it is not asked.
async fn methods(access: &Access<'_>, model: &ModelName, wanted: &Wanted<'_>) -> String {
    let query = match wanted {
        Wanted::Fields(_) => return String::new(),
        Wanted::Query(query) => query.trim().to_lowercase(),
        Wanted::Relevant => String::new(),
    };
    let open = access.methods(model);
    let is_wanted = |name: &MethodName| name.as_str().contains(&query);
    if !open.keys().any(is_wanted) {
        return String::new();
    }
    let documentation = access.documentation(model).await;
    shape::methods(&open, documentation.as_deref(), is_wanted, METHOD_BYTES)
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
    let mut text = shape::describe(&model, &schema, &wanted, ANSWER_BYTES).text;
    text.push_str(&methods(access, &model, &wanted).await);
    Ok(text)
}
