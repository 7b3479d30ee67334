//! Asking the person behind the client.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};

use super::{ElicitationOwner, PendingElicitations, cross_replica};
use gatepost_mcp::{
    RequestId, Session,
    elicitation::{self, ElicitAction, ElicitationId, InputResponse},
};
use gatepost_odoo_client::CallStats;
use gatepost_state::store::StateStore;

/// How the person behind the client can be asked, for one tool call.
///
/// Nothing of Odoo's is held while a question is open: no turn, no connection.
#[derive(Debug)]
pub struct Elicitation<'a>(ElicitationChannel<'a>);

/// The ways to ask a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ElicitationMode {
    /// The tool's answer is a [`Question`](gatepost_mcp::elicitation::Question), and the client
    /// calls again with what the person said ([`Asks::given`]).
    InputRequired,
    /// The tool asks while it runs ([`Asks::ask`]).
    ServerRequest,
    /// The client cannot ask: the model is told how to confirm.
    ConfirmToken,
}

#[derive(Debug)]
enum ElicitationChannel<'a> {
    InputRequired(Option<InputResponse>),
    ServerRequest(CallStream<'a>),
    ConfirmToken,
}

/// The stream of one call, and what it takes to ask on it.
#[derive(Debug)]
pub struct CallStream<'a> {
    /// Where messages to the client go.
    pub server_messages: mpsc::Sender<Bytes>,
    /// Where the answer is waited for.
    pub pending: &'a PendingElicitations,
    /// Who is asked.
    pub owner: ElicitationOwner,
    /// The call, as its client knows it.
    pub client_request: Option<(Session, RequestId)>,
    /// Where other replicas leave answers that come to them.
    pub store: &'a Arc<StateStore>,
    /// How long a person may think.
    pub timeout: Duration,
    /// Where the wait is counted.
    pub call_stats: &'a CallStats,
}

/// Why a person was not asked, or did not answer. `Display` is for the model.
#[derive(Debug, thiserror::Error)]
pub enum ElicitationError {
    /// Too many questions are open.
    #[error(
        "not done, for the user must agree and has too many questions open already; call again when some are answered"
    )]
    TooManyPending,
    /// What the caller may do was changed meanwhile, or the configuration was.
    #[error(
        "not done, for what the user may do was changed while they were asked; call again, and they are asked again"
    )]
    PermissionsChanged,
    /// The client does not listen any more.
    #[error("not done, for the user must agree and the client left before they could be asked")]
    ClientDisconnected,
    /// We are about to stop.
    #[error(
        "not done, for the user must agree and the gateway is restarting; call again in a minute, and they are asked again"
    )]
    ShuttingDown,
    /// The question can get no id that nobody guesses.
    #[error("not done, for the user must agree and could not be asked: internal error")]
    NoEntropy(#[source] getrandom::Error),
    /// The client cannot be asked in the middle of a call.
    #[error("not done, for the user must agree and this client cannot ask them")]
    Unsupported,
    /// The client took the call back.
    #[error("not done, for the call was taken back while the user was asked")]
    Cancelled,
    /// Nobody answered in time.
    #[error(
        "not done, for the user must agree and did not answer within {} seconds; tell them what you want to do, and call again when they are there",
        .0.as_secs()
    )]
    TimedOut(Duration),
    /// The client answered with an error, or with nothing that is an answer.
    #[error(
        "not done, for the user must agree and the client did not ask them, though it says that it can; calling again will not help, ask the user to do it in Odoo or from another client"
    )]
    InvalidResponse,
}

impl<'a> Elicitation<'a> {
    /// A client that cannot ask.
    pub fn confirm_token() -> Self {
        Self(ElicitationChannel::ConfirmToken)
    }

    /// A client that asks when it is given a question for an answer, and what
    /// it brings of an earlier one.
    pub fn input_required(given: Option<InputResponse>) -> Self {
        Self(ElicitationChannel::InputRequired(given))
    }

    /// A client that can be asked on the stream of its call.
    pub fn server_request(stream: CallStream<'a>) -> Self {
        Self(ElicitationChannel::ServerRequest(stream))
    }

    /// How to ask.
    pub fn mode(&self) -> ElicitationMode {
        match self.0 {
            ElicitationChannel::InputRequired(_) => ElicitationMode::InputRequired,
            ElicitationChannel::ServerRequest(_) => ElicitationMode::ServerRequest,
            ElicitationChannel::ConfirmToken => ElicitationMode::ConfirmToken,
        }
    }

    /// What the call brings of an earlier one that was answered with a question.
    pub fn input_response(&self) -> Option<&InputResponse> {
        match &self.0 {
            ElicitationChannel::InputRequired(given) => given.as_ref(),
            ElicitationChannel::ServerRequest(_) | ElicitationChannel::ConfirmToken => None,
        }
    }

    /// Asks on the stream of the call, and waits for what the person says.
    ///
    /// # Errors
    /// [`Unasked`]; [`Unasked::NoWay`] where that is not the way.
    pub async fn elicit(&self, message: &str) -> Result<ElicitAction, ElicitationError> {
        match &self.0 {
            ElicitationChannel::ServerRequest(stream) => stream.elicit(message).await,
            ElicitationChannel::InputRequired(_) | ElicitationChannel::ConfirmToken => {
                Err(ElicitationError::Unsupported)
            }
        }
    }
}

impl CallStream<'_> {
    async fn elicit(&self, message: &str) -> Result<ElicitAction, ElicitationError> {
        let mut question = self
            .pending
            .register(self.owner.clone(), self.client_request.clone())?;
        let _wait = self.call_stats.start_person_wait();
        let mut withdrawal = CancelOnDrop {
            server_messages: &self.server_messages,
            id: Some(question.id()),
        };
        let asked = async {
            // Not as news of progress: it may not be dropped.
            let request = elicitation::create_request(question.id(), message);
            if self.server_messages.send(request).await.is_err() {
                return Err(ElicitationError::ClientDisconnected);
            }
            let id = question.id();
            let told = tokio::select! {
                told = question.response() => told,
                told = cross_replica::wait_for_response(self.store, id, &self.owner, self.timeout) => told,
            };
            if matches!(
                told,
                Ok(_)
                    | Err(ElicitationError::PermissionsChanged | ElicitationError::InvalidResponse)
            ) {
                withdrawal.id = None;
            }
            told
        };
        timeout(self.timeout, asked)
            .await
            .unwrap_or(Err(ElicitationError::TimedOut(self.timeout)))
    }
}

/// Takes a question back that was not answered, however its call ends.
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

impl ElicitationError {
    /// The word for it in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooManyPending => "unasked_busy",
            Self::PermissionsChanged => "unasked_changed",
            Self::ClientDisconnected => "unasked_gone",
            Self::ShuttingDown => "unasked_leaving",
            Self::NoEntropy(_) => "unasked_no_randomness",
            Self::Unsupported => "unasked_no_way",
            Self::Cancelled => "unasked_taken_back",
            Self::TimedOut(_) => "unasked_timed_out",
            Self::InvalidResponse => "unasked_unanswered",
        }
    }
}
