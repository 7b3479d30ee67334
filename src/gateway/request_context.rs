//! A request whose head was accepted.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{
    RegistrationFacade,
    authentication::AuthenticatedToken,
    endpoint::EndpointRoute,
    in_flight::{InFlightRequest, TooManyBodies},
};
use crate::access::Instance;
use gatepost_identity::Caller;
use gatepost_mcp::{Session, Transport};

/// A request whose head was accepted. Its body may be read now.
#[derive(Debug)]
pub struct AcceptedRequest {
    /// Whether the client accepts `text/event-stream`.
    pub accepts_event_stream: bool,
    /// Whether the client accepts nothing but `text/event-stream`.
    pub requires_event_stream: bool,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
    /// Counts it, and the bytes of its body.
    pub(super) in_flight: InFlightRequest,
    pub(super) target: Target,
    /// Added to whatever is answered.
    pub(super) cors_headers: Vec<(HeaderName, HeaderValue)>,
}

impl AcceptedRequest {
    /// Takes room for more bytes of the body, until the request is dropped.
    ///
    /// # Errors
    /// [`TooManyBodies`].
    pub fn reserve_body(&self, bytes: usize) -> Result<(), TooManyBodies> {
        self.in_flight.reserve_body(bytes)
    }
}

/// What the body of an accepted request is for.
#[derive(Debug)]
pub(super) enum Target {
    /// MCP messages of an authenticated caller.
    Mcp(Box<RequestContext>),
    /// The registration of an OAuth client.
    Registration(Arc<RegistrationFacade>),
}

/// An authenticated caller at one instance.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    pub(super) route: EndpointRoute,
    pub(super) caller: Caller,
    /// The token to verify again before a write; `None` for API keys, stdio and
    /// anonymous callers.
    pub(super) token: Option<AuthenticatedToken>,
    pub(super) transport: Transport,
    /// The session id that the client sent.
    pub(super) session: Option<Session>,
}

impl RequestContext {
    pub(super) fn instance(&self) -> &Arc<Instance> {
        &self.route.endpoint.instance
    }
}
