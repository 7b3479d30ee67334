//! The outputs of a journal: a rotated file, and standard output.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{error, info, warn};

use super::{
    ChainKey, JournalEntry, JournalOpenError,
    chain::Chain,
    opening::{self, OpenedJournalFile},
};

/// How long to wait after a failed rotation before the next attempt.
const ROTATION_RETRY_DELAY: Duration = Duration::from_mins(1);

/// An output with a backlog of bytes that could not be written yet. Writing resumes
/// where it stopped: a line may be written in two parts, but never twice.
#[derive(Debug)]
pub(super) struct Sink<W> {
    out: W,
    backlog: Vec<u8>,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            backlog: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.backlog.extend_from_slice(line);
    }

    /// Writes as much as possible; returns the number of bytes.
    pub(super) fn drain(&mut self) -> (usize, io::Result<()>) {
        let mut written = 0;
        let result = loop {
            let rest = self.backlog.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break self.out.flush();
            }
            match self.out.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.backlog.drain(..written);
        (written, result)
    }
}

/// Standard output without the buffer of the standard library, so that the number of
/// written bytes is known.
///
/// # Errors
/// When it is closed.
pub(super) fn standard_output() -> io::Result<Sink<File>> {
    let owned = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Sink::new(File::from(owned)))
}

/// When to start a new file, and how many to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rotation {
    /// The size in bytes at which a new file is started.
    pub max_bytes: u64,
    /// The age at which a new file is started; `None` for never.
    pub max_age: Option<Duration>,
    /// The number of rotated files to keep.
    pub keep_files: u32,
}

/// The file of a journal.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    sink: Sink<File>,
    /// The length of the file, including the backlog.
    length: u64,
    /// When its first line was written.
    started: Instant,
    /// Whether written bytes are not durable yet.
    unsynced: bool,
    /// When the last rotation failed.
    rotation_failed_at: Option<Instant>,
    lock: File,
}

impl Drop for JournalFile {
    /// Releases the lock at once: closing the file does not while a child process that was just
    /// forked has a copy of it.
    fn drop(&mut self) {
        if let Err(error) = self.lock.unlock() {
            warn!(error = %error, "Failed to unlock the audit journal");
        }
    }
}

impl JournalFile {
    /// Opens the file and its chain.
    ///
    /// # Errors
    /// [`JournalOpenError`].
    pub(super) fn open(
        path: PathBuf,
        key: Option<&ChainKey>,
    ) -> Result<(Self, Chain), JournalOpenError> {
        let OpenedJournalFile {
            file,
            chain,
            length,
            age,
            lock,
        } = opening::open(&path, key)?;
        let now = Instant::now();
        let this = Self {
            path,
            sink: Sink::new(file),
            length,
            started: now.checked_sub(age).unwrap_or(now),
            unsynced: false,
            rotation_failed_at: None,
            lock,
        };
        Ok((this, chain))
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.sink.push(line);
        self.length += u64::try_from(line.len()).unwrap_or(u64::MAX);
    }

    /// Whether the backlog is empty.
    fn is_drained(&self) -> bool {
        self.sink.backlog.is_empty()
    }

    /// Writes the backlog, and syncs it to disk if `durable`.
    ///
    /// # Errors
    /// When not all of it could be written; the rest stays in the backlog.
    pub(super) fn drain(&mut self, durable: bool) -> io::Result<()> {
        let (written, result) = self.sink.drain();
        self.unsynced |= written > 0;
        result?;
        if durable && self.unsynced {
            // TODO-correctness: after an error here the kernel may mark the pages as
            // clean, so that a retry succeeds without writing. It matters for disks
            // that fail temporarily.
            self.sink.out.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Starts a new file if this one is full or old, or was moved away.
    ///
    /// # Errors
    /// When the new file cannot be started.
    pub(super) fn rotate_if_due(
        &mut self,
        rotation: Rotation,
        chain: &mut Chain,
    ) -> io::Result<()> {
        if self.is_drained() && self.was_replaced()? {
            error!("Started a new audit journal because the file was moved or removed");
            return self.start_file(chain);
        }
        let full = self.length >= rotation.max_bytes;
        let old = rotation
            .max_age
            .is_some_and(|age| self.started.elapsed() >= age);
        let is_delayed = self
            .rotation_failed_at
            .is_some_and(|when| when.elapsed() < ROTATION_RETRY_DELAY);
        if is_delayed || !(full || old) {
            return Ok(());
        }
        self.drain(true)?;
        // The backlog of the old file is empty from here on.
        match opening::rotate(&self.path, rotation.keep_files) {
            Ok(()) => {
                self.start_file(chain)?;
                info!("Rotated the audit journal");
                Ok(())
            }
            Err(error) => {
                // Keeping records matters more than small files.
                self.rotation_failed_at = Some(Instant::now());
                error!(%error, "Failed to rotate the audit journal; continued with the old file");
                Ok(())
            }
        }
    }

    /// Whether the path is another file now, or none. Logs an unexpected length of the
    /// same file.
    fn was_replaced(&mut self) -> io::Result<bool> {
        let open_file = self.sink.out.metadata()?;
        match fs::metadata(&self.path) {
            Ok(named_file)
                if (named_file.dev(), named_file.ino()) == (open_file.dev(), open_file.ino()) =>
            {
                if named_file.len() != self.length {
                    error!(
                        size_bytes = named_file.len(),
                        "Detected a change of the audit journal by another program; `gatepost audit verify` reports the line"
                    );
                    self.length = named_file.len();
                }
                Ok(false)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Starts a new file at the path.
    fn start_file(&mut self, chain: &mut Chain) -> io::Result<()> {
        let file = opening::open_append(&self.path)?;
        opening::sync_folder(&self.path)?;
        self.length = file.metadata()?.len();
        self.sink = Sink::new(file);
        self.started = Instant::now();
        self.rotation_failed_at = None;
        let entry = JournalEntry::file_start(Timestamp::now(), chain.key().is_some());
        let line = chain.append(&entry).map_err(io::Error::from)?;
        self.push(&line);
        self.drain(true)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::{JournalFile, Sink};

    /// Accepts some bytes, then is full until the test adds capacity.
    struct LimitedWriter {
        capacity: usize,
        written: Vec<u8>,
    }

    impl Write for LimitedWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let takes = bytes.len().min(self.capacity);
            if takes == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.capacity -= takes;
            self.written.extend(bytes.iter().take(takes));
            Ok(takes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn partial_write_resumes_where_it_stopped() {
        let mut sink = Sink::new(LimitedWriter {
            capacity: 4,
            written: Vec::new(),
        });
        sink.push(b"one\n");
        sink.push(b"two\n");
        let (written, result) = sink.drain();
        assert_eq!(written, 4);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
        for _ in 0..2 {
            sink.out.capacity = 2;
            drop(sink.drain());
        }
        let (_, result) = sink.drain();
        result.unwrap();
        assert_eq!(sink.out.written, b"one\ntwo\n");
    }

    #[test]
    fn closed_journal_is_unlocked_while_a_child_process_has_a_copy_of_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (journal, _) = JournalFile::open(path.clone(), None).unwrap();
        // What a fork does with each open file, until the child process closes its own.
        let _copy = journal.lock.try_clone().unwrap();
        drop(journal);
        assert!(JournalFile::open(path, None).is_ok());
    }
}
