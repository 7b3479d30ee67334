//! What there is to tell about one request when it is over.

use std::time::Duration;

use super::{ErrorSource, RpcErrorType, RpcOperation, SpanContext, TokenLookup};
use gatepost_base::{InstanceName, Subject, TraceContext, TraceId};
use gatepost_identity::Now;
use gatepost_mcp::Request;
use gatepost_odoo_client::CallStats;
use gatepost_state::limits::LimitDecision;

/// Characters of a client's request id that are kept.
const MAX_LOGGED_ID_CHARS: usize = 64;

/// What is known so far about one request. The edge owns it and writes it down
/// once, at the end, whatever happened: the gateway only fills it in.
#[derive(Debug)]
pub struct RequestLog {
    /// Our number for the request.
    pub request_id: TraceId,
    /// The instance it went to.
    pub instance: Option<InstanceName>,
    /// Who it was.
    pub caller: Option<Subject>,
    /// What became of a provider's token.
    pub token_lookup: Option<TokenLookup>,
    /// The allowances that were looked at.
    pub rate_limit_checks: Vec<LimitDecision>,
    /// The protocol revision, such as `2025-11-25`.
    pub revision: Option<&'static str>,
    /// The JSON-RPC method, one of those we know.
    pub method: Option<&'static str>,
    /// The tool, one of ours.
    pub tool: Option<&'static str>,
    /// Who is to blame if it failed.
    pub error_source: Option<ErrorSource>,
    /// The kind of refusal, in one word, for logs and metrics.
    pub error_type: Option<&'static str>,
    /// What went wrong, with everything that only we may read.
    pub error_detail: Option<String>,
    /// Calls that went to Odoo.
    pub odoo_calls: u32,
    /// How long Odoo took for them, in all.
    pub odoo_time: Duration,
    /// How long people took to answer; none where nobody was asked.
    pub elicitation_time: Option<Duration>,
    /// Whether it was answered with a question.
    pub input_required: bool,
    /// Calls for whose audit record there was no room.
    pub audit_failures: u32,
    /// When the request came.
    pub started: Now,
    /// Whether traces are kept, and then whether one that begins here is.
    pub trace_sampling: Option<bool>,
    /// The trace that the HTTP header names.
    pub parent_context: Option<TraceContext>,
    /// The MCP requests that are over.
    pub operations: Vec<RpcOperation>,
    /// The one that is not.
    current_operation: Option<RpcOperation>,
}

impl RequestLog {
    /// A story of which nothing but the number is known.
    pub fn new(request_id: TraceId) -> Self {
        Self {
            request_id,
            instance: None,
            caller: None,
            token_lookup: None,
            rate_limit_checks: Vec::new(),
            revision: None,
            method: None,
            tool: None,
            error_source: None,
            error_type: None,
            error_detail: None,
            odoo_calls: 0,
            odoo_time: Duration::ZERO,
            elicitation_time: None,
            input_required: false,
            audit_failures: 0,
            started: Now::read(),
            trace_sampling: None,
            parent_context: None,
            operations: Vec::new(),
            current_operation: None,
        }
    }

    /// Begins an MCP request.
    pub fn start_operation(&mut self, request: &Request<'_>) {
        self.revision = Some(request.revision.as_str());
        self.method = Some(request.method.as_str());
        // The first has begun with its head; another when the one before it was over.
        let begun = self
            .operations
            .last()
            .map_or(self.started.monotonic, |before| {
                before.started + before.duration
            });
        self.current_operation = Some(RpcOperation {
            method: request.method.as_str(),
            revision: request.revision.as_str(),
            tool: None,
            id: request
                .id
                .to_string()
                .chars()
                .take(MAX_LOGGED_ID_CHARS)
                .collect(),
            error_type: None,
            started: begun,
            duration: Duration::ZERO,
            span: SpanContext::for_request(
                self.request_id,
                request.params.trace_context(),
                self.parent_context.as_ref(),
                self.trace_sampling,
            ),
            call_spans: Vec::new(),
        });
    }

    /// Says which tool the MCP request calls, and begins to count what it
    /// costs Odoo.
    pub(crate) fn start_tool_call(&mut self, tool: &'static str) -> CallStats {
        self.tool = Some(tool);
        let Some(operation) = &mut self.current_operation else {
            return CallStats::default();
        };
        operation.tool = Some(tool);
        let step = operation.span.as_ref();
        CallStats::for_span(
            step.map(|step| step.context.clone()),
            step.is_some_and(|step| step.sampled),
        )
    }

    /// Adds what a call of a tool has cost.
    pub(crate) fn end_tool_call(&mut self, tally: &CallStats) {
        self.odoo_calls += tally.calls();
        self.odoo_time += tally.call_time();
        if let Some(took) = tally.person_wait() {
            *self.elicitation_time.get_or_insert_default() += took;
        }
        if let Some(operation) = &mut self.current_operation {
            operation.call_spans = tally.take_recorded_calls();
        }
    }

    /// Says how the MCP request that is under way fails.
    pub fn set_error(&mut self, failure: RpcErrorType) {
        if let Some(operation) = &mut self.current_operation {
            operation.error_type = Some(failure);
        }
    }

    /// Ends the MCP request that is under way, if there is one.
    pub fn end_operation(&mut self) {
        if let Some(operation) = self.current_operation.take() {
            let took = operation.started.elapsed();
            self.operations.push(RpcOperation {
                duration: took,
                ..operation
            });
        }
    }

    /// Gives up the MCP request that is still under way, if there is one.
    pub fn abandon_operation(&mut self) {
        self.set_error(RpcErrorType::Cancelled);
        self.end_operation();
    }

    /// The trace that the request belongs to, for the log: the last, where
    /// several messages name several.
    pub fn trace_id(&self) -> Option<TraceId> {
        let named = self
            .operations
            .iter()
            .rev()
            .find_map(|one| one.span.as_ref());
        named
            .map(|step| step.context.trace_id())
            .or_else(|| Some(self.parent_context.as_ref()?.trace_id()))
    }
}
