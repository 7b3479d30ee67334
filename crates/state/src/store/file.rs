//! What one process remembers in a file, across restarts.
//!
//! [redb] keeps it: a copy-on-write tree with checksums, in which a commit is whole
//! and on the disk or not there at all. A thread of its own writes, so that no
//! worker waits for a disk, and what came in meanwhile goes into one commit.

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

/// How long an operation may take, the wait of those before it included.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What may wait to be written, in KiB.
const MAX_QUEUED_KIB: usize = 32 << 10;

/// What is remembered, in a file of this process.
pub(super) struct StoreFile {
    path: PathBuf,
    messages: Sender<WriterMessage>,
    /// Places among those that wait, one a KiB.
    queue_permits: Arc<Semaphore>,
    health: Arc<WriterHealth>,
}

impl StoreFile {
    /// Opens the file, or makes it, and starts the thread.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> Result<Self, StoreOpenError> {
        let entries = opening::open(&path, max_bytes)?;
        let health = Arc::new(WriterHealth::default());
        let reopen = {
            let path = path.clone();
            Box::new(move |max_bytes| opening::reopen(&path, max_bytes))
        };
        let keeper = WriterThread::new(entries, reopen, max_bytes, Arc::clone(&health));
        Self::start(path, keeper, health)
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`CannotOpen::Io`] when there can be none.
    pub(super) fn start(
        path: PathBuf,
        keeper: WriterThread,
        health: Arc<WriterHealth>,
    ) -> Result<Self, StoreOpenError> {
        let (messages, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || keeper.run(&inbox))
            .map_err(|error| StoreOpenError::Io(path.clone(), error))?;
        Ok(Self {
            path,
            messages,
            queue_permits: Arc::new(Semaphore::new(MAX_QUEUED_KIB)),
            health,
        })
    }

    /// Whether it is this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        opening::is_same_file(&self.path, path)
    }

    /// Keeps at most so many bytes from now on; what is there stays.
    pub(super) fn set_max_bytes(&self, max_bytes: u64) {
        // One that is closed keeps nothing.
        drop(self.messages.send(WriterMessage::SetMaxBytes(max_bytes)));
    }

    pub(super) async fn execute(
        &self,
        key: StoreKey,
        deed: StoreCommand,
    ) -> Result<StoreReply, StoreError> {
        match timeout(TIMEOUT, self.submit(key, deed)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let why = "it is not written in time";
                if self.health.error().is_none() {
                    // Until something is written.
                    self.health.replace_error(Some(why.to_owned()));
                }
                Err(StoreError::unavailable(why))
            }
        }
    }

    async fn submit(&self, key: StoreKey, deed: StoreCommand) -> Result<StoreReply, StoreError> {
        let closed = || StoreError::unavailable("it is closed");
        let kib = u32::try_from(deed.value_size() / 1024 + 1).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.queue_permits)
            .acquire_many_owned(kib)
            .await
            .map_err(|_closed| closed())?;
        let (answer, answered) = oneshot::channel();
        let errand = PendingCommand {
            key,
            command: deed,
            reply: answer,
            queue_permit: place,
        };
        self.messages
            .send(WriterMessage::Execute(Box::new(errand)))
            .map_err(|_closed| closed())?;
        answered.await.map_err(|_closed| closed())?
    }

    /// Whether it can be written, as far as that is known.
    pub(super) fn check_available(&self) -> Result<(), StoreUnavailable> {
        self.health
            .error()
            .map_or(Ok(()), |why| Err(StoreUnavailable(why)))
    }

    /// Ends the thread; says whether it did in time.
    pub(super) fn close(&self, patience: Duration) -> bool {
        let (done, closed) = mpsc::channel();
        // One that is gone is closed.
        self.messages.send(WriterMessage::Close(done)).is_err()
            || closed.recv_timeout(patience).is_ok()
    }
}

impl fmt::Debug for StoreFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerFile")
            .field("path", &self.path)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}
