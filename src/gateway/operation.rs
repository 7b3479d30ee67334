//! One MCP request of a body, as there is to tell of it.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::access::Asked;
use gatepost_base::{SpanId, TraceContext, TraceId};

/// One MCP request that was understood. Most bodies hold one; those of
/// 2025-03-26 may hold several.
#[derive(Debug)]
pub struct Operation {
    /// The method, one of those we answer.
    pub method: &'static str,
    /// The protocol revision.
    pub revision: &'static str,
    /// The tool, one of ours.
    pub tool: Option<&'static str>,
    /// The id that the client gave it, shortened.
    pub id: String,
    /// How it failed.
    pub failure: Option<Failure>,
    /// When it came.
    pub begun: Instant,
    /// Until its answer was there to be written.
    pub took: Duration,
    /// Where it stands in a trace.
    pub step: Option<Step>,
    /// The calls to Odoo, where a trace is kept.
    pub asked: Vec<Asked>,
}

/// How an MCP request failed. `Display` is the `error.type` of `OpenTelemetry`'s
/// conventions for MCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It was given up, for the client left or took it back.
    Cancelled,
    /// It was answered with a JSON-RPC error of this code.
    Code(i32),
    /// It was refused in this word, without JSON-RPC.
    Refused(&'static str),
    /// The tool's answer tells of an error.
    Tool,
}

/// Where a request stands in a trace.
#[derive(Clone, Debug)]
pub struct Step {
    /// Our own step; calls to Odoo stand below it.
    pub context: TraceContext,
    /// The step of the client that called us.
    pub parent: Option<SpanId>,
    /// The step of the HTTP request, where the message itself names another.
    pub around: Option<TraceContext>,
    /// Whether the trace is kept, by us and by whom we hand it to.
    pub kept: bool,
}

impl Step {
    /// The step of a request of this number. The word of the message wins over
    /// that of the HTTP header around it. `keeping` says whether traces are
    /// kept at all, and then whether one that begins here is.
    pub(super) fn of(
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
                parent: Some(parent.span()),
                around,
                kept: keeping.is_some() && parent.is_sampled(),
            }),
            // The request's own number, so that log and trace find each other.
            (None, Some(kept)) => Some(Self {
                context: TraceContext::begin(request, kept),
                parent: None,
                around: None,
                kept,
            }),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::Code(code) => code.fmt(f),
            Self::Refused(word) => f.write_str(word),
            Self::Tool => f.write_str("tool_error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Step;
    use gatepost_base::{TraceContext, TraceId};

    fn context(span: &str, sampled: bool) -> TraceContext {
        let flags = if sampled { "01" } else { "00" };
        let text = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-{flags}");
        TraceContext::read(&text, None).unwrap()
    }

    #[test]
    fn the_word_of_the_message_wins_and_that_of_the_header_is_told_beside_it() {
        let message = context("00f067aa0ba902b7", true);
        let header = context("1111111111111111", true);
        let step = Step::of(TraceId::new(1), Some(message.clone()), Some(&header), None).unwrap();
        assert_eq!(step.parent, Some(message.span()));
        assert_eq!(step.around, Some(header.clone()));
        assert_eq!(step.context.trace(), message.trace());
        let step = Step::of(TraceId::new(1), None, Some(&header), None).unwrap();
        assert_eq!((step.parent, step.around), (Some(header.span()), None));
    }

    #[test]
    fn what_a_client_does_not_keep_is_not_kept_here_and_without_a_place_nothing_is() {
        let kept = |sampled, keeping| {
            let parent = Some(context("00f067aa0ba902b7", sampled));
            Step::of(TraceId::new(1), parent, None, keeping)
                .unwrap()
                .kept
        };
        assert!(kept(true, Some(true)) && kept(true, Some(false)));
        assert!(!kept(false, Some(true)));
        assert!(!kept(true, None));
    }

    #[test]
    fn a_trace_begins_here_only_where_traces_are_kept_and_has_the_requests_number() {
        assert!(Step::of(TraceId::new(7), None, None, None).is_none());
        let step = Step::of(TraceId::new(7), None, None, Some(false)).unwrap();
        assert_eq!(step.context.trace(), TraceId::new(7));
        assert!(!step.kept && !step.context.is_sampled());
    }
}
