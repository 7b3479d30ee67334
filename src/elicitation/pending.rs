//! The questions that people were asked on the streams of their calls, and
//! have not answered yet.
//!
//! The answer comes as a request of its own, on another connection. Here it
//! finds the call that waits, and only one of the same caller and instance.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::ElicitationError;
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_identity::Caller;
use gatepost_mcp::{
    RequestId, Session,
    elicitation::{ElicitAction, ElicitationId},
};

/// Questions that wait at once.
const MAX_PENDING: usize = 1024;

/// Those of one caller: more than a person answers, and fewer than the calls
/// that run at once over stdin, which would wait for each other else.
const MAX_PENDING_PER_CALLER: usize = 8;

/// The questions of one process that wait for an answer.
#[derive(Debug, Default)]
pub struct PendingElicitations(Mutex<PendingTable>);

/// Whose call it is that asks, or who answers.
#[derive(Clone, Debug)]
pub struct ElicitationOwner {
    caller: Caller,
    instance: InstanceName,
    /// Of the configuration that says what the caller may do.
    config_generation: u64,
}

/// What became of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// The call that asked goes on with it.
    Delivered,
    /// Another caller was asked, or the same one in another instance.
    WrongOwner,
    /// Nobody in this process waits for it.
    NotPending,
}

/// A question that waits; it is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct PendingElicitation<'a> {
    registry: &'a PendingElicitations,
    id: ElicitationId,
    response: oneshot::Receiver<Result<ElicitAction, ElicitationError>>,
}

#[derive(Debug, Default)]
struct PendingTable {
    pending: HashMap<ElicitationId, PendingCall>,
    closed: bool,
}

#[derive(Debug)]
struct PendingCall {
    owner: ElicitationOwner,
    /// The call that asks, as its client knows it.
    client_request: Option<(Session, RequestId)>,
    response_sender: oneshot::Sender<Result<ElicitAction, ElicitationError>>,
}

impl PendingElicitations {
    /// Opens a question.
    ///
    /// # Errors
    /// [`Unasked::Busy`], [`Unasked::Leaving`], [`Unasked::NoRandomness`].
    pub(crate) fn register(
        &self,
        asker: ElicitationOwner,
        call: Option<(Session, RequestId)>,
    ) -> Result<PendingElicitation<'_>, ElicitationError> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(ElicitationError::NoEntropy)?;
        let id = ElicitationId::new(u128::from_ne_bytes(random));
        let (tell, told) = oneshot::channel();
        let mut table = self.lock();
        if table.closed {
            return Err(ElicitationError::ShuttingDown);
        }
        // Linear; there are a thousand at most, and people are slow.
        let of_one = table
            .pending
            .values()
            .filter(|one| one.owner.is_same_caller(&asker));
        if table.pending.len() >= MAX_PENDING || of_one.count() >= MAX_PENDING_PER_CALLER {
            return Err(ElicitationError::TooManyPending);
        }
        table.pending.insert(
            id,
            PendingCall {
                owner: asker,
                client_request: call,
                response_sender: tell,
            },
        );
        Ok(PendingElicitation {
            registry: self,
            id,
            response: told,
        })
    }

    /// Whether a call of this asker waits for the answer to a question.
    pub fn is_pending(&self, id: ElicitationId, asker: &ElicitationOwner) -> bool {
        let table = self.lock();
        let waiting = table.pending.get(&id);
        waiting.is_some_and(|waiting| waiting.owner.is_same_caller(asker))
    }

    /// Gives an answer to the call that waits for it, once. A yes is none when
    /// the caller may do something else by now ([`Unasked::Changed`]): the call
    /// would go on with what they might when it began. An answer to what
    /// nobody here waits for changes nothing: it came late, is somebody else's,
    /// or is for another replica ([`Delivery::Unknown`]).
    pub fn deliver(
        &self,
        id: ElicitationId,
        asker: &ElicitationOwner,
        answer: Result<ElicitAction, ElicitationError>,
    ) -> Delivery {
        let mut table = self.lock();
        let waiting = match table.pending.get(&id) {
            None => return Delivery::NotPending,
            Some(waiting) if !waiting.owner.is_same_caller(asker) => return Delivery::WrongOwner,
            Some(_) => table.pending.remove(&id),
        };
        drop(table);
        let tell = |waiting: PendingCall| {
            let answer = match answer {
                Ok(ElicitAction::Accepted) if !waiting.owner.has_same_permissions(asker) => {
                    Err(ElicitationError::PermissionsChanged)
                }
                answer => answer,
            };
            waiting.response_sender.send(answer)
        };
        match waiting.map(tell) {
            Some(Ok(())) => Delivery::Delivered,
            // It has just given up.
            Some(Err(_)) | None => Delivery::NotPending,
        }
    }

    /// Takes a call back that waits for an answer, if its client says so.
    pub fn cancel(&self, asker: &ElicitationOwner, session: &Session, request: &RequestId) {
        let mut table = self.lock();
        let of_it = |waiting: &PendingCall| {
            waiting.owner.is_same_caller(asker)
                && waiting
                    .client_request
                    .as_ref()
                    .is_some_and(|(own, call)| own == session && call == request)
        };
        let taken: Vec<PendingCall> = table
            .pending
            .extract_if(|_, waiting| of_it(waiting))
            .map(|(_, waiting)| waiting)
            .collect();
        drop(table);
        for waiting in taken {
            // It has given up by itself.
            drop(
                waiting
                    .response_sender
                    .send(Err(ElicitationError::Cancelled)),
            );
        }
    }

    /// Ends all calls that wait, and lets no other wait: nobody would be there
    /// to take the answer.
    pub fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        let waiting = std::mem::take(&mut table.pending);
        drop(table);
        for waiting in waiting.into_values() {
            drop(
                waiting
                    .response_sender
                    .send(Err(ElicitationError::ShuttingDown)),
            );
        }
    }

    /// How many wait.
    pub fn pending_count(&self) -> usize {
        self.lock().pending.len()
    }

    fn lock(&self) -> MutexGuard<'_, PendingTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ElicitationOwner {
    /// A caller in an instance, under the configuration of this generation.
    pub fn new(caller: &Caller, instance: &InstanceName, config_generation: u64) -> Self {
        Self {
            caller: caller.clone(),
            instance: instance.clone(),
            config_generation,
        }
    }

    /// Whether it is the same caller in the same instance, whatever they may do.
    fn is_same_caller(&self, other: &Self) -> bool {
        let (one, other_one) = (&self.caller, &other.caller);
        one.kind == other_one.kind
            && one.subject == other_one.subject
            && one.issuer == other_one.issuer
            && self.instance == other.instance
    }

    fn has_same_permissions(&self, other: &Self) -> bool {
        self.has_permissions(&other.caller.roles, other.caller.credential.as_ref())
            && self.config_generation == other.config_generation
    }

    /// Whether these are the roles and the credential of the asker.
    pub(crate) fn has_permissions(
        &self,
        roles: &[RoleName],
        credential: Option<&CredentialName>,
    ) -> bool {
        self.caller.roles == roles && self.caller.credential.as_ref() == credential
    }

    /// The roles and the credential of the asker.
    pub(crate) fn permissions(&self) -> (&[RoleName], Option<&CredentialName>) {
        (&self.caller.roles, self.caller.credential.as_ref())
    }

    /// What tells the asker from all others.
    pub(crate) fn identity_parts(&self) -> [&str; 4] {
        [
            self.instance.as_str(),
            &self.caller.issuer,
            self.caller.kind.as_str(),
            self.caller.subject.as_str(),
        ]
    }
}

impl PendingElicitation<'_> {
    pub(crate) fn id(&self) -> ElicitationId {
        self.id
    }

    /// What is answered.
    ///
    /// # Errors
    /// [`Unasked`].
    pub(crate) async fn response(&mut self) -> Result<ElicitAction, ElicitationError> {
        // It is told when the table lets go of it; should it not, nobody can answer.
        (&mut self.response)
            .await
            .unwrap_or(Err(ElicitationError::ShuttingDown))
    }
}

impl Drop for PendingElicitation<'_> {
    fn drop(&mut self) {
        drop(self.registry.lock().pending.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Delivery, ElicitationError, ElicitationOwner, MAX_PENDING_PER_CALLER, PendingElicitation,
        PendingElicitations,
    };
    use gatepost_base::{CredentialName, InstanceName, RoleName, Subject};
    use gatepost_identity::{Caller, CallerKind};
    use gatepost_mcp::{
        RequestId, Session,
        elicitation::{ElicitAction, ElicitationId},
    };

    fn owner(subject: &str, instance: &str) -> ElicitationOwner {
        let caller = Caller {
            issuer: "gatepost".to_owned(),
            kind: CallerKind::ApiKey,
            subject: Subject::verified(subject),
            name: None,
            roles: Vec::new(),
            credential: None,
        };
        ElicitationOwner::new(&caller, &InstanceName::try_from(instance).unwrap(), 0)
    }

    fn ada() -> ElicitationOwner {
        owner("ada", "production")
    }

    fn open(questions: &PendingElicitations) -> PendingElicitation<'_> {
        questions.register(ada(), None).unwrap()
    }

    #[tokio::test]
    async fn response_is_delivered_to_its_call_only_once() {
        let questions = PendingElicitations::default();
        let (mut one, mut other) = (open(&questions), open(&questions));
        let answer = |id, consent| questions.deliver(id, &ada(), Ok(consent));
        assert_eq!(
            answer(other.id(), ElicitAction::Declined),
            Delivery::Delivered
        );
        assert_eq!(
            answer(one.id(), ElicitAction::Accepted),
            Delivery::Delivered
        );
        assert_eq!(
            answer(one.id(), ElicitAction::Declined),
            Delivery::NotPending
        );
        assert_eq!(one.response().await.unwrap(), ElicitAction::Accepted);
        assert_eq!(other.response().await.unwrap(), ElicitAction::Declined);
    }

    #[tokio::test]
    async fn response_of_another_caller_or_instance_is_ignored() {
        let questions = PendingElicitations::default();
        let mut question = open(&questions);
        let id = question.id();
        let another = |change: fn(&mut Caller)| {
            let mut other = ada();
            change(&mut other.caller);
            other
        };
        for other in [
            owner("bob", "production"),
            owner("ada", "staging"),
            another(|caller| caller.kind = CallerKind::Stdio),
            another(|caller| "https://idp.example".clone_into(&mut caller.issuer)),
        ] {
            assert!(!questions.is_pending(id, &other));
            let delivery = questions.deliver(id, &other, Ok(ElicitAction::Accepted));
            assert_eq!(delivery, Delivery::WrongOwner, "{other:?}");
        }
        assert!(questions.is_pending(id, &ada()));
        questions.deliver(id, &ada(), Ok(ElicitAction::Declined));
        assert_eq!(question.response().await.unwrap(), ElicitAction::Declined);
    }

    #[tokio::test]
    async fn acceptance_after_a_permission_change_fails_but_a_decline_counts() {
        let changes: [fn(&mut ElicitationOwner); 3] = [
            |asker| asker.config_generation += 1,
            |asker| asker.caller.roles = vec![RoleName::try_from("other").unwrap()],
            |asker| asker.caller.credential = CredentialName::try_from("sales").ok(),
        ];
        for change in changes {
            let questions = PendingElicitations::default();
            let mut now = ada();
            change(&mut now);
            let mut question = open(&questions);
            questions.deliver(question.id(), &now, Ok(ElicitAction::Accepted));
            let told = question.response().await;
            assert!(
                matches!(told, Err(ElicitationError::PermissionsChanged)),
                "{told:?}"
            );
            let mut question = open(&questions);
            questions.deliver(question.id(), &now, Ok(ElicitAction::Declined));
            assert_eq!(question.response().await.unwrap(), ElicitAction::Declined);
        }
    }

    #[test]
    fn dropped_elicitation_is_no_longer_pending() {
        let questions = PendingElicitations::default();
        let question = open(&questions);
        let id = question.id();
        assert_eq!(questions.pending_count(), 1);
        drop(question);
        assert_eq!(questions.pending_count(), 0);
        let late = questions.deliver(id, &ada(), Ok(ElicitAction::Accepted));
        assert_eq!(late, Delivery::NotPending);
    }

    #[test]
    fn pending_elicitations_are_limited_per_caller() {
        let questions = PendingElicitations::default();
        let _all: Vec<_> = (0..MAX_PENDING_PER_CALLER)
            .map(|_| open(&questions))
            .collect();
        let more = questions.register(ada(), None);
        assert!(
            matches!(more, Err(ElicitationError::TooManyPending)),
            "{more:?}"
        );
        let other = questions.register(owner("bob", "production"), None);
        assert!(other.is_ok(), "{other:?}");
    }

    #[test]
    fn pending_elicitations_are_limited_in_total() {
        let questions = PendingElicitations::default();
        let open = |n: usize| questions.register(owner(&format!("c{}", n / 8), "production"), None);
        let all: Vec<_> = (0..1024).map(|n| open(n).unwrap()).collect();
        let more = open(5000);
        assert!(
            matches!(more, Err(ElicitationError::TooManyPending)),
            "{more:?}"
        );
        drop(all);
        assert_eq!(questions.pending_count(), 0);
    }

    #[tokio::test]
    async fn only_the_session_that_made_the_call_cancels_it() {
        let questions = PendingElicitations::default();
        let (session, other) = (
            Session::with_form_elicitation(1),
            Session::with_form_elicitation(2),
        );
        let call = RequestId::Number(7);
        let mut question = questions
            .register(ada(), Some((session.clone(), call.clone())))
            .unwrap();
        questions.cancel(&ada(), &other, &call);
        questions.cancel(&ada(), &session, &RequestId::Number(8));
        questions.cancel(&owner("bob", "production"), &session, &call);
        assert!(questions.is_pending(question.id(), &ada()));
        questions.cancel(&ada(), &session, &call);
        let told = question.response().await;
        assert!(matches!(told, Err(ElicitationError::Cancelled)), "{told:?}");
    }

    #[tokio::test]
    async fn closing_ends_pending_elicitations_and_rejects_new_ones() {
        let questions = PendingElicitations::default();
        let mut question = open(&questions);
        questions.close();
        let told = question.response().await;
        assert!(
            matches!(told, Err(ElicitationError::ShuttingDown)),
            "{told:?}"
        );
        let more = questions.register(ada(), None);
        assert!(
            matches!(more, Err(ElicitationError::ShuttingDown)),
            "{more:?}"
        );
        assert_eq!(questions.pending_count(), 0);
    }

    #[test]
    fn unexpected_responses_leave_no_state() {
        let questions = PendingElicitations::default();
        let question = open(&questions);
        for n in 0..10_000 {
            let told = questions.deliver(ElicitationId::new(n), &ada(), Ok(ElicitAction::Accepted));
            assert_eq!(told, Delivery::NotPending);
        }
        assert_eq!(questions.pending_count(), 1);
        drop(question);
    }
}
