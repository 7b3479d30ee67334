//! The metrics that are counted when a request has ended.

use std::time::Duration;

use super::{Metrics, RequestOutcome, label::OrEmpty};
use crate::telemetry::RequestLog;

/// The end of one request, as the edge saw it.
#[derive(Clone, Copy, Debug)]
pub struct HttpOutcome {
    /// How it ended.
    pub outcome: RequestOutcome,
    /// From the first byte of its head to the last byte of the response.
    pub duration: Duration,
    /// Bytes of the response body.
    pub size_bytes: usize,
    /// Whether it came over stdin instead of HTTP.
    pub is_stdio: bool,
}

impl HttpOutcome {
    /// `network.transport` of `OpenTelemetry`'s conventions.
    pub(in crate::telemetry) fn transport(&self) -> &'static str {
        if self.is_stdio { "pipe" } else { "tcp" }
    }
}

impl Metrics {
    /// Counts a request that has ended.
    pub fn record(&self, log: &RequestLog, served: &HttpOutcome) {
        let instance = log.instance.as_ref();
        self.gatepost_requests_total(
            log.tool,
            log.revision,
            served.outcome,
            log.error_source,
            instance,
        )
        .inc();
        if let Some(error_type) = log.error_type {
            self.gatepost_refusals_total(error_type, log.error_source, instance)
                .inc();
        }
        if let Some(lookup) = log.token_lookup {
            self.gatepost_token_lookups_total(lookup, instance).inc();
        }
        for operation in &log.operations {
            self.mcp_server_operation_duration_seconds(
                operation.method,
                OrEmpty(operation.tool),
                OrEmpty(operation.error_type),
                served.transport(),
                instance,
            )
            .observe(operation.duration.as_secs_f64());
            if let Some(outcome) = operation.change {
                self.gatepost_changes_total(outcome, operation.tool, instance)
                    .inc();
            }
        }
        for check in &log.rate_limit_checks {
            self.gatepost_limit_decisions_total(check.scope, check.outcome, check.store)
                .inc();
        }
        self.gatepost_request_duration_seconds(instance)
            .observe(served.duration.as_secs_f64());
        let others = log.odoo_time + log.elicitation_time.unwrap_or_default();
        let own = served.duration.saturating_sub(others);
        self.gatepost_own_duration_seconds(instance)
            .observe(own.as_secs_f64());
        if log.odoo_calls > 0 {
            self.gatepost_odoo_duration_seconds(instance)
                .observe(log.odoo_time.as_secs_f64());
            self.gatepost_odoo_calls_total(log.tool, instance)
                .inc_by(u64::from(log.odoo_calls));
        }
        self.gatepost_audit_failures_total()
            .inc_by(u64::from(log.audit_failures));
        // Up to 4 GiB; no response is larger.
        let size = u32::try_from(served.size_bytes).unwrap_or(u32::MAX);
        self.gatepost_answer_size_bytes(instance)
            .observe(f64::from(size));
    }
}
