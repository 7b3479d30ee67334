//! What a request is for, decided once from its host and path.

use std::sync::Arc;

use super::{endpoint::EndpointRoute, public_endpoints::RegistrationFacade, service::Gateway};
use gatepost_identity::{AUTHORIZATION_SERVER_PATH, REGISTER_PATH};

/// Fixed paths, with the route and the methods of each; the methods are written
/// as in an `Allow` header. A new page is one line in such a table.
#[derive(Debug)]
pub struct RouteTable<R: 'static>(pub &'static [(&'static str, R, &'static str)]);

impl<R> RouteTable<R> {
    /// The route of a path and the methods that it allows.
    pub fn find(&self, path: &str) -> Option<(&R, &'static str)> {
        let mut rows = self.0.iter();
        rows.find(|(fixed, ..)| *fixed == path)
            .map(|(_, route, methods)| (route, *methods))
    }
}

/// What a request on the public listener is for.
#[derive(Debug)]
pub(super) enum Route {
    /// The MCP endpoint of an instance, for authenticated callers.
    Mcp(EndpointRoute),
    /// An endpoint that needs no authentication.
    Public(PublicRoute),
}

/// What is served without authentication.
#[derive(Debug)]
pub(super) enum PublicRoute {
    /// The metadata of the registration facade (RFC 8414).
    AuthorizationServerMetadata(Arc<RegistrationFacade>),
    /// The registration of an OAuth client (RFC 7591).
    Register(Arc<RegistrationFacade>),
    /// The metadata of an instance as a protected resource (RFC 9728).
    ResourceMetadata(EndpointRoute),
}

const DOCUMENT_METHODS: &str = "GET, HEAD, OPTIONS";
const POST_METHODS: &str = "POST, OPTIONS";

/// The paths under the issuer of the registration facade.
const FACADE_ROUTES: RouteTable<fn(Arc<RegistrationFacade>) -> PublicRoute> = RouteTable(&[
    (
        AUTHORIZATION_SERVER_PATH,
        PublicRoute::AuthorizationServerMetadata,
        DOCUMENT_METHODS,
    ),
    (REGISTER_PATH, PublicRoute::Register, POST_METHODS),
]);

impl Gateway {
    /// The route of a request and the methods that it allows.
    pub(super) fn route(&self, host: Option<&str>, path: &str) -> Option<(Route, &'static str)> {
        if let Some(resource) = self.routes.metadata_resource(host, path) {
            let route = PublicRoute::ResourceMetadata(resource);
            return Some((Route::Public(route), DOCUMENT_METHODS));
        }
        if let Some(facade) = &self.facade
            && facade.is_served_at(host)
            && let Some((route, methods)) = FACADE_ROUTES.find(path)
        {
            return Some((Route::Public(route(Arc::clone(facade))), methods));
        }
        let endpoint = self.routes.find(host, path)?;
        Some((Route::Mcp(endpoint), POST_METHODS))
    }
}
