//! The way of one request, from its head to its answer.
//!
//! The order of checks is a security property, so it is written out here as
//! plain code: host, route, origin, address, caller, HTTP method, content
//! type; then the body, and in it JSON-RPC, revision, method, tool, limits.

mod client_address;
mod converse;
mod door;
mod examination;
mod front_desk;
mod head;
mod operation;
mod origin;
mod refusal;
mod reply;
mod routes;
mod rules;
mod story;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use ipnet::IpNet;
use tokio::sync::mpsc;

pub use door::{Admission, Door, LookUp, Unauthenticated};
pub use examination::Examined;
pub use front_desk::FacadeDesk;
pub use head::Head;
pub use operation::{Failure, Operation, Step};
pub use refusal::Refusal;
pub use reply::Reply;
pub use routes::{Endpoint, Routes};
pub use rules::RuleFinding;
pub use story::{Blame, Story};

use self::{
    client_address::client_address,
    door::{Entered, Token},
    front_desk::Errand,
};
use crate::{
    access::{Asker, Instance, OpenQuestions, SentChanges, UnknownCredential},
    audit::Journal,
};
use gatepost_base::{InstanceName, ProviderName, RoleName, TraceContext};
use gatepost_identity::{
    Bearer, Caller, MAX_REGISTRATION_BYTES, Now, Objection, ProtectedResource, Provider,
};
use gatepost_mcp::{McpHeaders, Session, Transport};
use gatepost_odoo::Effect;
use gatepost_odoo_client::Traffic;
use gatepost_policy::{Policy, WriteMode};
use gatepost_state::{limits::Limiter, store::Ledger};

/// Everything a request needs, built as one value from one configuration, so
/// that a reload swaps it whole.
#[derive(Debug, Default)]
pub struct Gateway {
    /// Which instance a request is for.
    pub routes: Routes,
    /// How callers prove who they are.
    pub door: Door,
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
    pub facade: Option<FacadeDesk>,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
    /// What is kept of all calls to Odoo. A reload carries it on.
    pub journal: Arc<Journal>,
    /// What must be remembered of changes. A reload carries it on.
    pub ledger: Arc<Ledger>,
    /// The questions that people were asked. A reload carries them on.
    pub questions: Arc<OpenQuestions>,
    /// Changes that were sent. A reload carries them on.
    pub sent: Arc<SentChanges>,
    /// How many configurations came before this one, in this process.
    pub generation: u64,
    /// How long a person may take to answer one.
    pub patience: Duration,
}

/// A request whose head was accepted: routed, its caller known. Its body may
/// be read now.
#[derive(Debug)]
pub struct Guest {
    /// Whether the client takes `text/event-stream`.
    pub takes_events: bool,
    /// Whether the client takes nothing but `text/event-stream`.
    pub only_events: bool,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
    /// The caller; none of a request to the facade.
    visitor: Option<Visitor>,
    cors: Vec<(http::HeaderName, http::HeaderValue)>,
}

/// A caller who was let in to one instance.
#[derive(Clone, Debug)]
struct Visitor {
    instance: Arc<Instance>,
    caller: Caller,
    transport: Transport,
    token: Option<Token>,
    /// What the client brought of its handshake.
    session: Option<Session>,
    /// Under which of its names the instance was called, for challenges.
    resource: Option<ProtectedResource>,
}

/// Who there is to ask, and who answers.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// The instances, or why one does not answer.
    pub instances: Vec<(InstanceName, Result<(), String>)>,
    /// The identity providers, as far as that is known.
    pub providers: Vec<(ProviderName, Result<(), String>)>,
    /// Whether the audit journal can be written, where there is one.
    pub audit: Option<Result<(), String>>,
    /// Whether changes can be remembered, where any role may make any.
    pub changes: Option<Result<(), String>>,
    /// Whether calls can be counted, where none goes on uncounted.
    pub limits: Option<Result<(), String>>,
}

/// Where the JSON-RPC notifications and questions of one call go while it runs:
/// each is one whole JSON text.
pub type Notices = mpsc::Sender<Bytes>;

impl Gateway {
    /// The same, in the place of an older one: what was used of allowances stays
    /// used, and who was asked can answer.
    #[must_use]
    pub fn after(mut self, old: &Self) -> Self {
        self.limits = self.limits.after(&old.limits);
        self.door.failures = self.door.failures.after(&old.door.failures);
        self.questions = Arc::clone(&old.questions);
        self.sent = Arc::clone(&old.sent);
        self.generation = old.generation.wrapping_add(1);
        self
    }

    /// Decides all that can be decided before the body is read.
    ///
    /// # Errors
    /// The answer to give instead; the body is not read then.
    pub async fn welcome(&self, head: Head, story: &mut Story) -> Result<Guest, Reply> {
        let cors = origin::cors(&head.headers);
        match self.admit(&head, story).await {
            Ok(Welcome::Guest(guest)) => Ok(Guest { cors, ..*guest }),
            Ok(Welcome::Preflight) => Err(origin::preflight().with_all(&cors)),
            Ok(Welcome::Document(reply)) => Err(reply.with_all(&origin::for_everybody())),
            // A page that may not call us may not read why either.
            Err(refusal @ (Refusal::Host(_) | Refusal::Origin(_) | Refusal::NoRoute)) => {
                Err(refusal.reply(None, story))
            }
            Err(refusal) => Err(refusal.reply(None, story).with_all(&cors)),
        }
    }

    async fn admit(&self, head: &Head, story: &mut Story) -> Result<Welcome, Refusal> {
        let now = Now::read();
        story.around = trace_context(&head.headers);
        let host = head.host.as_deref();
        origin::check_host(head, &self.routes)?;
        if let Some(errand) = self.errand(head) {
            return self.at_the_desk(&errand, head, now).await;
        }
        let (endpoint, resource) = self.routes.find(host, &head.path).ok_or(Refusal::NoRoute)?;
        let instance = endpoint.instance.name();
        story.instance = Some(instance.clone());
        origin::check(head, &self.routes, &self.allowed_origins)?;
        if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
            return Ok(Welcome::Preflight);
        }
        let challenge = |objection: &Objection| self.challenge(resource, objection);
        if head.token_in_query {
            return Err(Refusal::TokenInQuery(
                challenge(&Objection::InvalidRequest).into(),
            ));
        }
        let bearer = Bearer::find(&head.headers);
        let client = client_address(head.peer, &head.headers, &self.trusted_proxies);
        // Before authentication: a token costs a signature, or a question to a provider.
        if self.door.looks_at(&bearer) {
            self.limits
                .arrive(client, now.steady, &mut story.counted)
                .await?;
        }
        // Before the method: the first request of mcp-remote is a bare GET, to be challenged.
        let Entered {
            caller,
            credentials,
            token,
        } = self
            .door
            .enter(
                bearer,
                instance,
                &endpoint.admission,
                client,
                now,
                &mut story.look_up,
            )
            .await
            .map_err(|why| Refusal::of(why, challenge))?;
        story.caller = Some(caller.subject.clone());
        self.policy
            .admit(&caller.roles, instance)
            .map_err(|no_role| {
                let enough = |roles: &[RoleName]| self.policy.admit(roles, instance).is_ok();
                self.step_up(token.as_ref(), instance, resource, &no_role, enough)
                    .unwrap_or(Refusal::NoRole(no_role))
            })?;
        let caller = door::acting(caller, &credentials, &self.policy, instance)?;
        if head.method != Method::POST {
            return Err(Refusal::MethodNotAllowed("POST, OPTIONS"));
        }
        if !is_json(head) {
            return Err(Refusal::UnsupportedMedia);
        }
        let accepts = Accepts::read(head);
        if !accepts.json && !accepts.events {
            return Err(Refusal::NotAcceptable);
        }
        let transport = Transport::Http(McpHeaders::read(&head.headers)?);
        Ok(Welcome::Guest(Box::new(Guest {
            takes_events: accepts.events,
            only_events: !accepts.json,
            max_body_bytes: self.max_body_bytes,
            visitor: Some(Visitor {
                instance: Arc::clone(&endpoint.instance),
                caller,
                transport,
                token,
                session: Session::read(&head.headers),
                resource: resource.cloned(),
            }),
            cors: Vec::new(),
        })))
    }

    fn errand<'a>(&'a self, head: &Head) -> Option<Errand<'a>> {
        let resource = self.routes.metadata(head.host.as_deref(), &head.path);
        let facade = || self.facade.as_ref()?.errand(head);
        resource.map(Errand::Resource).or_else(facade)
    }

    /// What anybody may ask.
    async fn at_the_desk(
        &self,
        errand: &Errand<'_>,
        head: &Head,
        now: Now,
    ) -> Result<Welcome, Refusal> {
        if let (Errand::Register(desk), &Method::POST) = (errand, &head.method) {
            let client = client_address(head.peer, &head.headers, &self.trusted_proxies);
            desk.admit(client, now)?;
            if !is_json(head) {
                return Err(Refusal::UnsupportedMedia);
            }
            return Ok(Welcome::Guest(Box::new(Guest {
                takes_events: false,
                only_events: false,
                max_body_bytes: MAX_REGISTRATION_BYTES,
                visitor: None,
                cors: Vec::new(),
            })));
        }
        front_desk::metadata(errand, self.facade.as_ref(), head, now)
            .await
            .map(Welcome::Document)
    }

    /// The visitor anew, for a call that changes something: what let them in
    /// may be a minute old, and that is too old for it.
    async fn again(&self, guest: &Visitor, effect: Effect) -> Result<Option<Visitor>, Refusal> {
        let (Some(token), true) = (&guest.token, effect > Effect::Read) else {
            return Ok(None);
        };
        let instance = guest.instance.name();
        let Some(endpoint) = self.routes.endpoint(instance) else {
            return Ok(None);
        };
        let (granted, token) = self
            .door
            .enter_again(token, instance, &endpoint.admission, Now::read())
            .await
            .map_err(|why| {
                Refusal::of(why, |objection| {
                    self.challenge(guest.resource.as_ref(), objection)
                })
            })?;
        let caller = Caller {
            roles: granted.roles,
            ..guest.caller.clone()
        };
        let caller = door::acting(caller, &granted.credentials, &self.policy, instance)?;
        Ok(Some(Visitor {
            caller,
            token: Some(token),
            ..guest.clone()
        }))
    }

    fn sent_for_scopes(
        &self,
        guest: &Visitor,
        why: &dyn std::fmt::Display,
        enough: impl Fn(&[RoleName]) -> bool,
    ) -> Option<Refusal> {
        let resource = guest.resource.as_ref();
        self.step_up(
            guest.token.as_ref(),
            guest.instance.name(),
            resource,
            why,
            enough,
        )
    }

    /// How to get in, for `WWW-Authenticate`.
    fn challenge(&self, resource: Option<&ProtectedResource>, objection: &Objection) -> String {
        resource.map_or_else(
            || objection.bare(),
            |resource| resource.challenge(objection, self.challenge_always_error),
        )
    }

    /// The refusal that sends a token's holder for more scopes; none where no
    /// scope would help, so that nobody is sent in a circle.
    fn step_up(
        &self,
        token: Option<&Token>,
        instance: &InstanceName,
        resource: Option<&ProtectedResource>,
        why: &dyn std::fmt::Display,
        enough: impl Fn(&[RoleName]) -> bool,
    ) -> Option<Refusal> {
        let token = token.filter(|token| token.provider.steps_up())?;
        let scopes = self.door.grants.scopes_that_help(
            &token.principal,
            token.provider.name(),
            instance,
            enough,
        )?;
        let objection = Objection::InsufficientScope(scopes.into_iter().collect());
        let challenge = self.challenge(resource, &objection).into();
        Some(Refusal::InsufficientScope(why.to_string(), challenge))
    }

    /// Answers the body of an accepted request. Dropping the future cancels
    /// the work.
    pub async fn serve(
        &self,
        guest: &Guest,
        body: Bytes,
        notices: Option<Notices>,
        story: &mut Story,
    ) -> Reply {
        let reply = match (&guest.visitor, &self.facade) {
            (Some(visitor), _) => converse::answer(self, visitor, &body, notices, story).await,
            (None, Some(desk)) => {
                let registered = desk.register(&body, Now::read()).await;
                let reply = registered.unwrap_or_else(|refusal| refusal.reply(None, story));
                return reply.with_all(&origin::for_everybody());
            }
            (None, None) => Refusal::NoRoute.reply(None, story),
        };
        reply.with_all(&guest.cors)
    }

    /// A guest that came over stdin/stdout: the local user, who started us.
    /// `session` is the id that the last `initialize` was answered with, if any.
    pub fn local(&self, instance: &InstanceName, session: Option<&str>) -> Option<Guest> {
        Some(Guest {
            takes_events: true,
            only_events: false,
            max_body_bytes: self.max_body_bytes,
            visitor: Some(Visitor {
                instance: Arc::clone(self.routes.instance(instance)?),
                caller: self.door.local(&self.policy, instance),
                transport: Transport::Stdio,
                token: None,
                session: session.and_then(Session::parse),
                resource: None,
            }),
            cors: Vec::new(),
        })
    }

    /// The guest as the one whose call asks, or who answers.
    fn asker(&self, guest: &Visitor) -> Asker {
        Asker::new(&guest.caller, guest.instance.name(), self.generation)
    }

    /// Ends all calls that wait for a person, for we are about to stop.
    pub fn leave(&self) {
        self.questions.close();
    }

    /// Whether anything of this effect is open to the guest: to their roles, and
    /// to the key that their calls go out with.
    fn opens(&self, guest: &Visitor, effect: Effect) -> bool {
        let (caller, instance) = (&guest.caller, &guest.instance);
        self.policy.opens(&caller.roles, instance.name(), effect)
            && (effect.is_read() || instance.writes() > WriteMode::ReadOnly)
            && match instance.login(caller.credential.as_ref()) {
                Ok(login) => login.allow(effect).is_ok(),
                // Told by the call itself, which is refused.
                Err(UnknownCredential { .. }) => true,
            }
    }

    /// Whether any role may change anything in any instance: only then it matters
    /// whether changes can be remembered.
    pub fn may_change(&self) -> bool {
        self.routes.instances().any(|instance| {
            instance.writes() > WriteMode::ReadOnly && self.policy.opens_changes(instance.name())
        })
    }

    /// Who there is to ask and who answers, for `/readyz`.
    pub async fn readiness(&self) -> Readiness {
        let pings = self.routes.instances().map(|instance| async {
            let answer = instance.ping().await.map_err(|error| error.to_string());
            (instance.name().clone(), answer)
        });
        let now = Now::read();
        let asked = self
            .providers()
            .into_iter()
            .map(|provider| async move { (provider.name().clone(), provider.state(now).await) });
        let changes = async {
            if self.may_change() {
                Some(self.ledger.state().await.map_err(|why| why.to_string()))
            } else {
                None
            }
        };
        let (instances, providers, changes, limits) = futures_util::future::join4(
            futures_util::future::join_all(pings),
            futures_util::future::join_all(asked),
            changes,
            self.limits.state(),
        )
        .await;
        Readiness {
            instances,
            providers,
            audit: self.journal.state(),
            changes,
            limits: limits.map(|counted| counted.map_err(|why| why.to_string())),
        }
    }

    /// How busy the ways to the instances are.
    pub fn traffic(&self) -> Vec<(InstanceName, Traffic)> {
        let instances = self.routes.instances();
        instances
            .map(|instance| (instance.name().clone(), instance.traffic()))
            .collect()
    }

    /// The identity providers of all instances, each once.
    fn providers(&self) -> Vec<Arc<Provider>> {
        let mut found: Vec<Arc<Provider>> = Vec::new();
        for endpoint in self.routes.endpoints() {
            for provider in &endpoint.admission.providers {
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
    TraceContext::read(parent, state.as_deref().filter(|state| !state.is_empty()))
}

enum Welcome {
    Document(Reply),
    Guest(Box<Guest>),
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
struct Accepts {
    json: bool,
    events: bool,
}

impl Accepts {
    /// A client that does not say takes JSON: all revisions allow it for an
    /// answer of one message.
    fn read(head: &Head) -> Self {
        let mut accepts = Self {
            json: false,
            events: false,
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
                accepts.events |=
                    !refused && matches!(media.as_str(), "text/event-stream" | "text/*" | "*/*");
            }
        }
        if !said {
            accepts.json = true;
        }
        accepts
    }
}
