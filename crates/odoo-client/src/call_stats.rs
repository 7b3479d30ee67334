//! The calls to Odoo that one request makes.

use std::{
    mem,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::de::IgnoredAny;

use gatepost_base::{SpanId, TraceContext, sync::lock};
use gatepost_odoo::{Call, MethodName, ModelName};

/// The most calls of one request that are recorded for its trace.
const MAX_RECORDED_CALLS: usize = 64;

/// The number, duration and results of the calls that one request makes.
#[derive(Debug, Default)]
pub struct CallStats {
    calls: AtomicU32,
    call_micros: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// The time users took to answer, plus one for each answer.
    person_wait_micros: AtomicU64,
    /// The span that is the parent of the calls.
    trace_context: Option<TraceContext>,
    /// Whether each call is recorded.
    records_calls: bool,
    recorded_calls: Mutex<Vec<CallSpan>>,
}

/// A call to Odoo, as recorded in a trace.
#[derive(Debug)]
pub struct CallSpan {
    /// The span of the call.
    pub span_id: SpanId,
    /// The model.
    pub model: ModelName,
    /// The method.
    pub method: MethodName,
    /// When it began, including its time in the queue.
    pub started: Instant,
    /// How long it took.
    pub duration: Duration,
    /// The kind of error, if it failed.
    pub error_type: Option<&'static str>,
}

/// A wait for a user, counted when dropped.
#[derive(Debug)]
pub struct PersonWait<'a> {
    stats: &'a CallStats,
    started: Instant,
}

/// A call in flight, counted when dropped.
#[derive(Debug)]
pub struct CallTimer<'a> {
    stats: &'a CallStats,
    call: &'a Call,
    trace_context: Option<TraceContext>,
    started: Instant,
    error_type: Option<&'static str>,
}

impl CallStats {
    /// Statistics of calls below this span; with `records_calls` each call is
    /// recorded, up to a limit.
    pub fn for_span(trace_context: Option<TraceContext>, records_calls: bool) -> Self {
        Self {
            trace_context,
            records_calls,
            ..Self::default()
        }
    }

    /// Starts a call with its own span.
    pub fn start_call<'a>(&'a self, call: &'a Call) -> CallTimer<'a> {
        CallTimer {
            stats: self,
            call,
            trace_context: self.trace_context.as_ref().map(TraceContext::child),
            started: Instant::now(),
            error_type: Some("cancelled"),
        }
    }

    /// Starts to wait for a user.
    pub fn start_person_wait(&self) -> PersonWait<'_> {
        PersonWait {
            stats: self,
            started: Instant::now(),
        }
    }

    /// Counts the JSON that one call returned to the caller, and its rows, unless the
    /// caller has counted them.
    ///
    /// # Errors
    /// The number of rows, if there are more than `max_rows`, which were requested;
    /// then nothing is counted.
    pub fn record_response(
        &self,
        answer: &[u8],
        rows: Option<usize>,
        max_rows: Option<usize>,
    ) -> Result<(), usize> {
        // A list contains records or groups; only their number matters here.
        let count =
            || serde_json::from_slice::<Vec<IgnoredAny>>(answer).map_or(0, |rows| rows.len());
        let rows = rows.unwrap_or_else(count);
        if max_rows.is_some_and(|max_rows| rows > max_rows) {
            return Err(rows);
        }
        let [bytes, rows] = [answer.len(), rows].map(|all| u64::try_from(all).unwrap_or(u64::MAX));
        self.bytes.fetch_add(bytes, Relaxed);
        self.rows.fetch_add(rows, Relaxed);
        Ok(())
    }

    /// The rows read so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// The bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The calls so far.
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// The sum of their durations; concurrent calls count in full.
    pub fn call_time(&self) -> Duration {
        Duration::from_micros(self.call_micros.load(Relaxed))
    }

    /// How long the user took to answer; `None` if no user was asked.
    pub fn person_wait(&self) -> Option<Duration> {
        let micros = self.person_wait_micros.load(Relaxed);
        micros.checked_sub(1).map(Duration::from_micros)
    }

    /// Removes and returns the recorded calls.
    pub fn take_recorded_calls(&self) -> Vec<CallSpan> {
        mem::take(&mut *lock(&self.recorded_calls))
    }
}

impl CallTimer<'_> {
    /// The span of the call, to be sent to Odoo.
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.trace_context.as_ref()
    }

    /// Ends the call, with the kind of error if it failed.
    pub fn end(mut self, failure: Option<&'static str>) {
        self.error_type = failure;
    }
}

impl Drop for PersonWait<'_> {
    fn drop(&mut self) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.stats
            .person_wait_micros
            .fetch_add(micros.saturating_add(1), Relaxed);
    }
}

impl Drop for CallTimer<'_> {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let stats = self.stats;
        stats.calls.fetch_add(1, Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        stats.call_micros.fetch_add(micros, Relaxed);
        let Some(context) = self.trace_context.as_ref().filter(|_| stats.records_calls) else {
            return;
        };
        let mut recorded = lock(&stats.recorded_calls);
        if recorded.len() < MAX_RECORDED_CALLS {
            recorded.push(CallSpan {
                span_id: context.span_id(),
                model: self.call.model().clone(),
                method: self.call.method(),
                started: self.started,
                duration,
                error_type: self.error_type,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CallStats;

    #[test]
    fn rows_and_bytes_of_responses_add_up() {
        let stats = CallStats::default();
        for answer in [r#"[{"id":1},{"id":2}]"#, "7", "[]", "{}"] {
            stats
                .record_response(answer.as_bytes(), None, None)
                .unwrap();
        }
        assert_eq!((stats.rows(), stats.bytes()), (2, 24));
        // More rows than were requested cost the caller nothing.
        let rows = br#"[{"id":1},{"id":2},{"id":3}]"#;
        assert_eq!(stats.record_response(rows, None, Some(2)), Err(3));
        assert_eq!(stats.record_response(rows, Some(3), Some(2)), Err(3));
        assert_eq!((stats.rows(), stats.bytes()), (2, 24));
    }
}
