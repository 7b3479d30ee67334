//! Sends an elicitation request to the client and waits for the response.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};

use super::{ElicitationError, ElicitationOwner, PendingElicitations, cross_replica};
use gatepost_mcp::{
    RequestId, Session,
    elicitation::{self, ElicitAction, ElicitationId, InputResponse},
};
use gatepost_odoo_client::CallStats;
use gatepost_state::store::StateStore;

/// The way to ask the person behind the client during one tool call.
///
/// No Odoo connection and no place in its queue is held while a person decides.
#[derive(Debug)]
pub enum Elicitation<'a> {
    /// The client cannot ask: the model gets a token with the preview, with which
    /// it confirms.
    ConfirmToken,
    /// The result of the tool is an
    /// [`ElicitRequest`](gatepost_mcp::elicitation::ElicitRequest), and the client
    /// calls again with the response, which is here.
    InputRequired(Option<InputResponse>),
    /// The tool asks while it runs, on the stream of its call.
    ServerRequest(CallStream<'a>),
}

/// The stream of one call, and what is needed to ask on it.
#[derive(Debug)]
pub struct CallStream<'a> {
    /// The channel to the client.
    pub server_messages: mpsc::Sender<Bytes>,
    /// The pending requests of this process.
    pub pending: &'a PendingElicitations,
    /// The caller who is asked.
    pub owner: ElicitationOwner,
    /// The session and id of the call, by which its client can cancel it.
    pub client_request: Option<(Session, RequestId)>,
    /// The store through which other replicas pass on responses.
    pub store: &'a Arc<StateStore>,
    /// How long a person may take to respond.
    pub timeout: Duration,
    /// The statistics that count the wait.
    pub call_stats: &'a CallStats,
}

impl CallStream<'_> {
    /// Sends a request on the stream of the call, and waits for the response.
    ///
    /// # Errors
    /// [`ElicitationError`].
    pub async fn elicit(&self, message: &str) -> Result<ElicitAction, ElicitationError> {
        let mut pending = self
            .pending
            .register(self.owner.clone(), self.client_request.clone())?;
        let _wait = self.call_stats.start_person_wait();
        let mut cancellation = CancelOnDrop {
            server_messages: &self.server_messages,
            id: Some(pending.id()),
        };
        let exchange = async {
            // Waits for room, unlike progress, because it must not be dropped.
            let request = elicitation::create_request(pending.id(), message);
            if self.server_messages.send(request).await.is_err() {
                return Err(ElicitationError::ClientDisconnected);
            }
            let id = pending.id();
            let response = tokio::select! {
                response = pending.response() => response,
                response = cross_replica::wait_for_response(self.store, id, &self.owner, self.timeout) => response,
            };
            if matches!(
                response,
                Ok(_)
                    | Err(ElicitationError::PermissionsChanged | ElicitationError::InvalidResponse)
            ) {
                cancellation.id = None;
            }
            response
        };
        timeout(self.timeout, exchange)
            .await
            .unwrap_or(Err(ElicitationError::TimedOut(self.timeout)))
    }
}

/// Cancels a request that has no response, however its call ends.
struct CancelOnDrop<'a> {
    server_messages: &'a mpsc::Sender<Bytes>,
    id: Option<ElicitationId>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _full_or_gone = self
                .server_messages
                .try_send(elicitation::cancelled_notification(id));
        }
    }
}
