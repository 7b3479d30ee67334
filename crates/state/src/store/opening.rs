//! Opening the file, in whatever state it is.

use std::{
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::{Builder, Database, backends::FileBackend};

use super::entries::{ClockReading, FileEntries, StoreFileError};

/// What of the file is kept in memory, in bytes.
const CACHE_BYTES: usize = 8 << 20;

/// Why the file of changes is not opened. `Display` is for the administrator.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// It is not what the gateway wrote.
    #[error(
        "{0} is damaged, or is no file of a ledger ({1}); put back a copy, or move it away to begin a new one: then nothing is known of changes that were made, so that one that is sent again may be made twice"
    )]
    Damaged(PathBuf, String),
    /// It cannot be read or written.
    #[error("{0} cannot be opened: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// Another process has it.
    #[error(
        "{0} is used by another process; give each gateway a file of its own, or let replicas share a Redis"
    )]
    Locked(PathBuf),
}

/// Opens the file, and makes it if there is none.
///
/// # Errors
/// [`CannotOpen`].
pub(super) fn open(path: &Path, max_bytes: u64) -> Result<FileEntries, StoreOpenError> {
    let is_there = path
        .try_exists()
        .map_err(|error| StoreOpenError::Io(path.to_owned(), error))?;
    if !is_there {
        create_file(path)?;
    }
    reopen(path, max_bytes)
}

/// Opens the file, which must be there: one that vanished while it was in use is
/// no reason to begin a new one.
///
/// # Errors
/// [`CannotOpen`].
pub(super) fn reopen(path: &Path, max_bytes: u64) -> Result<FileEntries, StoreOpenError> {
    let failed = |error| StoreOpenError::Io(path.to_owned(), error);
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(failed)?;
    catch_damage(path, || {
        let database = open_database(file)?;
        FileEntries::load(database, max_bytes, ClockReading::now())
    })
}

/// Looks whether the file can be opened, or where there is none, whether it can
/// be made. Nothing is left behind.
///
/// # Errors
/// [`CannotOpen`].
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

/// Makes the file whole or not at all: whoever dies in between leaves none.
fn create_file(path: &Path) -> Result<(), StoreOpenError> {
    let failed = |error| StoreOpenError::Io(path.to_owned(), error);
    // For its owner alone, as all files that are made so.
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
        // Another process was faster; one of us will have it.
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
        // Some hundred megabytes at most, once: else damage is found while we run.
        .set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(FileBackend::new(file)?)?)
}

/// Runs what may find the file in any state. The crate answers damage by an
/// error, or here and there by a panic, which ends here.
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
        Err(_panic) => Err(damaged("its pages make no sense".to_owned())),
    }
}

fn parent_folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether both paths lead to one file.
pub(super) fn is_same_file(one: &Path, other: &Path) -> bool {
    let there = |path: &Path| fs::canonicalize(path).ok();
    one == other || there(one).is_some_and(|one| there(other) == Some(one))
}
