//! The table of metrics.
//!
//! A histogram has about twenty series for each combination of labels, so only
//! one histogram has the tool as a label.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex},
};

use prometheus::{
    Error, Histogram, IntCounter as Counter, IntGauge as Gauge, Registry, TextEncoder,
    process_collector::ProcessCollector,
};

use super::{
    RequestOutcome,
    family::{self, Family, SEPARATOR, Sampled, metrics},
    label::{LabelValue, OrEmpty},
};
use crate::telemetry::{ChangeOutcome, ErrorSource, RpcErrorType, TokenLookupOutcome};
use gatepost_base::{CredentialName, InstanceName, ProviderName, sync::lock};
use gatepost_state::{
    limits::{LimitOutcome, LimitScope, LimitStore},
    store::{StoreErrorReason, StoreOperation},
};

/// From the gateway's own time (1 ms) to Odoo's longest timeout (60 s).
const REQUEST_SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Nine of the fourteen bounds in OpenTelemetry's conventions for MCP, up to the
/// five minutes that an approval may take: there is one histogram for each tool
/// and error.
const OPERATION_SECONDS: [f64; 9] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0];

/// From an empty result to the largest response.
const BODY_BYTES: [f64; 8] = [
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
];

metrics! {
    /// Size of response bodies.
    gatepost_answer_size_bytes: Histogram(instance: Option<&InstanceName>) in BODY_BYTES;

    /// Calls to Odoo that were not audited because the queue was full.
    gatepost_audit_failures_total: Counter();

    /// Whether the audit journal can be written (1) or not (0).
    gatepost_audit_up: Gauge<Sampled>();

    /// The running version.
    gatepost_build_info: Gauge(version: &'static str);

    /// When the certificate of the listeners expires, in seconds since 1970.
    gatepost_certificate_expires_timestamp_seconds: Gauge<Sampled>();

    /// Calls of the tools that write, by what became of the change.
    gatepost_changes_total: Counter(outcome: ChangeOutcome, tool: Option<&'static str>, instance: Option<&InstanceName>);

    /// Whether the configuration and the keys file were last read without an error (1) or not (0).
    gatepost_config_last_reload_successful: Gauge();

    /// When they were last read without an error, in seconds since 1970.
    gatepost_config_last_reload_success_timestamp_seconds: Gauge();

    /// Open client connections.
    gatepost_connections_open: Gauge();

    /// Client connections closed at once because their address has its share.
    gatepost_connections_refused_total: Counter();

    /// Client connections accepted.
    gatepost_connections_total: Counter();

    /// The size of the entries of the change store that stay until they expire, in bytes.
    gatepost_ledger_bytes: Gauge<Sampled>(store: &'static str);

    /// Failures to read or write the change store.
    gatepost_ledger_failures_total: Counter<Sampled>(operation: StoreOperation, reason: StoreErrorReason, store: &'static str);

    /// The most that the change store may hold, in bytes.
    gatepost_ledger_limit_bytes: Gauge<Sampled>(store: &'static str);

    /// Whether the change store works (1) or not (0), if any role may write.
    gatepost_ledger_up: Gauge<Sampled>(store: &'static str);

    /// Rate limit decisions, by decision and by where it was made.
    gatepost_limit_decisions_total: Counter(dimension: LimitScope, outcome: LimitOutcome, store: LimitStore);

    /// Log lines that were dropped because standard error was not read fast enough.
    gatepost_log_lines_dropped_total: Counter<Sampled>();

    /// Calls to Odoo in flight.
    gatepost_odoo_calls_in_flight: Gauge<Sampled>(instance: &InstanceName);

    /// Calls to Odoo.
    gatepost_odoo_calls_total: Counter(tool: Option<&'static str>, instance: Option<&InstanceName>);

    /// Calls to Odoo in the queue.
    gatepost_odoo_calls_waiting: Gauge<Sampled>(instance: &InstanceName);

    /// Open connections to Odoo.
    gatepost_odoo_connections_open: Gauge<Sampled>(instance: &InstanceName);

    /// Connections to Odoo that were opened.
    gatepost_odoo_connections_total: Counter<Sampled>(instance: &InstanceName);

    /// Time in Odoo for all calls of one request.
    gatepost_odoo_duration_seconds: Histogram(instance: Option<&InstanceName>) in REQUEST_SECONDS;

    /// When the API key of an Odoo user expires, in seconds since 1970; the first one if the user has several.
    gatepost_odoo_key_expires_timestamp_seconds: Gauge<Sampled>(credential: Option<&CredentialName>, instance: &InstanceName);

    /// Whether Odoo responds (1) or not (0).
    gatepost_odoo_up: Gauge<Sampled>(instance: &InstanceName);

    /// Duration of requests without the time in Odoo and for approval requests.
    gatepost_own_duration_seconds: Histogram(instance: Option<&InstanceName>) in REQUEST_SECONDS;

    /// Whether the identity provider responds (1) or not (0), if that is known.
    gatepost_provider_up: Gauge<Sampled>(provider: &ProviderName);

    /// Whether the Redis of the rate limits was available when last used.
    gatepost_redis_up: Gauge<Sampled>(used_for: &'static str);

    /// Rejected requests by reason.
    gatepost_refusals_total: Counter(refusal: &'static str, blame: Option<ErrorSource>, instance: Option<&InstanceName>);

    /// Duration of requests from their head to the end of the response.
    gatepost_request_duration_seconds: Histogram(instance: Option<&InstanceName>) in REQUEST_SECONDS;

    /// Requests in flight.
    gatepost_requests_in_flight: Gauge(instance: Option<&InstanceName>);

    /// Requests by outcome.
    gatepost_requests_total: Counter(tool: Option<&'static str>, revision: Option<&'static str>, outcome: RequestOutcome, blame: Option<ErrorSource>, instance: Option<&InstanceName>);

    /// Unfinished tasks of the runtime that serves all listeners.
    gatepost_tasks: Gauge<Sampled>();

    /// Tokens of identity providers by lookup result.
    gatepost_token_lookups_total: Counter(outcome: TokenLookupOutcome, instance: Option<&InstanceName>);

    /// Duration of MCP requests from their head until the response is ready.
    mcp_server_operation_duration_seconds: Histogram(mcp_method_name: &'static str, gen_ai_tool_name: OrEmpty<&'static str>, error_type: OrEmpty<RpcErrorType>, network_transport: &'static str, instance: Option<&InstanceName>) in OPERATION_SECONDS;

    /// Trace spans sent to the collector, by whether it accepted them.
    otel_sdk_exporter_span_exported_total: Counter(error_type: OrEmpty<&'static str>);

    /// Trace spans that were queued or dropped.
    otel_sdk_processor_span_processed_total: Counter(error_type: OrEmpty<&'static str>);
}

impl Metrics {
    /// New metrics, all zero.
    pub fn new() -> Self {
        let metrics = Self::declare();
        metrics.register_process();
        metrics
            .gatepost_build_info(env!("CARGO_PKG_VERSION"))
            .set(1);
        // Those without labels are exposed from the start.
        metrics.gatepost_audit_failures_total();
        metrics.gatepost_connections_open();
        metrics.gatepost_connections_refused_total();
        metrics.gatepost_connections_total();
        metrics
    }

    /// Adds the metrics of the process that every client library has (`process_…`).
    ///
    /// # Panics
    /// If the table of metrics has one of their names: the first test that creates
    /// metrics finds it.
    #[expect(clippy::expect_used, reason = "names are constants")]
    fn register_process(&self) {
        let collector = Box::new(ProcessCollector::for_self());
        let registered = self.registry.register(collector);
        registered.expect("no other metric has the name of one of the process");
    }

    /// All metrics in the text exposition format of Prometheus, version 0.0.4.
    /// `sample` sets the metrics that are sampled.
    ///
    /// # Errors
    /// Never in practice: writing to a `String` does not fail.
    pub fn encode(&self, sample: impl FnOnce(&Self)) -> Result<String, Error> {
        let _turn = lock(&self.scrape);
        self.clear_sampled();
        sample(self);
        TextEncoder::new().encode_to_string(&self.registry.gather())
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
