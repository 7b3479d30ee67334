//! A tool that asks the person behind the client and returns the response, for
//! tests of elicitation.

use serde_json::json;

use super::{Tool, ToolError, ToolFuture, ToolOutput};
use crate::{
    access::{OdooSession, OperationError},
    elicitation::Elicitation,
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
    let consent = match &access.elicitation {
        Elicitation::ConfirmToken => return Ok("by id".to_owned().into()),
        Elicitation::InputRequired(response) => match response {
            Some(given) if given.state == STATE => given.action,
            Some(_) | None => {
                return Ok(ToolOutput::InputRequired(ElicitRequest {
                    message: "May I?".to_owned(),
                    state: STATE.to_owned(),
                }));
            }
        },
        Elicitation::ServerRequest(stream) => {
            let answer = stream.elicit("May I?").await;
            answer.map_err(OperationError::from)?
        }
    };
    Ok(json!({ "consent": consent.as_str() }).to_string().into())
}
