//! Opening the file of a journal that may have ended anyhow.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde::Deserialize;
use tracing::warn;

use super::{
    ChainError, ChainKey, ChainLink, ChainPosition, JournalEntry,
    chain::{Chain, MAX_LINE_BYTES},
};

/// Why a journal is not opened. `Display` is for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum JournalOpenError {
    /// The last whole line is not what the gateway wrote.
    #[error(
        "the last line of {0} does not fit its hash: it was changed, or written with another key or none; look at it with `gatepost audit verify`, and move it away to begin a new chain"
    )]
    HashMismatch(PathBuf),
    /// It cannot be read or written.
    #[error("{0} cannot be opened: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Another process has it.
    #[error(
        "{0} is written by another process (it holds {0}.lock); give each gateway a file of its own"
    )]
    Locked(PathBuf),
}

/// A file that is ours, and how far its chain has come.
#[derive(Debug)]
pub(super) struct OpenedJournalFile {
    pub(super) file: File,
    pub(super) chain: Chain,
    /// Its length in bytes.
    pub(super) length: u64,
    /// How old it is by what its first line says.
    pub(super) age: Duration,
    /// Held as long as the journal is open.
    pub(super) lock: File,
}

/// The path with something behind it, such as `audit.jsonl.lock`.
pub(super) fn with_suffix(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(".");
    name.push(end);
    PathBuf::from(name)
}

/// A file to append to, for its owner alone.
pub(super) fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(path)
}

/// Opens the file, puts a torn end in order, and finds the end of the chain.
///
/// # Errors
/// [`CannotOpen`]; then nothing was changed.
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
                "Found the audit journal torn at its end"
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
        // Over the torn end, and only then cut: whoever dies in between leaves
        // an end that is torn again, and not one of which nothing tells.
        let over = OpenOptions::new().write(true).open(path).map_err(failed)?;
        over.write_all_at(&lines, length).map_err(failed)?;
        length += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        over.set_len(length).map_err(failed)?;
        over.sync_all().map_err(failed)?;
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

/// The end of the chain in the file before, of which this one is the next.
fn end_of_previous_file(
    path: &Path,
    key: Option<&ChainKey>,
) -> Result<ChainPosition, JournalOpenError> {
    let path = with_suffix(path, "1");
    match File::open(&path) {
        Ok(mut file) => JournalFileEnd::locate(&mut file, &path, key).map(|end| end.position),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(ChainPosition::default()),
        Err(error) => Err(JournalOpenError::Io(path, error)),
    }
}

/// A lock in a file of its own, for the journal's is renamed. It goes with the
/// process, however that ends.
fn acquire_lock(path: &Path) -> Result<File, JournalOpenError> {
    let failed = |error| JournalOpenError::Io(path.to_owned(), error);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(with_suffix(path, "lock"))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalOpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Keeps what was torn, for whoever wants to know what it was.
fn save_torn_end(path: &Path, torn: &[u8]) -> io::Result<()> {
    if torn.is_empty() {
        return Ok(());
    }
    let mut kept = open_append(&with_suffix(path, "torn"))?;
    kept.write_all(torn)?;
    kept.write_all(b"\n")?;
    kept.sync_all()
}

/// How long ago the first line was written; no time when there is none.
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

/// How a file ends.
struct JournalFileEnd {
    position: ChainPosition,
    /// Bytes up to the end of the last whole line.
    intact_bytes: u64,
    /// What stands behind it, if the file was torn.
    torn: Option<Vec<u8>>,
    /// Whether nothing but the line end of the last line is torn off.
    line_end_missing: bool,
}

impl JournalFileEnd {
    /// Looks from the end backwards for the last whole line.
    fn locate(
        file: &mut File,
        path: &Path,
        key: Option<&ChainKey>,
    ) -> Result<Self, JournalOpenError> {
        let failed = |error| JournalOpenError::Io(path.to_owned(), error);
        let length = file.metadata().map_err(failed)?.len();
        let tail = read_tail(file, length).map_err(failed)?;
        let begin = length - u64::try_from(tail.len()).unwrap_or(length);
        let mut end = tail.len();
        loop {
            let rest = tail.get(..end).unwrap_or_default();
            // From the byte behind a line end, or the beginning of the file.
            let start = rest
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map(|at| at + 1);
            let Some(start) = start.or_else(|| (begin == 0).then_some(0)) else {
                // A megabyte without a line: no crash of ours leaves that.
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

/// The end of the file: room for two of the longest lines.
fn read_tail(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let room = u64::try_from(2 * MAX_LINE_BYTES).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(room)))?;
    let mut tail = Vec::new();
    file.take(room).read_to_end(&mut tail)?;
    Ok(tail)
}

/// Makes the folder's entries outlive a loss of power.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(parent_folder(path))?.sync_all()
}

/// The files that were rotated, with their numbers, the oldest first.
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
            // As we write it, and `.007` is somebody's own.
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

fn parent_folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Renames `path` to `path.1`, that to `path.2`, and so on; the one after the
/// last that is kept is overwritten, and those beyond it are removed.
///
/// # Errors
/// When a file cannot be renamed or removed; what was done before stays so.
pub(super) fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    // Left from when more were kept. The oldest first, for whoever dies in
    // between must leave a chain without a hole.
    for (_, beyond) in rotated_files(path)?
        .iter()
        .take_while(|(number, _)| *number > keep)
    {
        fs::remove_file(beyond)?;
    }
    for number in (1..keep).rev() {
        let (from, to) = (
            with_suffix(path, &number.to_string()),
            with_suffix(path, &(number + 1).to_string()),
        );
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, with_suffix(path, "1"))?;
    sync_folder(path)
}
