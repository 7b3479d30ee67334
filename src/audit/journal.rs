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
    Answered, CannotOpen, ChainKey, Entry, Outcome, Place, Record,
    chain::Chain,
    sink::{JournalFile, Rotation, standard_output},
    writer::{Health, Held, Message, Writer},
};

/// Records that may wait to be written: some megabytes.
const WAITING: usize = 4096;

/// How long a read waits for a place in the journal before it goes on without.
const READ_PATIENCE: Duration = Duration::from_secs(1);

/// How long a change waits for its record to be on the disk before it is refused.
const CHANGE_PATIENCE: Duration = Duration::from_secs(5);

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
    pub values: bool,
}

/// What is kept of all calls to Odoo.
///
/// A record never blocks a worker: it goes through a bounded queue to a thread
/// that writes. A change has to wait until the record that it begins is on the
/// disk; a read does not.
#[derive(Debug, Default)]
pub struct Journal(Option<Open>);

#[derive(Debug)]
struct Open {
    settings: Mutex<JournalSettings>,
    values: AtomicBool,
    desk: Desk,
}

/// Where records are handed in.
#[derive(Clone, Debug)]
struct Desk {
    messages: Sender<Message>,
    /// Places among the records that wait.
    places: Arc<Semaphore>,
    health: Arc<Health>,
}

/// There can be no record of a change, so it must not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the gateway cannot write its audit record, so nothing is changed; nothing was sent, try again in a minute, then tell the administrator"
)]
pub struct Unaudited;

/// A call that is under way. Its record is written when this is ended, or
/// dropped: then the client left, or we stopped.
#[derive(Debug)]
#[must_use = "a call that is not ended counts as cancelled"]
pub struct Begun(Option<Box<UnderWay>>);

#[derive(Debug)]
struct UnderWay {
    record: Record,
    begun: Instant,
    /// Whether the call may have been sent.
    sent: bool,
    place: Option<OwnedSemaphorePermit>,
    desk: Desk,
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
    pub fn open(settings: JournalSettings) -> Result<Self, CannotOpen> {
        if settings.file.is_none() && !settings.stdout {
            return Ok(Self::off());
        }
        let failed = |what: &str| {
            let what = PathBuf::from(what);
            move |error| CannotOpen::Io(what, error)
        };
        let key = settings.key.as_ref();
        let (file, mut chain) = match settings.file.clone() {
            Some(path) => {
                let (file, chain) = JournalFile::open(path, key)?;
                (Some(file), chain)
            }
            None => (None, Chain::at(Place::default(), key.cloned())),
        };
        let mut out = settings
            .stdout
            .then(standard_output)
            .transpose()
            .map_err(failed("standard output"))?;
        if let (None, Some(out)) = (&file, &mut out) {
            let began = Entry::began(Timestamp::now(), key.is_some());
            let line = chain.add(&began).map_err(std::io::Error::from);
            out.push(&line.map_err(failed("standard output"))?);
        }
        let (messages, told) = mpsc::channel();
        let health = Arc::new(Health::default());
        let writer = Writer {
            chain,
            file,
            standard_output: out,
            rotation: settings.rotation(),
            health: Arc::clone(&health),
            inbox: VecDeque::new(),
            on_the_way: Vec::new(),
            synced: Instant::now(),
        };
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(told))
            .map_err(failed("the thread of the audit journal"))?;
        Ok(Self(Some(Open {
            values: AtomicBool::new(settings.values),
            settings: Mutex::new(settings),
            desk: Desk {
                messages,
                places: Arc::new(Semaphore::new(WAITING)),
                health,
            },
        })))
    }

    /// Goes on with other settings, if they differ in nothing but how files
    /// are rotated and whether values are kept; else says no, and must be
    /// opened anew.
    pub fn adjust(&self, settings: &JournalSettings) -> bool {
        let Some(open) = &self.0 else {
            return settings.file.is_none() && !settings.stdout;
        };
        let mut known = open.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let same = (&known.file, known.stdout, &known.key)
            == (&settings.file, settings.stdout, &settings.key);
        if same {
            known.clone_from(settings);
            open.values.store(settings.values, Relaxed);
            open.desk.tell(Message::Adjust(settings.rotation()));
        }
        same
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the values of changed fields are kept.
    pub fn keeps_values(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|open| open.values.load(Relaxed))
    }

    /// Whether records can be written; none when nothing is kept.
    pub fn state(&self) -> Option<Result<(), String>> {
        let desk = &self.0.as_ref()?.desk;
        Some(match desk.health.trouble() {
            Some(trouble) => Err(trouble),
            None if desk.places.available_permits() == 0 => {
                Err("too many records wait to be written".to_owned())
            }
            None => Ok(()),
        })
    }

    #[cfg(test)]
    pub(super) async fn begin(&self, record: Record) -> Result<Begun, Unaudited> {
        self.prepare(record).make().await
    }

    /// A call that is not begun yet, a change when its record says
    /// [`Outcome::Begun`]. Apart from what waits: a record is too large for the
    /// futures of all tools.
    pub(super) fn prepare(&self, record: Record) -> Begun {
        Begun(self.0.as_ref().map(|open| {
            Box::new(UnderWay {
                begun: Instant::now(),
                sent: false,
                place: None,
                desk: open.desk.clone(),
                record,
            })
        }))
    }

    /// Writes a record of something that is over already. It does not wait.
    pub fn note(&self, record: Record) {
        if let Some(open) = &self.0 {
            open.desk.hand_in(record, None);
        }
    }

    /// Writes all that was handed in, and waits for it so long. Says whether
    /// it heard that it was tried.
    pub fn flush(&self, patience: Duration) -> bool {
        self.ask(Message::Flush, patience)
    }

    /// Writes all that was handed in and lets go of the file. What comes later
    /// is not written.
    pub fn close(&self, patience: Duration) -> bool {
        self.ask(Message::Close, patience)
    }

    fn ask(&self, message: fn(Sender<()>) -> Message, patience: Duration) -> bool {
        let Some(open) = &self.0 else {
            return true;
        };
        let (answer, answered) = mpsc::channel();
        open.desk.tell(message(answer));
        answered.recv_timeout(patience).is_ok()
    }
}

impl JournalSettings {
    fn rotation(&self) -> Rotation {
        Rotation {
            max_bytes: self.max_file_bytes,
            max_age: self.max_file_age,
            keep: self.keep_files,
        }
    }
}

impl Desk {
    /// Hands a message to the thread, which is there unless it was closed.
    fn tell(&self, message: Message) -> bool {
        let taken = self.messages.send(message).is_ok();
        if !taken {
            self.health.set(Some("it is closed".to_owned()));
        }
        taken
    }

    /// Places for so many records; none when there are none for too long, or
    /// none can come free.
    async fn place(&self, count: u32, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let places = || Arc::clone(&self.places);
        if let Ok(free) = places().try_acquire_many_owned(count) {
            return Some(free);
        }
        if self.health.trouble().is_some() {
            return None;
        }
        match timeout(patience, places().acquire_many_owned(count)).await {
            Ok(free) => free.ok(),
            Err(_) => {
                self.stalled();
                None
            }
        }
    }

    /// Remembers that the thread hangs, so that nobody waits for it in vain
    /// until it has written something.
    fn stalled(&self) {
        if self.health.trouble().is_none() {
            error!("Waited for the audit journal in vain; it is not written in time");
            self.health
                .set(Some("it is not written in time".to_owned()));
        }
    }

    /// Hands in a record, or counts it as lost.
    fn hand_in(&self, record: Record, place: Option<OwnedSemaphorePermit>) {
        let place = place.or_else(|| Arc::clone(&self.places).try_acquire_owned().ok());
        let taken = place.is_some_and(|place| {
            let held = Held {
                _place: place,
                durable: None,
            };
            self.tell(Message::Record(Box::new(record), held))
        });
        if !taken {
            self.health.lose();
        }
    }
}

impl Begun {
    /// A call of which nothing is kept.
    pub fn unkept() -> Self {
        Self(None)
    }

    /// Whether there will be a record of it.
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Whether there is no room for its record, which may be lost.
    pub fn is_crowded(&self) -> bool {
        self.0.as_ref().is_some_and(|call| call.place.is_none())
    }

    /// The client left before the end, which it does not hear of.
    pub fn note_left(&mut self) {
        if let Some(call) = &mut self.0 {
            call.record.client_left = true;
        }
    }

    /// Writes that the call ended.
    pub fn end(mut self, outcome: Outcome, answered: Option<&Answered>) {
        if let Some(call) = &mut self.0 {
            if let Some(answered) = answered {
                call.record.answered(answered);
            }
            call.record.outcome = outcome;
        }
        self.hand_in();
    }

    /// Begins the call: gets a place, and of a change writes that it begins.
    ///
    /// # Errors
    /// [`Unaudited`] for a change; a read goes on without a record rather than
    /// not at all, and the journal tells that one is missing.
    pub(super) async fn make(mut self) -> Result<Self, Unaudited> {
        let Some(call) = &mut self.0 else {
            return Ok(self);
        };
        if call.record.outcome != Outcome::Begun {
            call.place = call.desk.place(1, READ_PATIENCE).await;
            return Ok(self);
        }
        match self.intend().await {
            Ok(()) => Ok(self),
            Err(unaudited) => {
                self.end(Outcome::Forbidden("unaudited"), None);
                Err(unaudited)
            }
        }
    }

    /// Writes that a change is about to be sent, and waits until that is on
    /// the disk.
    async fn intend(&mut self) -> Result<(), Unaudited> {
        let call = self.0.as_mut().ok_or(Unaudited)?;
        let limit = Instant::now() + CHANGE_PATIENCE;
        // One for the record of its beginning, one for that of its end.
        let mut places = call.desk.place(2, CHANGE_PATIENCE).await.ok_or(Unaudited)?;
        call.place = places.split(1);
        if call.desk.health.trouble().is_some() {
            return Err(Unaudited);
        }
        let (durable, written) = oneshot::channel();
        let held = Held {
            _place: places,
            durable: Some(durable),
        };
        if !call
            .desk
            .tell(Message::Record(Box::new(call.record.clone()), held))
        {
            return Err(Unaudited);
        }
        match timeout(limit.saturating_duration_since(Instant::now()), written).await {
            Ok(Ok(())) => {
                call.sent = true;
                Ok(())
            }
            // It was tried, and failed.
            Ok(Err(_)) => Err(Unaudited),
            Err(_) => {
                call.desk.stalled();
                Err(Unaudited)
            }
        }
    }

    fn hand_in(&mut self) {
        if let Some(mut call) = self.0.take() {
            call.record.duration = call.begun.elapsed();
            let UnderWay {
                record,
                place,
                desk,
                ..
            } = *call;
            desk.hand_in(record, place);
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(call) = &mut self.0 {
            let change = call.record.effect.is_some_and(|effect| !effect.is_read());
            call.record.outcome = if change && call.sent {
                // It may wait for its turn still, or be done long since.
                Outcome::Unknown("hung_up")
            } else {
                Outcome::Cancelled
            };
        }
        self.hand_in();
    }
}
