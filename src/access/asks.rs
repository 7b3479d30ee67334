//! Asking the person behind the client.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};

use super::{Asker, OpenQuestions, Tally, elsewhere};
use gatepost_mcp::{
    RequestId, Session,
    elicitation::{self, Consent, GivenConsent, QuestionId},
};
use gatepost_state::store::Ledger;

/// How the person behind the client can be asked, for one tool call.
///
/// Nothing of Odoo's is held while a question is open: no turn, no connection.
#[derive(Debug)]
pub struct Asks<'a>(Means<'a>);

/// The ways to ask a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WayToAsk {
    /// The tool's answer is a [`Question`](gatepost_mcp::elicitation::Question), and the client
    /// calls again with what the person said ([`Asks::given`]).
    ByResult,
    /// The tool asks while it runs ([`Asks::ask`]).
    OnStream,
    /// The client cannot ask: the model is told how to confirm.
    ById,
}

#[derive(Debug)]
enum Means<'a> {
    ByResult(Option<GivenConsent>),
    OnStream(CallStream<'a>),
    ById,
}

/// The stream of one call, and what it takes to ask on it.
#[derive(Debug)]
pub struct CallStream<'a> {
    /// Where messages to the client go.
    pub notices: mpsc::Sender<Bytes>,
    /// Where the answer is waited for.
    pub questions: &'a OpenQuestions,
    /// Who is asked.
    pub asker: Asker,
    /// The call, as its client knows it.
    pub call: Option<(Session, RequestId)>,
    /// Where other replicas leave answers that come to them.
    pub ledger: &'a Arc<Ledger>,
    /// How long a person may think.
    pub patience: Duration,
    /// Where the wait is counted.
    pub tally: &'a Tally,
}

/// Why a person was not asked, or did not answer. `Display` is for the model.
#[derive(Debug, thiserror::Error)]
pub enum Unasked {
    /// Too many questions are open.
    #[error(
        "not done, for the user must agree and has too many questions open already; call again when some are answered"
    )]
    Busy,
    /// What the caller may do was changed meanwhile, or the configuration was.
    #[error(
        "not done, for what the user may do was changed while they were asked; call again, and they are asked again"
    )]
    Changed,
    /// The client does not listen any more.
    #[error("not done, for the user must agree and the client left before they could be asked")]
    Gone,
    /// We are about to stop.
    #[error(
        "not done, for the user must agree and the gateway is restarting; call again in a minute, and they are asked again"
    )]
    Leaving,
    /// The question can get no id that nobody guesses.
    #[error("not done, for the user must agree and could not be asked: internal error")]
    NoRandomness(#[source] getrandom::Error),
    /// The client cannot be asked in the middle of a call.
    #[error("not done, for the user must agree and this client cannot ask them")]
    NoWay,
    /// The client took the call back.
    #[error("not done, for the call was taken back while the user was asked")]
    TakenBack,
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
    Unanswered,
}

impl<'a> Asks<'a> {
    /// A client that cannot ask.
    pub fn by_id() -> Self {
        Self(Means::ById)
    }

    /// A client that asks when it is given a question for an answer, and what
    /// it brings of an earlier one.
    pub fn by_result(given: Option<GivenConsent>) -> Self {
        Self(Means::ByResult(given))
    }

    /// A client that can be asked on the stream of its call.
    pub fn on_stream(stream: CallStream<'a>) -> Self {
        Self(Means::OnStream(stream))
    }

    /// How to ask.
    pub fn way(&self) -> WayToAsk {
        match self.0 {
            Means::ByResult(_) => WayToAsk::ByResult,
            Means::OnStream(_) => WayToAsk::OnStream,
            Means::ById => WayToAsk::ById,
        }
    }

    /// What the call brings of an earlier one that was answered with a question.
    pub fn given(&self) -> Option<&GivenConsent> {
        match &self.0 {
            Means::ByResult(given) => given.as_ref(),
            Means::OnStream(_) | Means::ById => None,
        }
    }

    /// Asks on the stream of the call, and waits for what the person says.
    ///
    /// # Errors
    /// [`Unasked`]; [`Unasked::NoWay`] where that is not the way.
    pub async fn ask(&self, message: &str) -> Result<Consent, Unasked> {
        match &self.0 {
            Means::OnStream(stream) => stream.ask(message).await,
            Means::ByResult(_) | Means::ById => Err(Unasked::NoWay),
        }
    }
}

impl CallStream<'_> {
    async fn ask(&self, message: &str) -> Result<Consent, Unasked> {
        let mut question = self.questions.open(self.asker.clone(), self.call.clone())?;
        let _wait = self.tally.wait_for_person();
        let mut withdrawal = Withdrawal {
            notices: &self.notices,
            id: Some(question.id()),
        };
        let asked = async {
            // Not as news of progress: it may not be dropped.
            let request = elicitation::request(question.id(), message);
            if self.notices.send(request).await.is_err() {
                return Err(Unasked::Gone);
            }
            let id = question.id();
            let told = tokio::select! {
                told = question.told() => told,
                told = elsewhere::wait(self.ledger, id, &self.asker, self.patience) => told,
            };
            if matches!(told, Ok(_) | Err(Unasked::Changed | Unasked::Unanswered)) {
                withdrawal.id = None;
            }
            told
        };
        timeout(self.patience, asked)
            .await
            .unwrap_or(Err(Unasked::TimedOut(self.patience)))
    }
}

/// Takes a question back that was not answered, however its call ends.
struct Withdrawal<'a> {
    notices: &'a mpsc::Sender<Bytes>,
    id: Option<QuestionId>,
}

impl Drop for Withdrawal<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _full_or_gone = self.notices.try_send(elicitation::withdrawal(id));
        }
    }
}

impl Unasked {
    /// The word for it in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Busy => "unasked_busy",
            Self::Changed => "unasked_changed",
            Self::Gone => "unasked_gone",
            Self::Leaving => "unasked_leaving",
            Self::NoRandomness(_) => "unasked_no_randomness",
            Self::NoWay => "unasked_no_way",
            Self::TakenBack => "unasked_taken_back",
            Self::TimedOut(_) => "unasked_timed_out",
            Self::Unanswered => "unasked_unanswered",
        }
    }
}
