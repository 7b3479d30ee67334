//! One conversation: the messages of a body, and what is answered to each.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde_json::value::RawValue;
use tracing::warn;

use super::{Gateway, HttpResponse, RequestContext, RequestError, ServerMessages};
use crate::telemetry::{ErrorSource, RequestLog, RpcErrorType};
use crate::{
    access::{OdooSession, OperationError, ProgressReporter},
    audit::{Client, RequestAudit},
    elicitation,
    elicitation::{CallStream, Delivery, Elicitation, ElicitationError, ElicitationMode},
    tools::{self, ToolOutput},
};
use gatepost_base::RoleName;
use gatepost_identity::Caller;
use gatepost_mcp::{
    Batch, Body, Envelope, Inbound, Method, Params, ProtocolEra, ProtocolError, Request, RequestId,
    ResponseBuilder, Session,
    content::ToolResult,
    elicitation::{ElicitAction, ElicitRequest, ElicitationResponse},
    handshake, stateless,
};
use gatepost_odoo::Operation;
use gatepost_odoo_client::CallStats;
use gatepost_state::limits::{Limiter, RateLimited};

/// Answers a body: one message, or a batch of them.
pub(super) async fn handle_body(
    gateway: &Gateway,
    guest: &RequestContext,
    body: &[u8],
    notices: Option<ServerMessages>,
    story: &mut RequestLog,
) -> HttpResponse {
    match Body::parse(body) {
        Ok(Body::Single(envelope)) => {
            handle_message(gateway, guest, envelope, notices, story).await
        }
        Ok(Body::Batch(batch)) => handle_batch(gateway, guest, &batch, notices, story).await,
        Err(malformed) => RequestError::from(malformed).to_response(None, story),
    }
}

async fn handle_message(
    gateway: &Gateway,
    guest: &RequestContext,
    envelope: Envelope<'_>,
    notices: Option<ServerMessages>,
    story: &mut RequestLog,
) -> HttpResponse {
    let id = envelope.readable_id();
    let outcome = match envelope.classify(&guest.transport) {
        Ok(Inbound::Notification { method, params }) => {
            if method == "notifications/cancelled" {
                cancel(gateway, guest, params);
            }
            return HttpResponse::empty(StatusCode::ACCEPTED);
        }
        Ok(Inbound::Response(response)) => {
            return match answer_elicitation(gateway, guest, &response).await {
                Ok(()) => HttpResponse::empty(StatusCode::ACCEPTED),
                Err(refusal) => refusal.to_response(None, story),
            };
        }
        Ok(Inbound::Request(request)) => {
            story.start_operation(&request);
            dispatch(gateway, guest, &request, notices, story).await
        }
        Err(malformed) => Err(malformed.into()),
    };
    let reply = outcome.unwrap_or_else(|refusal| refusal.to_response(id.as_ref(), story));
    story.end_operation();
    reply
}

/// One after the other: a batch is one client's, and it waits for all of them.
async fn handle_batch(
    gateway: &Gateway,
    guest: &RequestContext,
    batch: &Batch<'_>,
    notices: Option<ServerMessages>,
    story: &mut RequestLog,
) -> HttpResponse {
    let messages = match batch.messages(&guest.transport) {
        Ok(messages) => messages,
        Err(malformed) => return RequestError::from(malformed).to_response(None, story),
    };
    // Its revision has no elicitation: nobody is asked.
    let guest = RequestContext {
        session: None,
        ..guest.clone()
    };
    let mut answers: Vec<Bytes> = Vec::with_capacity(messages.len());
    for message in messages {
        let reply = match Batch::parse_one(message) {
            Ok(envelope) => handle_message(gateway, &guest, envelope, notices.clone(), story).await,
            Err(malformed) => RequestError::from(malformed).to_response(None, story),
        };
        if !reply.body.is_empty() {
            answers.push(reply.body);
        }
    }
    if answers.is_empty() {
        return HttpResponse::empty(StatusCode::ACCEPTED);
    }
    let mut body =
        Vec::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
    for (index, answer) in answers.iter().enumerate() {
        body.push(if index == 0 { b'[' } else { b',' });
        body.extend_from_slice(answer);
    }
    body.push(b']');
    HttpResponse::json(StatusCode::OK, body.into())
}

async fn dispatch(
    gateway: &Gateway,
    guest: &RequestContext,
    request: &Request<'_>,
    notices: Option<ServerMessages>,
    story: &mut RequestLog,
) -> Result<HttpResponse, RequestError> {
    let title = format!("Odoo ({})", guest.instance.name());
    let respond = ResponseBuilder {
        era: request.era(),
        title: &title,
    };
    let instructions = || {
        let changing = [
            Operation::Create,
            Operation::Write,
            Operation::Delete,
            Operation::Call,
        ];
        let changes = changing.iter().any(|effect| gateway.allows(guest, *effect));
        tools::instructions(guest.instance.name(), changes)
    };
    let id: &RequestId = &request.id;
    let mut session = None;
    let written = match request.method {
        Method::Discover => respond.result(id, stateless::discover(&instructions())),
        Method::Initialize => {
            let initialized = handshake::initialize(&request.params, &title, &instructions())?;
            story.revision = Some(initialized.revision.as_str());
            session = initialized
                .supports_form_elicitation
                .then(new_session_id)
                .flatten();
            respond.result(id, initialized.result)
        }
        Method::Ping => respond.result(id, serde_json::json!({})),
        Method::ToolsCall => match call_tool(gateway, guest, request, notices, story).await? {
            ToolOutcome::Result(result) => respond.result(id, result),
            ToolOutcome::InputRequired(question) => {
                story.input_required = true;
                respond.input_required(id, &question)
            }
        },
        Method::ToolsList => {
            let cursor = request.params.cursor()?;
            let opens = |effect| gateway.allows(guest, effect);
            let page = tools::list(opens, cursor.as_deref(), request.era())?;
            respond.result(id, page)
        }
    };
    let reply = HttpResponse::json(StatusCode::OK, written.map_err(RequestError::Internal)?);
    Ok(match session {
        Some(id) => reply.with_header(Session::HEADER, id),
        None => reply,
    })
}

/// The id for a client whose person can be asked. Without one they cannot, and
/// nothing else is lost.
fn new_session_id() -> Option<HeaderValue> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).ok()?;
    let session = Session::with_form_elicitation(u128::from_ne_bytes(random));
    HeaderValue::from_str(session.as_str()).ok()
}

/// Gives a person's answer to the call that waits for it. Whatever else a
/// client responds to is nothing that we asked, and no mistake worth an error.
async fn answer_elicitation(
    gateway: &Gateway,
    guest: &RequestContext,
    response: &ElicitationResponse<'_>,
) -> Result<(), RequestError> {
    let mut asker = gateway.elicitation_owner(guest);
    let Some(id) = response.id else {
        return Ok(());
    };
    let here = gateway.pending_elicitations.is_pending(id, &asker);
    if !here && !elicitation::is_pending(&gateway.state_store, id, &asker).await {
        // It is late, or of somebody else.
        return Ok(());
    }
    let consent = response.result.ok().and_then(ElicitAction::from_result);
    // With a yes the call goes on to change something, minutes after its caller
    // was let in: that counts as if it came now.
    if consent == Some(ElicitAction::Accepted)
        && let Some(again) = gateway
            .reauthenticate_for_write(guest, Operation::Write)
            .await?
    {
        asker = gateway.elicitation_owner(&again);
    }
    if !here {
        if let Err(error) =
            elicitation::post_response(&gateway.state_store, id, &asker, consent).await
        {
            warn!(error = %error, "Failed to hand a person's answer to another replica");
        }
        return Ok(());
    }
    let answer = consent.ok_or(ElicitationError::InvalidResponse);
    match gateway.pending_elicitations.deliver(id, &asker, answer) {
        Delivery::Delivered | Delivery::WrongOwner | Delivery::NotPending => Ok(()),
    }
}

/// Ends a call that waits for a person, if the client does not want it any more.
fn cancel(gateway: &Gateway, guest: &RequestContext, params: Option<&RawValue>) {
    let request = Params::parse(params)
        .ok()
        .and_then(|params| params.cancelled_request());
    if let (Some(session), Some(request)) = (&guest.session, request) {
        let asker = gateway.elicitation_owner(guest);
        gateway
            .pending_elicitations
            .cancel(&asker, session, &request);
    }
}

/// What a tool call is answered with.
enum ToolOutcome {
    InputRequired(ElicitRequest),
    Result(ToolResult),
}

async fn call_tool(
    gateway: &Gateway,
    guest: &RequestContext,
    request: &Request<'_>,
    notices: Option<ServerMessages>,
    story: &mut RequestLog,
) -> Result<ToolOutcome, RequestError> {
    let given = match request.era() {
        ProtocolEra::Handshake => None,
        ProtocolEra::Stateless => request.params.input_response()?,
    };
    let name = request.params.tool_name()?;
    let unknown = || RequestError::UnknownTool(name.chars().take(80).collect());
    let tool = tools::find(&name).ok_or_else(unknown)?;
    let again = gateway
        .reauthenticate_for_write(guest, tool.operation)
        .await?;
    let guest = again.as_ref().unwrap_or(guest);
    if !gateway.allows(guest, tool.operation) {
        let enough = |roles: &[RoleName]| {
            let instance = guest.instance.name();
            gateway.policy.allows_any(roles, instance, tool.operation)
        };
        return Err(gateway
            .insufficient_scope(guest, &unknown(), enough)
            .unwrap_or_else(unknown));
    }
    let tally = story.start_tool_call(tool.name);
    // Only calls that reach Odoo count for their caller. A client that may not
    // even initialize drops the whole server, and listing costs next to nothing.
    let limited = gateway
        .limits
        .check_call(
            &guest.caller,
            guest.instance.name(),
            tool.rate_class(),
            tool.returns_records,
            Instant::now(),
            &mut story.rate_limit_checks,
        )
        .await;
    if let Err(limited) = limited {
        return Ok(ToolOutcome::Result(rate_limited_result(&limited, story)));
    }
    let client = Client {
        id: guest
            .token
            .as_ref()
            .and_then(|token| token.principal.client_id.clone()),
        name: request.params.client_name(),
    };
    let trail = RequestAudit::new(&gateway.journal, story.request_id, client, tool.name);
    // Also when the client hangs up and this future is dropped.
    let told = CallAccounting {
        story,
        tally: &tally,
        limits: &gateway.limits,
        caller: &guest.caller,
        trail: &trail,
    };
    let asks = if tool.operation.is_read() {
        // What changes nothing needs nobody's consent.
        Elicitation::confirm_token()
    } else {
        match (request.era(), &guest.session, &notices) {
            (ProtocolEra::Stateless, _, _) if request.params.supports_form_elicitation() => {
                Elicitation::input_required(given)
            }
            (ProtocolEra::Handshake, Some(session), Some(notices)) => {
                Elicitation::server_request(CallStream {
                    server_messages: notices.clone(),
                    pending: &gateway.pending_elicitations,
                    owner: gateway.elicitation_owner(guest),
                    client_request: Some((session.clone(), request.id.clone())),
                    store: &gateway.state_store,
                    timeout: gateway.elicitation_timeout,
                    call_stats: &tally,
                })
            }
            (ProtocolEra::Stateless | ProtocolEra::Handshake, _, _) => Elicitation::confirm_token(),
        }
    };
    let listener = request
        .params
        .progress_token()
        .zip(notices)
        .map(|(token, notices)| ProgressReporter::new(token, notices));
    let access = OdooSession {
        instance: &guest.instance,
        policy: &gateway.policy,
        caller: &guest.caller,
        call_stats: &tally,
        audit: &trail,
        progress: listener,
        elicitation: asks,
        store: &gateway.state_store,
        in_flight_writes: &gateway.in_flight_writes,
    };
    let arguments = request.params.arguments.map_or("{}", |raw| raw.get());
    let result = match tool.run(&access, arguments).await {
        // A client that cannot ask must not be sent a question.
        Ok(ToolOutput::InputRequired(_))
            if access.elicitation.mode() != ElicitationMode::InputRequired =>
        {
            Err(OperationError::from(ElicitationError::Unsupported).into())
        }
        result => result,
    };
    if let Err(tools::ToolError::Operation(denied)) = &result {
        access.audit_denial(denied, arguments);
    }
    match result {
        Ok(ToolOutput::Text(text)) => Ok(ToolOutcome::Result(ToolResult::success(text))),
        Ok(ToolOutput::InputRequired(question)) => Ok(ToolOutcome::InputRequired(question)),
        Err(tools::ToolError::Operation(denied @ OperationError::InvalidRequestState)) => {
            Err(ProtocolError::InvalidParams(denied.to_string()).into())
        }
        Err(tools::ToolError::Operation(OperationError::Forbidden(why)))
            if let Some(refusal) = gateway.insufficient_scope(guest, &why, |roles| {
                gateway
                    .policy
                    .would_allow(roles, guest.instance.name(), &why)
            }) =>
        {
            Err(refusal)
        }
        Err(error) => {
            told.story.error_source = Some(error.error_source());
            told.story.error_type = Some(error.operation_error_kind());
            told.story.error_detail = error.cause_chain();
            told.story.set_error(RpcErrorType::Tool);
            Ok(ToolOutcome::Result(ToolResult::error(error.to_string())))
        }
    }
}

/// For the model, and with HTTP status 200: clients make any other an error of
/// the connection, of which the model reads nothing.
fn rate_limited_result(limited: &RateLimited, story: &mut RequestLog) -> ToolResult {
    story.error_source = Some(match limited {
        RateLimited::Exceeded { .. } => ErrorSource::Client,
        RateLimited::LimiterUnavailable { .. } => ErrorSource::Storage,
    });
    story.error_type = Some(limited.kind());
    story.set_error(RpcErrorType::Tool);
    ToolResult::error(limited.to_string())
}

/// Copies the tally into the story and into the caller's budget when the call
/// is over, however it ends.
struct CallAccounting<'a> {
    story: &'a mut RequestLog,
    tally: &'a CallStats,
    limits: &'a Limiter,
    caller: &'a Caller,
    trail: &'a RequestAudit,
}

impl Drop for CallAccounting<'_> {
    fn drop(&mut self) {
        self.story.end_tool_call(self.tally);
        let (rows, bytes) = (self.tally.rows(), self.tally.bytes());
        self.limits
            .charge_read(self.caller, rows, bytes, Instant::now());
        self.story.audit_failures += self.trail.lost_records();
    }
}
