//! The metrics, in one place, with the labels they may have. Each of them stands
//! in `docs/operations.md`.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use super::traces::SpanCounts;
use crate::telemetry::{Readiness, RequestLog};
use gatepost_base::InstanceName;
use gatepost_odoo_client::ClientStats;
use gatepost_state::store::{StoreErrorReason, StoreOperation};

/// All metrics of one process (or of one edge, in tests).
///
/// Every label comes from a closed set: configured instances, our tools, the
/// protocol revisions we speak, [`Outcome`], [`crate::gateway::Blame`], [`crate::gateway::LookUp`],
/// what is in [`gatepost_state::limits::Counted`] and in [`Remembered`].
/// A histogram is some twenty series, so that only one of them has the tool.
/// What `OpenTelemetry`'s conventions have a name for is called by it; the rest
/// begins with `gatepost_`.
pub struct Metrics {
    registry: Registry,
    operations: Family<OperationLabels, Histogram, fn() -> Histogram>,
    spans: SpanCounts,
    requests: Family<RequestLabels, Counter>,
    duration: Family<InstanceLabels, Histogram, fn() -> Histogram>,
    own_duration: Family<InstanceLabels, Histogram, fn() -> Histogram>,
    odoo_duration: Family<InstanceLabels, Histogram, fn() -> Histogram>,
    odoo_calls: Family<ToolLabels, Counter>,
    response_size: Family<InstanceLabels, Histogram, fn() -> Histogram>,
    audit_failures: Counter,
    audit_up: Family<NoLabels, Gauge>,
    errors: Family<RefusalLabels, Counter>,
    token_lookups: Family<TokenLookupLabels, Counter>,
    in_flight: Family<InstanceLabels, Gauge>,
    limit_decisions: Family<LimitLabels, Counter>,
    redis_up: Family<RedisLabels, Gauge>,
    connections: Gauge,
    accepted: Counter,
    upstream: UpstreamMetrics,
}

/// What is read where it is at the moment it is asked for.
#[derive(Default)]
struct UpstreamMetrics {
    /// Held while one reader fills them in and reads.
    encode_lock: Mutex<()>,
    odoo_up: Family<InstanceLabels, Gauge>,
    provider_up: Family<ProviderLabels, Gauge>,
    calls_in_flight: Family<InstanceLabels, Gauge>,
    calls_queued: Family<InstanceLabels, Gauge>,
    connections_open: Family<InstanceLabels, Gauge>,
    connections_total: Family<InstanceLabels, Counter>,
    store_up: Family<StoreLabels, Gauge>,
    store_failures: Family<StoreFailureLabels, Counter>,
}

/// What was seen of the others at the moment metrics are asked for.
#[derive(Debug, Default)]
pub struct MetricsSnapshot {
    /// How busy the ways to the instances are.
    pub upstream: Vec<(InstanceName, ClientStats)>,
    /// Who answers, as far as that is known.
    pub readiness: Readiness,
    /// What is remembered of changes.
    pub store: StoreStatus,
}

/// What is remembered of changes: where, and how often it failed.
#[derive(Debug, Default)]
pub struct StoreStatus {
    /// As of [`gatepost_state::store::Ledger::store`].
    pub kind: &'static str,
    /// As of [`gatepost_state::store::Ledger::is_here`], where any role may change anything.
    pub is_available: Option<bool>,
    /// As of [`gatepost_state::store::Ledger::failures`].
    pub failures: Vec<(StoreOperation, StoreErrorReason, u64)>,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RequestOutcome {
    /// It was answered as it asked.
    Answered,
    /// It was answered with a question to the person behind the client.
    InputRequired,
    /// The client took it back.
    Cancelled,
    /// We stopped before its answer was written.
    Aborted,
    /// The client left before its answer.
    ClientDisconnected,
    /// It was refused; by whom is in the label `blame`.
    Refused,
}

/// The end of one request, as the edge saw it.
#[derive(Clone, Copy, Debug)]
pub struct HttpOutcome {
    /// How it ended.
    pub outcome: RequestOutcome,
    /// From the first look at its head to its last byte.
    pub duration: Duration,
    /// Bytes of the answer's body.
    pub size_bytes: usize,
    /// Whether it came over stdin, and not over HTTP.
    pub is_stdio: bool,
}

/// One request under way; it counts as such until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    family: Family<InstanceLabels, Gauge>,
    gauge: Gauge,
}

/// One open connection; it counts as such until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard(Gauge);

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    instance: String,
    tool: &'static str,
    revision: &'static str,
    outcome: &'static str,
    blame: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ToolLabels {
    instance: String,
    tool: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RefusalLabels {
    refusal: &'static str,
    blame: &'static str,
    instance: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct InstanceLabels {
    instance: String,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ProviderLabels {
    provider: String,
}

/// Those of `OpenTelemetry`'s conventions for MCP; empty is what does not apply.
///
/// Without `mcp.protocol.version`, which is in [`RequestLabels`]: each of these is
/// a whole histogram.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OperationLabels {
    mcp_method_name: &'static str,
    gen_ai_tool_name: &'static str,
    error_type: String,
    network_transport: &'static str,
    instance: String,
}

/// How something failed; empty when it did not.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
pub(super) struct ErrorLabels {
    error_type: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct TokenLookupLabels {
    instance: String,
    outcome: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LimitLabels {
    dimension: &'static str,
    outcome: &'static str,
    store: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct StoreLabels {
    store: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct StoreFailureLabels {
    operation: &'static str,
    reason: &'static str,
    store: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RedisLabels {
    used_for: &'static str,
}

/// Of what there is one, and not always: a family can be empty.
type NoLabels = [(&'static str, &'static str); 0];

/// The label of what does not apply.
const NONE: &str = "none";

impl Metrics {
    /// Fresh metrics, all at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            operations: Family::new_with_constructor(operation_duration_histogram),
            spans: SpanCounts::default(),
            requests: Family::default(),
            duration: Family::new_with_constructor(duration_histogram),
            own_duration: Family::new_with_constructor(duration_histogram),
            odoo_duration: Family::new_with_constructor(duration_histogram),
            odoo_calls: Family::default(),
            response_size: Family::new_with_constructor(size_histogram),
            audit_failures: Counter::default(),
            audit_up: Family::default(),
            errors: Family::default(),
            token_lookups: Family::default(),
            in_flight: Family::default(),
            limit_decisions: Family::default(),
            redis_up: Family::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            upstream: UpstreamMetrics::default(),
        };
        let registry = &mut metrics.registry;
        registry.register_with_unit(
            "mcp_server_operation_duration",
            "How long MCP requests took, from their head until their answer was there",
            Unit::Seconds,
            metrics.operations.clone(),
        );
        registry.register(
            "otel_sdk_processor_span_processed",
            "Spans of traces that were put into the queue, or dropped",
            metrics.spans.processed.clone(),
        );
        registry.register(
            "otel_sdk_exporter_span_exported",
            "Spans of traces that were offered to the collector, and taken or not",
            metrics.spans.exported.clone(),
        );
        let registry = registry.sub_registry_with_prefix("gatepost");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        registry.register(
            "requests",
            "Requests by how they ended",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From a request's head to the end of its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register_with_unit(
            "own_duration",
            "The same without the time that Odoo and people who were asked took",
            Unit::Seconds,
            metrics.own_duration.clone(),
        );
        registry.register_with_unit(
            "odoo_duration",
            "How long Odoo took for all calls of one request",
            Unit::Seconds,
            metrics.odoo_duration.clone(),
        );
        registry.register("odoo_calls", "Calls to Odoo", metrics.odoo_calls.clone());
        registry.register(
            "audit_failures",
            "Calls to Odoo for whose audit record there was no room",
            metrics.audit_failures.clone(),
        );
        registry.register(
            "audit_up",
            "Whether the audit journal can be written (1) or not (0)",
            metrics.audit_up.clone(),
        );
        registry.register_with_unit(
            "answer_size",
            "Size of the answers' bodies",
            Unit::Bytes,
            metrics.response_size.clone(),
        );
        registry.register(
            "refusals",
            "Refused requests by reason",
            metrics.errors.clone(),
        );
        registry.register(
            "token_lookups",
            "Tokens of identity providers by what became of them",
            metrics.token_lookups.clone(),
        );
        registry.register(
            "limit_decisions",
            "Allowances that were looked at, by what was decided and who decided",
            metrics.limit_decisions.clone(),
        );
        registry.register(
            "redis_up",
            "Whether the Redis of the limits was there when last needed",
            metrics.redis_up.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests under way",
            metrics.in_flight.clone(),
        );
        let upstream = &metrics.upstream;
        registry.register(
            "odoo_up",
            "Whether Odoo answers (1) or not (0)",
            upstream.odoo_up.clone(),
        );
        registry.register(
            "provider_up",
            "Whether the identity provider can be asked (1) or not (0), as far as that is known",
            upstream.provider_up.clone(),
        );
        registry.register(
            "ledger_up",
            "Whether changes can be remembered (1) or not (0), where any role may make any",
            upstream.store_up.clone(),
        );
        registry.register(
            "ledger_failures",
            "What could not be remembered of changes, or not looked up",
            upstream.store_failures.clone(),
        );
        registry.register(
            "odoo_calls_in_flight",
            "Calls to Odoo under way",
            upstream.calls_in_flight.clone(),
        );
        registry.register(
            "odoo_calls_waiting",
            "Calls to Odoo that wait for their turn",
            upstream.calls_queued.clone(),
        );
        registry.register(
            "odoo_connections_open",
            "Open connections to Odoo",
            upstream.connections_open.clone(),
        );
        registry.register(
            "odoo_connections",
            "Connections to Odoo that were opened",
            upstream.connections_total.clone(),
        );
        registry.register(
            "connections_open",
            "Open client connections",
            metrics.connections.clone(),
        );
        registry.register(
            "connections",
            "Client connections accepted",
            metrics.accepted.clone(),
        );
        metrics
    }

    /// Counts a request as under way, of no instance yet.
    pub fn start_request(&self) -> InFlight {
        InFlight::new(self.in_flight.clone(), NONE)
    }

    /// What counts the spans of traces.
    pub(super) fn span_counts(&self) -> SpanCounts {
        self.spans.clone()
    }

    /// Counts a connection as open.
    pub fn open_connection(&self) -> ConnectionGuard {
        self.accepted.inc();
        self.connections.inc();
        ConnectionGuard(self.connections.clone())
    }

    /// Counts a request that is over.
    pub fn record(&self, story: &RequestLog, served: &HttpOutcome) {
        let blame = story
            .error_source
            .map_or(NONE, crate::telemetry::ErrorSource::as_str);
        let work = ToolLabels {
            instance: story
                .instance
                .as_ref()
                .map_or_else(|| NONE.to_owned(), |name| name.as_str().to_owned()),
            tool: story.tool.unwrap_or(NONE),
        };
        self.requests
            .get_or_create(&RequestLabels {
                instance: work.instance.clone(),
                tool: work.tool,
                revision: story.revision.unwrap_or(NONE),
                outcome: served.outcome.as_str(),
                blame,
            })
            .inc();
        if let Some(refusal) = story.error_type {
            self.errors
                .get_or_create(&RefusalLabels {
                    refusal,
                    blame,
                    instance: work.instance.clone(),
                })
                .inc();
        }
        if let Some(look_up) = story.token_lookup {
            self.token_lookups
                .get_or_create(&TokenLookupLabels {
                    instance: work.instance.clone(),
                    outcome: look_up.as_str(),
                })
                .inc();
        }
        for operation in &story.operations {
            self.operations
                .get_or_create(&OperationLabels::of(operation, served, &work.instance))
                .observe(operation.duration.as_secs_f64());
        }
        for counted in &story.rate_limit_checks {
            self.limit_decisions
                .get_or_create(&LimitLabels {
                    dimension: counted.scope.as_str(),
                    outcome: counted.outcome.as_str(),
                    store: counted.store.as_str(),
                })
                .inc();
        }
        let others = story.odoo_time + story.elicitation_time.unwrap_or_default();
        let own = served.duration.saturating_sub(others);
        let instance = InstanceLabels::of(&work.instance);
        observe(&self.duration, &instance, served.duration.as_secs_f64());
        observe(&self.own_duration, &instance, own.as_secs_f64());
        if story.odoo_calls > 0 {
            observe(
                &self.odoo_duration,
                &instance,
                story.odoo_time.as_secs_f64(),
            );
            self.odoo_calls
                .get_or_create(&work)
                .inc_by(u64::from(story.odoo_calls));
        }
        self.audit_failures.inc_by(u64::from(story.audit_failures));
        // Up to 4 GiB; nobody waits for a larger answer.
        let size = u32::try_from(served.size_bytes).unwrap_or(u32::MAX);
        observe(&self.response_size, &instance, f64::from(size));
    }

    /// Tells whether Redis is there, where that is known.
    pub fn set_redis_up(&self, is_here: Option<bool>) {
        match is_here {
            Some(is_here) => {
                let labels = RedisLabels { used_for: "limits" };
                self.redis_up.get_or_create(&labels).set(i64::from(is_here));
            }
            None => self.redis_up.clear(),
        }
    }

    /// Tells whether the audit journal can be written, where there is one.
    pub fn set_audit_up(&self, is_written: Option<bool>) {
        match is_written {
            Some(is_written) => {
                let up = self.audit_up.get_or_create(&[]);
                up.set(i64::from(is_written));
            }
            None => self.audit_up.clear(),
        }
    }

    /// All metrics in the text format of `OpenMetrics`, with what was just seen.
    ///
    /// # Errors
    /// Never in practice: writing to a `String` does not fail.
    pub fn encode(&self, seen: &MetricsSnapshot) -> Result<String, fmt::Error> {
        let _turn = self
            .upstream
            .encode_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.upstream.update(seen);
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl RequestOutcome {
    /// The word for it in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::InputRequired => "asked",
            Self::Cancelled => "cancelled",
            Self::Aborted => "cut",
            Self::ClientDisconnected => "hung_up",
            Self::Refused => "refused",
        }
    }
}

impl HttpOutcome {
    /// `network.transport` of `OpenTelemetry`'s conventions.
    pub(super) fn transport(&self) -> &'static str {
        if self.is_stdio { "pipe" } else { "tcp" }
    }
}

impl InFlight {
    fn new(family: Family<InstanceLabels, Gauge>, instance: &str) -> Self {
        let gauge = family.get_or_create_owned(&InstanceLabels::of(instance));
        gauge.inc();
        Self { family, gauge }
    }

    /// Counts it as one of this instance from now on.
    pub fn set_instance(&mut self, instance: &InstanceName) {
        *self = Self::new(self.family.clone(), instance.as_str());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl UpstreamMetrics {
    /// Those of instances that are configured no more are gone.
    fn update(&self, seen: &MetricsSnapshot) {
        for family in [
            &self.odoo_up,
            &self.calls_in_flight,
            &self.calls_queued,
            &self.connections_open,
        ] {
            family.clear();
        }
        self.connections_total.clear();
        self.provider_up.clear();
        for (instance, answers) in &seen.readiness.instances {
            let up = self
                .odoo_up
                .get_or_create(&InstanceLabels::of(instance.as_str()));
            up.set(i64::from(answers.is_ok()));
        }
        for (provider, answers) in &seen.readiness.providers {
            let labels = ProviderLabels {
                provider: provider.to_string(),
            };
            let up = self.provider_up.get_or_create(&labels);
            up.set(i64::from(answers.is_ok()));
        }
        self.store_up.clear();
        self.store_failures.clear();
        let store = seen.store.kind;
        if let Some(is_here) = seen.store.is_available {
            let up = self.store_up.get_or_create(&StoreLabels { store });
            up.set(i64::from(is_here));
        }
        for (operation, reason, count) in &seen.store.failures {
            let labels = StoreFailureLabels {
                operation: operation.as_str(),
                reason: reason.as_str(),
                store,
            };
            let failures = self.store_failures.get_or_create(&labels);
            failures.inner().store(*count, Relaxed);
        }
        for (instance, traffic) in &seen.upstream {
            let labels = InstanceLabels::of(instance.as_str());
            let set = |family: &Family<InstanceLabels, Gauge>, many: usize| {
                let many = i64::try_from(many).unwrap_or(i64::MAX);
                family.get_or_create(&labels).set(many);
            };
            set(&self.calls_in_flight, traffic.in_flight);
            set(&self.calls_queued, traffic.queued);
            set(&self.connections_open, traffic.open_connections);
            let opened = self.connections_total.get_or_create(&labels);
            opened.inner().store(traffic.connections_opened, Relaxed);
        }
    }
}

impl InstanceLabels {
    fn of(instance: &str) -> Self {
        Self {
            instance: instance.to_owned(),
        }
    }
}

impl ErrorLabels {
    /// It did not fail.
    pub(super) fn none() -> Self {
        Self { error_type: "" }
    }

    /// It failed in this way.
    pub(super) fn of(error_type: &'static str) -> Self {
        Self { error_type }
    }
}

impl OperationLabels {
    fn of(
        operation: &crate::telemetry::RpcOperation,
        served: &HttpOutcome,
        instance: &str,
    ) -> Self {
        Self {
            mcp_method_name: operation.method,
            gen_ai_tool_name: operation.tool.unwrap_or_default(),
            error_type: operation
                .error_type
                .map_or_else(String::new, |failure| failure.to_string()),
            network_transport: served.transport(),
            instance: instance.to_owned(),
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn observe(
    family: &Family<InstanceLabels, Histogram, fn() -> Histogram>,
    instance: &InstanceLabels,
    value: f64,
) {
    family.get_or_create(instance).observe(value);
}

/// From what we need ourselves (1 ms) to Odoo's longest time-out (60 s).
fn duration_histogram() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}

/// Of the bounds that the conventions for MCP want (up to the five minutes that a
/// person may take) nine of fourteen: there is one of these for each tool and error.
fn operation_duration_histogram() -> Histogram {
    Histogram::new([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0])
}

/// From an empty result to the largest answer.
fn size_histogram() -> Histogram {
    Histogram::new([
        256.0,
        1024.0,
        4096.0,
        16_384.0,
        65_536.0,
        262_144.0,
        1_048_576.0,
        4_194_304.0,
    ])
}
