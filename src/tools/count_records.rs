//! `count_records`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Tool, ToolError, ToolOutput,
    arguments::{DomainArgument, ObjectArgument, parse, schema_of},
    footer,
};
use crate::access::{ContextRequest, OdooSession, OperationError};
use gatepost_odoo::{Call, ModelName, Operation};
use gatepost_state::limits::ToolClass;

pub(super) const TOOL: Tool = Tool {
    name: "count_records",
    title: "Count records",
    description: "Count the records of an Odoo model that match a domain. \
                  Cheaper than searching when only the number matters.",
    operation: Operation::Read,
    rate_class: ToolClass::Read,
    input_schema: schema_of::<Arguments>,
    run: |access, arguments| {
        Box::pin(async { count(access, parse(arguments)?).await.map(ToolOutput::Text) })
    },
};

/// Arguments of `count_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `res.partner`.
    model: ModelName,
    /// Odoo domain, such as `[["state","=","sale"]]`; all records when left out.
    #[serde(default)]
    domain: DomainArgument,
    /// Whether archived records count too.
    #[serde(default)]
    archived: bool,
    /// Such as `{"company_ids":[1],"lang":"fr_FR","tz":"Europe/Brussels"}`.
    #[serde(default)]
    #[schemars(with = "ObjectArgument")]
    context: Option<ContextRequest>,
}

async fn count(access: &OdooSession<'_>, arguments: Arguments) -> Result<String, ToolError> {
    let Arguments {
        model,
        domain,
        archived,
        context,
    } = arguments;
    access.may_read(&model)?;
    let domain = access.validate_domain(&model, domain.0).await?;
    let (context, companies) = access.context(context.as_ref(), archived).await?;
    let answer = access
        .call(Call::search_count(model.clone(), &domain).in_context(context))
        .await?;
    let number: u64 = serde_json::from_slice(&answer).map_err(OperationError::from)?;
    let mut text = match number {
        1 => format!("1 record of `{model}` matches."),
        _ => format!("{number} records of `{model}` match."),
    };
    footer::append_footer(&mut text, access, &model, &companies, archived);
    Ok(text)
}
