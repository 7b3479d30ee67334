//! The thread that writes a journal.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::{error, info};

use super::{
    JournalEntry, Record,
    chain::Chain,
    sink::{JournalFile, Rotation, Sink},
};

/// How often the thread looks by itself: to try again what failed, and to send
/// to the disk what was written.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a record of a read may lie in the system's memory.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Records that are written together.
const MAX_BATCH: usize = 256;

/// What the thread is told.
pub(super) enum JournalMessage {
    /// Files are rotated otherwise from now on.
    SetRotation(Rotation),
    /// Write everything, let go of the file, and end. Answered before the end.
    Close(Sender<()>),
    /// Write everything. Answered when that is done or has failed.
    Flush(Sender<()>),
    /// A record.
    Record(Box<Record>, QueuedRecordGuard),
}

/// What is held until a record is written.
pub(super) struct QueuedRecordGuard {
    /// Its place among those that wait; it bounds them.
    pub(super) _queue_permit: OwnedSemaphorePermit,
    /// Who waits until it is on the disk.
    pub(super) durable: Option<oneshot::Sender<()>>,
}

/// How the journal is, for all who must know.
#[derive(Debug, Default)]
pub(super) struct JournalHealth {
    /// Why it cannot be written, while that is so.
    error: Mutex<Option<String>>,
    /// Records that were lost and not told in the journal yet.
    lost: AtomicU64,
}

impl JournalHealth {
    pub(super) fn error(&self) -> Option<String> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn count_lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// Sets how it is; gives how it was.
    pub(super) fn replace_error(&self, trouble: Option<String>) -> Option<String> {
        let mut known = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *known, trouble)
    }
}

/// Writes what it is told, on a thread of its own: disks block.
pub(super) struct JournalWriter {
    pub(super) chain: Chain,
    pub(super) file: Option<JournalFile>,
    pub(super) standard_output: Option<Sink<File>>,
    pub(super) rotation: Rotation,
    pub(super) health: Arc<JournalHealth>,
    /// Records for which there is no line yet.
    pub(super) inbox: VecDeque<(Box<Record>, QueuedRecordGuard)>,
    /// Those whose line is on its way.
    pub(super) in_flight: Vec<QueuedRecordGuard>,
    pub(super) last_sync: Instant,
}

impl JournalWriter {
    /// Runs until it is told to close or nobody is left to tell it anything.
    pub(super) fn run(mut self, told: Receiver<JournalMessage>) {
        let last = loop {
            let mut answers = Vec::new();
            let mut closes = false;
            match told.recv_timeout(POLL_INTERVAL) {
                Ok(first) => {
                    let more = told.try_iter().take(MAX_BATCH);
                    for message in std::iter::once(first).chain(more) {
                        match message {
                            JournalMessage::SetRotation(rotation) => self.rotation = rotation,
                            JournalMessage::Close(answer) => {
                                closes = true;
                                answers.push(answer);
                            }
                            JournalMessage::Flush(answer) => answers.push(answer),
                            JournalMessage::Record(record, held) => {
                                self.inbox.push_back((record, held))
                            }
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => closes = true,
            }
            self.process(!answers.is_empty() || closes);
            if closes {
                break answers;
            }
            acknowledge(answers);
        };
        let left = self.inbox.len() + self.in_flight.len();
        if left > 0 {
            error!(
                lost = left,
                "Ended with records of the audit journal that were not written"
            );
        }
        // The lock goes before anybody hears of it, and nobody hands in more in vain.
        drop(told);
        drop(self);
        acknowledge(last);
    }

    /// Writes all that there is, and finds out how the journal is.
    fn process(&mut self, everything: bool) {
        let mut result = self.write_records(everything);
        let lost = if result.is_ok() {
            self.health.lost.swap(0, Relaxed)
        } else {
            0
        };
        if lost > 0 {
            error!(lost, "Lost records of the audit journal");
            let time = Timestamp::now();
            result = self
                .append(&JournalEntry::Gap { time, lost })
                .and_then(|()| self.drain(true));
        }
        let trouble = result.err().map(|error| error.to_string());
        let was = self.health.replace_error(trouble.clone());
        match (was, trouble) {
            (None, Some(error)) => error!(
                error,
                "Failed to write the audit journal; calls that change data are refused until it can be written"
            ),
            (Some(_), None) => info!("Wrote the audit journal again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn write_records(&mut self, everything: bool) -> io::Result<()> {
        let mut result = Ok(());
        while let Some((record, held)) = self.inbox.pop_front() {
            let entry = JournalEntry::Call(record);
            result = self.append(&entry);
            match (&result, entry) {
                (Err(_), JournalEntry::Call(record)) => {
                    self.inbox.push_front((record, held));
                    break;
                }
                (_, _) => self.in_flight.push(held),
            }
        }
        let wanted = self.in_flight.iter().any(|held| held.durable.is_some());
        let durable = everything || wanted || self.last_sync.elapsed() >= SYNC_INTERVAL;
        // What has a line is written even where the next could not be made.
        let drained = self.drain(durable);
        result = result.and(drained);
        if result.is_ok() {
            for held in self.in_flight.drain(..) {
                if let Some(durable) = held.durable {
                    // A client that hung up waits no more.
                    let _gone = durable.send(());
                }
            }
        } else {
            // Who waits hears that it failed; the records are kept.
            let waiting = self.inbox.iter_mut().map(|(_, held)| held);
            for held in waiting.chain(&mut self.in_flight) {
                held.durable = None;
            }
        }
        result
    }

    /// Makes the next line and gives it to all who take lines.
    fn append(&mut self, entry: &JournalEntry) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.rotate_if_due(self.rotation, &mut self.chain)?;
        }
        let line = self.chain.append(entry).map_err(io::Error::from)?;
        if let Some(file) = &mut self.file {
            file.push(&line);
        }
        if let Some(out) = &mut self.standard_output {
            out.push(&line);
        }
        Ok(())
    }

    fn drain(&mut self, durable: bool) -> io::Result<()> {
        if durable {
            self.last_sync = Instant::now();
        }
        let file = self
            .file
            .as_mut()
            .map_or(Ok(()), |file| file.drain(durable));
        let out = self
            .standard_output
            .as_mut()
            .map_or(Ok(()), |out| out.drain().1);
        file.and(out)
    }
}

fn acknowledge(answers: Vec<Sender<()>>) {
    for answer in answers {
        // Who asked may have given up.
        let _gone = answer.send(());
    }
}
