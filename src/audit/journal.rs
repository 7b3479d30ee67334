//! The journal: writes records to one hash chain on disk.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{
        Arc, Mutex,
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
use gatepost_base::sync::lock;

/// The most records in the queue: some megabytes.
const MAX_QUEUED: usize = 4096;

/// How long a read waits for room in the queue before it continues without.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a write waits until its record is durable before it is refused.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of a journal.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct JournalSettings {
    /// The file, if any.
    pub file: Option<PathBuf>,
    /// Whether the lines go to standard output.
    pub stdout: bool,
    /// The key of the hashes.
    pub key: Option<ChainKey>,
    /// When to start a new file.
    pub rotation: Rotation,
    /// Whether the values of changed fields are recorded.
    pub include_values: bool,
}

/// The journal of all calls to Odoo.
///
/// Records go through a bounded queue to a thread that writes them, so they never
/// block a worker. A write waits until the record of its beginning is durable; a read
/// does not.
#[derive(Debug, Default)]
pub struct Journal(Option<OpenJournal>);

#[derive(Debug)]
struct OpenJournal {
    settings: Mutex<JournalSettings>,
    include_values: AtomicBool,
    sender: RecordSender,
}

/// The sending side of the queue.
#[derive(Clone, Debug)]
struct RecordSender {
    messages: Sender<JournalMessage>,
    /// Room in the queue: one permit per record.
    queue_permits: Arc<Semaphore>,
    health: Arc<JournalHealth>,
}

/// A write cannot be recorded, so it must not be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the gateway cannot write its audit record, so changes are refused. Nothing was sent; try again in a minute, then tell the administrator"
)]
pub struct AuditUnavailable;

/// The record of a call in flight. It is written when finished or dropped; dropped
/// means that the client left or the gateway stopped.
#[derive(Debug)]
#[must_use = "a call that is not finished counts as cancelled"]
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
    /// A journal that records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens a journal; off if it has neither a file nor standard output.
    ///
    /// # Errors
    /// [`JournalOpenError`].
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
            let start = JournalEntry::file_start(Timestamp::now(), key.is_some());
            let line = chain.append(&start).map_err(std::io::Error::from);
            out.push(&line.map_err(failed("standard output"))?);
        }
        let (messages, inbox) = mpsc::channel();
        let health = Arc::new(JournalHealth::default());
        let writer = JournalWriter {
            chain,
            file,
            standard_output: out,
            rotation: settings.rotation,
            health: Arc::clone(&health),
            inbox: VecDeque::new(),
            in_flight: Vec::new(),
            last_sync: Instant::now(),
        };
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(inbox))
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

    /// Applies new settings if they differ only in rotation and recorded values;
    /// returns whether they do. Otherwise the journal must be reopened.
    pub fn reconfigure(&self, settings: &JournalSettings) -> bool {
        let Some(open) = &self.0 else {
            return settings.file.is_none() && !settings.stdout;
        };
        let mut known = lock(&open.settings);
        let same = (&known.file, known.stdout, &known.key)
            == (&settings.file, settings.stdout, &settings.key);
        if same {
            known.clone_from(settings);
            open.include_values.store(settings.include_values, Relaxed);
            open.sender
                .send(JournalMessage::SetRotation(settings.rotation));
        }
        same
    }

    /// Whether calls are recorded.
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the values of changed fields are recorded.
    pub fn includes_values(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|open| open.include_values.load(Relaxed))
    }

    /// Checks that records can be written; `None` if nothing is recorded.
    pub fn check_available(&self) -> Option<Result<(), String>> {
        let sender = &self.0.as_ref()?.sender;
        Some(match sender.health.error() {
            Some(error) => Err(error),
            None if sender.queue_permits.available_permits() == 0 => {
                Err("too many records are waiting to be written".to_owned())
            }
            None => Ok(()),
        })
    }

    /// A call that has not started yet; a write if its outcome is
    /// [`AuditOutcome::Begun`]. Boxed, because a record is too large for the futures of
    /// all tools.
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

    /// Records something that has already ended, without waiting.
    pub fn record(&self, record: Record) {
        if let Some(open) = &self.0 {
            open.sender.enqueue(record, None);
        }
    }

    /// Writes all queued records; returns whether that was attempted within `limit`.
    pub fn flush(&self, limit: Duration) -> bool {
        self.send_and_wait(JournalMessage::Flush, limit)
    }

    /// Writes all queued records and closes the file. Later records are not written.
    pub fn close(&self, limit: Duration) -> bool {
        self.send_and_wait(JournalMessage::Close, limit)
    }

    fn send_and_wait(&self, message: fn(Sender<()>) -> JournalMessage, limit: Duration) -> bool {
        let Some(open) = &self.0 else {
            return true;
        };
        let (answer, answered) = mpsc::channel();
        open.sender.send(message(answer));
        answered.recv_timeout(limit).is_ok()
    }
}

impl RecordSender {
    /// Sends a message to the thread; returns whether it is still running.
    fn send(&self, message: JournalMessage) -> bool {
        let sent = self.messages.send(message).is_ok();
        if !sent {
            self.health
                .replace_error(Some("the journal is closed".to_owned()));
        }
        sent
    }

    /// Room for this number of records; `None` if there is none for too long, or
    /// none can be freed.
    async fn acquire_permits(&self, count: u32, limit: Duration) -> Option<OwnedSemaphorePermit> {
        let permits = || Arc::clone(&self.queue_permits);
        if let Ok(free) = permits().try_acquire_many_owned(count) {
            return Some(free);
        }
        if self.health.error().is_some() {
            return None;
        }
        match timeout(limit, permits().acquire_many_owned(count)).await {
            Ok(free) => free.ok(),
            Err(_) => {
                self.mark_stalled();
                None
            }
        }
    }

    /// Records that the thread is stalled, so that callers do not wait for it until it
    /// has written something.
    fn mark_stalled(&self) {
        if self.health.error().is_none() {
            error!("Timed out writing the audit journal");
            self.health
                .replace_error(Some("writing timed out".to_owned()));
        }
    }

    /// Queues a record, or counts it as lost.
    fn enqueue(&self, record: Record, permit: Option<OwnedSemaphorePermit>) {
        let permit = permit.or_else(|| Arc::clone(&self.queue_permits).try_acquire_owned().ok());
        let sent = permit.is_some_and(|permit| {
            let held = QueuedRecordGuard {
                _queue_permit: permit,
                durable: None,
            };
            self.send(JournalMessage::Record(Box::new(record), held))
        });
        if !sent {
            self.health.count_lost();
        }
    }
}

impl PendingRecord {
    /// A call that is not recorded.
    pub fn disabled() -> Self {
        Self(None)
    }

    /// Whether the call is recorded.
    pub fn is_recorded(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there was no room in the queue, so the record may be lost.
    pub fn may_be_lost(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|call| call.queue_permit.is_none())
    }

    /// Records that the client left before the call ended.
    pub fn mark_client_left(&mut self) {
        if let Some(call) = &mut self.0 {
            call.record.client_left = true;
        }
    }

    /// Records the end of the call.
    pub fn finish(mut self, outcome: AuditOutcome, answered: Option<&ResponseSummary>) {
        if let Some(call) = &mut self.0 {
            if let Some(answered) = answered {
                call.record.set_response(answered);
            }
            call.record.outcome = outcome;
        }
        self.enqueue();
    }

    /// Starts the call: reserves room in the queue and, for a write, records that it
    /// begins.
    ///
    /// # Errors
    /// [`AuditUnavailable`] for a write. A read continues without a record, and the
    /// journal counts the missing one.
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
            Err(error) => {
                self.finish(AuditOutcome::Forbidden("unaudited"), None);
                Err(error)
            }
        }
    }

    /// Records that a write is about to be sent, and waits until that is durable.
    async fn write_intent(&mut self) -> Result<(), AuditUnavailable> {
        let call = self.0.as_mut().ok_or(AuditUnavailable)?;
        let limit = Instant::now() + WRITE_TIMEOUT;
        // One for the record of its beginning, one for the record of its end.
        let mut permits = call
            .sender
            .acquire_permits(2, WRITE_TIMEOUT)
            .await
            .ok_or(AuditUnavailable)?;
        call.queue_permit = permits.split(1);
        if call.sender.health.error().is_some() {
            return Err(AuditUnavailable);
        }
        let (durable, written) = oneshot::channel();
        let held = QueuedRecordGuard {
            _queue_permit: permits,
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
            // Writing failed.
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
                queue_permit: permit,
                sender,
                ..
            } = *call;
            sender.enqueue(record, permit);
        }
    }
}

impl Drop for PendingRecord {
    fn drop(&mut self) {
        if let Some(call) = &mut self.0 {
            let change = call.record.effect.is_some_and(|effect| !effect.is_read());
            call.record.outcome = if change && call.sent {
                // It may still be queued, or have run.
                AuditOutcome::Unknown("hung_up")
            } else {
                AuditOutcome::Cancelled
            };
        }
        self.enqueue();
    }
}
