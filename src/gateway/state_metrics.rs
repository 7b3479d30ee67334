//! The metrics that are read from the gateway's parts for each scrape.

use tokio::runtime::Handle;

use super::Gateway;
use crate::telemetry::{Metrics, Readiness};

impl Gateway {
    /// Sets the metrics that describe the current state. `readiness` is missing
    /// while the edge drains, and when the checks did not finish in time.
    #[expect(
        clippy::same_name_method,
        reason = "the edge's `RequestHandler` has this method under the same name"
    )]
    pub fn record_state(&self, metrics: &Metrics, readiness: Option<&Readiness>) {
        // Scrapes are served by the runtime of the listeners.
        if let Ok(runtime) = Handle::try_current() {
            let tasks = runtime.metrics().num_alive_tasks();
            metrics
                .gatepost_tasks()
                .set(i64::try_from(tasks).unwrap_or(i64::MAX));
        }
        if let Some(connected) = self.limits.is_redis_connected() {
            metrics.gatepost_redis_up("limits").set(connected.into());
        }
        if let Some(available) = self.journal.check_available() {
            metrics.gatepost_audit_up().set(available.is_ok().into());
        }
        let store = self.state_store.backend_name();
        if let Some(available) = self.state_store.was_available()
            && self.allows_any_write()
        {
            metrics.gatepost_ledger_up(store).set(available.into());
            let fill = self.state_store.fill();
            let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            metrics
                .gatepost_ledger_bytes(store)
                .set(bytes(fill.pinned_bytes));
            metrics
                .gatepost_ledger_limit_bytes(store)
                .set(bytes(fill.max_bytes));
        }
        for (operation, reason, count) in self.state_store.failure_counts() {
            metrics
                .gatepost_ledger_failures_total(operation, reason, store)
                .inc_by(count);
        }
        for instance in self.routes.instances() {
            let (name, client) = (instance.name(), instance.client_stats());
            let metric = |gauge: prometheus::IntGauge, value: usize| {
                gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            };
            metric(
                metrics.gatepost_odoo_calls_in_flight(name),
                client.in_flight,
            );
            metric(metrics.gatepost_odoo_calls_waiting(name), client.queued);
            metric(
                metrics.gatepost_odoo_connections_open(name),
                client.open_connections,
            );
            metrics
                .gatepost_odoo_connections_total(name)
                .inc_by(client.connections_opened);
            for (credential, account) in instance.accounts() {
                if let Some(first) = account.key_expiry().and_then(|expiry| expiry.first()) {
                    metrics
                        .gatepost_odoo_key_expires_timestamp_seconds(credential, name)
                        .set(first.as_second());
                }
            }
        }
        let Some(readiness) = readiness else { return };
        for (instance, answer) in &readiness.instances {
            metrics
                .gatepost_odoo_up(instance)
                .set((answer.is_ok() && !readiness.unusable.contains(instance)).into());
        }
        for (provider, answer) in &readiness.providers {
            metrics
                .gatepost_provider_up(provider)
                .set(answer.is_ok().into());
        }
    }
}
