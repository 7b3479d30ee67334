//! A tool that asks the person behind the client, and says what came of it; for
//! tests of how people are asked.

use serde_json::json;

use super::{Answer, Running, Tool, ToolError};
use crate::access::{Access, Denied, WayToAsk};
use gatepost_mcp::elicitation::Question;
use gatepost_odoo::Effect;
use gatepost_state::limits::ToolClass;

pub(super) const TOOL: Tool = Tool {
    name: "ask_person",
    title: "Ask the person",
    description: "Asks.",
    effect: Effect::Write,
    class: ToolClass::Write,
    input: || schemars::json_schema!({ "type": "object" }),
    run: asked,
};

const STATE: &str = "as it was";

fn asked<'a>(access: &'a Access<'a>, _arguments: &'a str) -> Running<'a> {
    Box::pin(async { ask(access).await })
}

async fn ask(access: &Access<'_>) -> Result<Answer, ToolError> {
    let consent = match access.asks.way() {
        WayToAsk::ById => return Ok("by id".to_owned().into()),
        WayToAsk::ByResult => match access.asks.given() {
            Some(given) if given.state == STATE => given.consent,
            Some(_) | None => {
                return Ok(Answer::Asks(Question {
                    message: "May I?".to_owned(),
                    state: STATE.to_owned(),
                }));
            }
        },
        WayToAsk::OnStream => access.asks.ask("May I?").await.map_err(Denied::from)?,
    };
    Ok(json!({ "consent": consent.as_str() }).to_string().into())
}
