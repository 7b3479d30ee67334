//! Serves a request, from its head to its response.
//!
//! The order of checks is a security property. [`Gateway::accept_head`] checks
//! host, route, origin, address, caller, HTTP method, content type and headers;
//! then [`Gateway::handle_body`] reads JSON-RPC, revision, method and tool, and
//! charges limits. Sockets and timeouts are the edge's.

mod accept;
mod accept_header;
mod address_standing;
mod authentication;
mod call_context;
mod caller_roles;
mod client_address;
mod conversation;
mod cors;
mod dispatch;
mod elicitation_response;
mod endpoint;
mod error_response;
mod head;
mod in_flight;
mod landing_page;
mod public_endpoints;
mod request_context;
mod response;
mod router;
mod routes;
mod service;
mod state_metrics;
#[cfg(test)]
mod tests;
mod tool_call;

pub(crate) use cors::without_port;

pub use authentication::{Authenticator, Unauthenticated};
pub use endpoint::{Endpoint, TokenPolicy};
pub use error_response::RequestError;
pub use head::Head;
pub use in_flight::{InFlightLimits, InFlightRequests, TooManyBodies};
pub use public_endpoints::RegistrationFacade;
pub use request_context::AcceptedRequest;
pub use response::HttpResponse;
pub use router::RouteTable;
pub use routes::Routes;
pub use service::{Gateway, ServerMessages};
