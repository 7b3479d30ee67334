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
use crate::gateway::{self, Readiness, Story};
use gatepost_base::InstanceName;
use gatepost_odoo_client::Traffic;
use gatepost_state::store::{Operation, Reason};

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
    odoo_calls: Family<WorkLabels, Counter>,
    answer_size: Family<InstanceLabels, Histogram, fn() -> Histogram>,
    audit_failures: Counter,
    audit_up: Family<NoLabels, Gauge>,
    refusals: Family<RefusalLabels, Counter>,
    look_ups: Family<LookUpLabels, Counter>,
    in_flight: Family<InstanceLabels, Gauge>,
    limits: Family<LimitLabels, Counter>,
    redis: Family<RedisLabels, Gauge>,
    connections: Gauge,
    accepted: Counter,
    upstream: Upstream,
}

/// What is read where it is at the moment it is asked for.
#[derive(Default)]
struct Upstream {
    /// Held while one reader fills them in and reads.
    turn: Mutex<()>,
    odoo_up: Family<InstanceLabels, Gauge>,
    provider_up: Family<ProviderLabels, Gauge>,
    calls: Family<InstanceLabels, Gauge>,
    waiting: Family<InstanceLabels, Gauge>,
    connections: Family<InstanceLabels, Gauge>,
    opened: Family<InstanceLabels, Counter>,
    ledger_up: Family<StoreLabels, Gauge>,
    ledger_failures: Family<LedgerLabels, Counter>,
}

/// What was seen of the others at the moment metrics are asked for.
#[derive(Debug, Default)]
pub struct Seen {
    /// How busy the ways to the instances are.
    pub traffic: Vec<(InstanceName, Traffic)>,
    /// Who answers, as far as that is known.
    pub readiness: Readiness,
    /// What is remembered of changes.
    pub remembered: Remembered,
}

/// What is remembered of changes: where, and how often it failed.
#[derive(Debug, Default)]
pub struct Remembered {
    /// As of [`gatepost_state::store::Ledger::store`].
    pub store: &'static str,
    /// As of [`gatepost_state::store::Ledger::is_here`], where any role may change anything.
    pub is_here: Option<bool>,
    /// As of [`gatepost_state::store::Ledger::failures`].
    pub failures: Vec<(Operation, Reason, u64)>,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It was answered as it asked.
    Answered,
    /// It was answered with a question to the person behind the client.
    Asked,
    /// The client took it back.
    Cancelled,
    /// We stopped before its answer was written.
    Cut,
    /// The client left before its answer.
    HungUp,
    /// It was refused; by whom is in the label `blame`.
    Refused,
}

/// The end of one request, as the edge saw it.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// How it ended.
    pub outcome: Outcome,
    /// From the first look at its head to its last byte.
    pub duration: Duration,
    /// Bytes of the answer's body.
    pub size_bytes: usize,
    /// Whether it came over stdin, and not over HTTP.
    pub local: bool,
}

/// One request under way; it counts as such until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    all: Family<InstanceLabels, Gauge>,
    counted: Gauge,
}

/// One open connection; it counts as such until it is dropped.
#[derive(Debug)]
pub struct Connected(Gauge);

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct RequestLabels {
    instance: String,
    tool: &'static str,
    revision: &'static str,
    outcome: &'static str,
    blame: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct WorkLabels {
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
struct LookUpLabels {
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
struct LedgerLabels {
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
            operations: Family::new_with_constructor(operation_times),
            spans: SpanCounts::default(),
            requests: Family::default(),
            duration: Family::new_with_constructor(times),
            own_duration: Family::new_with_constructor(times),
            odoo_duration: Family::new_with_constructor(times),
            odoo_calls: Family::default(),
            answer_size: Family::new_with_constructor(sizes),
            audit_failures: Counter::default(),
            audit_up: Family::default(),
            refusals: Family::default(),
            look_ups: Family::default(),
            in_flight: Family::default(),
            limits: Family::default(),
            redis: Family::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            upstream: Upstream::default(),
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
            metrics.answer_size.clone(),
        );
        registry.register(
            "refusals",
            "Refused requests by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "token_lookups",
            "Tokens of identity providers by what became of them",
            metrics.look_ups.clone(),
        );
        registry.register(
            "limit_decisions",
            "Allowances that were looked at, by what was decided and who decided",
            metrics.limits.clone(),
        );
        registry.register(
            "redis_up",
            "Whether the Redis of the limits was there when last needed",
            metrics.redis.clone(),
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
            upstream.ledger_up.clone(),
        );
        registry.register(
            "ledger_failures",
            "What could not be remembered of changes, or not looked up",
            upstream.ledger_failures.clone(),
        );
        registry.register(
            "odoo_calls_in_flight",
            "Calls to Odoo under way",
            upstream.calls.clone(),
        );
        registry.register(
            "odoo_calls_waiting",
            "Calls to Odoo that wait for their turn",
            upstream.waiting.clone(),
        );
        registry.register(
            "odoo_connections_open",
            "Open connections to Odoo",
            upstream.connections.clone(),
        );
        registry.register(
            "odoo_connections",
            "Connections to Odoo that were opened",
            upstream.opened.clone(),
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
    pub fn begin(&self) -> InFlight {
        InFlight::new(self.in_flight.clone(), NONE)
    }

    /// What counts the spans of traces.
    pub(super) fn spans(&self) -> SpanCounts {
        self.spans.clone()
    }

    /// Counts a connection as open.
    pub fn connect(&self) -> Connected {
        self.accepted.inc();
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// Counts a request that is over.
    pub fn count(&self, story: &Story, served: &Served) {
        let blame = story.blame.map_or(NONE, gateway::Blame::as_str);
        let work = WorkLabels {
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
        if let Some(refusal) = story.refusal {
            self.refusals
                .get_or_create(&RefusalLabels {
                    refusal,
                    blame,
                    instance: work.instance.clone(),
                })
                .inc();
        }
        if let Some(look_up) = story.look_up {
            self.look_ups
                .get_or_create(&LookUpLabels {
                    instance: work.instance.clone(),
                    outcome: look_up.as_str(),
                })
                .inc();
        }
        for operation in &story.operations {
            self.operations
                .get_or_create(&OperationLabels::of(operation, served, &work.instance))
                .observe(operation.took.as_secs_f64());
        }
        for counted in &story.counted {
            self.limits
                .get_or_create(&LimitLabels {
                    dimension: counted.dimension.as_str(),
                    outcome: counted.outcome.as_str(),
                    store: counted.store.as_str(),
                })
                .inc();
        }
        let others = story.odoo_time + story.person_time.unwrap_or_default();
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
        observe(&self.answer_size, &instance, f64::from(size));
    }

    /// Tells whether Redis is there, where that is known.
    pub fn redis(&self, is_here: Option<bool>) {
        match is_here {
            Some(is_here) => {
                let labels = RedisLabels { used_for: "limits" };
                self.redis.get_or_create(&labels).set(i64::from(is_here));
            }
            None => self.redis.clear(),
        }
    }

    /// Tells whether the audit journal can be written, where there is one.
    pub fn audit(&self, is_written: Option<bool>) {
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
    pub fn encode(&self, seen: &Seen) -> Result<String, fmt::Error> {
        let _turn = self
            .upstream
            .turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.upstream.fill(seen);
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

impl Outcome {
    /// The word for it in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Asked => "asked",
            Self::Cancelled => "cancelled",
            Self::Cut => "cut",
            Self::HungUp => "hung_up",
            Self::Refused => "refused",
        }
    }
}

impl Served {
    /// `network.transport` of `OpenTelemetry`'s conventions.
    pub(super) fn transport(&self) -> &'static str {
        if self.local { "pipe" } else { "tcp" }
    }
}

impl InFlight {
    fn new(all: Family<InstanceLabels, Gauge>, instance: &str) -> Self {
        let counted = all.get_or_create_owned(&InstanceLabels::of(instance));
        counted.inc();
        Self { all, counted }
    }

    /// Counts it as one of this instance from now on.
    pub fn is_for(&mut self, instance: &InstanceName) {
        *self = Self::new(self.all.clone(), instance.as_str());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.counted.dec();
    }
}

impl Upstream {
    /// Those of instances that are configured no more are gone.
    fn fill(&self, seen: &Seen) {
        for family in [&self.odoo_up, &self.calls, &self.waiting, &self.connections] {
            family.clear();
        }
        self.opened.clear();
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
        self.ledger_up.clear();
        self.ledger_failures.clear();
        let store = seen.remembered.store;
        if let Some(is_here) = seen.remembered.is_here {
            let up = self.ledger_up.get_or_create(&StoreLabels { store });
            up.set(i64::from(is_here));
        }
        for (operation, reason, count) in &seen.remembered.failures {
            let labels = LedgerLabels {
                operation: operation.as_str(),
                reason: reason.as_str(),
                store,
            };
            let failures = self.ledger_failures.get_or_create(&labels);
            failures.inner().store(*count, Relaxed);
        }
        for (instance, traffic) in &seen.traffic {
            let labels = InstanceLabels::of(instance.as_str());
            let set = |family: &Family<InstanceLabels, Gauge>, many: usize| {
                let many = i64::try_from(many).unwrap_or(i64::MAX);
                family.get_or_create(&labels).set(many);
            };
            set(&self.calls, traffic.in_flight);
            set(&self.waiting, traffic.waiting);
            set(&self.connections, traffic.connections);
            let opened = self.opened.get_or_create(&labels);
            opened.inner().store(traffic.opened, Relaxed);
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
    fn of(operation: &gateway::Operation, served: &Served, instance: &str) -> Self {
        Self {
            mcp_method_name: operation.method,
            gen_ai_tool_name: operation.tool.unwrap_or_default(),
            error_type: operation
                .failure
                .map_or_else(String::new, |failure| failure.to_string()),
            network_transport: served.transport(),
            instance: instance.to_owned(),
        }
    }
}

impl Drop for Connected {
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
fn times() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    ])
}

/// Of the bounds that the conventions for MCP want (up to the five minutes that a
/// person may take) nine of fourteen: there is one of these for each tool and error.
fn operation_times() -> Histogram {
    Histogram::new([0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0])
}

/// From an empty result to the largest answer.
fn sizes() -> Histogram {
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
