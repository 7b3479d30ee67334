//! A tool that asks the person behind the client and returns the response, for
//! tests of elicitation.

use serde_json::json;

use super::{Tool, ToolError, ToolFuture, ToolOutput};
use crate::{
    access::{OdooSession, OperationError},
    elicitation::ElicitationMode,
};
use gatepost_mcp::elicitation::ElicitRequest;
use gatepost_odoo::Operation;

pub(super) const TOOL: Tool = Tool {
    name: "ask_person",
    title: "Ask the person",
    description: "Asks.",
    operation: Operation::Write,
    destructive: true,
    returns_records: true,
    input_schema: || schemars::json_schema!({ "type": "object" }),
    handler: run_tool,
};

const STATE: &str = "as it was";

fn run_tool<'a>(_: &'static Tool, access: &'a OdooSession<'a>, _: &'a str) -> ToolFuture<'a> {
    Box::pin(async { elicit(access).await })
}

async fn elicit(access: &OdooSession<'_>) -> Result<ToolOutput, ToolError> {
    let consent = match access.elicitation.mode() {
        ElicitationMode::ConfirmToken => return Ok("by id".to_owned().into()),
        ElicitationMode::InputRequired => match access.elicitation.input_response() {
            Some(given) if given.state == STATE => given.action,
            Some(_) | None => {
                return Ok(ToolOutput::InputRequired(ElicitRequest {
                    message: "May I?".to_owned(),
                    state: STATE.to_owned(),
                }));
            }
        },
        ElicitationMode::ServerRequest => access
            .elicitation
            .elicit("May I?")
            .await
            .map_err(OperationError::from)?,
    };
    Ok(json!({ "consent": consent.as_str() }).to_string().into())
}
