//! The store in a file, which survives restarts.
//!
//! The file is a [redb] database: a copy-on-write tree with checksums and atomic,
//! durable commits. A thread of its own writes, so no worker waits for the disk, and
//! commands that arrive meanwhile share one commit.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    StoreOpenError,
    command::{StoreCommand, StoreReply},
    failure::{StoreError, StoreUnavailable},
    key::StoreKey,
    opening,
    writer_thread::{PendingCommand, WriterHealth, WriterMessage, WriterThread},
};

/// How long an operation may take, including its time in the queue.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The size of the queue, in KiB.
const MAX_QUEUED_KIB: usize = 32 << 10;

/// A store in a file of this process.
pub(super) struct StoreFile {
    path: PathBuf,
    messages: Sender<WriterMessage>,
    /// Room in the queue: one permit per KiB.
    queue_permits: Arc<Semaphore>,
    health: Arc<WriterHealth>,
}

impl StoreFile {
    /// Opens or creates the file and starts the thread.
    ///
    /// # Errors
    /// [`StoreOpenError`].
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> Result<Self, StoreOpenError> {
        let entries = opening::open(&path, max_bytes)?;
        let health = Arc::new(WriterHealth::default());
        let reopen = {
            let path = path.clone();
            Box::new(move |max_bytes| opening::reopen(&path, max_bytes))
        };
        let writer = WriterThread::new(entries, reopen, max_bytes, Arc::clone(&health));
        Self::start(path, writer, health)
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`StoreOpenError::Io`] if it cannot be started.
    pub(super) fn start(
        path: PathBuf,
        writer: WriterThread,
        health: Arc<WriterHealth>,
    ) -> Result<Self, StoreOpenError> {
        let (messages, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&inbox))
            .map_err(|error| StoreOpenError::Io(path.clone(), error))?;
        Ok(Self {
            path,
            messages,
            queue_permits: Arc::new(Semaphore::new(MAX_QUEUED_KIB)),
            health,
        })
    }

    /// Whether the store is this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        opening::is_same_file(&self.path, path)
    }

    /// Changes the size limit; existing entries stay.
    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        // A closed store stores nothing.
        drop(self.messages.send(WriterMessage::SetMaxBytes(max_bytes)));
    }

    pub(super) async fn execute(
        &self,
        key: StoreKey,
        command: StoreCommand,
    ) -> Result<StoreReply, StoreError> {
        match timeout(TIMEOUT, self.submit(key, command)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let why = "writing timed out";
                if self.health.error().is_none() {
                    // Cleared by the next successful write.
                    self.health.replace_error(Some(why.to_owned()));
                }
                Err(StoreError::unavailable(why))
            }
        }
    }

    async fn submit(&self, key: StoreKey, command: StoreCommand) -> Result<StoreReply, StoreError> {
        let closed = || StoreError::unavailable("the store is closed");
        let kib = u32::try_from(command.value_size() / 1024 + 1).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.queue_permits)
            .acquire_many_owned(kib)
            .await
            .map_err(|_closed| closed())?;
        let (answer, answered) = oneshot::channel();
        let pending = PendingCommand {
            key,
            command,
            reply: answer,
            queue_permit: permit,
        };
        self.messages
            .send(WriterMessage::Execute(Box::new(pending)))
            .map_err(|_closed| closed())?;
        answered.await.map_err(|_closed| closed())?
    }

    /// Checks that the last write succeeded.
    pub(super) fn check_available(&self) -> Result<(), StoreUnavailable> {
        self.health
            .error()
            .map_or(Ok(()), |why| Err(StoreUnavailable(why)))
    }

    /// Ends the thread; returns whether it ended within `limit`.
    pub(super) fn close(&self, limit: Duration) -> bool {
        let (done, closed) = mpsc::channel();
        // A thread that has ended has closed the file.
        self.messages.send(WriterMessage::Close(done)).is_err()
            || closed.recv_timeout(limit).is_ok()
    }
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreFile")
            .field("path", &self.path)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}
