//! What one request cost Odoo.

use std::{
    mem,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::de::IgnoredAny;

use gatepost_base::{SpanId, TraceContext};
use gatepost_odoo::{Call, MethodName, ModelName};

/// Calls of one request that are remembered one by one, for its trace.
const MAX_RECORDED_CALLS: usize = 64;

/// How many calls went to Odoo for one request, how long they took, and what
/// came of them.
#[derive(Debug, Default)]
pub struct CallStats {
    calls: AtomicU32,
    call_micros: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// What people took to answer, plus one for each that was asked.
    person_wait_micros: AtomicU64,
    /// The step of a trace that the calls stand below.
    trace_context: Option<TraceContext>,
    /// Whether the calls are remembered one by one.
    records_calls: bool,
    recorded_calls: Mutex<Vec<CallSpan>>,
}

/// One call that went to Odoo: what a trace may tell of it.
#[derive(Debug)]
pub struct CallSpan {
    /// The step of the trace that it is.
    pub span_id: SpanId,
    /// The model.
    pub model: ModelName,
    /// The method.
    pub method: MethodName,
    /// When it began; the wait for a place is in it.
    pub started: Instant,
    /// How long it took.
    pub duration: Duration,
    /// How it failed, in one word.
    pub error_type: Option<&'static str>,
}

/// The wait for a person. It is counted when this is dropped, however it ends.
#[derive(Debug)]
pub struct PersonWait<'a> {
    stats: &'a CallStats,
    started: Instant,
}

/// A call under way. It is counted when this is dropped, however it ends.
#[derive(Debug)]
pub struct CallTimer<'a> {
    stats: &'a CallStats,
    call: &'a Call,
    trace_context: Option<TraceContext>,
    started: Instant,
    error_type: Option<&'static str>,
}

impl CallStats {
    /// A tally of calls that stand below this step of a trace; with `keeps`
    /// each of them is remembered, up to a bound.
    pub fn for_span(trace_context: Option<TraceContext>, records_calls: bool) -> Self {
        Self {
            trace_context,
            records_calls,
            ..Self::default()
        }
    }

    /// Begins one call, a step of the trace by itself.
    pub fn start_call<'a>(&'a self, call: &'a Call) -> CallTimer<'a> {
        CallTimer {
            stats: self,
            call,
            trace_context: self.trace_context.as_ref().map(TraceContext::child),
            started: Instant::now(),
            error_type: Some("cancelled"),
        }
    }

    /// Begins to wait for a person.
    pub fn start_person_wait(&self) -> PersonWait<'_> {
        PersonWait {
            stats: self,
            started: Instant::now(),
        }
    }

    /// Adds what the caller read with one call: the JSON of what it returned,
    /// and how many rows that has, where they were counted already.
    pub fn record_response(&self, answer: &[u8], rows: Option<usize>) {
        let bytes = u64::try_from(answer.len()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(bytes, Relaxed);
        // A list is one of records or groups; nothing of them is kept here.
        let count =
            || serde_json::from_slice::<Vec<IgnoredAny>>(answer).map_or(0, |rows| rows.len());
        let rows = rows.unwrap_or_else(count);
        let rows = u64::try_from(rows).unwrap_or(u64::MAX);
        self.rows.fetch_add(rows, Relaxed);
    }

    /// The rows that were read so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// The bytes that were read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The calls so far.
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// The time they took, together; those side by side count twice.
    pub fn call_time(&self) -> Duration {
        Duration::from_micros(self.call_micros.load(Relaxed))
    }

    /// How long the person behind the client took to answer; none where nobody
    /// was asked.
    pub fn person_wait(&self) -> Option<Duration> {
        let micros = self.person_wait_micros.load(Relaxed);
        micros.checked_sub(1).map(Duration::from_micros)
    }

    /// Takes out the calls that were remembered.
    pub fn take_recorded_calls(&self) -> Vec<CallSpan> {
        mem::take(
            &mut *self
                .recorded_calls
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl CallTimer<'_> {
    /// The step of the trace, to be told to Odoo.
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.trace_context.as_ref()
    }

    /// Odoo answered, or it failed in this way.
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
        let took = self.started.elapsed();
        let tally = self.stats;
        tally.calls.fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tally.call_micros.fetch_add(micros, Relaxed);
        let Some(context) = self.trace_context.as_ref().filter(|_| tally.records_calls) else {
            return;
        };
        let mut asked = tally
            .recorded_calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if asked.len() < MAX_RECORDED_CALLS {
            asked.push(CallSpan {
                span_id: context.span_id(),
                model: self.call.model().clone(),
                method: self.call.method(),
                started: self.started,
                duration: took,
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
        let tally = CallStats::default();
        for answer in [r#"[{"id":1},{"id":2}]"#, "7", "[]", "{}"] {
            tally.record_response(answer.as_bytes(), None);
        }
        assert_eq!((tally.rows(), tally.bytes()), (2, 24));
    }
}
