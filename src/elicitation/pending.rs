//! Elicitation requests that were sent on the stream of a call and have no
//! response yet.
//!
//! The response arrives as a request of its own on another connection. It is
//! delivered to the waiting call only if caller and instance are the same.

use std::{collections::HashMap, sync::Mutex};

use tokio::sync::oneshot;

use super::ElicitationError;
use gatepost_base::{CredentialName, InstanceName, RoleName, sync::lock};
use gatepost_identity::Caller;
use gatepost_mcp::{
    RequestId, Session,
    elicitation::{ElicitAction, ElicitationId},
};

/// The maximum number of pending requests.
const MAX_PENDING: usize = 1024;

/// The maximum of one caller: more than a person answers, and fewer than the
/// calls that run at once over stdin, which would otherwise wait for each other.
const MAX_PENDING_PER_CALLER: usize = 8;

/// The pending elicitation requests of this process.
#[derive(Debug, Default)]
pub struct PendingElicitations(Mutex<PendingTable>);

/// The caller and instance of a waiting call or of a response.
#[derive(Clone, Debug)]
pub struct ElicitationOwner {
    caller: Caller,
    instance: InstanceName,
    /// The generation of the configuration that defines the permissions.
    config_generation: u64,
}

/// What happened to a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// The waiting call got it.
    Delivered,
    /// No call in this process waits for it.
    NotPending,
    /// Another caller was asked, or the same caller in another instance.
    WrongOwner,
}

/// A pending request; dropping it removes it from the table.
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
    /// The session and id of the call, by which its client can cancel it.
    client_request: Option<(Session, RequestId)>,
    response_sender: oneshot::Sender<Result<ElicitAction, ElicitationError>>,
}

impl PendingElicitations {
    /// Registers a request.
    ///
    /// # Errors
    /// [`ElicitationError::NoEntropy`], [`ElicitationError::ShuttingDown`],
    /// [`ElicitationError::TooManyPending`].
    pub(crate) fn register(
        &self,
        owner: ElicitationOwner,
        call: Option<(Session, RequestId)>,
    ) -> Result<PendingElicitation<'_>, ElicitationError> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(ElicitationError::NoEntropy)?;
        let id = ElicitationId::new(u128::from_ne_bytes(random));
        let (response_sender, response) = oneshot::channel();
        let mut table = lock(&self.0);
        if table.closed {
            return Err(ElicitationError::ShuttingDown);
        }
        // Linear; there are at most a thousand, and people are slow.
        let of_owner = table
            .pending
            .values()
            .filter(|one| one.owner.is_same_caller(&owner));
        if table.pending.len() >= MAX_PENDING || of_owner.count() >= MAX_PENDING_PER_CALLER {
            return Err(ElicitationError::TooManyPending);
        }
        table.pending.insert(
            id,
            PendingCall {
                owner,
                client_request: call,
                response_sender,
            },
        );
        Ok(PendingElicitation {
            registry: self,
            id,
            response,
        })
    }

    /// Returns whether a call of this owner waits for the response.
    pub fn is_pending(&self, id: ElicitationId, owner: &ElicitationOwner) -> bool {
        let table = lock(&self.0);
        let waiting = table.pending.get(&id);
        waiting.is_some_and(|waiting| waiting.owner.is_same_caller(owner))
    }

    /// Delivers a response to the waiting call, once. An acceptance fails with
    /// [`ElicitationError::PermissionsChanged`] if the caller's permissions have
    /// changed, because the call continues with those it began with. A response
    /// that no call of this owner waits for changes nothing: it is late, belongs
    /// to another caller or to another replica.
    pub fn deliver(
        &self,
        id: ElicitationId,
        owner: &ElicitationOwner,
        answer: Result<ElicitAction, ElicitationError>,
    ) -> Delivery {
        let mut table = lock(&self.0);
        let waiting = match table.pending.get(&id) {
            None => return Delivery::NotPending,
            Some(waiting) if !waiting.owner.is_same_caller(owner) => return Delivery::WrongOwner,
            Some(_) => table.pending.remove(&id),
        };
        drop(table);
        let send = |waiting: PendingCall| {
            let answer = match answer {
                Ok(ElicitAction::Accepted) if !waiting.owner.has_same_permissions(owner) => {
                    Err(ElicitationError::PermissionsChanged)
                }
                answer => answer,
            };
            waiting.response_sender.send(answer)
        };
        match waiting.map(send) {
            Some(Ok(())) => Delivery::Delivered,
            // The call has just ended.
            Some(Err(_)) | None => Delivery::NotPending,
        }
    }

    /// Ends a waiting call that its client cancelled.
    pub fn cancel(&self, owner: &ElicitationOwner, session: &Session, request: &RequestId) {
        let mut table = lock(&self.0);
        let is_cancelled = |waiting: &PendingCall| {
            waiting.owner.is_same_caller(owner)
                && waiting
                    .client_request
                    .as_ref()
                    .is_some_and(|(own, call)| own == session && call == request)
        };
        let taken: Vec<PendingCall> = table
            .pending
            .extract_if(|_, waiting| is_cancelled(waiting))
            .map(|(_, waiting)| waiting)
            .collect();
        drop(table);
        for waiting in taken {
            // Fails if the call has just ended.
            drop(
                waiting
                    .response_sender
                    .send(Err(ElicitationError::Cancelled)),
            );
        }
    }

    /// Ends the waiting calls of these callers, whose permissions have changed.
    pub fn end_of(&self, changed: impl Fn(&Caller) -> bool) {
        let mut table = lock(&self.0);
        let taken: Vec<PendingCall> = table
            .pending
            .extract_if(|_, waiting| changed(&waiting.owner.caller))
            .map(|(_, waiting)| waiting)
            .collect();
        drop(table);
        for waiting in taken {
            // Fails if the call has just ended.
            drop(
                waiting
                    .response_sender
                    .send(Err(ElicitationError::PermissionsChanged)),
            );
        }
    }

    /// Ends all waiting calls and rejects new ones, because the process is about
    /// to exit.
    pub fn close(&self) {
        let mut table = lock(&self.0);
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

    /// The number of pending requests.
    pub fn pending_count(&self) -> usize {
        lock(&self.0).pending.len()
    }
}

impl ElicitationOwner {
    /// A caller in an instance, with the configuration of this generation.
    pub fn new(caller: &Caller, instance: &InstanceName, config_generation: u64) -> Self {
        Self {
            caller: caller.clone(),
            instance: instance.clone(),
            config_generation,
        }
    }

    /// Returns whether caller and instance are the same, whatever the permissions.
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

    /// Returns whether the caller has these roles and this credential.
    pub(crate) fn has_permissions(
        &self,
        roles: &[RoleName],
        credential: Option<&CredentialName>,
    ) -> bool {
        self.caller.roles == roles && self.caller.credential.as_ref() == credential
    }

    /// The roles and the credential of the caller.
    pub(crate) fn permissions(&self) -> (&[RoleName], Option<&CredentialName>) {
        (&self.caller.roles, self.caller.credential.as_ref())
    }

    /// The parts that identify the owner.
    pub(crate) fn identity_parts(&self) -> [&str; 4] {
        let [issuer, kind, subject] = self.caller.identity();
        [self.instance.as_str(), issuer, kind, subject]
    }
}

impl PendingElicitation<'_> {
    pub(crate) fn id(&self) -> ElicitationId {
        self.id
    }

    /// Waits for the response.
    ///
    /// # Errors
    /// [`ElicitationError`].
    pub(crate) async fn response(&mut self) -> Result<ElicitAction, ElicitationError> {
        // The sender is used when the table drops it, so this error cannot happen.
        (&mut self.response)
            .await
            .unwrap_or(Err(ElicitationError::ShuttingDown))
    }
}

impl Drop for PendingElicitation<'_> {
    fn drop(&mut self) {
        drop(lock(&self.registry.0).pending.remove(&self.id));
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

    fn open(registry: &PendingElicitations) -> PendingElicitation<'_> {
        registry.register(ada(), None).unwrap()
    }

    #[tokio::test]
    async fn response_is_delivered_to_its_call_only_once() {
        let registry = PendingElicitations::default();
        let (mut one, mut other) = (open(&registry), open(&registry));
        let answer = |id, consent| registry.deliver(id, &ada(), Ok(consent));
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
        let registry = PendingElicitations::default();
        let mut question = open(&registry);
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
            assert!(!registry.is_pending(id, &other));
            let delivery = registry.deliver(id, &other, Ok(ElicitAction::Accepted));
            assert_eq!(delivery, Delivery::WrongOwner, "{other:?}");
        }
        assert!(registry.is_pending(id, &ada()));
        registry.deliver(id, &ada(), Ok(ElicitAction::Declined));
        assert_eq!(question.response().await.unwrap(), ElicitAction::Declined);
    }

    #[tokio::test]
    async fn acceptance_after_a_permission_change_fails_but_a_decline_counts() {
        let changes: [fn(&mut ElicitationOwner); 3] = [
            |owner| owner.config_generation += 1,
            |owner| owner.caller.roles = vec![RoleName::try_from("other").unwrap()],
            |owner| owner.caller.credential = CredentialName::try_from("sales").ok(),
        ];
        for change in changes {
            let registry = PendingElicitations::default();
            let mut now = ada();
            change(&mut now);
            let mut question = open(&registry);
            registry.deliver(question.id(), &now, Ok(ElicitAction::Accepted));
            let response = question.response().await;
            assert!(
                matches!(response, Err(ElicitationError::PermissionsChanged)),
                "{response:?}"
            );
            let mut question = open(&registry);
            registry.deliver(question.id(), &now, Ok(ElicitAction::Declined));
            assert_eq!(question.response().await.unwrap(), ElicitAction::Declined);
        }
    }

    #[test]
    fn dropped_elicitation_is_no_longer_pending() {
        let registry = PendingElicitations::default();
        let question = open(&registry);
        let id = question.id();
        assert_eq!(registry.pending_count(), 1);
        drop(question);
        assert_eq!(registry.pending_count(), 0);
        let late = registry.deliver(id, &ada(), Ok(ElicitAction::Accepted));
        assert_eq!(late, Delivery::NotPending);
    }

    #[test]
    fn pending_elicitations_are_limited_per_caller() {
        let registry = PendingElicitations::default();
        let _all: Vec<_> = (0..MAX_PENDING_PER_CALLER)
            .map(|_| open(&registry))
            .collect();
        let more = registry.register(ada(), None);
        assert!(
            matches!(more, Err(ElicitationError::TooManyPending)),
            "{more:?}"
        );
        let other = registry.register(owner("bob", "production"), None);
        assert!(other.is_ok(), "{other:?}");
    }

    #[test]
    fn pending_elicitations_are_limited_in_total() {
        let registry = PendingElicitations::default();
        let open = |n: usize| registry.register(owner(&format!("c{}", n / 8), "production"), None);
        let all: Vec<_> = (0..1024).map(|n| open(n).unwrap()).collect();
        let more = open(5000);
        assert!(
            matches!(more, Err(ElicitationError::TooManyPending)),
            "{more:?}"
        );
        drop(all);
        assert_eq!(registry.pending_count(), 0);
    }

    #[tokio::test]
    async fn only_the_session_that_made_the_call_cancels_it() {
        let registry = PendingElicitations::default();
        let (session, other) = (
            Session::with_form_elicitation(1),
            Session::with_form_elicitation(2),
        );
        let call = RequestId::Number(7);
        let mut question = registry
            .register(ada(), Some((session.clone(), call.clone())))
            .unwrap();
        registry.cancel(&ada(), &other, &call);
        registry.cancel(&ada(), &session, &RequestId::Number(8));
        registry.cancel(&owner("bob", "production"), &session, &call);
        assert!(registry.is_pending(question.id(), &ada()));
        registry.cancel(&ada(), &session, &call);
        let response = question.response().await;
        assert!(
            matches!(response, Err(ElicitationError::Cancelled)),
            "{response:?}"
        );
    }

    #[tokio::test]
    async fn closing_ends_pending_elicitations_and_rejects_new_ones() {
        let registry = PendingElicitations::default();
        let mut question = open(&registry);
        registry.close();
        let response = question.response().await;
        assert!(
            matches!(response, Err(ElicitationError::ShuttingDown)),
            "{response:?}"
        );
        let more = registry.register(ada(), None);
        assert!(
            matches!(more, Err(ElicitationError::ShuttingDown)),
            "{more:?}"
        );
        assert_eq!(registry.pending_count(), 0);
    }

    #[test]
    fn unexpected_responses_leave_no_state() {
        let registry = PendingElicitations::default();
        let question = open(&registry);
        for n in 0..10_000 {
            let response =
                registry.deliver(ElicitationId::new(n), &ada(), Ok(ElicitAction::Accepted));
            assert_eq!(response, Delivery::NotPending);
        }
        assert_eq!(registry.pending_count(), 1);
        drop(question);
    }

    #[tokio::test]
    async fn questions_of_revoked_callers_end_and_others_stay() {
        let registry = PendingElicitations::default();
        let mut asked = registry.register(owner("ada", "one"), None).unwrap();
        let _other = registry.register(owner("bob", "one"), None).unwrap();
        registry.end_of(|caller| caller.subject.as_str() == "ada");
        assert!(matches!(
            asked.response().await,
            Err(ElicitationError::PermissionsChanged)
        ));
        assert_eq!(registry.pending_count(), 1);
    }
}
