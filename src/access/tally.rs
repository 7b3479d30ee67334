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
const REMEMBERED: usize = 64;

/// How many calls went to Odoo for one request, how long they took, and what
/// came of them.
#[derive(Debug, Default)]
pub struct Tally {
    calls: AtomicU32,
    micros: AtomicU64,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// What people took to answer, plus one for each that was asked.
    person_micros: AtomicU64,
    /// The step of a trace that the calls stand below.
    trace: Option<TraceContext>,
    /// Whether the calls are remembered one by one.
    keeps: bool,
    asked: Mutex<Vec<Asked>>,
}

/// One call that went to Odoo: what a trace may tell of it.
#[derive(Debug)]
pub struct Asked {
    /// The step of the trace that it is.
    pub span: SpanId,
    /// The model.
    pub model: ModelName,
    /// The method.
    pub method: MethodName,
    /// When it began; the wait for a place is in it.
    pub begun: Instant,
    /// How long it took.
    pub took: Duration,
    /// How it failed, in one word.
    pub failure: Option<&'static str>,
}

/// The wait for a person. It is counted when this is dropped, however it ends.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    tally: &'a Tally,
    begun: Instant,
}

/// A call under way. It is counted when this is dropped, however it ends.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    tally: &'a Tally,
    call: &'a Call,
    context: Option<TraceContext>,
    begun: Instant,
    failure: Option<&'static str>,
}

impl Tally {
    /// A tally of calls that stand below this step of a trace; with `keeps`
    /// each of them is remembered, up to a bound.
    pub fn below(trace: Option<TraceContext>, keeps: bool) -> Self {
        Self {
            trace,
            keeps,
            ..Self::default()
        }
    }

    /// Begins one call, a step of the trace by itself.
    pub(super) fn ask<'a>(&'a self, call: &'a Call) -> Asking<'a> {
        Asking {
            tally: self,
            call,
            context: self.trace.as_ref().map(TraceContext::child),
            begun: Instant::now(),
            failure: Some("cancelled"),
        }
    }

    /// Begins to wait for a person.
    pub(super) fn wait_for_person(&self) -> Patience<'_> {
        Patience {
            tally: self,
            begun: Instant::now(),
        }
    }

    /// Adds what the caller read with one call: the JSON of what it returned,
    /// and how many rows that has, where they were counted already.
    pub fn read(&self, answer: &[u8], rows: Option<usize>) {
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
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.micros.load(Relaxed))
    }

    /// How long the person behind the client took to answer; none where nobody
    /// was asked.
    pub fn person_time(&self) -> Option<Duration> {
        let micros = self.person_micros.load(Relaxed);
        micros.checked_sub(1).map(Duration::from_micros)
    }

    /// Takes out the calls that were remembered.
    pub fn take_asked(&self) -> Vec<Asked> {
        mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Asking<'_> {
    /// The step of the trace, to be told to Odoo.
    pub(super) fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Odoo answered, or it failed in this way.
    pub(super) fn end(mut self, failure: Option<&'static str>) {
        self.failure = failure;
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        let micros = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.tally
            .person_micros
            .fetch_add(micros.saturating_add(1), Relaxed);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let tally = self.tally;
        tally.calls.fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tally.micros.fetch_add(micros, Relaxed);
        let Some(context) = self.context.as_ref().filter(|_| tally.keeps) else {
            return;
        };
        let mut asked = tally.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < REMEMBERED {
            asked.push(Asked {
                span: context.span(),
                model: self.call.model().clone(),
                method: self.call.method(),
                begun: self.begun,
                took,
                failure: self.failure,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn rows_and_bytes_of_answers_add_up() {
        let tally = Tally::default();
        for answer in [r#"[{"id":1},{"id":2}]"#, "7", "[]", "{}"] {
            tally.read(answer.as_bytes(), None);
        }
        assert_eq!((tally.rows(), tally.bytes()), (2, 24));
    }
}
