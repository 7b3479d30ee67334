//! The journal: records go in, and come out on disk in one chain.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};
use tracing::error;

use super::{
    AuditOutcome, ChainKey, ChainPosition, JournalEntry, JournalOpenError, Record, ResponseSummary,
    chain::Chain,
    sink::{JournalFile, Rotation, standard_output},
    writer::{JournalHealth, JournalMessage, JournalWriter, QueuedRecordGuard},
};

/// Records that may wait to be written: some megabytes.
const MAX_QUEUED: usize = 4096;

/// How long a read waits for a place in the journal before it goes on without.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a change waits for its record to be on the disk before it is refused.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where and how a journal is kept.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct JournalSettings {
    /// The file, if it is kept in one.
    pub file: Option<PathBuf>,
    /// Whether the lines go to standard output.
    pub stdout: bool,
    /// The key to the hashes.
    pub key: Option<ChainKey>,
    /// The size in bytes at which another file is begun.
    pub max_file_bytes: u64,
    /// The age at which another file is begun; none for never.
    pub max_file_age: Option<Duration>,
    /// Files that are kept besides the one that is written.
    pub keep_files: u32,
    /// Whether the values of changed fields are kept.
    pub include_values: bool,
}

/// What is kept of all calls to Odoo.
///
/// A record never blocks a worker: it goes through a bounded queue to a thread
/// that writes. A change has to wait until the record that it begins is on the
/// disk; a read does not.
#[derive(Debug, Default)]
pub struct Journal(Option<OpenJournal>);

#[derive(Debug)]
struct OpenJournal {
    settings: Mutex<JournalSettings>,
    include_values: AtomicBool,
    sender: RecordSender,
}

/// Where records are handed in.
#[derive(Clone, Debug)]
struct RecordSender {
    messages: Sender<JournalMessage>,
    /// Places among the records that wait.
    queue_permits: Arc<Semaphore>,
    health: Arc<JournalHealth>,
}

/// There can be no record of a change, so it must not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the gateway cannot write its audit record, so nothing is changed; nothing was sent, try again in a minute, then tell the administrator"
)]
pub struct AuditUnavailable;

/// A call that is under way. Its record is written when this is ended, or
/// dropped: then the client left, or we stopped.
#[derive(Debug)]
#[must_use = "a call that is not ended counts as cancelled"]
pub struct PendingRecord(Option<Box<PendingAuditCall>>);

#[derive(Debug)]
struct PendingAuditCall {
    record: Record,
    started: Instant,
    /// Whether the call may have been sent.
    sent: bool,
    queue_permit: Option<OwnedSemaphorePermit>,
    sender: RecordSender,
}

impl Journal {
    /// A journal that keeps nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the journal; off when it is to be kept nowhere.
    ///
    /// # Errors
    /// [`CannotOpen`].
    pub fn open(settings: JournalSettings) -> Result<Self, JournalOpenError> {
        if settings.file.is_none() && !settings.stdout {
            return Ok(Self::off());
        }
        let failed = |what: &str| {
            let what = PathBuf::from(what);
            move |error| JournalOpenError::Io(what, error)
        };
        let key = settings.key.as_ref();
        let (file, mut chain) = match settings.file.clone() {
            Some(path) => {
                let (file, chain) = JournalFile::open(path, key)?;
                (Some(file), chain)
            }
            None => (
                None,
                Chain::resume_at(ChainPosition::default(), key.cloned()),
            ),
        };
        let mut out = settings
            .stdout
            .then(standard_output)
            .transpose()
            .map_err(failed("standard output"))?;
        if let (None, Some(out)) = (&file, &mut out) {
            let began = JournalEntry::file_start(Timestamp::now(), key.is_some());
            let line = chain.append(&began).map_err(std::io::Error::from);
            out.push(&line.map_err(failed("standard output"))?);
        }
        let (messages, told) = mpsc::channel();
        let health = Arc::new(JournalHealth::default());
        let writer = JournalWriter {
            chain,
            file,
            standard_output: out,
            rotation: settings.rotation(),
            health: Arc::clone(&health),
            inbox: VecDeque::new(),
            in_flight: Vec::new(),
            last_sync: Instant::now(),
        };
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(told))
            .map_err(failed("the thread of the audit journal"))?;
        Ok(Self(Some(OpenJournal {
            include_values: AtomicBool::new(settings.include_values),
            settings: Mutex::new(settings),
            sender: RecordSender {
                messages,
                queue_permits: Arc::new(Semaphore::new(MAX_QUEUED)),
                health,
            },
        })))
    }

    /// Goes on with other settings, if they differ in nothing but how files
    /// are rotated and whether values are kept; else says no, and must be
    /// opened anew.
    pub fn reconfigure(&self, settings: &JournalSettings) -> bool {
        let Some(open) = &self.0 else {
            return settings.file.is_none() && !settings.stdout;
        };
        let mut known = open.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let same = (&known.file, known.stdout, &known.key)
            == (&settings.file, settings.stdout, &settings.key);
        if same {
            known.clone_from(settings);
            open.include_values.store(settings.include_values, Relaxed);
            open.sender
                .send(JournalMessage::SetRotation(settings.rotation()));
        }
        same
    }

    /// Whether anything is kept.
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the values of changed fields are kept.
    pub fn includes_values(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|open| open.include_values.load(Relaxed))
    }

    /// Whether records can be written; none when nothing is kept.
    pub fn check_available(&self) -> Option<Result<(), String>> {
        let desk = &self.0.as_ref()?.sender;
        Some(match desk.health.error() {
            Some(trouble) => Err(trouble),
            None if desk.queue_permits.available_permits() == 0 => {
                Err("too many records wait to be written".to_owned())
            }
            None => Ok(()),
        })
    }

    #[cfg(test)]
    pub(super) async fn begin(&self, record: Record) -> Result<PendingRecord, AuditUnavailable> {
        self.pending(record).start().await
    }

    /// A call that is not begun yet, a change when its record says
    /// [`Outcome::Begun`]. Apart from what waits: a record is too large for the
    /// futures of all tools.
    pub(super) fn pending(&self, record: Record) -> PendingRecord {
        PendingRecord(self.0.as_ref().map(|open| {
            Box::new(PendingAuditCall {
                started: Instant::now(),
                sent: false,
                queue_permit: None,
                sender: open.sender.clone(),
                record,
            })
        }))
    }

    /// Writes a record of something that is over already. It does not wait.
    pub fn record(&self, record: Record) {
        if let Some(open) = &self.0 {
            open.sender.enqueue(record, None);
        }
    }

    /// Writes all that was handed in, and waits for it so long. Says whether
    /// it heard that it was tried.
    pub fn flush(&self, patience: Duration) -> bool {
        self.send_and_wait(JournalMessage::Flush, patience)
    }

    /// Writes all that was handed in and lets go of the file. What comes later
    /// is not written.
    pub fn close(&self, patience: Duration) -> bool {
        self.send_and_wait(JournalMessage::Close, patience)
    }

    fn send_and_wait(&self, message: fn(Sender<()>) -> JournalMessage, patience: Duration) -> bool {
        let Some(open) = &self.0 else {
            return true;
        };
        let (answer, answered) = mpsc::channel();
        open.sender.send(message(answer));
        answered.recv_timeout(patience).is_ok()
    }
}

impl JournalSettings {
    fn rotation(&self) -> Rotation {
        Rotation {
            max_bytes: self.max_file_bytes,
            max_age: self.max_file_age,
            keep_files: self.keep_files,
        }
    }
}

impl RecordSender {
    /// Hands a message to the thread, which is there unless it was closed.
    fn send(&self, message: JournalMessage) -> bool {
        let taken = self.messages.send(message).is_ok();
        if !taken {
            self.health.replace_error(Some("it is closed".to_owned()));
        }
        taken
    }

    /// Places for so many records; none when there are none for too long, or
    /// none can come free.
    async fn acquire_permits(
        &self,
        count: u32,
        patience: Duration,
    ) -> Option<OwnedSemaphorePermit> {
        let places = || Arc::clone(&self.queue_permits);
        if let Ok(free) = places().try_acquire_many_owned(count) {
            return Some(free);
        }
        if self.health.error().is_some() {
            return None;
        }
        match timeout(patience, places().acquire_many_owned(count)).await {
            Ok(free) => free.ok(),
            Err(_) => {
                self.mark_stalled();
                None
            }
        }
    }

    /// Remembers that the thread hangs, so that nobody waits for it in vain
    /// until it has written something.
    fn mark_stalled(&self) {
        if self.health.error().is_none() {
            error!("Waited for the audit journal in vain; it is not written in time");
            self.health
                .replace_error(Some("it is not written in time".to_owned()));
        }
    }

    /// Hands in a record, or counts it as lost.
    fn enqueue(&self, record: Record, place: Option<OwnedSemaphorePermit>) {
        let place = place.or_else(|| Arc::clone(&self.queue_permits).try_acquire_owned().ok());
        let taken = place.is_some_and(|place| {
            let held = QueuedRecordGuard {
                _queue_permit: place,
                durable: None,
            };
            self.send(JournalMessage::Record(Box::new(record), held))
        });
        if !taken {
            self.health.count_lost();
        }
    }
}

impl PendingRecord {
    /// A call of which nothing is kept.
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Whether there will be a record of it.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there is no room for its record, which may be lost.
    pub fn may_be_lost(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|call| call.queue_permit.is_none())
    }

    /// The client left before the end, which it does not hear of.
    pub fn mark_client_left(&mut self) {
        if let Some(call) = &mut self.0 {
            call.record.client_left = true;
        }
    }

    /// Writes that the call ended.
    pub fn finish(mut self, outcome: AuditOutcome, answered: Option<&ResponseSummary>) {
        if let Some(call) = &mut self.0 {
            if let Some(answered) = answered {
                call.record.set_response(answered);
            }
            call.record.outcome = outcome;
        }
        self.enqueue();
    }

    /// Begins the call: gets a place, and of a change writes that it begins.
    ///
    /// # Errors
    /// [`Unaudited`] for a change; a read goes on without a record rather than
    /// not at all, and the journal tells that one is missing.
    pub(super) async fn start(mut self) -> Result<Self, AuditUnavailable> {
        let Some(call) = &mut self.0 else {
            return Ok(self);
        };
        if call.record.outcome != AuditOutcome::Begun {
            call.queue_permit = call.sender.acquire_permits(1, READ_TIMEOUT).await;
            return Ok(self);
        }
        match self.write_intent().await {
            Ok(()) => Ok(self),
            Err(unaudited) => {
                self.finish(AuditOutcome::Forbidden("unaudited"), None);
                Err(unaudited)
            }
        }
    }

    /// Writes that a change is about to be sent, and waits until that is on
    /// the disk.
    async fn write_intent(&mut self) -> Result<(), AuditUnavailable> {
        let call = self.0.as_mut().ok_or(AuditUnavailable)?;
        let limit = Instant::now() + WRITE_TIMEOUT;
        // One for the record of its beginning, one for that of its end.
        let mut places = call
            .sender
            .acquire_permits(2, WRITE_TIMEOUT)
            .await
            .ok_or(AuditUnavailable)?;
        call.queue_permit = places.split(1);
        if call.sender.health.error().is_some() {
            return Err(AuditUnavailable);
        }
        let (durable, written) = oneshot::channel();
        let held = QueuedRecordGuard {
            _queue_permit: places,
            durable: Some(durable),
        };
        if !call
            .sender
            .send(JournalMessage::Record(Box::new(call.record.clone()), held))
        {
            return Err(AuditUnavailable);
        }
        match timeout(limit.saturating_duration_since(Instant::now()), written).await {
            Ok(Ok(())) => {
                call.sent = true;
                Ok(())
            }
            // It was tried, and failed.
            Ok(Err(_)) => Err(AuditUnavailable),
            Err(_) => {
                call.sender.mark_stalled();
                Err(AuditUnavailable)
            }
        }
    }

    fn enqueue(&mut self) {
        if let Some(mut call) = self.0.take() {
            call.record.duration = call.started.elapsed();
            let PendingAuditCall {
                record,
                queue_permit: place,
                sender: desk,
                ..
            } = *call;
            desk.enqueue(record, place);
        }
    }
}

impl Drop for PendingRecord {
    fn drop(&mut self) {
        if let Some(call) = &mut self.0 {
            let change = call.record.effect.is_some_and(|effect| !effect.is_read());
            call.record.outcome = if change && call.sent {
                // It may wait for its turn still, or be done long since.
                AuditOutcome::Unknown("hung_up")
            } else {
                AuditOutcome::Cancelled
            };
        }
        self.enqueue();
    }
}
