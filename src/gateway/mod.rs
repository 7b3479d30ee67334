//! The way of one request, from its head to its answer.
//!
//! The order of checks is a security property, so it is written out here as
//! plain code: host, route, origin, address, caller, HTTP method, content
//! type; then the body, and in it JSON-RPC, revision, method, tool, limits.

pub(crate) mod authentication;
mod client_address;
mod cors;
mod dispatch;
mod error_response;
mod head;
mod public_endpoints;
mod response;
mod routes;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use ipnet::IpNet;
use tokio::sync::mpsc;

pub use authentication::{Authenticator, TokenPolicy, Unauthenticated};
pub use error_response::RequestError;
pub use head::Head;
pub use public_endpoints::RegistrationFacade;
pub use response::HttpResponse;
pub use routes::{Endpoint, Routes};

use self::{
    authentication::{Authenticated, AuthenticatedToken},
    client_address::client_address,
    public_endpoints::PublicRoute,
};
use crate::{
    access::{InFlightWrites, Instance, UnknownCredential},
    audit::Journal,
    elicitation::{ElicitationOwner, PendingElicitations},
    telemetry::{Readiness, RequestLog},
};
use gatepost_base::{InstanceName, RoleName, TraceContext};
use gatepost_identity::{
    Bearer, Caller, Challenge, MAX_REGISTRATION_BYTES, Now, ProtectedResource, Provider,
};
use gatepost_mcp::{McpHeaders, Session, Transport};
use gatepost_odoo::Operation;
use gatepost_odoo_client::ClientStats;
use gatepost_policy::{Policy, WriteMode};
use gatepost_state::{limits::Limiter, store::StateStore};

/// Everything a request needs, built as one value from one configuration, so
/// that a reload swaps it whole.
#[derive(Debug, Default)]
pub struct Gateway {
    /// Which instance a request is for.
    pub routes: Routes,
    /// How callers prove who they are.
    pub authenticator: Authenticator,
    /// What they may do.
    pub policy: Policy,
    /// How much they may.
    pub limits: Limiter,
    /// Web origins whose pages may call us.
    pub allowed_origins: Vec<String>,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether a challenge names an error even where no token came.
    pub challenge_always_error: bool,
    /// The facade for clients that must register themselves, if there is one.
    pub facade: Option<RegistrationFacade>,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
    /// What is kept of all calls to Odoo. A reload carries it on.
    pub journal: Arc<Journal>,
    /// What must be remembered of changes. A reload carries it on.
    pub state_store: Arc<StateStore>,
    /// The questions that people were asked. A reload carries them on.
    pub pending_elicitations: Arc<PendingElicitations>,
    /// Changes that were sent. A reload carries them on.
    pub in_flight_writes: Arc<InFlightWrites>,
    /// How many configurations came before this one, in this process.
    pub generation: u64,
    /// How long a person may take to answer one.
    pub elicitation_timeout: Duration,
}

/// A request whose head was accepted: routed, its caller known. Its body may
/// be read now.
#[derive(Debug)]
pub struct AcceptedRequest {
    /// Whether the client takes `text/event-stream`.
    pub accepts_event_stream: bool,
    /// Whether the client takes nothing but `text/event-stream`.
    pub requires_event_stream: bool,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
    /// The caller; none of a request to the facade.
    context: Option<RequestContext>,
    cors_headers: Vec<(http::HeaderName, http::HeaderValue)>,
}

/// A caller who was let in to one instance.
#[derive(Clone, Debug)]
struct RequestContext {
    instance: Arc<Instance>,
    caller: Caller,
    transport: Transport,
    token: Option<AuthenticatedToken>,
    /// What the client brought of its handshake.
    session: Option<Session>,
    /// Under which of its names the instance was called, for challenges.
    protected_resource: Option<ProtectedResource>,
}

/// Where the JSON-RPC notifications and questions of one call go while it runs:
/// each is one whole JSON text.
pub type ServerMessages = mpsc::Sender<Bytes>;

impl Gateway {
    /// The same, in the place of an older one: what was used of allowances stays
    /// used, and who was asked can answer.
    #[must_use]
    pub fn with_state_of(mut self, old: &Self) -> Self {
        self.limits = self.limits.with_state_of(&old.limits);
        self.authenticator.failed_token_limiter = self
            .authenticator
            .failed_token_limiter
            .with_state_of(&old.authenticator.failed_token_limiter);
        self.pending_elicitations = Arc::clone(&old.pending_elicitations);
        self.in_flight_writes = Arc::clone(&old.in_flight_writes);
        self.generation = old.generation.wrapping_add(1);
        self
    }

    /// Decides all that can be decided before the body is read.
    ///
    /// # Errors
    /// The answer to give instead; the body is not read then.
    pub async fn accept_head(
        &self,
        head: Head,
        story: &mut RequestLog,
    ) -> Result<AcceptedRequest, HttpResponse> {
        let cors = cors::cors_headers(&head.headers);
        match self.check_head(&head, story).await {
            Ok(AcceptedHead::Request(guest)) => Ok(AcceptedRequest {
                cors_headers: cors,
                ..*guest
            }),
            Ok(AcceptedHead::Preflight) => Err(cors::preflight_response().with_headers(&cors)),
            Ok(AcceptedHead::Document(reply)) => {
                Err(reply.with_headers(&cors::any_origin_header()))
            }
            // A page that may not call us may not read why either.
            Err(
                refusal @ (RequestError::HostNotAllowed(_)
                | RequestError::OriginNotAllowed(_)
                | RequestError::NoRoute),
            ) => Err(refusal.to_response(None, story)),
            Err(refusal) => Err(refusal.to_response(None, story).with_headers(&cors)),
        }
    }

    async fn check_head(
        &self,
        head: &Head,
        story: &mut RequestLog,
    ) -> Result<AcceptedHead, RequestError> {
        let now = Now::read();
        story.parent_context = trace_context(&head.headers);
        let host = head.host.as_deref();
        cors::check_host(head, &self.routes)?;
        if let Some(errand) = self.public_route(head) {
            return self.serve_public(&errand, head, now).await;
        }
        let (endpoint, resource) = self
            .routes
            .find(host, &head.path)
            .ok_or(RequestError::NoRoute)?;
        let instance = endpoint.instance.name();
        story.instance = Some(instance.clone());
        cors::check_origin(head, &self.routes, &self.allowed_origins)?;
        if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
            return Ok(AcceptedHead::Preflight);
        }
        let challenge = |objection: &Challenge| self.challenge(resource, objection);
        if head.token_in_query {
            return Err(RequestError::TokenInQuery(
                challenge(&Challenge::InvalidRequest).into(),
            ));
        }
        let bearer = Bearer::from_headers(&head.headers);
        let client = client_address(head.peer, &head.headers, &self.trusted_proxies);
        // Before authentication: a token costs a signature, or a question to a provider.
        if self.authenticator.requires_check(&bearer) {
            self.limits
                .check_address(client, now.monotonic, &mut story.rate_limit_checks)
                .await?;
        }
        // Before the method: the first request of mcp-remote is a bare GET, to be challenged.
        let Authenticated {
            caller,
            credentials,
            token,
        } = self
            .authenticator
            .authenticate(
                bearer,
                instance,
                &endpoint.token_policy,
                client,
                now,
                &mut story.token_lookup,
            )
            .await
            .map_err(|why| RequestError::from_unauthenticated(why, challenge))?;
        story.caller = Some(caller.subject.clone());
        self.policy
            .allow_instance(&caller.roles, instance)
            .map_err(|no_role| {
                let enough =
                    |roles: &[RoleName]| self.policy.allow_instance(roles, instance).is_ok();
                self.insufficient_scope_error(token.as_ref(), instance, resource, &no_role, enough)
                    .unwrap_or(RequestError::NoRole(no_role))
            })?;
        let caller =
            authentication::with_odoo_credential(caller, &credentials, &self.policy, instance)?;
        if head.method != Method::POST {
            return Err(RequestError::MethodNotAllowed("POST, OPTIONS"));
        }
        if !is_json(head) {
            return Err(RequestError::UnsupportedMediaType);
        }
        let accepts = AcceptHeader::parse(head);
        if !accepts.json && !accepts.event_stream {
            return Err(RequestError::NotAcceptable);
        }
        let transport = Transport::Http(McpHeaders::from_headers(&head.headers)?);
        Ok(AcceptedHead::Request(Box::new(AcceptedRequest {
            accepts_event_stream: accepts.event_stream,
            requires_event_stream: !accepts.json,
            max_body_bytes: self.max_body_bytes,
            context: Some(RequestContext {
                instance: Arc::clone(&endpoint.instance),
                caller,
                transport,
                token,
                session: Session::from_headers(&head.headers),
                protected_resource: resource.cloned(),
            }),
            cors_headers: Vec::new(),
        })))
    }

    fn public_route<'a>(&'a self, head: &Head) -> Option<PublicRoute<'a>> {
        let resource = self
            .routes
            .metadata_resource(head.host.as_deref(), &head.path);
        let facade = || self.facade.as_ref()?.public_route(head);
        resource.map(PublicRoute::Resource).or_else(facade)
    }

    /// What anybody may ask.
    async fn serve_public(
        &self,
        errand: &PublicRoute<'_>,
        head: &Head,
        now: Now,
    ) -> Result<AcceptedHead, RequestError> {
        if let (PublicRoute::Register(desk), &Method::POST) = (errand, &head.method) {
            let client = client_address(head.peer, &head.headers, &self.trusted_proxies);
            desk.check_rate_limit(client, now)?;
            if !is_json(head) {
                return Err(RequestError::UnsupportedMediaType);
            }
            return Ok(AcceptedHead::Request(Box::new(AcceptedRequest {
                accepts_event_stream: false,
                requires_event_stream: false,
                max_body_bytes: MAX_REGISTRATION_BYTES,
                context: None,
                cors_headers: Vec::new(),
            })));
        }
        public_endpoints::serve_metadata(errand, self.facade.as_ref(), head, now)
            .await
            .map(AcceptedHead::Document)
    }

    /// The visitor anew, for a call that changes something: what let them in
    /// may be a minute old, and that is too old for it.
    async fn reauthenticate_for_write(
        &self,
        guest: &RequestContext,
        effect: Operation,
    ) -> Result<Option<RequestContext>, RequestError> {
        let (Some(token), true) = (&guest.token, effect > Operation::Read) else {
            return Ok(None);
        };
        let instance = guest.instance.name();
        let Some(endpoint) = self.routes.endpoint(instance) else {
            return Ok(None);
        };
        let (granted, token) = self
            .authenticator
            .reauthenticate(token, instance, &endpoint.token_policy, Now::read())
            .await
            .map_err(|why| {
                RequestError::from_unauthenticated(why, |objection| {
                    self.challenge(guest.protected_resource.as_ref(), objection)
                })
            })?;
        let caller = Caller {
            roles: granted.roles,
            ..guest.caller.clone()
        };
        let caller = authentication::with_odoo_credential(
            caller,
            &granted.credentials,
            &self.policy,
            instance,
        )?;
        Ok(Some(RequestContext {
            caller,
            token: Some(token),
            ..guest.clone()
        }))
    }

    fn insufficient_scope(
        &self,
        guest: &RequestContext,
        why: &dyn std::fmt::Display,
        enough: impl Fn(&[RoleName]) -> bool,
    ) -> Option<RequestError> {
        let resource = guest.protected_resource.as_ref();
        self.insufficient_scope_error(
            guest.token.as_ref(),
            guest.instance.name(),
            resource,
            why,
            enough,
        )
    }

    /// How to get in, for `WWW-Authenticate`.
    fn challenge(&self, resource: Option<&ProtectedResource>, objection: &Challenge) -> String {
        resource.map_or_else(
            || objection.without_metadata(),
            |resource| resource.www_authenticate(objection, self.challenge_always_error),
        )
    }

    /// The refusal that sends a token's holder for more scopes; none where no
    /// scope would help, so that nobody is sent in a circle.
    fn insufficient_scope_error(
        &self,
        token: Option<&AuthenticatedToken>,
        instance: &InstanceName,
        resource: Option<&ProtectedResource>,
        why: &dyn std::fmt::Display,
        enough: impl Fn(&[RoleName]) -> bool,
    ) -> Option<RequestError> {
        let token = token.filter(|token| token.provider.supports_step_up())?;
        let scopes = self.authenticator.grants.sufficient_scopes(
            &token.principal,
            token.provider.name(),
            instance,
            enough,
        )?;
        let objection = Challenge::InsufficientScope(scopes.into_iter().collect());
        let challenge = self.challenge(resource, &objection).into();
        Some(RequestError::InsufficientScope(why.to_string(), challenge))
    }

    /// Answers the body of an accepted request. Dropping the future cancels
    /// the work.
    pub async fn handle_body(
        &self,
        guest: &AcceptedRequest,
        body: Bytes,
        notices: Option<ServerMessages>,
        story: &mut RequestLog,
    ) -> HttpResponse {
        let reply = match (&guest.context, &self.facade) {
            (Some(visitor), _) => dispatch::handle_body(self, visitor, &body, notices, story).await,
            (None, Some(desk)) => {
                let registered = desk.register(&body, Now::read()).await;
                let reply = registered.unwrap_or_else(|refusal| refusal.to_response(None, story));
                return reply.with_headers(&cors::any_origin_header());
            }
            (None, None) => RequestError::NoRoute.to_response(None, story),
        };
        reply.with_headers(&guest.cors_headers)
    }

    /// A guest that came over stdin/stdout: the local user, who started us.
    /// `session` is the id that the last `initialize` was answered with, if any.
    pub fn accept_stdio(
        &self,
        instance: &InstanceName,
        session: Option<&str>,
    ) -> Option<AcceptedRequest> {
        Some(AcceptedRequest {
            accepts_event_stream: true,
            requires_event_stream: false,
            max_body_bytes: self.max_body_bytes,
            context: Some(RequestContext {
                instance: Arc::clone(self.routes.instance(instance)?),
                caller: self.authenticator.local_caller(&self.policy, instance),
                transport: Transport::Stdio,
                token: None,
                session: session.and_then(Session::parse),
                protected_resource: None,
            }),
            cors_headers: Vec::new(),
        })
    }

    /// The guest as the one whose call asks, or who answers.
    fn elicitation_owner(&self, guest: &RequestContext) -> ElicitationOwner {
        ElicitationOwner::new(&guest.caller, guest.instance.name(), self.generation)
    }

    /// Ends all calls that wait for a person, for we are about to stop.
    pub fn cancel_pending(&self) {
        self.pending_elicitations.close();
    }

    /// Whether anything of this effect is open to the guest: to their roles, and
    /// to the key that their calls go out with.
    fn allows(&self, guest: &RequestContext, effect: Operation) -> bool {
        let (caller, instance) = (&guest.caller, &guest.instance);
        self.policy
            .allows_any(&caller.roles, instance.name(), effect)
            && (effect.is_read() || instance.write_mode() > WriteMode::ReadOnly)
            && match instance.account(caller.credential.as_ref()) {
                Ok(login) => login.allow(effect).is_ok(),
                // Told by the call itself, which is refused.
                Err(UnknownCredential { .. }) => true,
            }
    }

    /// Whether any role may change anything in any instance: only then it matters
    /// whether changes can be remembered.
    pub fn allows_any_write(&self) -> bool {
        self.routes.instances().any(|instance| {
            instance.write_mode() > WriteMode::ReadOnly
                && self.policy.allows_any_write(instance.name())
        })
    }

    /// Who there is to ask and who answers, for `/readyz`.
    pub async fn readiness(&self) -> Readiness {
        let pings = self.routes.instances().map(|instance| async {
            let answer = instance.ping().await.map_err(|error| error.to_string());
            (instance.name().clone(), answer)
        });
        let now = Now::read();
        let asked = self.providers().into_iter().map(|provider| async move {
            (provider.name().clone(), provider.readiness(now).await)
        });
        let changes = async {
            if self.allows_any_write() {
                Some(
                    self.state_store
                        .check_available()
                        .await
                        .map_err(|why| why.to_string()),
                )
            } else {
                None
            }
        };
        let (instances, providers, changes, limits) = futures_util::future::join4(
            futures_util::future::join_all(pings),
            futures_util::future::join_all(asked),
            changes,
            self.limits.check_available(),
        )
        .await;
        Readiness {
            instances,
            providers,
            audit: self.journal.check_available(),
            state_store: changes,
            limits: limits.map(|counted| counted.map_err(|why| why.to_string())),
        }
    }

    /// How busy the ways to the instances are.
    pub fn upstream_stats(&self) -> Vec<(InstanceName, ClientStats)> {
        let instances = self.routes.instances();
        instances
            .map(|instance| (instance.name().clone(), instance.client_stats()))
            .collect()
    }

    /// The identity providers of all instances, each once.
    pub(crate) fn providers(&self) -> Vec<Arc<Provider>> {
        let mut found: Vec<Arc<Provider>> = Vec::new();
        for endpoint in self.routes.endpoints() {
            for provider in &endpoint.token_policy.providers {
                if !found.iter().any(|known| known.name() == provider.name()) {
                    found.push(Arc::clone(provider));
                }
            }
        }
        found
    }
}

/// The trace that the head of a request names. Of two `traceparent` neither
/// holds (W3C Trace Context, section 3.2.1); several `tracestate` are one list.
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

enum AcceptedHead {
    Document(HttpResponse),
    Request(Box<AcceptedRequest>),
    Preflight,
}

fn is_json(head: &Head) -> bool {
    head.headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// What the client takes as an answer.
struct AcceptHeader {
    json: bool,
    event_stream: bool,
}

impl AcceptHeader {
    /// A client that does not say takes JSON: all revisions allow it for an
    /// answer of one message.
    fn parse(head: &Head) -> Self {
        let mut accepts = Self {
            json: false,
            event_stream: false,
        };
        let mut said = false;
        for value in head.headers.get_all(header::ACCEPT) {
            for part in value.to_str().unwrap_or_default().split(',') {
                let mut pieces = part.split(';').map(str::trim);
                let media = pieces.next().unwrap_or_default().to_ascii_lowercase();
                let refused = pieces.any(|piece| {
                    piece
                        .strip_prefix("q=")
                        .and_then(|q| q.parse::<f32>().ok())
                        .is_some_and(|q| q <= 0.0)
                });
                said |= !media.is_empty();
                accepts.json |= !refused
                    && matches!(media.as_str(), "application/json" | "application/*" | "*/*");
                accepts.event_stream |=
                    !refused && matches!(media.as_str(), "text/event-stream" | "text/*" | "*/*");
            }
        }
        if !said {
            accepts.json = true;
        }
        accepts
    }
}
