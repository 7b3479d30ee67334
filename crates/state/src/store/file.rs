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
    CannotOpen,
    deed::{Deed, Told},
    failure::{LedgerError, Trouble},
    keeper::{Errand, Health, Keeper, Message},
    key::Key,
    opening,
};

/// How long an operation may take, the wait of those before it included.
const PATIENCE: Duration = Duration::from_secs(5);

/// What may wait to be written, in KiB.
const WAITING_KIB: usize = 32 << 10;

/// What is remembered, in a file of this process.
pub(super) struct LedgerFile {
    path: PathBuf,
    messages: Sender<Message>,
    /// Places among those that wait, one a KiB.
    places: Arc<Semaphore>,
    health: Arc<Health>,
}

impl LedgerFile {
    /// Opens the file, or makes it, and starts the thread.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> Result<Self, CannotOpen> {
        let entries = opening::open(&path, max_bytes)?;
        let health = Arc::new(Health::default());
        let reopen = {
            let path = path.clone();
            Box::new(move |max_bytes| opening::open_again(&path, max_bytes))
        };
        let keeper = Keeper::new(entries, reopen, max_bytes, Arc::clone(&health));
        Self::start(path, keeper, health)
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// [`CannotOpen::Io`] when there can be none.
    pub(super) fn start(
        path: PathBuf,
        keeper: Keeper,
        health: Arc<Health>,
    ) -> Result<Self, CannotOpen> {
        let (messages, inbox) = mpsc::channel();
        thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || keeper.run(&inbox))
            .map_err(|error| CannotOpen::Io(path.clone(), error))?;
        Ok(Self {
            path,
            messages,
            places: Arc::new(Semaphore::new(WAITING_KIB)),
            health,
        })
    }

    /// Whether it is this file.
    pub(super) fn is(&self, path: &Path) -> bool {
        opening::is_same_file(&self.path, path)
    }

    /// Keeps at most so many bytes from now on; what is there stays.
    pub(super) fn adjust(&self, max_bytes: u64) {
        // One that is closed keeps nothing.
        drop(self.messages.send(Message::Adjust(max_bytes)));
    }

    pub(super) async fn run(&self, key: Key, deed: Deed) -> Result<Told, LedgerError> {
        match timeout(PATIENCE, self.ask(key, deed)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                let why = "it is not written in time";
                if self.health.trouble().is_none() {
                    // Until something is written.
                    self.health.set(Some(why.to_owned()));
                }
                Err(LedgerError::unavailable(why))
            }
        }
    }

    async fn ask(&self, key: Key, deed: Deed) -> Result<Told, LedgerError> {
        let closed = || LedgerError::unavailable("it is closed");
        let kib = u32::try_from(deed.size() / 1024 + 1).unwrap_or(u32::MAX);
        let place = Arc::clone(&self.places)
            .acquire_many_owned(kib)
            .await
            .map_err(|_closed| closed())?;
        let (answer, answered) = oneshot::channel();
        let errand = Errand {
            key,
            deed,
            answer,
            place,
        };
        self.messages
            .send(Message::Do(Box::new(errand)))
            .map_err(|_closed| closed())?;
        answered.await.map_err(|_closed| closed())?
    }

    /// Whether it can be written, as far as that is known.
    pub(super) fn state(&self) -> Result<(), Trouble> {
        self.health
            .trouble()
            .map_or(Ok(()), |why| Err(Trouble(why)))
    }

    /// Ends the thread; says whether it did in time.
    pub(super) fn close(&self, patience: Duration) -> bool {
        let (done, closed) = mpsc::channel();
        // One that is gone is closed.
        self.messages.send(Message::Close(done)).is_err() || closed.recv_timeout(patience).is_ok()
    }
}

impl fmt::Debug for LedgerFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerFile")
            .field("path", &self.path)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}
