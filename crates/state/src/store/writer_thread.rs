//! The thread that writes the file.

use gatepost_base::sync::lock;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info};

use super::{
    StoreOpenError,
    command::{StoreCommand, StoreReply},
    failure::StoreError,
    file_entries::{ClockReading, FileEntries, StoreFileError, StoreReplies},
    key::StoreKey,
};

/// How often expired entries are deleted while nothing is written.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(30);

/// The first and the longest delay before the file is reopened after a failure.
const RETRY_DELAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// The most commands in one commit: they share one `fsync`.
const MAX_BATCH: usize = 256;

/// A message to the thread.
pub(super) enum WriterMessage {
    SetMaxBytes(u64),
    Close(Sender<()>),
    Execute(Box<PendingCommand>),
}

/// A command and the channel for its reply.
pub(super) struct PendingCommand {
    pub(super) key: StoreKey,
    pub(super) command: StoreCommand,
    pub(super) reply: oneshot::Sender<Result<StoreReply, StoreError>>,
    /// Its room in the queue.
    pub(super) queue_permit: OwnedSemaphorePermit,
}

/// The current error, if any.
#[derive(Debug, Default)]
pub(super) struct WriterHealth(Mutex<Option<String>>);

/// Reopens the file with this size limit.
pub(super) type ReopenStoreFile = Box<dyn Fn(u64) -> Result<FileEntries, StoreOpenError> + Send>;

/// Executes commands in batches.
pub(super) struct WriterThread {
    entries: Option<FileEntries>,
    reopen: ReopenStoreFile,
    max_bytes: u64,
    health: Arc<WriterHealth>,
    /// When to reopen the file, and the delay after that.
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

    /// Runs until it is closed or all senders are dropped.
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
                    self.health
                        .replace_error(Some("the store is closed".to_owned()));
                    self.close();
                    if done.send(()).is_err() {
                        info!("Closed the change store after the caller stopped waiting");
                    }
                    return;
                }
                WriterMessage::Execute(first) => {
                    let mut batch = vec![*first];
                    while batch.len() < MAX_BATCH {
                        match inbox.try_recv() {
                            Ok(WriterMessage::Execute(pending)) => batch.push(*pending),
                            Ok(
                                other @ (WriterMessage::SetMaxBytes(_) | WriterMessage::Close(_)),
                            ) => {
                                next = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.execute_batch(batch);
                }
            }
        }
    }

    /// How long to wait for a message.
    fn receive_timeout(&self) -> Duration {
        if self.entries.is_some() {
            MAINTENANCE_INTERVAL
        } else {
            self.next_retry.0.saturating_duration_since(Instant::now())
        }
    }

    /// Deletes expired entries; after a failure, tries to reopen the file.
    fn maintain(&mut self) {
        // `commit` logs a failure.
        drop(self.commit(Vec::new()));
    }

    fn execute_batch(&mut self, batch: Vec<PendingCommand>) {
        // A caller that stopped waiting has already received an error.
        let (commands, waiting): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .filter(|pending| !pending.reply.is_closed())
            .map(|pending| {
                (
                    (pending.key, pending.command),
                    (pending.reply, pending.queue_permit),
                )
            })
            .unzip();
        if commands.is_empty() {
            return;
        }
        match self.commit(commands) {
            Ok(replies) => {
                for ((waiting, _place), reply) in waiting.into_iter().zip(replies) {
                    drop(waiting.send(reply));
                }
            }
            Err(why) => {
                for (waiting, _place) in waiting {
                    drop(waiting.send(Err(StoreError::unavailable(why.clone()))));
                }
            }
        }
    }

    /// Commits all commands, or returns the reason for the failure.
    fn commit(&mut self, commands: Vec<(StoreKey, StoreCommand)>) -> Result<StoreReplies, String> {
        let mut entries = match self.entries.take() {
            Some(entries) => entries,
            None => self.reopen_if_due()?,
        };
        // redb may panic if the file was changed under it. Its state is dropped then.
        let done = catch_unwind(AssertUnwindSafe(|| {
            entries.execute(commands, ClockReading::now())
        }));
        let why = match done {
            Ok(Ok(replies)) => {
                self.entries = Some(entries);
                self.next_retry.1 = RETRY_DELAY.0;
                if self.health.replace_error(None) {
                    info!("Recovered the change store");
                }
                return Ok(replies);
            }
            Ok(Err(StoreFileError(error))) => error.to_string(),
            Err(_panic) => "its pages are corrupt".to_owned(),
        };
        if catch_unwind(AssertUnwindSafe(|| drop(entries))).is_err() {
            error!("Failed to release the file of the change store");
        }
        self.record_failure(&why);
        Err(why)
    }

    /// Reopens the file if the delay has passed.
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
        let delay = self.next_retry.1;
        self.next_retry = (Instant::now() + delay, (delay * 2).min(RETRY_DELAY.1));
        if !self.health.replace_error(Some(why.to_owned())) {
            error!(error = why, "Failed to write the change store");
        }
    }

    fn close(&mut self) {
        if let Some(entries) = self.entries.take() {
            let closed = catch_unwind(AssertUnwindSafe(|| entries.close()));
            if !matches!(closed, Ok(Ok(()))) {
                error!("Failed to close the change store");
            }
        }
    }
}

impl WriterHealth {
    /// Sets the error; returns whether there was one before.
    pub(super) fn replace_error(&self, error: Option<String>) -> bool {
        let mut known = lock(&self.0);
        std::mem::replace(&mut *known, error).is_some()
    }

    pub(super) fn error(&self) -> Option<String> {
        let known = lock(&self.0);
        known.clone()
    }
}
