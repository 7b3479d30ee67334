//! Draining: what is in flight finishes first, within a limit.
//!
//! In the first half of the limit, new connections and requests are still served,
//! because a load balancer needs a moment to notice. In the second half nothing is
//! accepted or begun, so that a drain ends under steady traffic too. The last quarter
//! is for changes that were sent to Odoo: reads can be repeated.

use std::{sync::Arc, time::Duration};

use pingora::server::ShutdownWatch;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tracing::{info, warn};

use crate::access::InFlightWrites;

/// How long connections may take to close once no request is in flight: the
/// last frames of HTTP/2 are written by the connection, after its requests.
const CONNECTION_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the responses to writes may take to be written at the end.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Whether the edge is draining, and what is still in flight.
#[derive(Debug)]
pub(super) struct Drain {
    draining: watch::Sender<bool>,
    /// Whether nothing is accepted or begun any more.
    closed: watch::Sender<bool>,
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
            closed: watch::Sender::new(false),
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

    /// Becomes true when nothing may be accepted or begun any more.
    pub(super) fn watch_closed(&self) -> ShutdownWatch {
        self.closed.subscribe()
    }

    /// Whether nothing may be accepted or begun any more.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// What is left of the limit, but at least the time that connections have.
    pub(super) fn remaining_or_minimum(&self, started: Instant) -> Duration {
        self.limit
            .saturating_sub(started.elapsed())
            .max(CONNECTION_CLOSE_TIMEOUT)
    }

    /// Returns when nothing is in flight, or its share of the limit has passed.
    pub(super) async fn wait(&self, writes: &InFlightWrites) {
        let started = Instant::now();
        let none = |in_flight: &usize| *in_flight == 0;
        let mut requests = self.requests.subscribe();
        // The senders live as long as `self`, so waiting cannot fail.
        let until = |share: Duration, since: Instant| share.saturating_sub(since.elapsed());
        let half = self.limit / 2;
        let drained = timeout(half, requests.wait_for(none)).await.is_ok();
        self.closed.send_replace(true);
        let most = half.saturating_add(self.limit / 4);
        let requests_drained = drained
            || timeout(until(most, started), requests.wait_for(none))
                .await
                .is_ok();
        let rest = until(self.limit, started);
        if timeout(rest, writes.wait_until_none()).await.is_err() {
            let cut = writes.count();
            warn!(
                cut,
                "Stopped with writes in flight; Odoo may have made them, which their idempotency keys or a read will show"
            );
        }
        if requests_drained {
            let mut connections = self.connections.subscribe();
            let closed = connections.wait_for(none);
            if timeout(CONNECTION_CLOSE_TIMEOUT, closed).await.is_ok() {
                info!("Drained all requests and connections");
            }
        } else {
            // The responses to the writes.
            let answered = timeout(
                RESPONSE_TIMEOUT.min(until(self.limit, started)),
                requests.wait_for(none),
            );
            if answered.await.is_err() {
                let cut = *self.requests.borrow();
                warn!(cut, "Aborted the requests in flight at the drain timeout");
            }
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
