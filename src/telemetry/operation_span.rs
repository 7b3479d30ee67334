//! One MCP request of a body, with its span.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::ChangeOutcome;
use gatepost_base::{SpanId, TraceContext, TraceId};
use gatepost_odoo_client::CallSpan;

/// One parsed MCP request. Most bodies hold one; those of 2025-03-26 may hold
/// several.
#[derive(Debug)]
pub struct RpcOperation {
    /// The method, one of the supported ones.
    pub method: &'static str,
    /// The protocol revision.
    pub revision: &'static str,
    /// The name of the tool.
    pub tool: Option<&'static str>,
    /// The id that the client chose, truncated.
    pub id: String,
    /// How the request failed.
    pub error_type: Option<RpcErrorType>,
    /// What became of the change, if it called a tool that writes.
    pub change: Option<ChangeOutcome>,
    /// When the request arrived.
    pub started: Instant,
    /// How long it took until its response was ready to be sent.
    pub duration: Duration,
    /// Its span, if it belongs to a trace.
    pub span: Option<SpanContext>,
    /// The calls to Odoo, if the trace is exported.
    pub call_spans: Vec<CallSpan>,
}

/// How an MCP request failed. `Display` is the `error.type` of `OpenTelemetry`'s
/// conventions for MCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RpcErrorType {
    /// The client disconnected or cancelled the request.
    Cancelled,
    /// The response is a JSON-RPC error of this code.
    JsonRpc(i32),
    /// The response is an HTTP error of this kind, without JSON-RPC.
    Http(&'static str),
    /// The result of the tool is an error.
    Tool,
}

/// The place of a request in a trace.
#[derive(Clone, Debug)]
pub struct SpanContext {
    /// Its own span, the parent of its calls to Odoo.
    pub context: TraceContext,
    /// The span of the client.
    pub parent: Option<SpanId>,
    /// The span in the HTTP header fields, if the message itself names another.
    pub link: Option<TraceContext>,
    /// Whether the trace is exported here and by Odoo.
    pub sampled: bool,
}

impl SpanContext {
    /// The span of the request with this id. The trace context in the message
    /// takes precedence over that in the HTTP header fields. `sampling` is
    /// whether this request may be exported; `None` if none is.
    pub(crate) fn for_request(
        request: TraceId,
        message: Option<&TraceContext>,
        header: Option<&TraceContext>,
        sampling: Option<bool>,
    ) -> Option<Self> {
        let link = message.and(header).cloned();
        if let Some(parent) = message.or(header) {
            return Some(Self {
                context: parent.child(),
                parent: Some(parent.span_id()),
                link,
                // A client's flag alone would let it fill the collector.
                sampled: sampling == Some(true) && parent.is_sampled(),
            });
        }
        // The trace has the id of the request, so that the log leads to it.
        sampling.map(|sampled| Self {
            context: TraceContext::root(request, sampled),
            parent: None,
            link: None,
            sampled,
        })
    }
}

impl fmt::Display for RpcErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::JsonRpc(code) => code.fmt(f),
            Self::Http(word) => f.write_str(word),
            Self::Tool => f.write_str("tool_error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SpanContext;
    use gatepost_base::{TraceContext, TraceId};

    fn context(span: &str, sampled: bool) -> TraceContext {
        let flags = if sampled { "01" } else { "00" };
        let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-{flags}");
        TraceContext::parse(&text, None).unwrap()
    }

    #[test]
    fn message_trace_context_takes_precedence_and_header_becomes_link() {
        let message = context("00f067aa0ba902b7", true);
        let header = context("1111111111111111", true);
        let span =
            SpanContext::for_request(TraceId::new(1), Some(&message), Some(&header), None).unwrap();
        assert_eq!(span.parent, Some(message.span_id()));
        assert_eq!(span.link, Some(header.clone()));
        assert_eq!(span.context.trace_id(), message.trace_id());
        let span = SpanContext::for_request(TraceId::new(1), None, Some(&header), None).unwrap();
        assert_eq!((span.parent, span.link), (Some(header.span_id()), None));
    }

    #[test]
    fn span_is_sampled_only_with_collector_and_sampled_parent() {
        let is_sampled = |sampled, sampling| {
            let parent = context("00f067aa0ba902b7", sampled);
            SpanContext::for_request(TraceId::new(1), Some(&parent), None, sampling)
                .unwrap()
                .sampled
        };
        assert!(is_sampled(true, Some(true)));
        // The configured ratio holds whatever a client asks for.
        assert!(!is_sampled(true, Some(false)));
        assert!(!is_sampled(false, Some(true)));
        assert!(!is_sampled(true, None));
    }

    #[test]
    fn new_trace_requires_collector_and_uses_request_id() {
        assert!(SpanContext::for_request(TraceId::new(7), None, None, None).is_none());
        let span = SpanContext::for_request(TraceId::new(7), None, None, Some(false)).unwrap();
        assert_eq!(span.context.trace_id(), TraceId::new(7));
        assert!(!span.sampled && !span.context.is_sampled());
    }
}
