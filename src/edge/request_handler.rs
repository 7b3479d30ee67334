//! What the edge needs of the gateway behind it.

use std::{future::Future, sync::Arc};

use bytes::Bytes;

use crate::{
    access::InFlightWrites,
    gateway::{AcceptedRequest, Gateway, Head, HttpResponse, ServerMessages, TooManyBodies},
    telemetry::{Metrics, Readiness, RequestLog},
};
use gatepost_base::InstanceName;

/// Handles the requests that the edge reads: the [`Gateway`], whose methods of the
/// same names say more.
///
/// A trait because the edge's tests need a handler that hangs, panics and sends
/// messages on command. What they do not need has a default.
pub trait RequestHandler: Send + Sync + 'static {
    /// A request whose head was accepted.
    type Request: Send + Sync;

    /// Accepts a request by its head, or returns the response to it.
    fn accept_head(
        &self,
        head: Head,
        log: &mut RequestLog,
    ) -> impl Future<Output = Result<Self::Request, HttpResponse>> + Send;

    /// Accepts a message over stdin, if the instance exists.
    fn accept_stdio(&self, instance: &InstanceName, session: Option<&str>)
    -> Option<Self::Request>;

    /// Responds to an accepted request. Dropping the future cancels the call.
    fn handle_body(
        &self,
        request: &Self::Request,
        body: Bytes,
        messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> impl Future<Output = HttpResponse> + Send;

    /// How the request wants its response, and how large its body may be.
    fn terms(request: &Self::Request) -> RequestTerms;

    /// Takes room for more bytes of the body, until the request is dropped.
    ///
    /// # Errors
    /// [`TooManyBodies`].
    fn reserve_body(_request: &Self::Request, _bytes: usize) -> Result<(), TooManyBodies> {
        Ok(())
    }

    /// Checks which services are available.
    fn readiness(&self) -> impl Future<Output = Readiness> + Send;

    /// Whether Redis is connected, if the rate limiter uses one.
    fn is_redis_connected(&self) -> Option<bool> {
        None
    }

    /// Sets the metrics that describe the current state.
    fn record_state(&self, _metrics: &Metrics, _readiness: Option<&Readiness>) {}

    /// Ends the calls that wait for a user's answer.
    fn cancel_pending(&self) {}

    /// The writes that were sent to Odoo and must finish before shutdown.
    fn in_flight_writes(&self) -> Arc<InFlightWrites> {
        Arc::default()
    }
}

/// How a request wants its response, and how large its body may be.
#[derive(Clone, Copy, Debug)]
pub struct RequestTerms {
    /// Whether the client accepts `text/event-stream`.
    pub accepts_event_stream: bool,
    /// Whether the client accepts nothing else.
    pub requires_event_stream: bool,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
}

impl RequestHandler for Gateway {
    type Request = AcceptedRequest;

    async fn accept_head(
        &self,
        head: Head,
        log: &mut RequestLog,
    ) -> Result<AcceptedRequest, HttpResponse> {
        Self::accept_head(self, head, log).await
    }

    fn accept_stdio(
        &self,
        instance: &InstanceName,
        session: Option<&str>,
    ) -> Option<AcceptedRequest> {
        Self::accept_stdio(self, instance, session)
    }

    async fn handle_body(
        &self,
        request: &AcceptedRequest,
        body: Bytes,
        messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> HttpResponse {
        Self::handle_body(self, request, body, messages, log).await
    }

    fn terms(request: &AcceptedRequest) -> RequestTerms {
        RequestTerms {
            accepts_event_stream: request.accepts_event_stream,
            requires_event_stream: request.requires_event_stream,
            max_body_bytes: request.max_body_bytes,
        }
    }

    fn reserve_body(request: &AcceptedRequest, bytes: usize) -> Result<(), TooManyBodies> {
        request.reserve_body(bytes)
    }

    async fn readiness(&self) -> Readiness {
        Self::readiness(self).await
    }

    fn is_redis_connected(&self) -> Option<bool> {
        self.limits.is_redis_connected()
    }

    fn record_state(&self, metrics: &Metrics, readiness: Option<&Readiness>) {
        Self::record_state(self, metrics, readiness);
    }

    fn cancel_pending(&self) {
        Self::cancel_pending(self);
    }

    fn in_flight_writes(&self) -> Arc<InFlightWrites> {
        Arc::clone(&self.in_flight_writes)
    }
}
