//! The thread that writes the file.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info};

use super::{
    CannotOpen,
    deed::{Deed, Told},
    entries::{Answers, Broken, Entries, Moment},
    failure::LedgerError,
    key::Key,
};

/// How often what has ended is forgotten while nobody writes.
const TICK: Duration = Duration::from_secs(30);

/// How soon after a failure the file is opened anew, at first and at most.
const REST: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Operations that are written in one go, at most: they wait for one `fsync`
/// together.
const AT_ONCE: usize = 256;

/// What the thread is told.
pub(super) enum Message {
    Adjust(u64),
    Close(Sender<()>),
    Do(Box<Errand>),
}

/// One operation, and who waits for it.
pub(super) struct Errand {
    pub(super) key: Key,
    pub(super) deed: Deed,
    pub(super) answer: oneshot::Sender<Result<Told, LedgerError>>,
    /// Its place among those that wait.
    pub(super) place: OwnedSemaphorePermit,
}

/// What is wrong now, if anything.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<String>>);

/// How the file is opened again.
pub(super) type Reopen = Box<dyn Fn(u64) -> Result<Entries, CannotOpen> + Send>;

/// Does one batch of operations after the other.
pub(super) struct Keeper {
    entries: Option<Entries>,
    reopen: Reopen,
    max_bytes: u64,
    health: Arc<Health>,
    /// When to try again, and how long to wait the next time.
    again: (Instant, Duration),
}

impl Keeper {
    pub(super) fn new(
        entries: Entries,
        reopen: Reopen,
        max_bytes: u64,
        health: Arc<Health>,
    ) -> Self {
        Self {
            entries: Some(entries),
            reopen,
            max_bytes,
            health,
            again: (Instant::now(), REST.0),
        }
    }

    /// Works until it is told to close, or nobody is left who could tell it
    /// anything.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
        let mut next = None;
        loop {
            let message = match next.take() {
                Some(message) => message,
                None => match inbox.recv_timeout(self.pause()) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        self.tend();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return self.close(),
                },
            };
            match message {
                Message::Adjust(max_bytes) => {
                    self.max_bytes = max_bytes;
                    if let Some(entries) = &mut self.entries {
                        entries.adjust(max_bytes);
                    }
                }
                Message::Close(done) => {
                    self.health.set(Some("it is closed".to_owned()));
                    self.close();
                    if done.send(()).is_err() {
                        info!("Closed the file of changes after nobody waited for it any more");
                    }
                    return;
                }
                Message::Do(first) => {
                    let mut errands = vec![*first];
                    while errands.len() < AT_ONCE {
                        match inbox.try_recv() {
                            Ok(Message::Do(errand)) => errands.push(*errand),
                            Ok(other @ (Message::Adjust(_) | Message::Close(_))) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.serve(errands);
                }
            }
        }
    }

    /// How long to wait for work.
    fn pause(&self) -> Duration {
        if self.entries.is_some() {
            TICK
        } else {
            self.again.0.saturating_duration_since(Instant::now())
        }
    }

    /// Forgets what has ended; in trouble, looks whether that is over.
    fn tend(&mut self) {
        // A failure is told where it happens.
        drop(self.write(Vec::new()));
    }

    fn serve(&mut self, errands: Vec<Errand>) {
        // Whoever left was told that nobody knows.
        let (deeds, waiting): (Vec<_>, Vec<_>) = errands
            .into_iter()
            .filter(|errand| !errand.answer.is_closed())
            .map(|errand| ((errand.key, errand.deed), (errand.answer, errand.place)))
            .unzip();
        if deeds.is_empty() {
            return;
        }
        match self.write(deeds) {
            Ok(answers) => {
                for ((waiting, _place), answer) in waiting.into_iter().zip(answers) {
                    drop(waiting.send(answer));
                }
            }
            Err(why) => {
                for (waiting, _place) in waiting {
                    drop(waiting.send(Err(LedgerError::unavailable(why.clone()))));
                }
            }
        }
    }

    /// Does all of it, or says why not.
    fn write(&mut self, deeds: Vec<(Key, Deed)>) -> Result<Answers, String> {
        let mut entries = match self.entries.take() {
            Some(entries) => entries,
            None => self.open_again()?,
        };
        // The crate may panic where a file was changed under it. What it leaves
        // behind is dropped.
        let done = catch_unwind(AssertUnwindSafe(|| entries.run(deeds, Moment::now())));
        let why = match done {
            Ok(Ok(answers)) => {
                self.entries = Some(entries);
                self.again.1 = REST.0;
                if self.health.set(None) {
                    info!("Wrote the file of changes again");
                }
                return Ok(answers);
            }
            Ok(Err(Broken(error))) => error.to_string(),
            Err(_panic) => "its pages make no sense".to_owned(),
        };
        if catch_unwind(AssertUnwindSafe(|| drop(entries))).is_err() {
            error!("Failed to let go of the file of changes");
        }
        self.fail(&why);
        Err(why)
    }

    /// Opens the file anew, if it is time to.
    fn open_again(&mut self) -> Result<Entries, String> {
        if Instant::now() < self.again.0 {
            return Err(self.health.trouble().unwrap_or_default());
        }
        (self.reopen)(self.max_bytes).map_err(|error| {
            let why = error.to_string();
            self.fail(&why);
            why
        })
    }

    fn fail(&mut self, why: &str) {
        let rest = self.again.1;
        self.again = (Instant::now() + rest, (rest * 2).min(REST.1));
        if !self.health.set(Some(why.to_owned())) {
            error!(error = why, "Failed to write the file of changes");
        }
    }

    fn close(&mut self) {
        if let Some(entries) = self.entries.take() {
            let closed = catch_unwind(AssertUnwindSafe(|| entries.close()));
            if !matches!(closed, Ok(Ok(()))) {
                error!("Failed to close the file of changes");
            }
        }
    }
}

impl Health {
    /// Sets what is wrong; says whether something was before.
    pub(super) fn set(&self, trouble: Option<String>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *known, trouble).is_some()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}
