//! Draining: what is in flight finishes first, within a limit.

use std::{sync::Arc, time::Duration};

use pingora::server::ShutdownWatch;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::{info, warn};

/// How long connections may take to close once no request is in flight: the
/// last frames of HTTP/2 are written by the connection, after its requests.
const CONNECTION_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the edge is draining, and what is still in flight.
#[derive(Debug)]
pub(super) struct Drain {
    draining: watch::Sender<bool>,
    requests: Arc<watch::Sender<usize>>,
    connections: Arc<watch::Sender<usize>>,
    limit: Duration,
}

/// Counts one request or connection until it is dropped.
#[derive(Debug)]
pub(super) struct DrainGuard(Arc<watch::Sender<usize>>);

impl Drain {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            draining: watch::Sender::new(false),
            requests: Arc::new(watch::Sender::new(0)),
            connections: Arc::new(watch::Sender::new(0)),
            limit,
        }
    }

    /// Counts a request as in flight.
    pub(super) fn track_request(&self) -> DrainGuard {
        DrainGuard::new(&self.requests)
    }

    /// Counts a connection as open.
    pub(super) fn track_connection(&self) -> DrainGuard {
        DrainGuard::new(&self.connections)
    }

    /// Starts to drain; returns at once.
    pub(super) fn start(&self) {
        self.draining.send_replace(true);
    }

    /// Becomes true when draining starts.
    pub(super) fn watch(&self) -> ShutdownWatch {
        self.draining.subscribe()
    }

    /// Whether draining has started.
    pub(super) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// What is left of the limit, for what is done after the requests.
    pub(super) fn remaining(&self, started: Instant) -> Duration {
        self.limit.saturating_sub(started.elapsed())
    }

    /// The same, but at least the time that connections have.
    pub(super) fn remaining_or_minimum(&self, started: Instant) -> Duration {
        self.remaining(started).max(CONNECTION_CLOSE_TIMEOUT)
    }

    /// Returns when nothing is in flight, or the limit has passed.
    pub(super) async fn wait(&self) {
        let none = |in_flight: &usize| *in_flight == 0;
        let mut requests = self.requests.subscribe();
        let mut connections = self.connections.subscribe();
        // The senders live as long as `self`, so waiting cannot fail.
        if timeout(self.limit, requests.wait_for(none)).await.is_err() {
            let cut = *self.requests.borrow();
            warn!(cut, "Aborted the requests in flight at the drain timeout");
            return;
        }
        if timeout(CONNECTION_CLOSE_TIMEOUT, connections.wait_for(none))
            .await
            .is_ok()
        {
            info!("Drained all requests and connections");
        }
    }
}

impl DrainGuard {
    fn new(counter: &Arc<watch::Sender<usize>>) -> Self {
        counter.send_modify(|n| *n = n.saturating_add(1));
        Self(Arc::clone(counter))
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n = n.saturating_sub(1));
    }
}
