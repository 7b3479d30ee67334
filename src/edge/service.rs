//! What the edge needs of the gateway behind it.

use std::{future::Future, sync::Arc};

use bytes::Bytes;

use crate::{
    access::InFlightWrites,
    gateway::{AcceptedRequest, Gateway, Head, HttpResponse, ServerMessages},
    telemetry::{Readiness, RequestLog, StoreStatus},
};
use gatepost_base::InstanceName;
use gatepost_odoo_client::ClientStats;

/// The few things the edge asks of a gateway.
///
/// A trait only for the edge's own tests: what sockets do is tested with a
/// host that hangs, panics and sends notices at command.
pub(super) trait Host: Send + Sync + 'static {
    /// A request whose head was accepted.
    type Guest: Send + Sync;

    /// See [`Gateway::welcome`].
    fn handle_head(
        &self,
        head: Head,
        story: &mut RequestLog,
    ) -> impl Future<Output = Result<Self::Guest, HttpResponse>> + Send;

    /// See [`Gateway::serve`].
    fn handle_request(
        &self,
        guest: &Self::Guest,
        body: Bytes,
        notices: Option<ServerMessages>,
        story: &mut RequestLog,
    ) -> impl Future<Output = HttpResponse> + Send;

    /// See [`Gateway::local`].
    fn stdio_request(&self, instance: &InstanceName, session: Option<&str>) -> Option<Self::Guest>;

    /// See [`Gateway::leave`].
    fn close_elicitations(&self);

    /// Changes that were sent, which must come to their end before we do.
    fn writes_in_flight(&self) -> Arc<InFlightWrites>;

    /// Whether the audit journal can be written, if there is one.
    fn is_journal_writable(&self) -> Option<bool>;

    /// Whether the Redis of the limits is there, if there is one.
    fn is_redis_up(&self) -> Option<bool>;

    /// What is remembered of changes, for the metrics: where, and how often it
    /// failed.
    fn store_status(&self) -> StoreStatus;

    /// See [`Gateway::readiness`].
    fn check_readiness(&self) -> impl Future<Output = Readiness> + Send;

    /// See [`Gateway::traffic`].
    fn client_stats(&self) -> Vec<(InstanceName, ClientStats)>;

    /// What the edge must know of a guest.
    fn terms(guest: &Self::Guest) -> RequestTerms;
}

/// What the edge must know of a guest.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestTerms {
    /// Whether the client takes `text/event-stream`.
    pub(super) accepts_event_stream: bool,
    /// Whether the client takes nothing else.
    pub(super) requires_event_stream: bool,
    /// The largest body that may be read, in bytes.
    pub(super) max_body_bytes: usize,
}

impl Host for Gateway {
    type Guest = AcceptedRequest;

    fn handle_head(
        &self,
        head: Head,
        story: &mut RequestLog,
    ) -> impl Future<Output = Result<AcceptedRequest, HttpResponse>> + Send {
        Self::accept_head(self, head, story)
    }

    fn handle_request(
        &self,
        guest: &AcceptedRequest,
        body: Bytes,
        notices: Option<ServerMessages>,
        story: &mut RequestLog,
    ) -> impl Future<Output = HttpResponse> + Send {
        Self::handle_body(self, guest, body, notices, story)
    }

    fn stdio_request(
        &self,
        instance: &InstanceName,
        session: Option<&str>,
    ) -> Option<AcceptedRequest> {
        Self::accept_stdio(self, instance, session)
    }

    fn close_elicitations(&self) {
        Self::cancel_pending(self);
    }

    fn writes_in_flight(&self) -> Arc<InFlightWrites> {
        Arc::clone(&self.in_flight_writes)
    }

    fn is_journal_writable(&self) -> Option<bool> {
        self.journal.check_available().map(|state| state.is_ok())
    }

    fn is_redis_up(&self) -> Option<bool> {
        self.limits.is_redis_connected()
    }

    fn store_status(&self) -> StoreStatus {
        StoreStatus {
            kind: self.state_store.backend_name(),
            is_available: self
                .state_store
                .was_available()
                .filter(|_| self.allows_any_write()),
            failures: self.state_store.failure_counts(),
        }
    }

    fn check_readiness(&self) -> impl Future<Output = Readiness> + Send {
        Self::readiness(self)
    }

    fn client_stats(&self) -> Vec<(InstanceName, ClientStats)> {
        Self::upstream_stats(self)
    }

    fn terms(guest: &AcceptedRequest) -> RequestTerms {
        RequestTerms {
            accepts_event_stream: guest.accepts_event_stream,
            requires_event_stream: guest.requires_event_stream,
            max_body_bytes: guest.max_body_bytes,
        }
    }
}
