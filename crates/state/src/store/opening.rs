//! Opening the file of a store, in whatever state it is.

use std::{
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use gatepost_base::path::parent_folder;
use redb::{Builder, Database, backends::FileBackend};

use super::file_entries::{ClockReading, FileEntries, StoreFileError};

/// The size of the cache, in bytes.
const CACHE_BYTES: usize = 8 << 20;

/// The file cannot be opened. `Display` is for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// It was not written by the gateway, or is damaged.
    #[error(
        "{0} is damaged or is not a store file ({1}); restore a copy, or move it away to start a new one. A new file does not know earlier changes, so a repeated change may be made twice"
    )]
    Damaged(PathBuf, String),
    /// It cannot be read or written.
    #[error("{0} cannot be opened: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Another process uses it.
    #[error("{0} is in use by another process; give each gateway its own file, or share a Redis")]
    Locked(PathBuf),
}

/// Opens the file; creates it if it does not exist.
///
/// # Errors
/// [`StoreOpenError`].
pub(super) fn open(path: &Path, max_bytes: u64) -> Result<FileEntries, StoreOpenError> {
    let is_there = path
        .try_exists()
        .map_err(|error| StoreOpenError::Io(path.to_owned(), error))?;
    if !is_there {
        create_file(path)?;
    }
    reopen(path, max_bytes)
}

/// Opens an existing file. One that vanished while in use is not replaced by a new
/// one.
///
/// # Errors
/// [`StoreOpenError`].
pub(super) fn reopen(path: &Path, max_bytes: u64) -> Result<FileEntries, StoreOpenError> {
    let failed = |error| StoreOpenError::Io(path.to_owned(), error);
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(failed)?;
    catch_damage(path, || {
        let database = open_database(file)?;
        FileEntries::load(database, max_bytes, ClockReading::now())
    })
}

/// Checks that the file can be opened, or created if it does not exist. Creates
/// nothing.
///
/// # Errors
/// [`StoreOpenError`].
pub(super) fn check_openable(path: &Path) -> Result<(), StoreOpenError> {
    let failed = |error| StoreOpenError::Io(path.to_owned(), error);
    if path.try_exists().map_err(failed)? {
        let entries = reopen(path, u64::MAX)?;
        return catch_damage(path, || entries.close());
    }
    tempfile::NamedTempFile::new_in(parent_folder(path))
        .map(drop)
        .map_err(failed)
}

/// Creates the file atomically: a crash leaves either a whole file or none.
fn create_file(path: &Path) -> Result<(), StoreOpenError> {
    let failed = |error| StoreOpenError::Io(path.to_owned(), error);
    // Temporary files are readable by their owner only.
    let unfinished = tempfile::NamedTempFile::new_in(parent_folder(path)).map_err(failed)?;
    let file = unfinished.reopen().map_err(failed)?;
    catch_damage(path, || {
        let database = open_database(file)?;
        FileEntries::create_tables(&database)?;
        Ok(database.close()?)
    })?;
    unfinished.as_file().sync_all().map_err(failed)?;
    match unfinished.persist_noclobber(path) {
        Ok(_file) => {}
        // Another process was faster; the lock decides which of us uses it.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error.error)),
    }
    File::open(parent_folder(path))
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

fn open_database(file: File) -> Result<Database, StoreFileError> {
    let mut builder = Builder::new();
    builder
        .set_cache_size(CACHE_BYTES)
        // Reads some hundred megabytes at most; otherwise damage is found while running.
        .set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(FileBackend::new(file)?)?)
}

/// Runs work on a file in any state. redb reports damage as an error or, in some
/// places, a panic, which is caught here.
fn catch_damage<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreFileError>,
) -> Result<T, StoreOpenError> {
    let damaged = |why: String| StoreOpenError::Damaged(path.to_owned(), why);
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(StoreFileError(error))) => {
            use redb::Error as E;
            if matches!(*error, E::DatabaseAlreadyOpen | E::LockProtocolMismatch) {
                return Err(StoreOpenError::Locked(path.to_owned()));
            }
            let why = error.to_string();
            let damages = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
            if !matches!(&*error, E::Io(error) if damages(error))
                && let E::Io(error) = *error
            {
                return Err(StoreOpenError::Io(path.to_owned(), error));
            }
            Err(damaged(why))
        }
        Err(_panic) => Err(damaged("its pages are corrupt".to_owned())),
    }
}

/// Whether both paths are the same file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let canonical = |path: &Path| fs::canonicalize(path).ok();
    one == other || canonical(one).is_some_and(|one| canonical(other) == Some(one))
}
