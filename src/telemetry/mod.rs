//! What Gatepost counts and writes down for its operators.
//!
//! Metrics have closed label sets; the log has one line a request; traces go to
//! a collector where one is configured. It does not keep the record of who did
//! what: that is [`crate::audit`].

mod collector;
mod error_source;
pub mod logging;
mod metrics;
mod operation_span;
mod readiness;
mod request_log;
mod spans;
mod token_lookup;
mod traces;

use std::time::Duration;

pub use collector::CollectorSettings;
pub use error_source::ErrorSource;
pub use metrics::{ConnectionGuard, HttpOutcome, InFlight, Metrics, RequestOutcome};
pub use operation_span::{RpcErrorType, RpcOperation, SpanContext};
pub use readiness::Readiness;
pub use request_log::RequestLog;
pub use token_lookup::TokenLookup;
pub use traces::{TraceSettings, TracingError};

use self::traces::Traces;
use gatepost_base::TraceId;

/// What one process tells its operators besides the log. It stays as it was at
/// the start, whatever is reloaded.
#[derive(Debug, Default)]
pub struct Telemetry {
    /// The numbers.
    pub metrics: Metrics,
    traces: Option<Traces>,
}

impl Telemetry {
    /// Metrics, all at zero, and no traces.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with traces; a thread of its own hands them to the collector.
    ///
    /// # Errors
    /// [`CannotTrace`]. Not when the collector is away: that is told later.
    pub fn with_tracing(settings: TraceSettings) -> Result<Self, TracingError> {
        let metrics = Metrics::new();
        let traces = Some(Traces::start(settings, metrics.clone())?);
        Ok(Self { metrics, traces })
    }

    /// Whether traces are kept at all, and then whether one that begins with
    /// this request is.
    pub fn sampling_decision(&self, request: TraceId) -> Option<bool> {
        Some(self.traces.as_ref()?.is_sampled(request))
    }

    /// Tells of a request that is over. Never waits.
    pub fn record(&self, story: &RequestLog, served: &HttpOutcome) {
        self.metrics.record(story, served);
        if let Some(traces) = &self.traces {
            traces.enqueue(story, served);
        }
    }

    /// Hands over what is still to be told, within this time.
    pub async fn flush(&self, within: Duration) {
        if let Some(traces) = &self.traces {
            traces.flush(within).await;
        }
    }
}
