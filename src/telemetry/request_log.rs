//! Everything logged, measured and traced about one request.

use std::{net::IpAddr, time::Duration};

use super::{
    ChangeOutcome, ErrorSource, RpcErrorType, RpcOperation, SpanContext, TokenLookupOutcome,
};
use gatepost_base::{InstanceName, Subject, TraceContext, TraceId};
use gatepost_identity::Now;
use gatepost_mcp::RpcRequest;
use gatepost_odoo_client::CallStats;
use gatepost_state::limits::LimitDecision;

/// Characters of a client's request id that are logged.
const MAX_LOGGED_ID_CHARS: usize = 64;

/// Everything logged, measured and traced about one request. The edge owns it and
/// records it once, at the end, however the request ended; the gateway fills it in.
#[derive(Debug)]
pub struct RequestLog {
    /// Gatepost's id for the request.
    pub request_id: TraceId,
    /// The address that the request came from, as far as that is known.
    pub client_address: Option<IpAddr>,
    /// The instance that the request is for.
    pub instance: Option<InstanceName>,
    /// The authenticated caller.
    pub caller: Option<Subject>,
    /// The administrator's name for the caller's API key.
    pub caller_name: Option<Box<str>>,
    /// How the lookup of a provider's token ended.
    pub token_lookup: Option<TokenLookupOutcome>,
    /// The limits that were checked.
    pub rate_limit_checks: Vec<LimitDecision>,
    /// The protocol revision, such as `2025-11-25`.
    pub revision: Option<&'static str>,
    /// The JSON-RPC method, if it is a known one.
    pub method: Option<&'static str>,
    /// The name of the tool.
    pub tool: Option<&'static str>,
    /// Who caused the request to fail.
    pub error_source: Option<ErrorSource>,
    /// The kind of error, in one word, for logs and metrics.
    pub error_type: Option<&'static str>,
    /// The error in detail, for the log only.
    pub error_detail: Option<String>,
    /// Calls that were sent to Odoo.
    pub odoo_calls: u32,
    /// How long Odoo took for all of them.
    pub odoo_time: Duration,
    /// How long people took to answer; `None` if no one was asked.
    pub elicitation_time: Option<Duration>,
    /// Whether the response is a question to the person behind the client.
    pub input_required: bool,
    /// Calls whose audit record could not be queued.
    pub audit_failures: u32,
    /// When the request arrived.
    pub started: Now,
    /// Whether a trace that starts here is exported; `None` if no traces are.
    pub trace_sampling: Option<bool>,
    /// The trace context in the HTTP header fields.
    pub parent_context: Option<TraceContext>,
    /// The finished MCP requests.
    pub operations: Vec<RpcOperation>,
    current_operation: Option<RpcOperation>,
}

impl RequestLog {
    /// The log of a request of which only the id is known.
    pub fn new(request_id: TraceId) -> Self {
        Self {
            request_id,
            client_address: None,
            instance: None,
            caller: None,
            caller_name: None,
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

    /// Starts an MCP request.
    pub fn start_operation(&mut self, request: &RpcRequest<'_>) {
        self.revision = Some(request.revision.as_str());
        self.method = Some(request.method.as_str());
        // The first started with the HTTP head, each other one when the one before it ended.
        let started = self
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
            change: None,
            started,
            duration: Duration::ZERO,
            span: SpanContext::for_request(
                self.request_id,
                request.params.trace_context().as_ref(),
                self.parent_context.as_ref(),
                self.trace_sampling,
            ),
            call_spans: Vec::new(),
        });
    }

    /// Enters the tool that the MCP request calls, and starts to count its calls
    /// to Odoo.
    pub(crate) fn start_tool_call(&mut self, tool: &'static str) -> CallStats {
        self.tool = Some(tool);
        let Some(operation) = &mut self.current_operation else {
            return CallStats::default();
        };
        operation.tool = Some(tool);
        let span = operation.span.as_ref();
        CallStats::for_span(
            span.map(|span| span.context.clone()),
            span.is_some_and(|span| span.sampled),
        )
    }

    /// Adds the calls to Odoo of a tool.
    pub(crate) fn end_tool_call(&mut self, stats: &CallStats) {
        self.odoo_calls += stats.calls();
        self.odoo_time += stats.call_time();
        if let Some(wait) = stats.person_wait() {
            *self.elicitation_time.get_or_insert_default() += wait;
        }
        if let Some(operation) = &mut self.current_operation {
            operation.call_spans = stats.take_recorded_calls();
        }
    }

    /// Enters how the current MCP request fails.
    pub fn set_error(&mut self, failure: RpcErrorType) {
        if let Some(operation) = &mut self.current_operation {
            operation.error_type = Some(failure);
        }
    }

    /// Enters what became of the change that the current MCP request asked for.
    pub(crate) fn set_change_outcome(&mut self, outcome: ChangeOutcome) {
        if let Some(operation) = &mut self.current_operation {
            operation.change = Some(outcome);
        }
    }

    /// Ends the current MCP request, if there is one.
    pub fn end_operation(&mut self) {
        if let Some(operation) = self.current_operation.take() {
            self.operations.push(RpcOperation {
                duration: operation.started.elapsed(),
                ..operation
            });
        }
    }

    /// Ends the current MCP request as cancelled, if there is one.
    pub fn abandon_operation(&mut self) {
        self.set_error(RpcErrorType::Cancelled);
        self.end_operation();
    }

    /// The trace of the request, for the log. If the messages of a batch belong to
    /// different traces, that of the last one.
    pub fn trace_id(&self) -> Option<TraceId> {
        let mut spans = self.operations.iter().rev();
        let last = spans.find_map(|operation| operation.span.as_ref());
        last.map(|span| &span.context)
            .or(self.parent_context.as_ref())
            .map(TraceContext::trace_id)
    }
}
