//! The messages of a body, and the response to each.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

use super::{
    error_response::RequestError,
    request_context::{AcceptedRequest, RequestContext, Target},
    response::HttpResponse,
    service::{Gateway, ServerMessages},
    tool_call::{ToolOutcome, call_tool},
};
use crate::{telemetry::RequestLog, tools};
use gatepost_identity::Now;
use gatepost_mcp::{
    Batch, Body, Envelope, Inbound, Method, Request, RequestId, ResponseBuilder, Session,
    handshake, stateless,
};
use gatepost_odoo::Operation;

impl Gateway {
    /// Responds to the body of an accepted request. Dropping the future cancels
    /// the work.
    pub async fn handle_body(
        &self,
        request: &AcceptedRequest,
        body: Bytes,
        server_messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> HttpResponse {
        let response = match &request.target {
            Target::Mcp(context) => {
                self.handle_messages(context, &body, server_messages, log)
                    .await
            }
            Target::Registration(facade) => {
                let registered = facade.register(&body, Now::read()).await;
                registered.unwrap_or_else(|error| error.to_response(None, log))
            }
        };
        response.with_headers(&request.cors_headers)
    }

    async fn handle_messages(
        &self,
        context: &RequestContext,
        body: &[u8],
        server_messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> HttpResponse {
        match Body::parse(body) {
            Ok(Body::Single(envelope)) => {
                self.handle_message(context, envelope, server_messages, log)
                    .await
            }
            Ok(Body::Batch(batch)) => {
                self.handle_batch(context, &batch, server_messages, log)
                    .await
            }
            Err(malformed) => RequestError::from(malformed).to_response(None, log),
        }
    }

    async fn handle_message(
        &self,
        context: &RequestContext,
        envelope: Envelope<'_>,
        server_messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> HttpResponse {
        let id = envelope.readable_id();
        let outcome = match envelope.classify(&context.transport) {
            Ok(Inbound::Notification { method, params }) => {
                if method == "notifications/cancelled" {
                    self.cancel_call(context, params);
                }
                return HttpResponse::empty(StatusCode::ACCEPTED);
            }
            Ok(Inbound::Response(response)) => {
                return match self.answer_elicitation(context, &response).await {
                    Ok(()) => HttpResponse::empty(StatusCode::ACCEPTED),
                    Err(error) => error.to_response(None, log),
                };
            }
            Ok(Inbound::Request(request)) => {
                log.start_operation(&request);
                self.dispatch(context, &request, server_messages, log).await
            }
            Err(malformed) => Err(malformed.into()),
        };
        let response = outcome.unwrap_or_else(|error| error.to_response(id.as_ref(), log));
        log.end_operation();
        response
    }

    /// One message after the other: a batch is one client's, which waits for all
    /// of them.
    async fn handle_batch(
        &self,
        context: &RequestContext,
        batch: &Batch<'_>,
        server_messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> HttpResponse {
        let messages = match batch.messages(&context.transport) {
            Ok(messages) => messages,
            Err(malformed) => return RequestError::from(malformed).to_response(None, log),
        };
        // The revision with batches has no elicitation.
        let context = RequestContext {
            session: None,
            ..context.clone()
        };
        let mut body = Vec::new();
        for message in messages {
            let response = match Batch::parse_one(message) {
                Ok(envelope) => {
                    self.handle_message(&context, envelope, server_messages.clone(), log)
                        .await
                }
                Err(malformed) => RequestError::from(malformed).to_response(None, log),
            };
            if !response.body.is_empty() {
                body.push(if body.is_empty() { b'[' } else { b',' });
                body.extend_from_slice(&response.body);
            }
        }
        if body.is_empty() {
            return HttpResponse::empty(StatusCode::ACCEPTED);
        }
        body.push(b']');
        HttpResponse::json(StatusCode::OK, body.into())
    }

    /// Responds to one request. A new MCP method is an arm here.
    async fn dispatch(
        &self,
        context: &RequestContext,
        request: &Request<'_>,
        server_messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> Result<HttpResponse, RequestError> {
        let title = format!("Odoo ({})", context.instance().name());
        let respond = ResponseBuilder {
            era: request.era(),
            title: &title,
        };
        let id: &RequestId = &request.id;
        let mut session = None;
        let written = match request.method {
            Method::Discover => {
                respond.result(id, stateless::discover(&self.instructions(context)))
            }
            Method::Initialize => {
                let instructions = self.instructions(context);
                let initialized = handshake::initialize(&request.params, &title, &instructions)?;
                log.revision = Some(initialized.revision.as_str());
                session = initialized
                    .supports_form_elicitation
                    .then(new_session_id)
                    .flatten();
                respond.result(id, initialized.result)
            }
            Method::Ping => respond.result(id, serde_json::json!({})),
            Method::ToolsCall => {
                match call_tool(self, context, request, server_messages, log).await? {
                    ToolOutcome::Result(result) => respond.result(id, result),
                    ToolOutcome::InputRequired(question) => {
                        log.input_required = true;
                        respond.input_required(id, &question)
                    }
                }
            }
            Method::ToolsList => {
                let cursor = request.params.cursor()?;
                let allows = |operation| self.allows(context, operation);
                let page = tools::list(allows, cursor.as_deref(), request.era())?;
                respond.result(id, page)
            }
        };
        let response = HttpResponse::json(StatusCode::OK, written.map_err(RequestError::Internal)?);
        Ok(match session {
            Some(id) => response.with_header(Session::HEADER, id),
            None => response,
        })
    }

    /// The text that tells a model about the whole server.
    fn instructions(&self, context: &RequestContext) -> String {
        let writes = [
            Operation::Create,
            Operation::Write,
            Operation::Delete,
            Operation::Call,
        ];
        let can_write = writes
            .into_iter()
            .any(|operation| self.allows(context, operation));
        tools::instructions(context.instance().name(), can_write)
    }
}

/// A session id for a client that can show forms. Without randomness there is
/// none, and the client is not asked.
fn new_session_id() -> Option<HeaderValue> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).ok()?;
    let session = Session::with_form_elicitation(u128::from_ne_bytes(random));
    HeaderValue::from_str(session.as_str()).ok()
}
