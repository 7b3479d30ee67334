//! Everything that is decided before the body of a request is read.

use http::{HeaderMap, Method, header};

use super::{
    AcceptedRequest, Gateway, Head, HttpResponse, RequestError,
    accept_header::{AcceptHeader, is_json},
    client_address::client_address,
    cors,
    endpoint::EndpointRoute,
    in_flight::InFlightRequest,
    landing_page, public_endpoints,
    request_context::{RequestContext, Target},
    router::{PublicRoute, Route},
    routes::is_bare_path,
};
use crate::telemetry::RequestLog;
use gatepost_base::{InstanceName, TraceContext};
use gatepost_identity::{Bearer, Challenge, MAX_REGISTRATION_BYTES, Now};
use gatepost_mcp::{McpHeaders, Session, Transport};

/// What a request with a good head leads to.
enum HeadDecision {
    Accepted(Box<AcceptedRequest>),
    /// The response is known already.
    Respond(HttpResponse),
}

impl Gateway {
    /// Decides all that can be decided before the body is read.
    ///
    /// # Errors
    /// The response, if the body is not needed for it.
    #[expect(
        clippy::same_name_method,
        reason = "the edge's `RequestHandler` has this method under the same name"
    )]
    pub async fn accept_head(
        &self,
        head: Head,
        log: &mut RequestLog,
    ) -> Result<AcceptedRequest, HttpResponse> {
        match self.check_head(&head, log).await {
            Ok(HeadDecision::Accepted(request)) => Ok(*request),
            Ok(HeadDecision::Respond(response)) => Err(response),
            // A page of a foreign origin must not read the reason either.
            Err(
                error @ (RequestError::HostNotAllowed(_)
                | RequestError::NoInstanceInPath
                | RequestError::NoRoute
                | RequestError::OriginNotAllowed(_)),
            ) => Err(error.to_response(None, log)),
            Err(error) => Err(error
                .to_response(None, log)
                .with_headers(&cors::cors_headers(&head.headers))),
        }
    }

    /// A request over stdin. The caller is the local user, who started Gatepost.
    /// `session` is the id in the response to the last `initialize`, if any.
    /// `None` if there is no such instance.
    #[expect(
        clippy::same_name_method,
        reason = "the edge's `RequestHandler` has this method under the same name"
    )]
    pub fn accept_stdio(
        &self,
        instance: &InstanceName,
        session: Option<&str>,
    ) -> Option<AcceptedRequest> {
        Some(AcceptedRequest {
            accepts_event_stream: true,
            requires_event_stream: false,
            max_body_bytes: self.max_body_bytes,
            in_flight: InFlightRequest::default(),
            target: Target::Mcp(Box::new(RequestContext {
                route: self.routes.named(instance)?,
                caller: self.authenticator.local_caller(&self.policy, instance),
                token: None,
                transport: Transport::Stdio,
                session: session.and_then(Session::parse),
            })),
            cors_headers: Vec::new(),
        })
    }

    async fn check_head(
        &self,
        head: &Head,
        log: &mut RequestLog,
    ) -> Result<HeadDecision, RequestError> {
        let now = Now::read();
        log.client_address = client_address(head.peer, &head.headers, &self.trusted_proxies);
        log.parent_context = trace_context(&head.headers);
        cors::check_host(head, &self.routes)?;
        let found = self.route(head.host.as_deref(), &head.path);
        if landing_page::is_wanted(head) {
            match &found {
                Some((Route::Mcp(route), _)) => {
                    let page = landing_page::response(Some(route), &head.path);
                    return Ok(HeadDecision::Respond(page));
                }
                None if head.path == "/" => {
                    let page = landing_page::response(None, &head.path);
                    return Ok(HeadDecision::Respond(page));
                }
                Some((Route::Public(_), _)) | None => {}
            }
        }
        let (route, methods) = found.ok_or_else(|| {
            if is_bare_path(&head.path) {
                // Not found, so there are several instances.
                RequestError::NoInstanceInPath
            } else {
                RequestError::NoRoute
            }
        })?;
        match route {
            Route::Mcp(route) => self.check_mcp_head(route, methods, head, now, log).await,
            Route::Public(route) => self.check_public_head(route, methods, head, now).await,
        }
    }

    async fn check_mcp_head(
        &self,
        route: EndpointRoute,
        methods: &'static str,
        head: &Head,
        now: Now,
        log: &mut RequestLog,
    ) -> Result<HeadDecision, RequestError> {
        let instance = route.endpoint.instance.name();
        log.instance = Some(instance.clone());
        cors::check_origin(head, &self.routes, &self.allowed_origins)?;
        let cors_headers = cors::cors_headers(&head.headers);
        if head.method == Method::OPTIONS {
            let response = cors::preflight_response(methods, cors::MCP_HEADERS)
                .with_static(header::ACCESS_CONTROL_MAX_AGE, "600")
                .with_headers(&cors_headers);
            return Ok(HeadDecision::Respond(response));
        }
        if head.token_in_query {
            let challenge = self.challenge(&route, &Challenge::InvalidRequest);
            return Err(RequestError::TokenInQuery(challenge));
        }
        let bearer = Bearer::from_headers(&head.headers);
        // Clients of older revisions ask again and again for a stream. Without a token
        // they get the challenge first, because mcp-remote begins with a bare GET.
        if bearer.is_ok() && head.method != Method::POST {
            return Err(RequestError::MethodNotAllowed(methods));
        }
        let client = log.client_address;
        let allows_anonymous = cors::is_direct_local_request(head);
        // Before authentication: a token costs a signature check or a call to a provider.
        if self.authenticator.requires_check(&bearer) {
            self.limits
                .check_address(client, now.monotonic, &mut log.rate_limit_checks)
                .await?;
        }
        // Before authentication too, which may wait for a provider.
        let mut in_flight = self.in_flight.start(client, self.in_flight_limits)?;
        let authenticated = self
            .authenticator
            .authenticate(
                bearer,
                allows_anonymous,
                &route.endpoint,
                client,
                now,
                &mut log.token_lookup,
            )
            .await
            .map_err(|why| self.unauthenticated(&route, why))?;
        log.caller = Some(authenticated.caller.subject.clone());
        log.caller_name.clone_from(&authenticated.caller.name);
        in_flight.authenticated(&authenticated.caller)?;
        self.authorize_instance(&route, &authenticated)?;
        let caller =
            self.with_odoo_credential(authenticated.caller, &authenticated.credentials, instance)?;
        if head.method != Method::POST {
            return Err(RequestError::MethodNotAllowed(methods));
        }
        if !is_json(&head.headers) {
            return Err(RequestError::UnsupportedMediaType);
        }
        let accepts = AcceptHeader::parse(&head.headers);
        if !accepts.json && !accepts.event_stream {
            return Err(RequestError::NotAcceptable);
        }
        let transport = Transport::Http(McpHeaders::from_headers(&head.headers)?);
        Ok(HeadDecision::Accepted(Box::new(AcceptedRequest {
            accepts_event_stream: accepts.event_stream,
            requires_event_stream: !accepts.json,
            max_body_bytes: self.max_body_bytes,
            in_flight,
            target: Target::Mcp(Box::new(RequestContext {
                caller,
                token: authenticated.token,
                transport,
                session: Session::from_headers(&head.headers),
                route,
            })),
            cors_headers,
        })))
    }

    async fn check_public_head(
        &self,
        route: PublicRoute,
        methods: &'static str,
        head: &Head,
        now: Now,
    ) -> Result<HeadDecision, RequestError> {
        let cors_headers = cors::any_origin_header();
        let allowed = methods.split(", ").any(|one| one == head.method.as_str());
        let response = match route {
            _ if head.method == Method::OPTIONS => {
                cors::preflight_response(methods, "mcp-protocol-version, content-type, accept")
            }
            _ if !allowed => return Err(RequestError::MethodNotAllowed(methods)),
            PublicRoute::AuthorizationServerMetadata(facade) => {
                facade.metadata_document(now).await?
            }
            PublicRoute::Register(facade) => {
                let client = client_address(head.peer, &head.headers, &self.trusted_proxies);
                facade.check_rate_limit(client, now)?;
                if !is_json(&head.headers) {
                    return Err(RequestError::UnsupportedMediaType);
                }
                return Ok(HeadDecision::Accepted(Box::new(AcceptedRequest {
                    accepts_event_stream: false,
                    requires_event_stream: false,
                    max_body_bytes: MAX_REGISTRATION_BYTES,
                    in_flight: self.in_flight.start(client, self.in_flight_limits)?,
                    target: Target::Registration(facade),
                    cors_headers: cors_headers.into(),
                })));
            }
            PublicRoute::ResourceMetadata(route) => {
                let facade = self.facade.as_deref();
                public_endpoints::resource_document(&route, facade, now).await?
            }
        };
        Ok(HeadDecision::Respond(response.with_headers(&cors_headers)))
    }
}

/// The trace that the header fields name. Two `traceparent` fields count as none
/// (W3C Trace Context, section 3.2.1); several `tracestate` fields are one list.
fn trace_context(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all("traceparent").iter();
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else {
        return None;
    };
    let states: Option<Vec<&str>> = headers
        .get_all("tracestate")
        .iter()
        .map(|state| state.to_str().ok())
        .collect();
    let state = states.map(|states| states.join(","));
    TraceContext::parse(parent, state.as_deref().filter(|state| !state.is_empty()))
}
