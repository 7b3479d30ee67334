//! The way of one request, from its head to its answer.
//!
//! The order of checks is a security property, so it is written out here as
//! plain code: route, host and origin, caller, HTTP method, content type; then
//! the body, and in it JSON-RPC, revision, method, tool.

mod converse;
mod door;
mod examination;
mod head;
mod origin;
mod refusal;
mod reply;
mod routes;
mod story;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, header};
use jiff::Timestamp;
use tokio::sync::mpsc;

pub use door::{Door, Unauthenticated};
pub use examination::Examined;
pub use head::Head;
pub use refusal::Refusal;
pub use reply::Reply;
pub use routes::Routes;
pub use story::{Blame, Story};

use crate::{
    access::{Instance, UnknownCredential},
    identity::Caller,
    mcp::{McpHeaders, Transport},
    names::InstanceName,
    odoo::Effect,
    policy::Policy,
};

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
    /// Web origins whose pages may call us.
    pub allowed_origins: Vec<String>,
    /// The largest body that may be read, in bytes.
    pub max_body_bytes: usize,
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
    instance: Arc<Instance>,
    caller: Caller,
    transport: Transport,
    cors: Vec<(http::HeaderName, http::HeaderValue)>,
}

/// Where the JSON-RPC notifications of one call go while it runs: each is one
/// whole JSON text.
pub type Notices = mpsc::Sender<Bytes>;

impl Gateway {
    /// Decides all that can be decided before the body is read.
    ///
    /// # Errors
    /// The answer to give instead; the body is not read then.
    #[expect(clippy::unused_async, reason = "introspection will wait here")]
    pub async fn welcome(&self, head: Head, story: &mut Story) -> Result<Guest, Reply> {
        let cors = origin::cors(&head.headers);
        match self.admit(&head, story) {
            Ok(Welcome::Guest(guest)) => Ok(Guest { cors, ..*guest }),
            Ok(Welcome::Preflight) => Err(origin::preflight().with_all(&cors)),
            // A page that may not call us may not read why either.
            Err(refusal @ (Refusal::Host(_) | Refusal::Origin(_) | Refusal::NoRoute)) => {
                Err(refusal.reply(None, story))
            }
            Err(refusal) => Err(refusal.reply(None, story).with_all(&cors)),
        }
    }

    fn admit(&self, head: &Head, story: &mut Story) -> Result<Welcome, Refusal> {
        let instance = self
            .routes
            .find(head.host.as_deref(), &head.path)
            .ok_or(Refusal::NoRoute)?;
        story.instance = Some(instance.name().clone());
        origin::check(head, &self.routes, &self.allowed_origins)?;
        if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
            return Ok(Welcome::Preflight);
        }
        // Before the method: the first request of mcp-remote is a bare GET, to be challenged.
        let caller = self
            .door
            .enter(&head.headers, Timestamp::now())
            .map_err(Refusal::Unauthenticated)?;
        story.caller = Some(caller.subject.clone());
        self.policy
            .admit(&caller.roles, instance.name())
            .map_err(Refusal::NoRole)?;
        // No caller has grants yet.
        let caller = door::acting(caller, &[], &self.policy, instance.name())?;
        if head.method != Method::POST {
            return Err(Refusal::MethodNotAllowed);
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
            instance: Arc::clone(instance),
            caller,
            transport,
            cors: Vec::new(),
        })))
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
        converse::answer(self, guest, &body, notices, story)
            .await
            .with_all(&guest.cors)
    }

    /// A guest that came over stdin/stdout: the local user, who started us.
    pub fn local(&self, instance: &InstanceName) -> Option<Guest> {
        Some(Guest {
            takes_events: true,
            only_events: false,
            max_body_bytes: self.max_body_bytes,
            instance: Arc::clone(self.routes.instance(instance)?),
            caller: self.door.local(&self.policy, instance),
            transport: Transport::Stdio,
            cors: Vec::new(),
        })
    }

    /// Whether anything of this effect is open to the guest: to their roles, and
    /// to the key that their calls go out with.
    fn opens(&self, guest: &Guest, effect: Effect) -> bool {
        let (caller, instance) = (&guest.caller, &guest.instance);
        self.policy.opens(&caller.roles, instance.name(), effect)
            && match instance.login(caller.credential.as_ref()) {
                Ok(login) => login.allow(effect).is_ok(),
                // Told by the call itself, which is refused.
                Err(UnknownCredential { .. }) => true,
            }
    }

    /// Which instances there are and which of them answer, for `/readyz`.
    pub async fn readiness(&self) -> Vec<(InstanceName, Result<(), String>)> {
        let pings = self.routes.instances().map(|instance| async {
            let answer = instance.ping().await.map_err(|error| error.to_string());
            (instance.name().clone(), answer)
        });
        futures_util::future::join_all(pings).await
    }
}

enum Welcome {
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
