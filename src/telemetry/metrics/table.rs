//! The table of metrics.
//!
//! A histogram has some twenty series for each combination of labels, so that only
//! one of them has the tool. The instance is the last label, because `prometheus`
//! finds a series by its values without separators: words that none of ours begins
//! with can be told apart, and a name that an administrator chooses ends the list.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use prometheus::{
    Error, Histogram, IntCounter as Counter, IntGauge as Gauge, Registry, TextEncoder,
};

use super::{
    RequestOutcome,
    declare::{self, Kind, Sampled, metrics},
    label::{LabelValue, OrEmpty},
};
use crate::telemetry::{ErrorSource, RpcErrorType, TokenLookup};
use gatepost_base::{InstanceName, ProviderName, sync::lock};
use gatepost_state::{
    limits::{LimitOutcome, LimitScope, LimitStore},
    store::{StoreErrorReason, StoreOperation},
};

/// From what we need ourselves (1 ms) to Odoo's longest timeout (60 s).
const REQUEST_SECONDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Nine of the fourteen bounds that the conventions for MCP name, up to the five
/// minutes that a person may take: there is one histogram for each tool and error.
const OPERATION_SECONDS: [f64; 9] = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0];

/// From an empty result to the largest answer.
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
    /// Size of the answers' bodies.
    gatepost_answer_size_bytes: Histogram(instance: Option<&InstanceName>) in BODY_BYTES;

    /// Calls to Odoo for whose audit record there was no room.
    gatepost_audit_failures_total: Counter();

    /// Whether the audit journal can be written (1) or not (0).
    gatepost_audit_up: Gauge<Sampled>();

    /// What is running.
    gatepost_build_info: Gauge(version: &'static str);

    /// Open client connections.
    gatepost_connections_open: Gauge();

    /// Client connections accepted.
    gatepost_connections_total: Counter();

    /// What could not be remembered of changes, or not looked up.
    gatepost_ledger_failures_total: Counter<Sampled>(operation: StoreOperation, reason: StoreErrorReason, store: &'static str);

    /// Whether changes can be remembered (1) or not (0), where any role may make any.
    gatepost_ledger_up: Gauge<Sampled>(store: &'static str);

    /// Allowances that were looked at, by what was decided and who decided.
    gatepost_limit_decisions_total: Counter(dimension: LimitScope, outcome: LimitOutcome, store: LimitStore);

    /// Calls to Odoo under way.
    gatepost_odoo_calls_in_flight: Gauge<Sampled>(instance: &InstanceName);

    /// Calls to Odoo.
    gatepost_odoo_calls_total: Counter(tool: Option<&'static str>, instance: Option<&InstanceName>);

    /// Calls to Odoo that wait for their turn.
    gatepost_odoo_calls_waiting: Gauge<Sampled>(instance: &InstanceName);

    /// Open connections to Odoo.
    gatepost_odoo_connections_open: Gauge<Sampled>(instance: &InstanceName);

    /// Connections to Odoo that were opened.
    gatepost_odoo_connections_total: Counter<Sampled>(instance: &InstanceName);

    /// How long Odoo took for all calls of one request.
    gatepost_odoo_duration_seconds: Histogram(instance: Option<&InstanceName>) in REQUEST_SECONDS;

    /// Whether Odoo answers (1) or not (0).
    gatepost_odoo_up: Gauge<Sampled>(instance: &InstanceName);

    /// The same without the time that Odoo and people who were asked took.
    gatepost_own_duration_seconds: Histogram(instance: Option<&InstanceName>) in REQUEST_SECONDS;

    /// Whether the identity provider can be asked (1) or not (0), as far as that is known.
    gatepost_provider_up: Gauge<Sampled>(provider: &ProviderName);

    /// Whether the Redis of the limits was there when last needed.
    gatepost_redis_up: Gauge<Sampled>(used_for: &'static str);

    /// Refused requests by reason.
    gatepost_refusals_total: Counter(refusal: &'static str, blame: Option<ErrorSource>, instance: Option<&InstanceName>);

    /// From a request's head to the end of its answer.
    gatepost_request_duration_seconds: Histogram(instance: Option<&InstanceName>) in REQUEST_SECONDS;

    /// Requests under way.
    gatepost_requests_in_flight: Gauge(instance: Option<&InstanceName>);

    /// Requests by how they ended.
    gatepost_requests_total: Counter(tool: Option<&'static str>, revision: Option<&'static str>, outcome: RequestOutcome, blame: Option<ErrorSource>, instance: Option<&InstanceName>);

    /// Tokens of identity providers by what became of them.
    gatepost_token_lookups_total: Counter(outcome: TokenLookup, instance: Option<&InstanceName>);

    /// How long MCP requests took, from their head until their answer was there.
    mcp_server_operation_duration_seconds: Histogram(mcp_method_name: &'static str, gen_ai_tool_name: OrEmpty<&'static str>, error_type: OrEmpty<RpcErrorType>, network_transport: &'static str, instance: Option<&InstanceName>) in OPERATION_SECONDS;

    /// Spans of traces that were offered to the collector, and taken or not.
    otel_sdk_exporter_span_exported_total: Counter(error_type: OrEmpty<&'static str>);

    /// Spans of traces that were put into the queue, or dropped.
    otel_sdk_processor_span_processed_total: Counter(error_type: OrEmpty<&'static str>);
}

impl Metrics {
    /// Fresh metrics, all at zero.
    pub fn new() -> Self {
        let metrics = Self::declare();
        metrics
            .gatepost_build_info(env!("CARGO_PKG_VERSION"))
            .set(1);
        // Those without labels are exposed from the start.
        metrics.gatepost_audit_failures_total();
        metrics.gatepost_connections_open();
        metrics.gatepost_connections_total();
        metrics
    }

    /// All metrics in the text exposition format of Prometheus, version 0.0.4.
    /// `sample` sets those that are read where they are known.
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
