//! The tool `count_records`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Tool, ToolError,
    arguments::schema_of,
    footer,
    tool::{ReadTool, run_read},
};
use crate::access::{ContextRequest, OdooSession, OperationError};
use gatepost_odoo::{Call, Domain, ModelName, Operation};

pub(super) const TOOL: Tool = Tool {
    name: "count_records",
    title: "Count records",
    description: "Count the records of an Odoo model that match a domain. \
                  Cheaper than a search if only the number matters.",
    operation: Operation::Read,
    destructive: false,
    returns_records: false,
    input_schema: schema_of::<Arguments>,
    handler: run_read::<Arguments>,
};

/// Arguments of `count_records`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `res.partner`.
    model: ModelName,
    /// Odoo domain, such as `[["state","=","sale"]]`; default: all records.
    #[serde(default)]
    #[schemars(with = "Vec<Vec<String>>")]
    domain: Domain,
    /// Whether to include archived records.
    #[serde(default)]
    archived: bool,
    /// Such as `{"company_ids":[1],"lang":"fr_FR","tz":"Europe/Brussels"}`.
    context: Option<ContextRequest>,
}

impl ReadTool for Arguments {
    async fn read(self, access: &OdooSession<'_>) -> Result<String, ToolError> {
        let Self {
            model,
            domain,
            archived,
            context,
        } = self;
        access.may_read(&model)?;
        let domain = access.validate_domain(&model, domain).await?;
        let (context, companies) = access.context(context.as_ref(), archived).await?;
        let answer = access
            .call(Call::search_count(model.clone(), &domain).in_context(context))
            .await?;
        let number: u64 = serde_json::from_slice(&answer).map_err(OperationError::from)?;
        let mut text = match number {
            1 => format!("1 record of `{model}` matches."),
            _ => format!("{number} records of `{model}` match."),
        };
        footer::append_coverage(&mut text, &companies, archived);
        Ok(text)
    }
}
