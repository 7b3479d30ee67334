//! Metrics, traces and the log, for operators.
//!
//! Metrics have closed label sets; each request is one log line; traces go to a
//! collector if one is configured. The record of who did what is the audit
//! journal, in [`crate::audit`]. The folder is below all that handle requests, so
//! that each can count its own figures.

mod change_outcome;
mod collector;
mod error_source;
pub mod logging;
mod metrics;
mod operation_span;
mod readiness;
mod request_log;
mod spans;
mod token_lookup_outcome;
mod traces;

use std::time::Duration;

pub use change_outcome::ChangeOutcome;
pub use collector::CollectorSettings;
pub use error_source::ErrorSource;
pub use metrics::{ConnectionGuard, HttpOutcome, InFlight, Metrics, RequestOutcome};
pub use operation_span::{RpcErrorType, RpcOperation, SpanContext};
pub use readiness::Readiness;
pub use request_log::RequestLog;
pub use token_lookup_outcome::TokenLookupOutcome;
pub use traces::{TraceSettings, TracingError};

use self::{logging::Repetitions, traces::Traces};
use gatepost_base::TraceId;

/// The metrics and traces of one process. A reload does not change their
/// settings.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// The metrics.
    pub metrics: Metrics,
    /// The refused requests that have no log line of their own.
    pub(crate) repetitions: Repetitions,
    traces: Option<Traces>,
}

impl Telemetry {
    /// Metrics at zero, without traces.
    pub fn new() -> Self {
        Self::default()
    }

    /// Metrics at zero, with traces that a separate thread exports.
    ///
    /// # Errors
    /// [`TracingError`]. An unreachable collector is not an error here: it is logged later.
    pub fn with_tracing(settings: TraceSettings) -> Result<Self, TracingError> {
        let metrics = Metrics::new();
        let traces = Some(Traces::start(settings, metrics.clone())?);
        Ok(Self {
            metrics,
            repetitions: Repetitions::default(),
            traces,
        })
    }

    /// Whether a trace that starts with this request is exported; `None` if no
    /// traces are.
    pub fn sampling_decision(&self, request: TraceId) -> Option<bool> {
        Some(self.traces.as_ref()?.is_sampled(request))
    }

    /// Records a finished request. Never waits.
    pub fn record(&self, log: &RequestLog, served: &HttpOutcome) {
        self.metrics.record(log, served);
        if let Some(traces) = &self.traces {
            traces.enqueue(log, served);
        }
    }

    /// Exports the queued traces, within this time.
    pub async fn flush(&self, within: Duration) {
        if let Some(traces) = &self.traces {
            traces.flush(within).await;
        }
    }
}
