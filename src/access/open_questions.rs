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

use super::Unasked;
use gatepost_base::{CredentialName, InstanceName, RoleName};
use gatepost_identity::Caller;
use gatepost_mcp::{
    RequestId, Session,
    elicitation::{Consent, QuestionId},
};

/// Questions that wait at once.
const MOST: usize = 1024;

/// Those of one caller: more than a person answers, and fewer than the calls
/// that run at once over stdin, which would wait for each other else.
const MOST_OF_ONE: usize = 8;

/// The questions of one process that wait for an answer.
#[derive(Debug, Default)]
pub struct OpenQuestions(Mutex<Table>);

/// Whose call it is that asks, or who answers.
#[derive(Clone, Debug)]
pub struct Asker {
    caller: Caller,
    instance: InstanceName,
    /// Of the configuration that says what the caller may do.
    generation: u64,
}

/// What became of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// The call that asked goes on with it.
    Delivered,
    /// Another caller was asked, or the same one in another instance.
    NotTheirs,
    /// Nobody in this process waits for it.
    Unknown,
}

/// A question that waits; it is closed when this is dropped.
#[derive(Debug)]
pub(super) struct OpenQuestion<'a> {
    questions: &'a OpenQuestions,
    id: QuestionId,
    told: oneshot::Receiver<Result<Consent, Unasked>>,
}

#[derive(Debug, Default)]
struct Table {
    waiting: HashMap<QuestionId, Waiting>,
    closed: bool,
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    /// The call that asks, as its client knows it.
    call: Option<(Session, RequestId)>,
    tell: oneshot::Sender<Result<Consent, Unasked>>,
}

impl OpenQuestions {
    /// Opens a question.
    ///
    /// # Errors
    /// [`Unasked::Busy`], [`Unasked::Leaving`], [`Unasked::NoRandomness`].
    pub(super) fn open(
        &self,
        asker: Asker,
        call: Option<(Session, RequestId)>,
    ) -> Result<OpenQuestion<'_>, Unasked> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(Unasked::NoRandomness)?;
        let id = QuestionId::new(u128::from_ne_bytes(random));
        let (tell, told) = oneshot::channel();
        let mut table = self.table();
        if table.closed {
            return Err(Unasked::Leaving);
        }
        // Linear; there are a thousand at most, and people are slow.
        let of_one = table.waiting.values().filter(|one| one.asker.is(&asker));
        if table.waiting.len() >= MOST || of_one.count() >= MOST_OF_ONE {
            return Err(Unasked::Busy);
        }
        table.waiting.insert(id, Waiting { asker, call, tell });
        Ok(OpenQuestion {
            questions: self,
            id,
            told,
        })
    }

    /// Whether a call of this asker waits for the answer to a question.
    pub fn awaits(&self, id: QuestionId, asker: &Asker) -> bool {
        let table = self.table();
        let waiting = table.waiting.get(&id);
        waiting.is_some_and(|waiting| waiting.asker.is(asker))
    }

    /// Gives an answer to the call that waits for it, once. A yes is none when
    /// the caller may do something else by now ([`Unasked::Changed`]): the call
    /// would go on with what they might when it began. An answer to what
    /// nobody here waits for changes nothing: it came late, is somebody else's,
    /// or is for another replica ([`Delivery::Unknown`]).
    pub fn answer(
        &self,
        id: QuestionId,
        asker: &Asker,
        answer: Result<Consent, Unasked>,
    ) -> Delivery {
        let mut table = self.table();
        let waiting = match table.waiting.get(&id) {
            None => return Delivery::Unknown,
            Some(waiting) if !waiting.asker.is(asker) => return Delivery::NotTheirs,
            Some(_) => table.waiting.remove(&id),
        };
        drop(table);
        let tell = |waiting: Waiting| {
            let answer = match answer {
                Ok(Consent::Accepted) if !waiting.asker.may_the_same_as(asker) => {
                    Err(Unasked::Changed)
                }
                answer => answer,
            };
            waiting.tell.send(answer)
        };
        match waiting.map(tell) {
            Some(Ok(())) => Delivery::Delivered,
            // It has just given up.
            Some(Err(_)) | None => Delivery::Unknown,
        }
    }

    /// Takes a call back that waits for an answer, if its client says so.
    pub fn take_back(&self, asker: &Asker, session: &Session, request: &RequestId) {
        let mut table = self.table();
        let of_it = |waiting: &Waiting| {
            waiting.asker.is(asker)
                && waiting
                    .call
                    .as_ref()
                    .is_some_and(|(own, call)| own == session && call == request)
        };
        let taken: Vec<Waiting> = table
            .waiting
            .extract_if(|_, waiting| of_it(waiting))
            .map(|(_, waiting)| waiting)
            .collect();
        drop(table);
        for waiting in taken {
            // It has given up by itself.
            drop(waiting.tell.send(Err(Unasked::TakenBack)));
        }
    }

    /// Ends all calls that wait, and lets no other wait: nobody would be there
    /// to take the answer.
    pub fn close(&self) {
        let mut table = self.table();
        table.closed = true;
        let waiting = std::mem::take(&mut table.waiting);
        drop(table);
        for waiting in waiting.into_values() {
            drop(waiting.tell.send(Err(Unasked::Leaving)));
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.table().waiting.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asker {
    /// A caller in an instance, under the configuration of this generation.
    pub fn new(caller: &Caller, instance: &InstanceName, generation: u64) -> Self {
        Self {
            caller: caller.clone(),
            instance: instance.clone(),
            generation,
        }
    }

    /// Whether it is the same caller in the same instance, whatever they may do.
    fn is(&self, other: &Self) -> bool {
        let (one, other_one) = (&self.caller, &other.caller);
        one.kind == other_one.kind
            && one.subject == other_one.subject
            && one.issuer == other_one.issuer
            && self.instance == other.instance
    }

    fn may_the_same_as(&self, other: &Self) -> bool {
        self.may(&other.caller.roles, other.caller.credential.as_ref())
            && self.generation == other.generation
    }

    /// Whether these are the roles and the credential of the asker.
    pub(super) fn may(&self, roles: &[RoleName], credential: Option<&CredentialName>) -> bool {
        self.caller.roles == roles && self.caller.credential.as_ref() == credential
    }

    /// The roles and the credential of the asker.
    pub(super) fn means(&self) -> (&[RoleName], Option<&CredentialName>) {
        (&self.caller.roles, self.caller.credential.as_ref())
    }

    /// What tells the asker from all others.
    pub(super) fn who(&self) -> [&str; 4] {
        [
            self.instance.as_str(),
            &self.caller.issuer,
            self.caller.kind.as_str(),
            self.caller.subject.as_str(),
        ]
    }
}

impl OpenQuestion<'_> {
    pub(super) fn id(&self) -> QuestionId {
        self.id
    }

    /// What is answered.
    ///
    /// # Errors
    /// [`Unasked`].
    pub(super) async fn told(&mut self) -> Result<Consent, Unasked> {
        // It is told when the table lets go of it; should it not, nobody can answer.
        (&mut self.told).await.unwrap_or(Err(Unasked::Leaving))
    }
}

impl Drop for OpenQuestion<'_> {
    fn drop(&mut self) {
        drop(self.questions.table().waiting.remove(&self.id));
    }
}

#[cfg(test)]
mod tests {
    use super::{Asker, Delivery, MOST_OF_ONE, OpenQuestion, OpenQuestions, Unasked};
    use gatepost_base::{CredentialName, InstanceName, RoleName, Subject};
    use gatepost_identity::{Caller, CallerKind};
    use gatepost_mcp::{
        RequestId, Session,
        elicitation::{Consent, QuestionId},
    };

    fn asker(subject: &str, instance: &str) -> Asker {
        let caller = Caller {
            issuer: "gatepost".to_owned(),
            kind: CallerKind::ApiKey,
            subject: Subject::proved(subject),
            name: None,
            roles: Vec::new(),
            credential: None,
        };
        Asker::new(&caller, &InstanceName::try_from(instance).unwrap(), 0)
    }

    fn ada() -> Asker {
        asker("ada", "production")
    }

    fn open(questions: &OpenQuestions) -> OpenQuestion<'_> {
        questions.open(ada(), None).unwrap()
    }

    #[tokio::test]
    async fn an_answer_finds_the_call_that_waits_for_it_and_only_once() {
        let questions = OpenQuestions::default();
        let (mut one, mut other) = (open(&questions), open(&questions));
        let answer = |id, consent| questions.answer(id, &ada(), Ok(consent));
        assert_eq!(answer(other.id(), Consent::Declined), Delivery::Delivered);
        assert_eq!(answer(one.id(), Consent::Accepted), Delivery::Delivered);
        assert_eq!(answer(one.id(), Consent::Declined), Delivery::Unknown);
        assert_eq!(one.told().await.unwrap(), Consent::Accepted);
        assert_eq!(other.told().await.unwrap(), Consent::Declined);
    }

    #[tokio::test]
    async fn an_answer_of_another_caller_or_from_another_instance_changes_nothing() {
        let questions = OpenQuestions::default();
        let mut question = open(&questions);
        let id = question.id();
        let another = |change: fn(&mut Caller)| {
            let mut other = ada();
            change(&mut other.caller);
            other
        };
        for other in [
            asker("bob", "production"),
            asker("ada", "staging"),
            another(|caller| caller.kind = CallerKind::Stdio),
            another(|caller| "https://idp.example".clone_into(&mut caller.issuer)),
        ] {
            assert!(!questions.awaits(id, &other));
            let delivery = questions.answer(id, &other, Ok(Consent::Accepted));
            assert_eq!(delivery, Delivery::NotTheirs, "{other:?}");
        }
        assert!(questions.awaits(id, &ada()));
        questions.answer(id, &ada(), Ok(Consent::Declined));
        assert_eq!(question.told().await.unwrap(), Consent::Declined);
    }

    #[tokio::test]
    async fn a_yes_of_who_may_something_else_by_now_is_none_and_a_no_is_one() {
        let changes: [fn(&mut Asker); 3] = [
            |asker| asker.generation += 1,
            |asker| asker.caller.roles = vec![RoleName::try_from("other").unwrap()],
            |asker| asker.caller.credential = CredentialName::try_from("sales").ok(),
        ];
        for change in changes {
            let questions = OpenQuestions::default();
            let mut now = ada();
            change(&mut now);
            let mut question = open(&questions);
            questions.answer(question.id(), &now, Ok(Consent::Accepted));
            let told = question.told().await;
            assert!(matches!(told, Err(Unasked::Changed)), "{told:?}");
            let mut question = open(&questions);
            questions.answer(question.id(), &now, Ok(Consent::Declined));
            assert_eq!(question.told().await.unwrap(), Consent::Declined);
        }
    }

    #[test]
    fn a_call_that_is_over_waits_no_more() {
        let questions = OpenQuestions::default();
        let question = open(&questions);
        let id = question.id();
        assert_eq!(questions.waiting(), 1);
        drop(question);
        assert_eq!(questions.waiting(), 0);
        let late = questions.answer(id, &ada(), Ok(Consent::Accepted));
        assert_eq!(late, Delivery::Unknown);
    }

    #[test]
    fn one_caller_may_not_have_many_questions_open_and_takes_nobody_elses_place() {
        let questions = OpenQuestions::default();
        let _all: Vec<_> = (0..MOST_OF_ONE).map(|_| open(&questions)).collect();
        let more = questions.open(ada(), None);
        assert!(matches!(more, Err(Unasked::Busy)), "{more:?}");
        let other = questions.open(asker("bob", "production"), None);
        assert!(other.is_ok(), "{other:?}");
    }

    #[test]
    fn all_together_are_bounded_too() {
        let questions = OpenQuestions::default();
        let open = |n: usize| questions.open(asker(&format!("c{}", n / 8), "production"), None);
        let all: Vec<_> = (0..1024).map(|n| open(n).unwrap()).collect();
        let more = open(5000);
        assert!(matches!(more, Err(Unasked::Busy)), "{more:?}");
        drop(all);
        assert_eq!(questions.waiting(), 0);
    }

    #[tokio::test]
    async fn a_call_is_taken_back_by_the_client_that_made_it() {
        let questions = OpenQuestions::default();
        let (session, other) = (Session::with_forms(1), Session::with_forms(2));
        let call = RequestId::Number(7);
        let mut question = questions
            .open(ada(), Some((session.clone(), call.clone())))
            .unwrap();
        questions.take_back(&ada(), &other, &call);
        questions.take_back(&ada(), &session, &RequestId::Number(8));
        questions.take_back(&asker("bob", "production"), &session, &call);
        assert!(questions.awaits(question.id(), &ada()));
        questions.take_back(&ada(), &session, &call);
        let told = question.told().await;
        assert!(matches!(told, Err(Unasked::TakenBack)), "{told:?}");
    }

    #[tokio::test]
    async fn who_leaves_ends_what_waits_and_lets_nothing_wait_any_more() {
        let questions = OpenQuestions::default();
        let mut question = open(&questions);
        questions.close();
        let told = question.told().await;
        assert!(matches!(told, Err(Unasked::Leaving)), "{told:?}");
        let more = questions.open(ada(), None);
        assert!(matches!(more, Err(Unasked::Leaving)), "{more:?}");
        assert_eq!(questions.waiting(), 0);
    }

    #[test]
    fn ten_thousand_answers_that_nobody_waits_for_leave_nothing_behind() {
        let questions = OpenQuestions::default();
        let question = open(&questions);
        for n in 0..10_000 {
            let told = questions.answer(QuestionId::new(n), &ada(), Ok(Consent::Accepted));
            assert_eq!(told, Delivery::Unknown);
        }
        assert_eq!(questions.waiting(), 1);
        drop(question);
    }
}
