//! The thread that writes a journal.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    thread,
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
use gatepost_base::sync::lock;

/// How often the thread wakes up to retry failed writes and to sync written ones.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long the record of a read may be unsynced.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How long the thread waits for more records after it wrote some, so that it does not
/// wake up for each of many.
const LINGER: Duration = Duration::from_millis(2);

/// The most records written together.
const MAX_BATCH: usize = 256;

/// A message to the thread.
pub(super) enum JournalMessage {
    /// Change the rotation.
    SetRotation(Rotation),
    /// Write everything, close the file, and end. Acknowledged before the end.
    Close(Sender<()>),
    /// Write everything. Acknowledged after success or failure.
    Flush(Sender<()>),
    /// Write a record.
    Record(Box<Record>, QueuedRecordGuard),
}

/// Held until a record is written.
pub(super) struct QueuedRecordGuard {
    /// Its room in the queue.
    pub(super) _queue_permit: OwnedSemaphorePermit,
    /// Notified when the record is durable.
    pub(super) durable: Option<oneshot::Sender<()>>,
}

/// The health of the journal.
#[derive(Debug, Default)]
pub(super) struct JournalHealth {
    /// The current error, if any.
    error: Mutex<Option<String>>,
    /// The number of lost records that have no gap entry yet.
    lost: AtomicU64,
}

impl JournalHealth {
    pub(super) fn error(&self) -> Option<String> {
        lock(&self.error).clone()
    }

    pub(super) fn count_lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// Sets the error; returns the one before.
    pub(super) fn replace_error(&self, error: Option<String>) -> Option<String> {
        let mut known = lock(&self.error);
        std::mem::replace(&mut *known, error)
    }
}

/// Writes records on its own thread, because disks block.
pub(super) struct JournalWriter {
    pub(super) chain: Chain,
    pub(super) file: Option<JournalFile>,
    pub(super) standard_output: Option<Sink<File>>,
    pub(super) rotation: Rotation,
    pub(super) health: Arc<JournalHealth>,
    /// Records without a line yet.
    pub(super) inbox: VecDeque<(Box<Record>, QueuedRecordGuard)>,
    /// Records whose line is not written or synced yet.
    pub(super) in_flight: Vec<QueuedRecordGuard>,
    pub(super) last_sync: Instant,
}

impl JournalWriter {
    /// Runs until closed or all senders are dropped.
    pub(super) fn run(mut self, inbox: Receiver<JournalMessage>) {
        let last = loop {
            let mut replies = Vec::new();
            let mut closes = false;
            match inbox.recv_timeout(POLL_INTERVAL) {
                Ok(first) => {
                    let more = inbox.try_iter().take(MAX_BATCH);
                    for message in std::iter::once(first).chain(more) {
                        match message {
                            JournalMessage::SetRotation(rotation) => self.rotation = rotation,
                            JournalMessage::Close(reply) => {
                                closes = true;
                                replies.push(reply);
                            }
                            JournalMessage::Flush(reply) => replies.push(reply),
                            JournalMessage::Record(record, held) => {
                                self.inbox.push_back((record, held));
                            }
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => closes = true,
            }
            self.process(!replies.is_empty() || closes);
            if closes {
                break replies;
            }
            acknowledge(replies);
            linger();
        };
        let lost = self.inbox.len() + self.in_flight.len();
        if lost > 0 {
            error!(lost, "Closed the audit journal with unwritten records");
        }
        // The lock is released and the queue closed before callers are notified.
        drop(inbox);
        drop(self);
        acknowledge(last);
    }

    /// Writes all records and updates the health.
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
        let error = result.err().map(|error| error.to_string());
        let before = self.health.replace_error(error.clone());
        if error.is_some() {
            // Dropping the senders reports the failure, now that the next write is refused;
            // the records stay queued.
            let waiting = self.inbox.iter_mut().map(|(_, held)| held);
            for held in waiting.chain(&mut self.in_flight) {
                held.durable = None;
            }
        }
        match (before, error) {
            (None, Some(error)) => error!(
                error,
                "Failed to write the audit journal; writes are refused until it recovers"
            ),
            (Some(_), None) => info!("Recovered the audit journal"),
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
        // Existing lines are written even if the next one failed.
        let drained = self.drain(durable);
        result = result.and(drained);
        if result.is_ok() {
            for held in self.in_flight.drain(..) {
                if let Some(durable) = held.durable {
                    // The client may have left.
                    let _gone = durable.send(());
                }
            }
        }
        result
    }

    /// Appends an entry and passes its line to all outputs.
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

#[expect(
    clippy::disallowed_methods,
    reason = "this thread is the journal's own and serves nothing else"
)]
fn linger() {
    thread::sleep(LINGER);
}

fn acknowledge(replies: Vec<Sender<()>>) {
    for reply in replies {
        // The caller may have stopped waiting.
        let _gone = reply.send(());
    }
}
