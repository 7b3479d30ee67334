//! `tools/call`: from the name of a tool to its result.

use super::{
    RequestError,
    call_context::{CallAccounting, CallContext},
    conversation::Conversation,
};
use crate::{
    access::{OdooSession, OperationError},
    elicitation::{Elicitation, ElicitationError},
    telemetry::{ChangeOutcome, ErrorSource, RequestLog, RpcErrorType},
    tools::{self, Tool, ToolError, ToolOutput},
};
use gatepost_base::text::bounded;
use gatepost_mcp::{
    ProtocolEra, ProtocolError, RpcRequest, content::ToolResult, elicitation::ElicitRequest,
};
use gatepost_state::limits::RateLimited;

/// The result of a tool call.
pub(super) enum ToolOutcome {
    /// The client must ask the person behind it and call again.
    InputRequired(ElicitRequest),
    Result(ToolResult),
}

impl Conversation<'_> {
    /// Calls a tool, after all checks of the call.
    pub(super) async fn call_tool(
        &mut self,
        request: &RpcRequest<'_>,
    ) -> Result<ToolOutcome, RequestError> {
        let input_response = match request.era() {
            ProtocolEra::Handshake => None,
            ProtocolEra::Stateless => request.params.input_response()?,
        };
        let name = request.params.tool_name()?;
        let unknown = || {
            let allows = |tool: &Tool| self.gateway.allows_tool(self.context, tool);
            let meant = tools::meant_tool(&name, allows);
            RequestError::UnknownTool {
                name: name.chars().take(80).collect(),
                meant,
            }
        };
        let tool = tools::find(&name).ok_or_else(unknown)?;
        let call = CallContext::reauthenticate(self, request, tool.operation).await?;
        call.authorize(unknown)?;
        let log = &mut *self.log;
        let stats = log.start_tool_call(tool.name);
        let charged = call.charge_limits(tool.rate_class(), tool.returns_records, log);
        if let Err(limited) = charged.await {
            return Ok(rate_limited_result(&limited, log));
        }
        let audit = call.audit(log.request_id, tool.name);
        let accounting = CallAccounting {
            call: &call,
            log,
            stats: &stats,
            audit: &audit,
        };
        let session = call.odoo_session(input_response, &stats, &audit);
        let arguments = request.params.arguments.map_or("{}", |raw| raw.get());
        let result = run(tool, &session, arguments).await;
        if !tool.operation.is_read() {
            accounting.log.set_change_outcome(change_outcome(&result));
        }
        tool_outcome(result, &call, accounting.log)
    }
}

/// Runs the tool and records a denial for the audit.
async fn run(
    tool: &'static Tool,
    session: &OdooSession<'_>,
    arguments: &str,
) -> Result<ToolOutput, ToolError> {
    let arguments = &*tool.normalize(arguments)?;
    let result = match tool.run(session, arguments).await {
        // A client that cannot ask must not get a question.
        Ok(ToolOutput::InputRequired(_))
            if !matches!(session.elicitation, Elicitation::InputRequired(_)) =>
        {
            Err(OperationError::from(ElicitationError::Unsupported).into())
        }
        result => result,
    };
    if let Err(ToolError::Operation(denied)) = &result {
        session.audit_denial(denied, arguments);
    }
    result
}

/// Decides how a result reaches the client: as the result of the tool, which the
/// model reads, or as an error of the request.
fn tool_outcome(
    result: Result<ToolOutput, ToolError>,
    call: &CallContext<'_>,
    log: &mut RequestLog,
) -> Result<ToolOutcome, RequestError> {
    let error = match result {
        Ok(ToolOutput::Change(_, text) | ToolOutput::Text(text)) => {
            return Ok(ToolOutcome::Result(ToolResult::success(text)));
        }
        Ok(ToolOutput::InputRequired(question)) => {
            return Ok(ToolOutcome::InputRequired(question));
        }
        Err(error) => error,
    };
    match &error {
        ToolError::Operation(invalid @ OperationError::InvalidRequestState) => {
            return Err(ProtocolError::InvalidParams(invalid.to_string()).into());
        }
        ToolError::Operation(OperationError::Forbidden(forbidden)) => {
            if let Some(insufficient_scope) = call.scopes_for(forbidden) {
                return Err(insufficient_scope);
            }
        }
        ToolError::InvalidArguments(_) | ToolError::InvalidCursor(_) | ToolError::Operation(_) => {}
    }
    log.error_detail = error.cause_chain();
    let (source, kind) = (error.error_source(), error.operation_error_kind());
    Ok(failed(source, kind, &error, log))
}

/// What became of the change that a tool was called for.
fn change_outcome(result: &Result<ToolOutput, ToolError>) -> ChangeOutcome {
    match result {
        Ok(ToolOutput::Change(outcome, _)) => *outcome,
        Ok(ToolOutput::InputRequired(_) | ToolOutput::Text(_)) => ChangeOutcome::Previewed,
        Err(ToolError::Operation(OperationError::PartiallyApplied { .. })) => {
            ChangeOutcome::PartlyApplied
        }
        Err(ToolError::Operation(error)) if error.may_have_run() => ChangeOutcome::Unknown,
        Err(
            ToolError::InvalidArguments(_) | ToolError::InvalidCursor(_) | ToolError::Operation(_),
        ) => ChangeOutcome::Refused,
    }
}

/// The result of a call over its limits. It is a tool result because the model
/// reads nothing of a response whose status is not 200.
fn rate_limited_result(limited: &RateLimited, log: &mut RequestLog) -> ToolOutcome {
    let source = match limited {
        RateLimited::Exceeded { .. } => ErrorSource::Client,
        RateLimited::LimiterUnavailable { .. } => ErrorSource::Storage,
    };
    failed(source, limited.kind(), limited, log)
}

fn failed(
    source: ErrorSource,
    kind: &'static str,
    error: &dyn std::fmt::Display,
    log: &mut RequestLog,
) -> ToolOutcome {
    log.error_source = Some(source);
    log.error_type = Some(kind);
    log.set_error(RpcErrorType::Tool);
    let text = bounded(error.to_string(), tools::MAX_ERROR_BYTES);
    ToolOutcome::Result(ToolResult::error(text))
}
