//! Opening the file of a journal, in whatever state it is.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use gatepost_base::path::parent_folder;
use jiff::Timestamp;
use serde::Deserialize;
use tracing::warn;

use super::{
    ChainError, ChainKey, ChainLink, ChainPosition, JournalEntry,
    chain::{Chain, MAX_LINE_BYTES},
};

/// A journal cannot be opened. `Display` is for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum JournalOpenError {
    /// The last complete line was not written by the gateway.
    #[error(
        "the last line of {0} does not match its hash: it was changed, or written with another key, or without one; check it with `gatepost audit verify`, and move the file away to start a new chain"
    )]
    HashMismatch(PathBuf),
    /// It cannot be read or written.
    #[error(
        "{0} cannot be opened or written: {1}; check that its folder exists and that the gateway may write to it"
    )]
    Io(PathBuf, #[source] io::Error),
    /// Another process uses it.
    #[error("{0} is in use by another process (it holds {0}.lock); give each gateway its own file")]
    Locked(PathBuf),
}

/// A locked file and the position of its chain.
#[derive(Debug)]
pub(super) struct OpenedJournalFile {
    pub(super) file: File,
    pub(super) chain: Chain,
    /// Its length in bytes.
    pub(super) length: u64,
    /// Its age, according to its first line.
    pub(super) age: Duration,
    /// Held as long as the journal is open.
    pub(super) lock: File,
}

/// Opens a file to append to, readable by its owner only.
pub(super) fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)
}

/// Opens the file, repairs a torn end, and finds the end of the chain.
///
/// # Errors
/// [`JournalOpenError`]; nothing was changed.
pub(super) fn open(
    path: &Path,
    key: Option<&ChainKey>,
) -> Result<OpenedJournalFile, JournalOpenError> {
    let failed = |error| JournalOpenError::Io(path.to_owned(), error);
    let lock = acquire_lock(path)?;
    let mut file = open_append(path).map_err(failed)?;
    let found = JournalFileEnd::locate(&mut file, path, key)?;
    let now = Timestamp::now();
    let is_new = found.intact_bytes == 0;
    let mut chain = Chain::resume_at(found.position, key.cloned());
    if is_new {
        chain = Chain::resume_at(end_of_previous_file(path, key)?, key.cloned());
    }
    let mut length = found.intact_bytes;
    if is_new || found.torn.is_some() {
        let mut entries = Vec::new();
        if is_new {
            entries.push(JournalEntry::file_start(now, key.is_some()));
        }
        if let Some(torn) = &found.torn {
            warn!(
                size_bytes = torn.len(),
                "Found a torn line at the end of the audit journal"
            );
            save_torn_end(path, torn).map_err(failed)?;
            entries.push(JournalEntry::Torn {
                time: now,
                size_bytes: torn.len(),
            });
        }
        let mut lines = Vec::new();
        if found.line_end_missing {
            lines.push(b'\n');
        }
        for entry in &entries {
            lines.extend(chain.append(entry).map_err(|error| failed(error.into()))?);
        }
        // Overwrite the torn end before truncating: a crash in between leaves a torn
        // end again, not an unreported one.
        let writer = OpenOptions::new().write(true).open(path).map_err(failed)?;
        writer.write_all_at(&lines, length).map_err(failed)?;
        length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        writer.set_len(length).map_err(failed)?;
        writer.sync_all().map_err(failed)?;
        sync_folder(path).map_err(failed)?;
    }
    let age = file_age(&mut file).map_err(failed)?;
    Ok(OpenedJournalFile {
        file,
        chain,
        length,
        age,
        lock,
    })
}

/// Checks that the file can be opened, or created if it does not exist, and that the
/// chain can be continued. Changes nothing, not even a torn end.
///
/// # Errors
/// [`JournalOpenError`].
pub fn check_openable(path: &Path, key: Option<&ChainKey>) -> Result<(), JournalOpenError> {
    let failed = |error| JournalOpenError::Io(path.to_owned(), error);
    let is_missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let open = |path: &Path| OpenOptions::new().read(true).append(true).open(path);
    match open(&path.with_added_extension("lock")) {
        Ok(lock) => try_lock(&lock, path)?,
        Err(error) if is_missing(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    match open(path) {
        Ok(mut file) => drop(JournalFileEnd::locate(&mut file, path, key)?),
        Err(error) if is_missing(&error) => drop(end_of_previous_file(path, key)?),
        Err(error) => return Err(failed(error)),
    }
    // Rotated files are created beside it.
    tempfile::NamedTempFile::new_in(parent_folder(path))
        .map(drop)
        .map_err(failed)
}

/// The end of the chain in the previous file, which this one continues.
fn end_of_previous_file(
    path: &Path,
    key: Option<&ChainKey>,
) -> Result<ChainPosition, JournalOpenError> {
    let path = path.with_added_extension("1");
    match File::open(&path) {
        Ok(mut file) => JournalFileEnd::locate(&mut file, &path, key).map(|end| end.position),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ChainPosition::default()),
        Err(error) => Err(JournalOpenError::Io(path, error)),
    }
}

/// Locks a separate file, because the journal's is renamed. The lock ends with the
/// process.
fn acquire_lock(path: &Path) -> Result<File, JournalOpenError> {
    let failed = |error| JournalOpenError::Io(path.to_owned(), error);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path.with_added_extension("lock"))
        .map_err(failed)?;
    try_lock(&lock, path)?;
    Ok(lock)
}

fn try_lock(lock: &File, path: &Path) -> Result<(), JournalOpenError> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(JournalOpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(JournalOpenError::Io(path.to_owned(), error)),
    }
}

/// Saves the torn bytes for inspection.
fn save_torn_end(path: &Path, torn: &[u8]) -> io::Result<()> {
    if torn.is_empty() {
        return Ok(());
    }
    let mut file = open_append(&path.with_added_extension("torn"))?;
    file.write_all(torn)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// The time since the first line was written; zero if there is none.
fn file_age(file: &mut File) -> io::Result<Duration> {
    #[derive(Deserialize)]
    struct FirstLine {
        time: String,
    }

    let mut start = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(4096).read_to_end(&mut start)?;
    let first = start.split(|byte| *byte == b'\n').next();
    let time = first
        .and_then(|line| serde_json::from_slice::<FirstLine>(line).ok())
        .and_then(|first| first.time.parse::<Timestamp>().ok());
    Ok(time
        .and_then(|time| Duration::try_from(Timestamp::now().duration_since(time)).ok())
        .unwrap_or_default())
}

/// The end of a file.
struct JournalFileEnd {
    position: ChainPosition,
    /// The length up to the end of the last complete line.
    intact_bytes: u64,
    /// The bytes after it, if the file was torn.
    torn: Option<Vec<u8>>,
    /// Whether only the line end of the last line is missing.
    line_end_missing: bool,
}

impl JournalFileEnd {
    /// Searches backwards for the last complete line.
    fn locate(
        file: &mut File,
        path: &Path,
        key: Option<&ChainKey>,
    ) -> Result<Self, JournalOpenError> {
        let failed = |error| JournalOpenError::Io(path.to_owned(), error);
        let length = file.metadata().map_err(failed)?.len();
        let tail = read_tail(file, length).map_err(failed)?;
        // A device may hold more than its length.
        let begin = length.saturating_sub(u64::try_from(tail.len()).unwrap_or(length));
        let mut end = tail.len();
        loop {
            let rest = tail.get(..end).unwrap_or_default();
            // From the byte after a line end, or the beginning of the file.
            let start = rest
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map(|at| at + 1);
            let Some(start) = start.or_else(|| (begin == 0).then_some(0)) else {
                // A megabyte without a line is not the result of a crash.
                return Err(JournalOpenError::HashMismatch(path.to_owned()));
            };
            let line = rest.get(start..).unwrap_or_default();
            match ChainLink::parse(line, key) {
                Ok(link) => {
                    let ended = tail.get(end) == Some(&b'\n');
                    let after = tail.get(end + usize::from(ended)..).unwrap_or_default();
                    let whole = end + usize::from(ended);
                    return Ok(Self {
                        position: link.position(),
                        intact_bytes: begin + u64::try_from(whole).unwrap_or(u64::MAX),
                        torn: (!ended || !after.is_empty()).then(|| after.to_vec()),
                        line_end_missing: !ended,
                    });
                }
                Err(ChainError::HashMismatch) => {
                    return Err(JournalOpenError::HashMismatch(path.to_owned()));
                }
                Err(
                    ChainError::NotALine
                    | ChainError::PreviousHashMismatch
                    | ChainError::WrongSequence { .. },
                ) => {}
            }
            match start.checked_sub(1) {
                Some(before) => end = before,
                None => {
                    return Ok(Self {
                        position: ChainPosition::default(),
                        intact_bytes: 0,
                        torn: (!tail.is_empty()).then_some(tail),
                        line_end_missing: false,
                    });
                }
            }
        }
    }
}

/// Reads the end of the file: as much as two of the longest lines.
fn read_tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let room = u64::try_from(2 * MAX_LINE_BYTES).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(room)))?;
    let mut tail = Vec::new();
    file.take(room).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Makes renames and new files in the folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(parent_folder(path))?.sync_all()
}

/// The rotated files with their numbers, oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn rotated_files(path: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let folder = parent_folder(path);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut rotated = Vec::new();
    for entry in fs::read_dir(folder)? {
        let found = entry?.file_name();
        let number = found
            .to_str()
            .and_then(|found| found.strip_prefix(&*name)?.strip_prefix('.'))
            // Without leading zeros, because the gateway writes none.
            .filter(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
            .filter(|number| !number.starts_with('0'))
            .and_then(|number| number.parse::<u32>().ok());
        if let Some(number) = number {
            rotated.push((number, folder.join(found)));
        }
    }
    rotated.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(rotated)
}

/// Renames `path` to `path.1`, `path.1` to `path.2`, and so on; removes files beyond
/// `keep`.
///
/// # Errors
/// When a file cannot be renamed or removed; earlier steps are not undone.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    // Files from a larger `keep`. Oldest first, so that a crash in between leaves no
    // gap in the chain.
    for (_, beyond) in rotated_files(path)?
        .iter()
        .take_while(|(number, _)| *number > keep)
    {
        fs::remove_file(beyond)?;
    }
    for number in (1..keep).rev() {
        let (from, to) = (
            path.with_added_extension(number.to_string()),
            path.with_added_extension((number + 1).to_string()),
        );
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, path.with_added_extension("1"))?;
    sync_folder(path)
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::JournalOpenError;

    #[test]
    fn opening_errors_name_the_file_and_the_remedy() {
        let path = || PathBuf::from("/var/lib/gatepost/audit.jsonl");
        let errors = [
            JournalOpenError::HashMismatch(path()),
            JournalOpenError::Io(path(), io::ErrorKind::PermissionDenied.into()),
            JournalOpenError::Locked(path()),
        ];
        insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
    }
}
