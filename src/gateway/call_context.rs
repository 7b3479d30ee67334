//! One call to Odoo on behalf of a caller: the steps before and after it that
//! do not depend on what is called.

use std::{borrow::Cow, time::Instant};

use super::{
    Gateway, RequestError, ServerMessages, conversation::Conversation,
    request_context::RequestContext,
};
use crate::{
    access::{OdooSession, ProgressReporter},
    audit::{Client, RequestAudit},
    elicitation::{CallStream, Elicitation},
    telemetry::RequestLog,
};
use gatepost_base::{RoleName, TraceId};
use gatepost_mcp::{ProtocolEra, RpcRequest, elicitation::InputResponse};
use gatepost_odoo::Operation;
use gatepost_odoo_client::CallStats;
use gatepost_policy::Forbidden;
use gatepost_state::limits::{RateLimited, ToolClass};

/// One call to Odoo: who makes it, and how its client can be reached.
pub(super) struct CallContext<'a> {
    gateway: &'a Gateway,
    request: &'a RpcRequest<'a>,
    /// As authenticated now, if the call writes.
    caller: Cow<'a, RequestContext>,
    operation: Operation,
    server_messages: Option<ServerMessages>,
}

impl<'a> CallContext<'a> {
    /// A call whose most powerful operation is `operation`. The caller of a write
    /// is authenticated again.
    pub(super) async fn reauthenticate(
        conversation: &Conversation<'a>,
        request: &'a RpcRequest<'a>,
        operation: Operation,
    ) -> Result<Self, RequestError> {
        let (gateway, context) = (conversation.gateway, conversation.context);
        let current = gateway.reauthenticate_for_write(context, operation).await?;
        Ok(Self {
            gateway,
            request,
            caller: current.map_or(Cow::Borrowed(context), Cow::Owned),
            operation,
            server_messages: conversation.server_messages.clone(),
        })
    }

    /// Checks that the caller may do the operation on anything. Otherwise the
    /// result is `unknown`, as if there were nothing to call, or the error that
    /// asks the client to request more scopes.
    pub(super) fn authorize(&self, unknown: impl Fn() -> RequestError) -> Result<(), RequestError> {
        if self.gateway.allows(&self.caller, self.operation) {
            return Ok(());
        }
        let instance = self.caller.instance().name();
        let is_enough = |roles: &[RoleName]| {
            let policy = &self.gateway.policy;
            policy.allows_any(roles, instance, self.operation)
        };
        Err(self
            .insufficient_scope(&unknown(), is_enough)
            .unwrap_or_else(unknown))
    }

    /// Charges the caller's limits. Only calls that reach Odoo count: a client
    /// that may not even initialize drops the whole server, and listing tools
    /// costs almost nothing.
    pub(super) async fn charge_limits(
        &self,
        class: ToolClass,
        returns_records: bool,
        log: &mut RequestLog,
    ) -> Result<(), RateLimited> {
        self.gateway
            .limits
            .check_call(
                &self.caller.caller,
                self.caller.instance().name(),
                class,
                returns_records,
                Instant::now(),
                &mut log.rate_limit_checks,
            )
            .await
    }

    /// The audit of the call under this tool name.
    pub(super) fn audit(&self, request_id: TraceId, tool: &'static str) -> RequestAudit {
        let token = self.caller.token.as_ref();
        let client = Client {
            id: token.and_then(|token| token.principal.client_id.clone()),
            name: self.request.params.client_name(),
        };
        RequestAudit::new(&self.gateway.journal, request_id, client, tool)
    }

    /// The session in which the call reaches Odoo.
    pub(super) fn odoo_session(
        &'a self,
        input_response: Option<InputResponse>,
        call_stats: &'a CallStats,
        audit: &'a RequestAudit,
    ) -> OdooSession<'a> {
        let messages = self.server_messages.clone();
        let token = self.request.params.progress_token();
        OdooSession {
            progress: token
                .zip(messages)
                .map(|(token, messages)| ProgressReporter::new(token, messages)),
            elicitation: self.elicitation(input_response, call_stats),
            ..self.gateway.odoo_session(
                self.caller.instance(),
                &self.gateway.policy,
                &self.caller.caller,
                call_stats,
                audit,
            )
        }
    }

    /// The error that asks the client to request more scopes after policy forbade part
    /// of the call; `None` if no scope would help.
    pub(super) fn scopes_for(&self, forbidden: &Forbidden) -> Option<RequestError> {
        let instance = self.caller.instance().name();
        self.insufficient_scope(forbidden, |roles| {
            self.gateway.policy.would_allow(roles, instance, forbidden)
        })
    }

    fn insufficient_scope(
        &self,
        why: &dyn std::fmt::Display,
        is_enough: impl Fn(&[RoleName]) -> bool,
    ) -> Option<RequestError> {
        let (route, token) = (&self.caller.route, self.caller.token.as_ref());
        self.gateway
            .insufficient_scope(route, token, why, is_enough)
    }

    /// How the person behind the client can be asked. A read needs no approval.
    fn elicitation(
        &'a self,
        input_response: Option<InputResponse>,
        call_stats: &'a CallStats,
    ) -> Elicitation<'a> {
        if self.operation.is_read() {
            return Elicitation::ConfirmToken;
        }
        let (session, messages) = (&self.caller.session, &self.server_messages);
        match (self.request.era(), session, messages) {
            (ProtocolEra::Stateless, _, _) if self.request.params.supports_form_elicitation() => {
                Elicitation::InputRequired(input_response)
            }
            (ProtocolEra::Handshake, Some(session), Some(messages)) => {
                Elicitation::ServerRequest(CallStream {
                    server_messages: messages.clone(),
                    pending: &self.gateway.pending_elicitations,
                    owner: self.gateway.elicitation_owner(&self.caller),
                    client_request: Some((session.clone(), self.request.id.clone())),
                    store: &self.gateway.state_store,
                    timeout: self.gateway.elicitation_timeout,
                    call_stats,
                })
            }
            (ProtocolEra::Handshake | ProtocolEra::Stateless, _, _) => Elicitation::ConfirmToken,
        }
    }
}

/// Adds what a call cost to the request log and to the caller's read budget when
/// it is dropped, also if the client disconnects and the call never ends.
pub(super) struct CallAccounting<'a> {
    pub(super) call: &'a CallContext<'a>,
    pub(super) log: &'a mut RequestLog,
    pub(super) stats: &'a CallStats,
    pub(super) audit: &'a RequestAudit,
}

impl Drop for CallAccounting<'_> {
    fn drop(&mut self) {
        self.log.end_tool_call(self.stats);
        let (rows, bytes) = (self.stats.rows(), self.stats.bytes());
        let caller = &self.call.caller.caller;
        let limits = &self.call.gateway.limits;
        limits.charge_read(caller, rows, bytes, Instant::now());
        self.log.audit_failures += self.audit.lost_records();
    }
}
