//! The messages of a body, and the response to each.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;

use super::{
    AcceptedRequest, Gateway, HttpResponse, RequestError, ServerMessages,
    conversation::Conversation,
    request_context::{RequestContext, Target},
    tool_call::ToolOutcome,
};
use crate::{
    telemetry::RequestLog,
    tools::{self, Tool},
};
use gatepost_identity::Now;
use gatepost_mcp::{
    Batch, Body, Envelope, Inbound, Method, RequestId, ResponseBuilder, RpcRequest, Session,
    handshake, stateless,
};
use gatepost_odoo::Operation;

impl Gateway {
    /// Responds to the body of an accepted request. Dropping the future cancels
    /// the work.
    #[expect(
        clippy::same_name_method,
        reason = "the edge's `RequestHandler` has this method under the same name"
    )]
    pub async fn handle_body(
        &self,
        request: &AcceptedRequest,
        body: Bytes,
        server_messages: Option<ServerMessages>,
        log: &mut RequestLog,
    ) -> HttpResponse {
        let response = match &request.target {
            Target::Mcp(context) => {
                let mut conversation = Conversation {
                    gateway: self,
                    context,
                    server_messages,
                    log,
                };
                conversation.handle_body(&body).await
            }
            Target::Registration(facade) => {
                let registered = facade.register(&body, Now::read()).await;
                registered.unwrap_or_else(|error| error.to_response(None, log))
            }
        };
        response.with_headers(&request.cors_headers)
    }
}

impl Conversation<'_> {
    async fn handle_body(&mut self, body: &[u8]) -> HttpResponse {
        match Body::parse(body) {
            Ok(Body::Single(envelope)) => self.handle_message(envelope).await,
            Ok(Body::Batch(batch)) => self.handle_batch(&batch).await,
            Err(malformed) => RequestError::from(malformed).to_response(None, self.log),
        }
    }

    async fn handle_message(&mut self, envelope: Envelope<'_>) -> HttpResponse {
        let id = envelope.readable_id();
        let outcome = match envelope.classify(&self.context.transport) {
            Ok(Inbound::Notification { method, params }) => {
                if method == "notifications/cancelled" {
                    self.gateway.cancel_call(self.context, params);
                }
                return HttpResponse::empty(StatusCode::ACCEPTED);
            }
            Ok(Inbound::Response(response)) => {
                let answered = self.gateway.answer_elicitation(self.context, &response);
                return match answered.await {
                    Ok(()) => HttpResponse::empty(StatusCode::ACCEPTED),
                    Err(error) => error.to_response(None, self.log),
                };
            }
            Ok(Inbound::Request(request)) => {
                self.log.start_operation(&request);
                self.dispatch(&request).await
            }
            Err(malformed) => Err(malformed.into()),
        };
        let response = outcome.unwrap_or_else(|error| error.to_response(id.as_ref(), self.log));
        self.log.end_operation();
        response
    }

    /// One message after the other: a batch is one client's, which waits for all
    /// of them.
    async fn handle_batch(&mut self, batch: &Batch<'_>) -> HttpResponse {
        let messages = match batch.messages(&self.context.transport) {
            Ok(messages) => messages,
            Err(malformed) => return RequestError::from(malformed).to_response(None, self.log),
        };
        // The revision with batches has no elicitation.
        let context = RequestContext {
            session: None,
            ..self.context.clone()
        };
        let mut conversation = Conversation {
            context: &context,
            server_messages: self.server_messages.clone(),
            log: self.log,
            ..*self
        };
        let mut body = Vec::new();
        for message in messages {
            let response = match Batch::parse_one(message) {
                Ok(envelope) => conversation.handle_message(envelope).await,
                Err(malformed) => RequestError::from(malformed).to_response(None, conversation.log),
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
    async fn dispatch(&mut self, request: &RpcRequest<'_>) -> Result<HttpResponse, RequestError> {
        let (gateway, context) = (self.gateway, self.context);
        let title = format!("Odoo ({})", context.instance().name());
        let respond = ResponseBuilder {
            era: request.era(),
            title: &title,
        };
        let id: &RequestId = &request.id;
        let mut session = None;
        let written = match request.method {
            Method::Discover => {
                respond.result(id, stateless::discover(&instructions(gateway, context)))
            }
            Method::Initialize => {
                let instructions = instructions(gateway, context);
                let initialized = handshake::initialize(&request.params, &title, &instructions)?;
                self.log.revision = Some(initialized.revision.as_str());
                session = initialized
                    .supports_form_elicitation
                    .then(new_session_id)
                    .flatten();
                respond.result(id, initialized.result)
            }
            Method::Ping => respond.result(id, serde_json::json!({})),
            Method::ToolsCall => match self.call_tool(request).await? {
                ToolOutcome::Result(result) => respond.result(id, result),
                ToolOutcome::InputRequired(question) => {
                    self.log.input_required = true;
                    respond.input_required(id, &question)
                }
            },
            Method::ToolsList => {
                let cursor = request.params.cursor()?;
                let allows = |tool: &Tool| gateway.allows_tool(context, tool);
                let models = |tool: &Tool| gateway.models_of_tool(context, tool);
                let page = tools::list(allows, models, cursor.as_deref(), request.era())?;
                respond.result(id, page)
            }
        };
        let response = HttpResponse::json(StatusCode::OK, written.map_err(RequestError::Internal)?);
        Ok(match session {
            Some(id) => response.with_header(Session::HEADER, id),
            None => response,
        })
    }
}

/// The server instructions for models.
fn instructions(gateway: &Gateway, context: &RequestContext) -> String {
    let writes = [
        Operation::Create,
        Operation::Write,
        Operation::Delete,
        Operation::Call,
    ];
    let can_write = writes
        .into_iter()
        .any(|operation| gateway.allows(context, operation));
    tools::instructions(context.instance().name(), can_write, Timestamp::now())
}

/// A session id for a client that can show forms. Without randomness there is
/// none, and the client is not asked.
fn new_session_id() -> Option<HeaderValue> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).ok()?;
    let session = Session::with_form_elicitation(u128::from_ne_bytes(random));
    HeaderValue::from_str(session.as_str()).ok()
}
