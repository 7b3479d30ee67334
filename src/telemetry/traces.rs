//! Queues the spans of traces, and exports them from a separate thread.

use std::{io, thread, time::Duration};

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::{
    runtime,
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    CollectorSettings, HttpOutcome, Metrics, RequestLog,
    collector::{Collector, ExportError},
    metrics::OrEmpty,
    spans::request_spans,
};
use gatepost_base::TraceId;

/// Spans in the queue; those of a request that do not all fit are dropped.
const QUEUE_CAPACITY: usize = 4_096;
/// Spans in one export, and how long it waits for more after the first.
const MAX_BATCH_SPANS: usize = 512;
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// How often an export is attempted, and the pause after the first attempt; each
/// pause is twice as long as the one before, up to the maximum.
const MAX_ATTEMPTS: u32 = 5;
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// Which traces are exported, and where to.
#[derive(Debug)]
pub struct TraceSettings {
    /// The collector.
    pub collector: CollectorSettings,
    /// The share of requests whose spans may be exported, from 0 to 1.
    pub sample_ratio: f64,
    /// Whether spans name the caller.
    pub include_caller: bool,
}

/// Why tracing cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TracingError {
    /// The HTTP client cannot be built from the settings.
    #[error("`telemetry`: the client for the collector cannot be built: {0}")]
    Client(#[from] reqwest::Error),
    /// The export thread cannot be started.
    #[error("`telemetry`: the thread that exports traces cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// The queue of spans to export.
#[derive(Debug)]
pub(super) struct Traces {
    queue: mpsc::Sender<Span>,
    metrics: Metrics,
    sample_ratio: f64,
    include_caller: bool,
    shutdown: watch::Sender<bool>,
    /// Its sender is dropped when the thread ends.
    ended: watch::Receiver<()>,
}

impl Traces {
    /// Starts the export thread. It connects when it has spans to export.
    pub(super) fn start(settings: TraceSettings, metrics: Metrics) -> Result<Self, TracingError> {
        let collector = Collector::new(settings.collector)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (queue, spans) = mpsc::channel(QUEUE_CAPACITY);
        let (shutdown, shutdown_requested) = watch::channel(false);
        let (end, ended) = watch::channel(());
        let exporter = BatchExporter {
            collector,
            spans,
            shutdown: shutdown_requested,
            metrics: metrics.clone(),
            is_failing: false,
        };
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(move || {
                runtime.block_on(exporter.run());
                drop(end);
            })?;
        Ok(Self {
            queue,
            metrics,
            sample_ratio: settings.sample_ratio,
            include_caller: settings.include_caller,
            shutdown,
            ended,
        })
    }

    /// Whether the spans of this request may be exported. Its id decides, which no
    /// client can choose.
    pub(super) fn is_sampled(&self, request: TraceId) -> bool {
        let [.., a, b, c, d] = request.to_bytes();
        let drawn = f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX);
        // A ratio of 1 includes the largest number, and one of 0 excludes the smallest.
        drawn < self.sample_ratio || self.sample_ratio >= 1.0
    }

    /// Queues the spans of a request, all or none. Never waits.
    pub(super) fn enqueue(&self, log: &RequestLog, served: &HttpOutcome) {
        let spans = request_spans(log, served, self.include_caller);
        if spans.is_empty() {
            return;
        }
        let count = as_u64(spans.len());
        let error = match self.queue.try_reserve_many(spans.len()) {
            Ok(permits) => {
                for (permit, span) in permits.zip(spans) {
                    permit.send(span);
                }
                None
            }
            Err(_full_or_closed) => Some("queue_full"),
        };
        self.metrics
            .otel_sdk_processor_span_processed_total(OrEmpty(error))
            .inc_by(count);
    }

    /// Lets the thread export the queued spans and end, and waits for it.
    pub(super) async fn flush(&self, within: Duration) {
        self.shutdown.send_replace(true);
        let mut ended = self.ended.clone();
        // The error means that the thread has dropped its sender.
        let done = async { while ended.changed().await.is_ok() {} };
        if timeout(within, done).await.is_err() {
            warn!("Stopped before all traces were exported");
        }
    }
}

/// Exports spans in batches.
struct BatchExporter {
    collector: Collector,
    spans: mpsc::Receiver<Span>,
    shutdown: watch::Receiver<bool>,
    metrics: Metrics,
    /// Whether the last attempt failed; only the first failure is logged.
    is_failing: bool,
}

impl BatchExporter {
    async fn run(mut self) {
        while let Some(batch) = self.collect_batch().await {
            let count = as_u64(batch.len());
            let body = self.collector.encode(batch);
            self.export(body, count).await;
        }
    }

    /// Waits for spans, then collects more for [`BATCH_DELAY`], up to a full batch.
    /// The delay is skipped on shutdown. `None` once the queue is empty then.
    async fn collect_batch(&mut self) -> Option<Vec<Span>> {
        let mut batch = Vec::new();
        let is_last = tokio::select! {
            biased;
            received = self.spans.recv_many(&mut batch, MAX_BATCH_SPANS) => received == 0,
            () = shutdown_requested(&mut self.shutdown) => true,
        };
        let until = Instant::now() + BATCH_DELAY;
        while !is_last && batch.len() < MAX_BATCH_SPANS {
            let room = MAX_BATCH_SPANS - batch.len();
            tokio::select! {
                biased;
                received = self.spans.recv_many(&mut batch, room) => if received == 0 { break },
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

    /// Exports spans, with retries.
    async fn export(&mut self, body: Bytes, count: u64) {
        let mut pause = INITIAL_BACKOFF;
        for attempt in 1..=MAX_ATTEMPTS {
            match self.collector.export(body.clone()).await {
                Ok(rejected) => {
                    if std::mem::take(&mut self.is_failing) {
                        info!("Resumed exporting traces");
                    }
                    self.count_exported(None, count.saturating_sub(rejected));
                    self.count_exported(Some("rejected"), rejected);
                    return;
                }
                Err(ExportError {
                    is_retryable,
                    reason,
                }) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        warn!(error = reason, "Failed to export traces");
                    }
                    // Shutdown does not wait for a collector that may not come back.
                    if !is_retryable || attempt == MAX_ATTEMPTS || *self.shutdown.borrow() {
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
        self.count_exported(Some("not_taken"), count);
    }

    fn count_exported(&self, error: Option<&'static str>, count: u64) {
        if count > 0 {
            self.metrics
                .otel_sdk_exporter_span_exported_total(OrEmpty(error))
                .inc_by(count);
        }
    }
}

/// Waits until the process shuts down.
async fn shutdown_requested(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a shutdown too.
    drop(shutdown.wait_for(|requested| *requested).await);
}

fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::TracingError;

    #[test]
    fn tracing_errors_say_what_is_wrong() {
        let client = reqwest::Client::builder().user_agent("\n").build();
        let errors = [
            TracingError::Client(client.unwrap_err()),
            TracingError::Thread(io::ErrorKind::OutOfMemory.into()),
        ];
        let texts = errors.map(|error| error.to_string());
        insta::assert_snapshot!(texts.join("\n"), @r"
        `telemetry`: the client for the collector cannot be built: builder error
        `telemetry`: the thread that exports traces cannot be started: out of memory
        ");
    }
}
