//! Traces on their way to a collector: a bounded queue, and a thread behind it.

use std::{fmt, io, thread, time::Duration};

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::{
    runtime,
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    CollectorSettings, HttpOutcome, Metrics,
    collector::{Collector, ExportError},
    metrics::OrEmpty,
    spans::request_spans,
};
use crate::telemetry::RequestLog;
use gatepost_base::TraceId;

/// Spans that wait; those of a request for which there is no room are dropped.
const QUEUE_CAPACITY: usize = 4_096;
/// Spans that are handed over together, and how long they are waited for.
const MAX_BATCH_SPANS: usize = 512;
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How often the same spans are offered, and how long it takes between two of
/// these: a second, then twice as long each time, at most the second number.
const MAX_ATTEMPTS: u32 = 5;
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Which traces are kept, and where they go.
#[derive(Debug)]
pub struct TraceSettings {
    /// Where they go.
    pub collector: CollectorSettings,
    /// Which part is kept of those that begin here, from 0 to 1.
    pub sample_ratio: f64,
    /// Whether the caller stands in them.
    pub include_caller: bool,
}

/// Why no traces can be handed over.
#[derive(Debug, thiserror::Error)]
pub enum TracingError {
    /// No client can be made of the settings.
    #[error("`telemetry`: no client for the collector can be made: {0}")]
    Client(#[from] reqwest::Error),
    /// The thread does not start.
    #[error("`telemetry`: the thread that hands traces over cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// Traces on their way.
pub(super) struct Traces {
    queue: mpsc::Sender<Span>,
    metrics: Metrics,
    sample_ratio: f64,
    include_caller: bool,
    shutdown: watch::Sender<bool>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
}

impl Traces {
    /// Starts the thread. Nothing is connected before there is something to
    /// hand over.
    ///
    /// # Errors
    /// [`CannotTrace`].
    pub(super) fn start(settings: TraceSettings, metrics: Metrics) -> Result<Self, TracingError> {
        let collector = Collector::new(settings.collector)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (queue, spans) = mpsc::channel(QUEUE_CAPACITY);
        let (leaving, leave) = watch::channel(false);
        let (end, ended) = watch::channel(());
        let courier = BatchExporter {
            collector,
            spans,
            shutdown: leave,
            metrics: metrics.clone(),
            is_failing: false,
        };
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(courier.run());
                drop(end);
            })?;
        Ok(Self {
            queue,
            metrics,
            sample_ratio: settings.sample_ratio,
            include_caller: settings.include_caller,
            shutdown: leaving,
            ended,
        })
    }

    /// Whether a trace that begins with this request is kept: by its number, so
    /// that all replicas decide alike.
    pub(super) fn is_sampled(&self, request: TraceId) -> bool {
        let [.., a, b, c, d] = request.to_bytes();
        let drawn = f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX);
        // A ratio of 1 keeps the largest number too, and one of 0 not the smallest.
        drawn < self.sample_ratio || self.sample_ratio >= 1.0
    }

    /// Puts the spans of a request into the queue, all or none. Never waits.
    pub(super) fn enqueue(&self, story: &RequestLog, served: &HttpOutcome) {
        let spans = request_spans(story, served, self.include_caller);
        if spans.is_empty() {
            return;
        }
        let many = as_u64(spans.len());
        let error = match self.queue.try_reserve_many(spans.len()) {
            Ok(places) => {
                for (place, span) in places.zip(spans) {
                    place.send(span);
                }
                None
            }
            Err(_full_or_gone) => Some("queue_full"),
        };
        self.metrics
            .otel_sdk_processor_span_processed_total(OrEmpty(error))
            .inc_by(many);
    }

    /// Has the thread hand over what it has and end, and waits for that.
    pub(super) async fn flush(&self, within: Duration) {
        self.shutdown.send_replace(true);
        let mut ended = self.ended.clone();
        // An error is what is waited for: the thread's end is gone.
        let gone = async { while ended.changed().await.is_ok() {} };
        if timeout(within, gone).await.is_err() {
            warn!("Left without handing over all traces");
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces")
            .field("sample_ratio", &self.sample_ratio)
            .finish_non_exhaustive()
    }
}

/// Carries spans to the collector.
struct BatchExporter {
    collector: Collector,
    spans: mpsc::Receiver<Span>,
    shutdown: watch::Receiver<bool>,
    metrics: Metrics,
    /// Whether the last attempt failed: that is told once.
    is_failing: bool,
}

impl BatchExporter {
    async fn run(mut self) {
        while let Some(batch) = self.collect_batch().await {
            let many = as_u64(batch.len());
            let body = self.collector.encode(batch);
            self.export(body, many).await;
        }
    }

    /// The next spans: as many as there are a second after the first, at most a
    /// batch, and without that second when we leave. None at the end.
    async fn collect_batch(&mut self) -> Option<Vec<Span>> {
        let mut batch = Vec::new();
        let leaving = tokio::select! {
            biased;
            some = self.spans.recv_many(&mut batch, MAX_BATCH_SPANS) => some == 0,
            () = shutdown_requested(&mut self.shutdown) => true,
        };
        let until = Instant::now() + BATCH_DELAY;
        while !leaving && batch.len() < MAX_BATCH_SPANS {
            let room = MAX_BATCH_SPANS - batch.len();
            tokio::select! {
                biased;
                some = self.spans.recv_many(&mut batch, room) => if some == 0 { break },
                () = shutdown_requested(&mut self.shutdown) => break,
                () = sleep_until(until) => break,
            }
        }
        while batch.len() < MAX_BATCH_SPANS
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Offers spans until they are taken, or it is of no use.
    async fn export(&mut self, body: Bytes, many: u64) {
        let mut pause = INITIAL_BACKOFF;
        for attempt in 1..=MAX_ATTEMPTS {
            match self.collector.export(body.clone()).await {
                Ok(refused) => {
                    if std::mem::take(&mut self.is_failing) {
                        info!("Hands over traces again");
                    }
                    self.count_exported(None, many.saturating_sub(refused));
                    self.count_exported(Some("rejected"), refused);
                    return;
                }
                Err(ExportError {
                    is_retryable: again,
                    reason: why,
                }) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        warn!(error = why, "Failed to hand over traces");
                    }
                    // Who leaves does not wait for what may not come back.
                    if !again || attempt == MAX_ATTEMPTS || *self.shutdown.borrow() {
                        break;
                    }
                }
            }
            tokio::select! {
                () = shutdown_requested(&mut self.shutdown) => {}
                () = sleep_until(Instant::now() + pause) => {}
            }
            pause = (pause * 2).min(MAX_BACKOFF);
        }
        self.count_exported(Some("not_taken"), many);
    }

    fn count_exported(&self, error: Option<&'static str>, many: u64) {
        if many > 0 {
            self.metrics
                .otel_sdk_exporter_span_exported_total(OrEmpty(error))
                .inc_by(many);
        }
    }
}

/// Returns when we leave.
async fn shutdown_requested(leave: &mut watch::Receiver<bool>) {
    // Its sender is gone when nobody can say it any more.
    drop(leave.wait_for(|leaving| *leaving).await);
}

fn as_u64(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}
