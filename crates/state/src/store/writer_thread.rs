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
    StoreOpenError,
    command::{StoreCommand, StoreReply},
    entries::{ClockReading, FileEntries, StoreFileError, StoreReplies},
    failure::StoreError,
    key::StoreKey,
};

/// How often what has ended is forgotten while nobody writes.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// How soon after a failure the file is opened anew, at first and at most.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Operations that are written in one go, at most: they wait for one `fsync`
/// together.
const MAX_BATCH: usize = 256;

/// What the thread is told.
pub(super) enum WriterMessage {
    SetMaxBytes(u64),
    Close(Sender<()>),
    Execute(Box<PendingCommand>),
}

/// One operation, and who waits for it.
pub(super) struct PendingCommand {
    pub(super) key: StoreKey,
    pub(super) command: StoreCommand,
    pub(super) reply: oneshot::Sender<Result<StoreReply, StoreError>>,
    /// Its place among those that wait.
    pub(super) queue_permit: OwnedSemaphorePermit,
}

/// What is wrong now, if anything.
#[derive(Debug, Default)]
pub(super) struct WriterHealth(Mutex<Option<String>>);

/// How the file is opened again.
pub(super) type ReopenStoreFile = Box<dyn Fn(u64) -> Result<FileEntries, StoreOpenError> + Send>;

/// Does one batch of operations after the other.
pub(super) struct WriterThread {
    entries: Option<FileEntries>,
    reopen: ReopenStoreFile,
    max_bytes: u64,
    health: Arc<WriterHealth>,
    /// When to try again, and how long to wait the next time.
    next_retry: (Instant, Duration),
}

impl WriterThread {
    pub(super) fn new(
        entries: FileEntries,
        reopen: ReopenStoreFile,
        max_bytes: u64,
        health: Arc<WriterHealth>,
    ) -> Self {
        Self {
            entries: Some(entries),
            reopen,
            max_bytes,
            health,
            next_retry: (Instant::now(), RETRY_DELAY.0),
        }
    }

    /// Works until it is told to close, or nobody is left who could tell it
    /// anything.
    pub(super) fn run(mut self, inbox: &Receiver<WriterMessage>) {
        let mut next = None;
        loop {
            let message = match next.take() {
                Some(message) => message,
                None => match inbox.recv_timeout(self.receive_timeout()) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        self.maintain();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => return self.close(),
                },
            };
            match message {
                WriterMessage::SetMaxBytes(max_bytes) => {
                    self.max_bytes = max_bytes;
                    if let Some(entries) = &mut self.entries {
                        entries.set_max_bytes(max_bytes);
                    }
                }
                WriterMessage::Close(done) => {
                    self.health.replace_error(Some("it is closed".to_owned()));
                    self.close();
                    if done.send(()).is_err() {
                        info!("Closed the file of changes after nobody waited for it any more");
                    }
                    return;
                }
                WriterMessage::Execute(first) => {
                    let mut errands = vec![*first];
                    while errands.len() < MAX_BATCH {
                        match inbox.try_recv() {
                            Ok(WriterMessage::Execute(errand)) => errands.push(*errand),
                            Ok(
                                other @ (WriterMessage::SetMaxBytes(_) | WriterMessage::Close(_)),
                            ) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.execute_batch(errands);
                }
            }
        }
    }

    /// How long to wait for work.
    fn receive_timeout(&self) -> Duration {
        if self.entries.is_some() {
            MAINTENANCE_INTERVAL
        } else {
            self.next_retry.0.saturating_duration_since(Instant::now())
        }
    }

    /// Forgets what has ended; in trouble, looks whether that is over.
    fn maintain(&mut self) {
        // A failure is told where it happens.
        drop(self.commit(Vec::new()));
    }

    fn execute_batch(&mut self, errands: Vec<PendingCommand>) {
        // Whoever left was told that nobody knows.
        let (deeds, waiting): (Vec<_>, Vec<_>) = errands
            .into_iter()
            .filter(|errand| !errand.reply.is_closed())
            .map(|errand| {
                (
                    (errand.key, errand.command),
                    (errand.reply, errand.queue_permit),
                )
            })
            .unzip();
        if deeds.is_empty() {
            return;
        }
        match self.commit(deeds) {
            Ok(answers) => {
                for ((waiting, _place), answer) in waiting.into_iter().zip(answers) {
                    drop(waiting.send(answer));
                }
            }
            Err(why) => {
                for (waiting, _place) in waiting {
                    drop(waiting.send(Err(StoreError::unavailable(why.clone()))));
                }
            }
        }
    }

    /// Does all of it, or says why not.
    fn commit(&mut self, deeds: Vec<(StoreKey, StoreCommand)>) -> Result<StoreReplies, String> {
        let mut entries = match self.entries.take() {
            Some(entries) => entries,
            None => self.reopen_if_due()?,
        };
        // The crate may panic where a file was changed under it. What it leaves
        // behind is dropped.
        let done = catch_unwind(AssertUnwindSafe(|| {
            entries.execute(deeds, ClockReading::now())
        }));
        let why = match done {
            Ok(Ok(answers)) => {
                self.entries = Some(entries);
                self.next_retry.1 = RETRY_DELAY.0;
                if self.health.replace_error(None) {
                    info!("Wrote the file of changes again");
                }
                return Ok(answers);
            }
            Ok(Err(StoreFileError(error))) => error.to_string(),
            Err(_panic) => "its pages make no sense".to_owned(),
        };
        if catch_unwind(AssertUnwindSafe(|| drop(entries))).is_err() {
            error!("Failed to let go of the file of changes");
        }
        self.record_failure(&why);
        Err(why)
    }

    /// Opens the file anew, if it is time to.
    fn reopen_if_due(&mut self) -> Result<FileEntries, String> {
        if Instant::now() < self.next_retry.0 {
            return Err(self.health.error().unwrap_or_default());
        }
        (self.reopen)(self.max_bytes).map_err(|error| {
            let why = error.to_string();
            self.record_failure(&why);
            why
        })
    }

    fn record_failure(&mut self, why: &str) {
        let rest = self.next_retry.1;
        self.next_retry = (Instant::now() + rest, (rest * 2).min(RETRY_DELAY.1));
        if !self.health.replace_error(Some(why.to_owned())) {
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

impl WriterHealth {
    /// Sets what is wrong; says whether something was before.
    pub(super) fn replace_error(&self, trouble: Option<String>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *known, trouble).is_some()
    }

    pub(super) fn error(&self) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}
