//! Renders a request log as the spans of its trace.
//!
//! Names and attributes are those of `OpenTelemetry`'s conventions for MCP
//! (open-telemetry/semantic-conventions-genai, `docs/gen-ai/mcp.md`); the rest are
//! named as in the log. A span has no values of records, no arguments and no
//! tokens, and the caller only if that is configured.

use std::time::Instant;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{
        Span, Status,
        span::{Link, SpanKind},
        status::StatusCode,
    },
};

use super::{HttpOutcome, RequestLog, RpcErrorType, RpcOperation, SpanContext};
use gatepost_base::TraceContext;
use gatepost_odoo_client::CallSpan;

/// Whether the parent is in another process: the lower of the two flags is
/// "known", the upper is "yes" (`opentelemetry/proto/trace/v1`, `SpanFlags`).
const PARENT_IS_LOCAL: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x300;

/// The spans of a request: one for each MCP request whose trace is exported, with
/// a child for each call to Odoo.
pub(super) fn request_spans(
    log: &RequestLog,
    served: &HttpOutcome,
    include_caller: bool,
) -> Vec<Span> {
    let mut spans = Vec::new();
    for operation in &log.operations {
        if let Some(span) = operation.span.as_ref().filter(|span| span.sampled) {
            spans.push(server_span(log, served, operation, span, include_caller));
            let calls = operation.call_spans.iter();
            spans.extend(calls.map(|call| client_span(log, span, call)));
        }
    }
    spans
}

fn server_span(
    log: &RequestLog,
    served: &HttpOutcome,
    operation: &RpcOperation,
    span: &SpanContext,
    include_caller: bool,
) -> Span {
    let caller = log.caller.as_ref().filter(|_| include_caller);
    let status_code = match operation.error_type {
        Some(RpcErrorType::JsonRpc(code)) => Some(code.to_string()),
        Some(RpcErrorType::Cancelled | RpcErrorType::Http(_) | RpcErrorType::Tool) | None => None,
    };
    let attributes = [
        ("mcp.method.name", Some(operation.method.to_owned())),
        ("mcp.protocol.version", Some(operation.revision.to_owned())),
        ("jsonrpc.request.id", Some(operation.id.clone())),
        ("network.transport", Some(served.transport().to_owned())),
        ("request.id", Some(log.request_id.to_string())),
        (
            "network.protocol.name",
            (!served.is_stdio).then(|| "http".to_owned()),
        ),
        (
            "gen_ai.operation.name",
            operation.tool.map(|_| "execute_tool".to_owned()),
        ),
        ("gen_ai.tool.name", operation.tool.map(str::to_owned)),
        (
            "instance.name",
            log.instance.as_ref().map(ToString::to_string),
        ),
        ("enduser.id", caller.map(ToString::to_string)),
        (
            "error.type",
            operation.error_type.map(|error| error.to_string()),
        ),
        ("rpc.response.status_code", status_code),
    ];
    let attributes = attributes
        .into_iter()
        .filter_map(|(key, value)| Some(string_attribute(key, &value?)))
        .collect();
    let name = operation.tool.map_or_else(
        || operation.method.to_owned(),
        |tool| format!("{} {tool}", operation.method),
    );
    let links = span.link.iter().map(|link| Link {
        trace_id: link.trace_id().to_bytes().to_vec(),
        span_id: link.span_id().to_bytes().to_vec(),
        trace_state: trace_state(link),
        flags: trace_flags(link) | PARENT_IS_REMOTE,
        ..Link::default()
    });
    let started = log.unix_nanos(operation.started);
    Span {
        parent_span_id: span
            .parent
            .map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
        flags: trace_flags(&span.context)
            | span.parent.map_or(PARENT_IS_LOCAL, |_| PARENT_IS_REMOTE),
        links: links.collect(),
        status: error_status(operation.error_type.is_some()),
        end_time_unix_nano: log.unix_nanos(operation.started + operation.duration),
        ..base_span(&span.context, name, SpanKind::Server, started, attributes)
    }
}

fn client_span(log: &RequestLog, span: &SpanContext, call: &CallSpan) -> Span {
    let mut attributes = vec![
        string_attribute("odoo.model", call.model.as_str()),
        string_attribute("odoo.method", call.method.as_str()),
    ];
    if let Some(error) = call.error_type {
        attributes.push(string_attribute("error.type", error));
    }
    let name = format!("{} {}", call.method, call.model);
    let started = log.unix_nanos(call.started);
    Span {
        span_id: call.span_id.to_bytes().to_vec(),
        parent_span_id: span.context.span_id().to_bytes().to_vec(),
        flags: trace_flags(&span.context) | PARENT_IS_LOCAL,
        status: error_status(call.error_type.is_some()),
        end_time_unix_nano: log.unix_nanos(call.started + call.duration),
        ..base_span(&span.context, name, SpanKind::Client, started, attributes)
    }
}

fn base_span(
    context: &TraceContext,
    name: String,
    kind: SpanKind,
    started: u64,
    attributes: Vec<KeyValue>,
) -> Span {
    Span {
        trace_id: context.trace_id().to_bytes().to_vec(),
        span_id: context.span_id().to_bytes().to_vec(),
        trace_state: trace_state(context),
        name,
        kind: kind.into(),
        start_time_unix_nano: started,
        attributes,
        ..Span::default()
    }
}

fn trace_state(context: &TraceContext) -> String {
    context.tracestate().unwrap_or_default().to_owned()
}

fn trace_flags(context: &TraceContext) -> u32 {
    u32::from(context.is_sampled())
}

/// Unset on success: `Ok` is reserved for the application.
fn error_status(failed: bool) -> Option<Status> {
    failed.then(|| Status {
        message: String::new(),
        code: StatusCode::Error.into(),
    })
}

/// An attribute with a text as its value.
pub(super) fn string_attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

impl RequestLog {
    /// An instant of this request as wall-clock time, in nanoseconds since 1970.
    fn unix_nanos(&self, moment: Instant) -> u64 {
        let offset = moment.saturating_duration_since(self.started.monotonic);
        let offset = u64::try_from(offset.as_nanos()).unwrap_or(u64::MAX);
        let wall = u64::try_from(self.started.wall.as_nanosecond()).unwrap_or(0);
        wall.saturating_add(offset)
    }
}
