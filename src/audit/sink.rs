//! Where lines go: a file that is rotated, and standard output.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{error, info};

use super::{
    ChainKey, JournalEntry, JournalOpenError,
    chain::Chain,
    opening::{self, OpenedJournalFile},
};

/// How long after a rotation that failed the next is tried.
const ROTATION_RETRY_DELAY: Duration = Duration::from_mins(1);

/// Bytes on their way. What could not be written stays, and goes on where it
/// stopped: a line may be written in two parts, but never twice.
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

    /// Writes as much as can be written; gives the number of bytes.
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

/// Standard output itself, around the buffer of the standard library: what was
/// written is known to the byte.
///
/// # Errors
/// When there is none.
pub(super) fn standard_output() -> io::Result<Sink<File>> {
    let owned = io::stdout().as_fd().try_clone_to_owned()?;
    Ok(Sink::new(File::from(owned)))
}

/// When a file is full, and how many are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rotation {
    /// The size in bytes at which another file is begun.
    pub(super) max_bytes: u64,
    /// The age of one file; none for any age.
    pub(super) max_age: Option<Duration>,
    /// Files that are kept besides the one that is written.
    pub(super) keep_files: u32,
}

/// The file of a journal.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    sink: Sink<File>,
    /// What the file should have, with what is on its way.
    length: u64,
    /// When its first line was written.
    started: Instant,
    /// Whether something was written that may be lost with the power.
    unsynced: bool,
    /// When a rotation failed.
    rotation_failed_at: Option<Instant>,
    _lock: File,
}

impl JournalFile {
    /// Opens the file, and finds where its chain goes on.
    ///
    /// # Errors
    /// [`CannotOpen`].
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
            _lock: lock,
        };
        Ok((this, chain))
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.sink.push(line);
        self.length += u64::try_from(line.len()).unwrap_or(u64::MAX);
    }

    /// Whether everything that was pushed is in the file.
    fn is_drained(&self) -> bool {
        self.sink.backlog.is_empty()
    }

    /// Writes what is on its way, to the disk itself if `durable`.
    ///
    /// # Errors
    /// When not all of it could be written; the rest is kept.
    pub(super) fn drain(&mut self, durable: bool) -> io::Result<()> {
        let (written, result) = self.sink.drain();
        self.unsynced |= written > 0;
        result?;
        if durable && self.unsynced {
            // TODO-correctness: after an error here the kernel may take the pages
            // for clean and a second try succeeds in vain. It would matter with
            // disks that fail for a while and come back.
            self.sink.out.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Begins a new file if this one is full or old, or was moved away by
    /// somebody.
    ///
    /// # Errors
    /// When the new file cannot be begun.
    pub(super) fn rotate_if_due(
        &mut self,
        rotation: Rotation,
        chain: &mut Chain,
    ) -> io::Result<()> {
        if self.is_drained() && self.was_replaced()? {
            error!(
                "Lost the file of the audit journal, which was moved or removed; began a new one"
            );
            return self.start_file(chain);
        }
        let full = self.length >= rotation.max_bytes;
        let old = rotation
            .max_age
            .is_some_and(|age| self.started.elapsed() >= age);
        let stuck = self
            .rotation_failed_at
            .is_some_and(|when| when.elapsed() < ROTATION_RETRY_DELAY);
        if stuck || !(full || old) {
            return Ok(());
        }
        self.drain(true)?;
        // From here on nothing is on its way to the old file.
        match opening::rotate(&self.path, rotation.keep_files) {
            Ok(()) => {
                self.start_file(chain)?;
                info!("Began a new file of the audit journal");
                Ok(())
            }
            Err(error) => {
                // Records are worth more than small files.
                self.rotation_failed_at = Some(Instant::now());
                error!(%error, "Failed to rotate the audit journal, and went on with the old file");
                Ok(())
            }
        }
    }

    /// Whether the path is another file by now, or none; or the same with
    /// another length, which is told and then left as it is.
    fn was_replaced(&mut self) -> io::Result<bool> {
        let mine = self.sink.out.metadata()?;
        match fs::metadata(&self.path) {
            Ok(there) if (there.dev(), there.ino()) == (mine.dev(), mine.ino()) => {
                if there.len() != self.length {
                    error!(
                        size_bytes = there.len(),
                        "Found the audit journal changed by somebody else; `gatepost audit verify` names the line"
                    );
                    self.length = there.len();
                }
                Ok(false)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Begins a new file under the path.
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

    use super::Sink;

    /// Takes some bytes, then is full until somebody makes room.
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
}
