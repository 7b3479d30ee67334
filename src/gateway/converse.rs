//! One conversation: the messages of a body, and what is answered to each.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::value::RawValue;
use tracing::warn;

use super::{Blame, Failure, Gateway, Notices, Refusal, Reply, Story, Visitor};
use crate::{
    access::{
        self, Access, Asks, CallStream, Delivery, Denied, Listener, Tally, Unasked, WayToAsk,
    },
    audit::{Client, Trail},
    tools::{self, Answer},
};
use gatepost_base::RoleName;
use gatepost_identity::Caller;
use gatepost_mcp::{
    Batch, Body, Envelope, Era, Inbound, Malformed, Method, Params, Request, RequestId, Respond,
    Session,
    content::ToolResult,
    elicitation::{Consent, Question, Response},
    handshake, stateless,
};
use gatepost_odoo::Effect;
use gatepost_state::limits::{Limited, Limiter};

/// Answers a body: one message, or a batch of them.
pub(super) async fn answer(
    gateway: &Gateway,
    guest: &Visitor,
    body: &[u8],
    notices: Option<Notices>,
    story: &mut Story,
) -> Reply {
    match Body::parse(body) {
        Ok(Body::Single(envelope)) => one(gateway, guest, envelope, notices, story).await,
        Ok(Body::Batch(batch)) => several(gateway, guest, &batch, notices, story).await,
        Err(malformed) => Refusal::from(malformed).reply(None, story),
    }
}

async fn one(
    gateway: &Gateway,
    guest: &Visitor,
    envelope: Envelope<'_>,
    notices: Option<Notices>,
    story: &mut Story,
) -> Reply {
    let id = envelope.readable_id();
    let outcome = match envelope.understand(&guest.transport) {
        Ok(Inbound::Notification { method, params }) => {
            if method == "notifications/cancelled" {
                take_back(gateway, guest, params);
            }
            return Reply::empty(StatusCode::ACCEPTED);
        }
        Ok(Inbound::Response(response)) => {
            return match answered(gateway, guest, &response).await {
                Ok(()) => Reply::empty(StatusCode::ACCEPTED),
                Err(refusal) => refusal.reply(None, story),
            };
        }
        Ok(Inbound::Request(request)) => {
            story.begin(&request);
            request_answer(gateway, guest, &request, notices, story).await
        }
        Err(malformed) => Err(malformed.into()),
    };
    let reply = outcome.unwrap_or_else(|refusal| refusal.reply(id.as_ref(), story));
    story.end();
    reply
}

/// One after the other: a batch is one client's, and it waits for all of them.
async fn several(
    gateway: &Gateway,
    guest: &Visitor,
    batch: &Batch<'_>,
    notices: Option<Notices>,
    story: &mut Story,
) -> Reply {
    let messages = match batch.messages(&guest.transport) {
        Ok(messages) => messages,
        Err(malformed) => return Refusal::from(malformed).reply(None, story),
    };
    // Its revision has no elicitation: nobody is asked.
    let guest = Visitor {
        session: None,
        ..guest.clone()
    };
    let mut answers: Vec<Bytes> = Vec::with_capacity(messages.len());
    for message in messages {
        let reply = match Batch::parse_one(message) {
            Ok(envelope) => one(gateway, &guest, envelope, notices.clone(), story).await,
            Err(malformed) => Refusal::from(malformed).reply(None, story),
        };
        if !reply.body.is_empty() {
            answers.push(reply.body);
        }
    }
    if answers.is_empty() {
        return Reply::empty(StatusCode::ACCEPTED);
    }
    let mut body =
        Vec::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
    for (index, answer) in answers.iter().enumerate() {
        body.push(if index == 0 { b'[' } else { b',' });
        body.extend_from_slice(answer);
    }
    body.push(b']');
    Reply::json(StatusCode::OK, body.into())
}

async fn request_answer(
    gateway: &Gateway,
    guest: &Visitor,
    request: &Request<'_>,
    notices: Option<Notices>,
    story: &mut Story,
) -> Result<Reply, Refusal> {
    let title = format!("Odoo ({})", guest.instance.name());
    let respond = Respond {
        era: request.era(),
        title: &title,
    };
    let instructions = || {
        let changing = [Effect::Create, Effect::Write, Effect::Delete, Effect::Run];
        let changes = changing.iter().any(|effect| gateway.opens(guest, *effect));
        tools::instructions(guest.instance.name(), changes)
    };
    let id: &RequestId = &request.id;
    let mut session = None;
    let written = match request.method {
        Method::Discover => respond.result(id, stateless::discover(&instructions())),
        Method::Initialize => {
            let initialized = handshake::initialize(&request.params, &title, &instructions())?;
            story.revision = Some(initialized.revision.as_str());
            session = initialized.takes_forms.then(new_session).flatten();
            respond.result(id, initialized.result)
        }
        Method::Ping => respond.result(id, serde_json::json!({})),
        Method::ToolsCall => match call(gateway, guest, request, notices, story).await? {
            Called::Result(result) => respond.result(id, result),
            Called::Question(question) => {
                story.asked = true;
                respond.question(id, &question)
            }
        },
        Method::ToolsList => {
            let cursor = request.params.cursor()?;
            let opens = |effect| gateway.opens(guest, effect);
            let page = tools::list(opens, cursor.as_deref(), request.era())?;
            respond.result(id, page)
        }
    };
    let reply = Reply::json(StatusCode::OK, written.map_err(Refusal::Internal)?);
    Ok(match session {
        Some(id) => reply.with(Session::HEADER, id),
        None => reply,
    })
}

/// The id for a client whose person can be asked. Without one they cannot, and
/// nothing else is lost.
fn new_session() -> Option<HeaderValue> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).ok()?;
    let session = Session::with_forms(u128::from_ne_bytes(random));
    HeaderValue::from_str(session.as_str()).ok()
}

/// Gives a person's answer to the call that waits for it. Whatever else a
/// client responds to is nothing that we asked, and no mistake worth an error.
async fn answered(
    gateway: &Gateway,
    guest: &Visitor,
    response: &Response<'_>,
) -> Result<(), Refusal> {
    let mut asker = gateway.asker(guest);
    let Some(id) = response.id else {
        return Ok(());
    };
    let here = gateway.questions.awaits(id, &asker);
    if !here && !access::is_awaited(&gateway.ledger, id, &asker).await {
        // It is late, or of somebody else.
        return Ok(());
    }
    let consent = response.outcome.ok().and_then(Consent::of);
    // With a yes the call goes on to change something, minutes after its caller
    // was let in: that counts as if it came now.
    if consent == Some(Consent::Accepted)
        && let Some(again) = gateway.again(guest, Effect::Write).await?
    {
        asker = gateway.asker(&again);
    }
    if !here {
        if let Err(error) = access::leave(&gateway.ledger, id, &asker, consent).await {
            warn!(error = %error, "Failed to hand a person's answer to another replica");
        }
        return Ok(());
    }
    let answer = consent.ok_or(Unasked::Unanswered);
    match gateway.questions.answer(id, &asker, answer) {
        Delivery::Delivered | Delivery::NotTheirs | Delivery::Unknown => Ok(()),
    }
}

/// Ends a call that waits for a person, if the client does not want it any more.
fn take_back(gateway: &Gateway, guest: &Visitor, params: Option<&RawValue>) {
    let request = Params::parse(params)
        .ok()
        .and_then(|params| params.taken_back());
    if let (Some(session), Some(request)) = (&guest.session, request) {
        let asker = gateway.asker(guest);
        gateway.questions.take_back(&asker, session, &request);
    }
}

/// What a tool call is answered with.
enum Called {
    Question(Question),
    Result(ToolResult),
}

async fn call(
    gateway: &Gateway,
    guest: &Visitor,
    request: &Request<'_>,
    notices: Option<Notices>,
    story: &mut Story,
) -> Result<Called, Refusal> {
    let given = match request.era() {
        Era::Handshake => None,
        Era::Stateless => request.params.given_consent()?,
    };
    let name = request.params.tool_name()?;
    let unknown = || Refusal::UnknownTool(name.chars().take(80).collect());
    let tool = tools::find(&name).ok_or_else(unknown)?;
    let again = gateway.again(guest, tool.effect).await?;
    let guest = again.as_ref().unwrap_or(guest);
    if !gateway.opens(guest, tool.effect) {
        let enough = |roles: &[RoleName]| {
            let instance = guest.instance.name();
            gateway.policy.opens(roles, instance, tool.effect)
        };
        return Err(gateway
            .sent_for_scopes(guest, &unknown(), enough)
            .unwrap_or_else(unknown));
    }
    let tally = story.begin_call(tool.name);
    // Only calls that reach Odoo count for their caller. A client that may not
    // even initialize drops the whole server, and listing costs next to nothing.
    let limited = gateway
        .limits
        .call(
            &guest.caller,
            guest.instance.name(),
            tool.class,
            tool.hands_out_records(),
            Instant::now(),
            &mut story.counted,
        )
        .await;
    if let Err(limited) = limited {
        return Ok(Called::Result(told_to_wait(&limited, story)));
    }
    let client = Client {
        id: guest
            .token
            .as_ref()
            .and_then(|token| token.principal.client_id.clone()),
        name: request.params.client_name(),
    };
    let trail = Trail::new(&gateway.journal, story.request_id, client, tool.name);
    // Also when the client hangs up and this future is dropped.
    let told = Telling {
        story,
        tally: &tally,
        limits: &gateway.limits,
        caller: &guest.caller,
        trail: &trail,
    };
    let asks = if tool.effect.is_read() {
        // What changes nothing needs nobody's consent.
        Asks::by_id()
    } else {
        match (request.era(), &guest.session, &notices) {
            (Era::Stateless, _, _) if request.params.takes_forms() => Asks::by_result(given),
            (Era::Handshake, Some(session), Some(notices)) => Asks::on_stream(CallStream {
                notices: notices.clone(),
                questions: &gateway.questions,
                asker: gateway.asker(guest),
                call: Some((session.clone(), request.id.clone())),
                ledger: &gateway.ledger,
                patience: gateway.patience,
                tally: &tally,
            }),
            (Era::Stateless | Era::Handshake, _, _) => Asks::by_id(),
        }
    };
    let listener = request
        .params
        .progress_token()
        .zip(notices)
        .map(|(token, notices)| Listener::new(token, notices));
    let access = Access {
        instance: &guest.instance,
        policy: &gateway.policy,
        caller: &guest.caller,
        tally: &tally,
        trail: &trail,
        listener,
        asks,
        ledger: &gateway.ledger,
        sent: &gateway.sent,
    };
    let arguments = request.params.arguments.map_or("{}", |raw| raw.get());
    let result = match (tool.run)(&access, arguments).await {
        // A client that cannot ask must not be sent a question.
        Ok(Answer::Asks(_)) if access.asks.way() != WayToAsk::ByResult => {
            Err(Denied::from(Unasked::NoWay).into())
        }
        result => result,
    };
    if let Err(tools::ToolError::Denied(denied)) = &result {
        access.note_refusal(denied, arguments);
    }
    match result {
        Ok(Answer::Text(text)) => Ok(Called::Result(ToolResult::answer(text))),
        Ok(Answer::Asks(question)) => Ok(Called::Question(question)),
        Err(tools::ToolError::Denied(denied @ Denied::ForeignState)) => {
            Err(Malformed::Params(denied.to_string()).into())
        }
        Err(tools::ToolError::Denied(Denied::Forbidden(why)))
            if let Some(refusal) = gateway.sent_for_scopes(guest, &why, |roles| {
                gateway
                    .policy
                    .would_allow(roles, guest.instance.name(), &why)
            }) =>
        {
            Err(refusal)
        }
        Err(error) => {
            told.story.blame = Some(blame(&error));
            told.story.refusal = Some(error.kind());
            told.story.error = error.secret();
            told.story.fail(Failure::Tool);
            Ok(Called::Result(ToolResult::failure(error.to_string())))
        }
    }
}

/// For the model, and with HTTP status 200: clients make any other an error of
/// the connection, of which the model reads nothing.
fn told_to_wait(limited: &Limited, story: &mut Story) -> ToolResult {
    story.blame = Some(match limited {
        Limited::Exceeded { .. } => Blame::Client,
        Limited::Uncounted { .. } => Blame::Storage,
    });
    story.refusal = Some(limited.kind());
    story.fail(Failure::Tool);
    ToolResult::failure(limited.to_string())
}

fn blame(error: &tools::ToolError) -> Blame {
    match error.fault_of() {
        tools::FaultOf::Client => Blame::Client,
        tools::FaultOf::Odoo => Blame::Odoo,
        tools::FaultOf::Policy => Blame::Policy,
        tools::FaultOf::Storage => Blame::Storage,
        tools::FaultOf::Us => Blame::Us,
    }
}

/// Copies the tally into the story and into the caller's budget when the call
/// is over, however it ends.
struct Telling<'a> {
    story: &'a mut Story,
    tally: &'a Tally,
    limits: &'a Limiter,
    caller: &'a Caller,
    trail: &'a Trail,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.story.end_call(self.tally);
        let (rows, bytes) = (self.tally.rows(), self.tally.bytes());
        self.limits.read(self.caller, rows, bytes, Instant::now());
        self.story.audit_failures += self.trail.failures();
    }
}
