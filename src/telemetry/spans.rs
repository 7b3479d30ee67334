//! From the story of a request to the spans of its trace.
//!
//! Names and attributes are those of `OpenTelemetry`'s conventions for MCP
//! (open-telemetry/semantic-conventions-genai, `docs/gen-ai/mcp.md`); what these
//! do not have is called as in our log. No value of a record, no argument and
//! no token is in a span, and the caller only where that is configured.

use std::time::Instant;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{
        Span, Status,
        span::{Link, SpanKind},
        status::StatusCode,
    },
};

use super::HttpOutcome;
use crate::telemetry::{RequestLog, RpcErrorType, RpcOperation, SpanContext};
use gatepost_base::TraceContext;
use gatepost_odoo_client::CallSpan;

/// The flags that say whether the parent is of another process: the lower is
/// "known", the upper is "yes" (`opentelemetry/proto/trace/v1`, `SpanFlags`).
const PARENT_IS_LOCAL: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x300;

/// The spans of a request: one for each MCP request in it whose trace is kept,
/// and one below it for each call to Odoo.
pub(super) fn request_spans(
    story: &RequestLog,
    served: &HttpOutcome,
    include_caller: bool,
) -> Vec<Span> {
    let mut spans = Vec::new();
    for operation in &story.operations {
        if let Some(step) = operation.span.as_ref().filter(|step| step.sampled) {
            spans.push(server_span(story, served, operation, step, include_caller));
            spans.extend(
                operation
                    .call_spans
                    .iter()
                    .map(|one| client_span(story, step, one)),
            );
        }
    }
    spans
}

fn server_span(
    story: &RequestLog,
    served: &HttpOutcome,
    operation: &RpcOperation,
    step: &SpanContext,
    include_caller: bool,
) -> Span {
    let mut attributes = vec![
        string_attribute("mcp.method.name", operation.method),
        string_attribute("mcp.protocol.version", operation.revision),
        string_attribute("jsonrpc.request.id", &operation.id),
        string_attribute("network.transport", served.transport()),
        string_attribute("request.id", &story.request_id.to_string()),
    ];
    if !served.is_stdio {
        attributes.push(string_attribute("network.protocol.name", "http"));
    }
    if let Some(tool) = operation.tool {
        attributes.push(string_attribute("gen_ai.operation.name", "execute_tool"));
        attributes.push(string_attribute("gen_ai.tool.name", tool));
    }
    if let Some(instance) = &story.instance {
        attributes.push(string_attribute("instance.name", instance.as_str()));
    }
    if let Some(caller) = story.caller.as_ref().filter(|_| include_caller) {
        attributes.push(string_attribute("enduser.id", &caller.to_string()));
    }
    if let Some(failure) = operation.error_type {
        attributes.push(string_attribute("error.type", &failure.to_string()));
        if let RpcErrorType::JsonRpc(code) = failure {
            attributes.push(string_attribute(
                "rpc.response.status_code",
                &code.to_string(),
            ));
        }
    }
    let name = operation.tool.map_or_else(
        || operation.method.to_owned(),
        |tool| format!("{} {tool}", operation.method),
    );
    let links = step.link.iter().map(|around| Link {
        trace_id: around.trace_id().to_bytes().to_vec(),
        span_id: around.span_id().to_bytes().to_vec(),
        trace_state: trace_state(around),
        flags: trace_flags(around) | PARENT_IS_REMOTE,
        ..Link::default()
    });
    let begun = story.unix_nanos(operation.started);
    Span {
        parent_span_id: step
            .parent
            .map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
        flags: trace_flags(&step.context)
            | step.parent.map_or(PARENT_IS_LOCAL, |_| PARENT_IS_REMOTE),
        links: links.collect(),
        status: error_status(operation.error_type.is_some()),
        end_time_unix_nano: story.unix_nanos(operation.started + operation.duration),
        ..base_span(&step.context, name, SpanKind::Server, begun, attributes)
    }
}

fn client_span(story: &RequestLog, step: &SpanContext, asked: &CallSpan) -> Span {
    let mut attributes = vec![
        string_attribute("odoo.model", asked.model.as_str()),
        string_attribute("odoo.method", asked.method.as_str()),
    ];
    if let Some(failure) = asked.error_type {
        attributes.push(string_attribute("error.type", failure));
    }
    let name = format!("{} {}", asked.method, asked.model);
    let begun = story.unix_nanos(asked.started);
    Span {
        span_id: asked.span_id.to_bytes().to_vec(),
        parent_span_id: step.context.span_id().to_bytes().to_vec(),
        flags: trace_flags(&step.context) | PARENT_IS_LOCAL,
        status: error_status(asked.error_type.is_some()),
        end_time_unix_nano: story.unix_nanos(asked.started + asked.duration),
        ..base_span(&step.context, name, SpanKind::Client, begun, attributes)
    }
}

fn base_span(
    context: &TraceContext,
    name: String,
    kind: SpanKind,
    begun: u64,
    attributes: Vec<KeyValue>,
) -> Span {
    Span {
        trace_id: context.trace_id().to_bytes().to_vec(),
        span_id: context.span_id().to_bytes().to_vec(),
        trace_state: trace_state(context),
        name,
        kind: kind.into(),
        start_time_unix_nano: begun,
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

/// Unset when all is well: that word is not ours to say.
fn error_status(failed: bool) -> Option<Status> {
    failed.then(|| Status {
        message: String::new(),
        code: StatusCode::Error.into(),
    })
}

/// An attribute.
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
    /// A moment of this request by the clock on the wall, in nanoseconds since 1970.
    fn unix_nanos(&self, moment: Instant) -> u64 {
        let later = moment.saturating_duration_since(self.started.monotonic);
        let later = later.as_nanos();
        let wall = u64::try_from(self.started.wall.as_nanosecond()).unwrap_or(0);
        wall.saturating_add(u64::try_from(later).unwrap_or(u64::MAX))
    }
}
