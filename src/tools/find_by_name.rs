//! The tool `find_by_name`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    MAX_OUTPUT_BYTES, Tool, ToolError,
    arguments::{parse_limit, schema_of},
    footer,
    tool::{ReadTool, run_read},
};
use crate::{
    access::{ContextRequest, OdooSession, OperationError},
    render,
};
use gatepost_odoo::{Call, Domain, ModelName, Operation, UserSearch};

/// The default for `limit`.
const DEFAULT_LIMIT: u32 = 10;
/// The maximum for `limit`.
const MAX_LIMIT: u32 = 100;
/// The maximum length of a name in characters.
const MAX_NAME_CHARS: usize = 200;

pub(super) const TOOL: Tool = Tool {
    name: "find_by_name",
    title: "Find by name",
    description: "Find records of an Odoo model by a part of their name, as Odoo's own search boxes do: \
                  also by reference, e-mail or code if the model has one. Returns ids and names. \
                  Finds colleagues in `res.users`.",
    operation: Operation::Read,
    destructive: false,
    returns_records: true,
    input_schema: schema_of::<Arguments>,
    handler: run_read::<Arguments>,
};

/// Arguments of `find_by_name`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// The model, such as `res.partner`.
    model: ModelName,
    /// A part of the name, such as `azure`.
    name: String,
    /// How many records, 1 to 100. Default 10.
    #[schemars(extend("minimum" = 1, "maximum" = 100))]
    limit: Option<i64>,
    /// Such as `{"company_ids":[1],"lang":"fr_FR","tz":"Europe/Brussels"}`.
    context: Option<ContextRequest>,
}

impl ReadTool for Arguments {
    async fn read(self, access: &OdooSession<'_>) -> Result<String, ToolError> {
        let Self {
            model,
            name,
            limit,
            context,
        } = self;
        let limit = parse_limit(limit, DEFAULT_LIMIT, MAX_LIMIT)?;
        let finds_users = access.finds_users(&model);
        if !finds_users {
            access.may_read(&model)?;
        }
        if name.chars().count() > MAX_NAME_CHARS || name.contains('\0') {
            return Err(ToolError::InvalidArguments(format!(
                "invalid argument `name`: a part of a name has at most {MAX_NAME_CHARS} characters and no NUL"
            )));
        }
        if finds_users {
            return find_users(access, name, limit).await;
        }
        let (context, companies) = access.context(context.as_ref(), false).await?;
        let call = Call::name_search(model.clone(), &name, &Domain::default(), limit + 1)
            .in_context(context);
        let answer = access.call(call).await?;
        let (shaped, more) =
            render::names(&answer, limit, MAX_OUTPUT_BYTES).map_err(OperationError::from)?;
        let mut text = shaped.text;
        if shaped.shown == 0 {
            text = format!(
                "No record of `{model}` has this in its name; try a shorter part, or search_records."
            );
            footer::append_coverage(&mut text, &companies, false);
            return Ok(text);
        }
        if more {
            footer::append_line(
                &mut text,
                "there are more; give more of the name, or use search_records",
            );
        }
        footer::append_footer(&mut text, access, &model, &companies, false);
        Ok(text)
    }
}

/// Lists active users. Without a footer, because neither companies nor the context of
/// the call limit them.
async fn find_users(
    access: &OdooSession<'_>,
    part: String,
    limit: u32,
) -> Result<String, ToolError> {
    let search = UserSearch::Name {
        part,
        limit: limit + 1,
    };
    let answer = access.find_users(search).await?;
    let (shaped, more) =
        render::names(&answer, limit, MAX_OUTPUT_BYTES).map_err(OperationError::from)?;
    let mut text = shaped.text;
    if shaped.shown == 0 {
        text.push_str("No active user has this in their name; try a shorter part.");
    } else if more {
        footer::append_line(&mut text, "there are more; give more of the name");
    }
    Ok(text)
}
