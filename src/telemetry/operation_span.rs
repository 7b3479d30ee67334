//! One MCP request of a body, as there is to tell of it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use gatepost_base::{SpanId, TraceContext, TraceId};
use gatepost_odoo_client::CallSpan;

/// One MCP request that was understood. Most bodies hold one; those of
/// 2025-03-26 may hold several.
#[derive(Debug)]
pub struct RpcOperation {
    /// The method, one of those we answer.
    pub method: &'static str,
    /// The protocol revision.
    pub revision: &'static str,
    /// The tool, one of ours.
    pub tool: Option<&'static str>,
    /// The id that the client gave it, shortened.
    pub id: String,
    /// How it failed.
    pub error_type: Option<RpcErrorType>,
    /// When it came.
    pub started: Instant,
    /// Until its answer was there to be written.
    pub duration: Duration,
    /// Where it stands in a trace.
    pub span: Option<SpanContext>,
    /// The calls to Odoo, where a trace is kept.
    pub call_spans: Vec<CallSpan>,
}

/// How an MCP request failed. `Display` is the `error.type` of `OpenTelemetry`'s
/// conventions for MCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RpcErrorType {
    /// It was given up, for the client left or took it back.
    Cancelled,
    /// It was answered with a JSON-RPC error of this code.
    JsonRpc(i32),
    /// It was refused in this word, without JSON-RPC.
    Http(&'static str),
    /// The tool's answer tells of an error.
    Tool,
}

/// Where a request stands in a trace.
#[derive(Clone, Debug)]
pub struct SpanContext {
    /// Our own step; calls to Odoo stand below it.
    pub context: TraceContext,
    /// The step of the client that called us.
    pub parent: Option<SpanId>,
    /// The step of the HTTP request, where the message itself names another.
    pub link: Option<TraceContext>,
    /// Whether the trace is kept, by us and by whom we hand it to.
    pub sampled: bool,
}

impl SpanContext {
    /// The step of a request of this number. The word of the message wins over
    /// that of the HTTP header around it. `keeping` says whether traces are
    /// kept at all, and then whether one that begins here is.
    pub(crate) fn for_request(
        request: TraceId,
        message: Option<TraceContext>,
        header: Option<&TraceContext>,
        keeping: Option<bool>,
    ) -> Option<Self> {
        let around = message.as_ref().and(header).cloned();
        let parent = message.or_else(|| header.cloned());
        match (parent, keeping) {
            (Some(parent), keeping) => Some(Self {
                context: parent.child(),
                parent: Some(parent.span_id()),
                link: around,
                sampled: keeping.is_some() && parent.is_sampled(),
            }),
            // The request's own number, so that log and trace find each other.
            (None, Some(kept)) => Some(Self {
                context: TraceContext::root(request, kept),
                parent: None,
                link: None,
                sampled: kept,
            }),
            (None, None) => None,
        }
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
        let step =
            SpanContext::for_request(TraceId::new(1), Some(message.clone()), Some(&header), None)
                .unwrap();
        assert_eq!(step.parent, Some(message.span_id()));
        assert_eq!(step.link, Some(header.clone()));
        assert_eq!(step.context.trace_id(), message.trace_id());
        let step = SpanContext::for_request(TraceId::new(1), None, Some(&header), None).unwrap();
        assert_eq!((step.parent, step.link), (Some(header.span_id()), None));
    }

    #[test]
    fn span_is_sampled_only_with_collector_and_sampled_parent() {
        let kept = |sampled, keeping| {
            let parent = Some(context("00f067aa0ba902b7", sampled));
            SpanContext::for_request(TraceId::new(1), parent, None, keeping)
                .unwrap()
                .sampled
        };
        assert!(kept(true, Some(true)) && kept(true, Some(false)));
        assert!(!kept(false, Some(true)));
        assert!(!kept(true, None));
    }

    #[test]
    fn new_trace_requires_collector_and_uses_request_id() {
        assert!(SpanContext::for_request(TraceId::new(7), None, None, None).is_none());
        let step = SpanContext::for_request(TraceId::new(7), None, None, Some(false)).unwrap();
        assert_eq!(step.context.trace_id(), TraceId::new(7));
        assert!(!step.sampled && !step.context.is_sampled());
    }
}
