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

use super::Served;
use crate::{
    access::Asked,
    gateway::{Failure, Operation, Step, Story},
};
use gatepost_base::TraceContext;

/// The flags that say whether the parent is of another process: the lower is
/// "known", the upper is "yes" (`opentelemetry/proto/trace/v1`, `SpanFlags`).
const PARENT_IS_HERE: u32 = 0x100;
const PARENT_IS_ELSEWHERE: u32 = 0x300;

/// The spans of a request: one for each MCP request in it whose trace is kept,
/// and one below it for each call to Odoo.
pub(super) fn spans(story: &Story, served: &Served, include_caller: bool) -> Vec<Span> {
    let mut spans = Vec::new();
    for operation in &story.operations {
        if let Some(step) = operation.step.as_ref().filter(|step| step.kept) {
            spans.push(server(story, served, operation, step, include_caller));
            spans.extend(operation.asked.iter().map(|one| client(story, step, one)));
        }
    }
    spans
}

fn server(
    story: &Story,
    served: &Served,
    operation: &Operation,
    step: &Step,
    include_caller: bool,
) -> Span {
    let mut attributes = vec![
        text("mcp.method.name", operation.method),
        text("mcp.protocol.version", operation.revision),
        text("jsonrpc.request.id", &operation.id),
        text("network.transport", served.transport()),
        text("request.id", &story.request_id.to_string()),
    ];
    if !served.local {
        attributes.push(text("network.protocol.name", "http"));
    }
    if let Some(tool) = operation.tool {
        attributes.push(text("gen_ai.operation.name", "execute_tool"));
        attributes.push(text("gen_ai.tool.name", tool));
    }
    if let Some(instance) = &story.instance {
        attributes.push(text("instance.name", instance.as_str()));
    }
    if let Some(caller) = story.caller.as_ref().filter(|_| include_caller) {
        attributes.push(text("enduser.id", &caller.to_string()));
    }
    if let Some(failure) = operation.failure {
        attributes.push(text("error.type", &failure.to_string()));
        if let Failure::Code(code) = failure {
            attributes.push(text("rpc.response.status_code", &code.to_string()));
        }
    }
    let name = operation.tool.map_or_else(
        || operation.method.to_owned(),
        |tool| format!("{} {tool}", operation.method),
    );
    let links = step.around.iter().map(|around| Link {
        trace_id: around.trace().to_bytes().to_vec(),
        span_id: around.span().to_bytes().to_vec(),
        trace_state: state(around),
        flags: flags(around) | PARENT_IS_ELSEWHERE,
        ..Link::default()
    });
    let begun = story.unix_nanos(operation.begun);
    Span {
        parent_span_id: step
            .parent
            .map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
        flags: flags(&step.context) | step.parent.map_or(PARENT_IS_HERE, |_| PARENT_IS_ELSEWHERE),
        links: links.collect(),
        status: status(operation.failure.is_some()),
        end_time_unix_nano: story.unix_nanos(operation.begun + operation.took),
        ..span(&step.context, name, SpanKind::Server, begun, attributes)
    }
}

fn client(story: &Story, step: &Step, asked: &Asked) -> Span {
    let mut attributes = vec![
        text("odoo.model", asked.model.as_str()),
        text("odoo.method", asked.method.as_str()),
    ];
    if let Some(failure) = asked.failure {
        attributes.push(text("error.type", failure));
    }
    let name = format!("{} {}", asked.method, asked.model);
    let begun = story.unix_nanos(asked.begun);
    Span {
        span_id: asked.span.to_bytes().to_vec(),
        parent_span_id: step.context.span().to_bytes().to_vec(),
        flags: flags(&step.context) | PARENT_IS_HERE,
        status: status(asked.failure.is_some()),
        end_time_unix_nano: story.unix_nanos(asked.begun + asked.took),
        ..span(&step.context, name, SpanKind::Client, begun, attributes)
    }
}

fn span(
    context: &TraceContext,
    name: String,
    kind: SpanKind,
    begun: u64,
    attributes: Vec<KeyValue>,
) -> Span {
    Span {
        trace_id: context.trace().to_bytes().to_vec(),
        span_id: context.span().to_bytes().to_vec(),
        trace_state: state(context),
        name,
        kind: kind.into(),
        start_time_unix_nano: begun,
        attributes,
        ..Span::default()
    }
}

fn state(context: &TraceContext) -> String {
    context.tracestate().unwrap_or_default().to_owned()
}

fn flags(context: &TraceContext) -> u32 {
    u32::from(context.is_sampled())
}

/// Unset when all is well: that word is not ours to say.
fn status(failed: bool) -> Option<Status> {
    failed.then(|| Status {
        message: String::new(),
        code: StatusCode::Error.into(),
    })
}

/// An attribute.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

impl Story {
    /// A moment of this request by the clock on the wall, in nanoseconds since 1970.
    fn unix_nanos(&self, moment: Instant) -> u64 {
        let later = moment.saturating_duration_since(self.begun.steady);
        let later = later.as_nanos();
        let wall = u64::try_from(self.begun.wall.as_nanosecond()).unwrap_or(0);
        wall.saturating_add(u64::try_from(later).unwrap_or(u64::MAX))
    }
}
