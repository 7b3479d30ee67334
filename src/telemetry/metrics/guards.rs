//! Guards that count something in a gauge until they are dropped.

use prometheus::IntGauge;

use super::Metrics;
use gatepost_base::InstanceName;

/// A request in flight; it counts as such until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    metrics: Metrics,
    gauge: IntGauge,
}

/// An open connection; it counts as such until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard(IntGauge);

impl Metrics {
    /// Counts a request as in flight, for no instance yet.
    pub fn start_request(&self) -> InFlight {
        InFlight::new(self, None)
    }

    /// Counts a connection as accepted and open.
    pub fn open_connection(&self) -> ConnectionGuard {
        self.gatepost_connections_total().inc();
        let gauge = self.gatepost_connections_open();
        gauge.inc();
        ConnectionGuard(gauge)
    }
}

impl InFlight {
    fn new(metrics: &Metrics, instance: Option<&InstanceName>) -> Self {
        let gauge = metrics.gatepost_requests_in_flight(instance);
        gauge.inc();
        Self {
            metrics: metrics.clone(),
            gauge,
        }
    }

    /// Counts it for this instance from now on.
    pub fn set_instance(&mut self, instance: &InstanceName) {
        *self = Self::new(&self.metrics, Some(instance));
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
